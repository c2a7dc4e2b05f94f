//! sni.yaml under its lock, and a change of it that is judged before it is written.

use super::PartyError;
use super::diff;
use super::replace::{self, Beside, Looks};
use crate::config::{self, Load, Loaded, Problem, Sources, edit};
use crate::net::Target;
use crate::refusal::Refusal;
use crate::route::{Route, RouteTable};
use crate::tls::ServerName;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Another command is done in this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The routes file as it was read, right or not there.
#[derive(Debug)]
pub struct Routes {
    sources: Sources,
    /// As the operator named it.
    pub path: PathBuf,
    /// Behind links: what is replaced.
    real: PathBuf,
    text: Option<String>,
    loaded: Option<Loaded>,
    /// What `check` warns of already.
    warnings: Vec<Problem>,
    // Unlocked when dropped, or when the process ends, however it ends.
    _lock: Option<File>,
}

/// An entry of the file.
#[derive(Debug, Clone, Copy)]
pub struct Row<'r> {
    /// Its place in the list, from 0.
    pub at: usize,
    /// Its line.
    pub line: u32,
    /// What it means.
    pub route: &'r Arc<Route>,
}

/// A new text that `check` takes.
#[derive(Debug)]
pub struct Change {
    path: PathBuf,
    real: PathBuf,
    old: Option<String>,
    new: String,
    /// What the new text comes to.
    loaded: Loaded,
    /// What `check` warns of because of it.
    pub warnings: Vec<Problem>,
}

/// A change that is on the disk, beside its place.
#[derive(Debug)]
pub struct Prepared {
    change: Change,
    beside: Beside,
}

impl Routes {
    /// Reads; nobody is kept from changing the file.
    ///
    /// # Errors
    /// [`PartyError::Config`] where `check` finds errors; [`PartyError::Io`].
    pub fn read(sources: &Sources) -> Result<Routes, PartyError> {
        let load = config::load(sources);
        let path = match &load.routes {
            Some((path, _)) => path.clone(),
            None => {
                let place = config::routes_place(sources);
                match place.filter(|place| is_free(place)) {
                    Some(place) => return Ok(Routes::absent(sources, place)),
                    None => return Err(PartyError::Config(load.problems)),
                }
            }
        };
        let Load {
            loaded, problems, ..
        } = load;
        let Some(loaded) = loaded else {
            return Err(PartyError::Config(problems));
        };
        let real = fs::canonicalize(&path).map_err(PartyError::io("find it", &path))?;
        let text = fs::read_to_string(&real).map_err(PartyError::io("read it", &path))?;
        Ok(Routes {
            sources: sources.clone(),
            path,
            real,
            text: Some(text),
            loaded: Some(loaded),
            warnings: problems,
            _lock: None,
        })
    }

    /// Reads while no other such command changes the file: it holds a lock on the file's folder, since
    /// the file itself is another one after every change.
    ///
    /// # Errors
    /// As [`Routes::read`]; [`PartyError::Refused`] where another holds the lock for 30 s.
    pub fn lock(sources: &Sources) -> Result<Routes, PartyError> {
        let folder = folder_of(&Routes::read(sources)?.real);
        let lock = File::open(&folder).map_err(PartyError::io("open the folder", &folder))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => {
                    return Err(PartyError::io("lock the folder", &folder)(error));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let (folder, seconds) = (folder.display(), PATIENCE.as_secs());
                    return Err(PartyError::Refused(format!(
                        "{folder}: another snihub holds the lock for {seconds} s already; try again \
                         when it is done"
                    )));
                }
            }
        }
        let mut routes = Routes::read(sources)?;
        routes._lock = Some(lock);
        Ok(routes)
    }

    fn absent(sources: &Sources, path: PathBuf) -> Routes {
        Routes {
            sources: sources.clone(),
            real: path.clone(),
            path,
            text: None,
            loaded: None,
            warnings: Vec::new(),
            _lock: None,
        }
    }

    /// The entries, in file order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let entries = self.table().into_iter().flat_map(RouteTable::entries);
        entries
            .enumerate()
            .map(|(at, (line, route))| Row { at, line, route })
    }

    /// The entry of exactly this name, for all inbound ports or some.
    pub fn find(&self, name: &str) -> Option<Row<'_>> {
        self.rows().find(|row| is_of(row.route, name))
    }

    /// The first entry that takes this name, by its own name or a wildcard.
    pub fn takes(&self, name: &str) -> Option<Row<'_>> {
        self.rows().find(|row| row.route.pattern().matches(name))
    }

    /// The text of a key of the entry at this place.
    pub fn value(&self, at: usize, key: &str) -> Option<String> {
        edit::value(self.text.as_deref()?, at, key)
    }

    /// Whether the file before the last change had an entry of this name.
    pub fn had(&self, name: &str) -> bool {
        let sources = Sources {
            routes: Some(replace::backup(&self.real)),
            ..self.sources.clone()
        };
        Routes::read(&sources).is_ok_and(|before| before.find(name).is_some())
    }

    /// Whether there is a file.
    pub fn is_there(&self) -> bool {
        self.text.is_some()
    }

    /// Its text; empty where there is no file.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn table(&self) -> Option<&RouteTable> {
        self.loaded.as_ref().map(|loaded| &loaded.routes)
    }

    /// The port that clients come to, if nobody says another: the first of `listen`.
    pub(super) fn inbound_port(&self) -> u16 {
        let listen = self
            .loaded
            .iter()
            .flat_map(|loaded| &loaded.settings.listen);
        let mut ports = listen.map(|spec| spec.address.port());
        ports.find(|port| *port != 0).unwrap_or(443)
    }

    /// What `check` warns of.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What the table says to a hello with this name at this port, from somebody whom the entry lets
    /// in: the entry, its line, and where it leads. `None`: no entry takes it.
    pub(super) fn decide(
        &self,
        name: &ServerName,
        inbound_port: u16,
    ) -> Option<(&Arc<Route>, u32, Result<Target, Refusal>)> {
        let table = self.table()?;
        let (route, verdict) = match table.decide_for_some(Some(name), inbound_port) {
            Ok(decision) => (decision.route, Ok(decision.target)),
            Err(denied) => (denied.route?, Err(denied.refusal)),
        };
        Some((route, table.line_of(route).unwrap_or(0), verdict))
    }

    /// Whether the table takes this address for the party's own.
    pub(super) fn is_source(&self, name: &str, source: SocketAddr) -> bool {
        let party = self.table().and_then(|table| table.party_of(source.ip()));
        party.is_some_and(|route| is_of(route, name))
    }

    /// Judges a new text, as `snihub check` will.
    ///
    /// # Errors
    /// [`PartyError::Config`].
    pub fn change(&self, new: String) -> Result<Change, PartyError> {
        let load = config::load_instead(&self.sources, &self.path, &new);
        let Some(loaded) = load.loaded else {
            return Err(PartyError::Config(load.problems));
        };
        let known = |new: &Problem| {
            let mut old = self.warnings.iter();
            old.any(|old| (&old.key, &old.text) == (&new.key, &new.text))
        };
        let mut warnings = load.problems;
        warnings.retain(|warning| !known(warning));
        Ok(Change {
            warnings,
            path: self.path.clone(),
            real: self.real.clone(),
            old: self.text.clone(),
            new,
            loaded,
        })
    }
}

/// Whether an entry is for this name alone.
pub(super) fn is_of(route: &Route, name: &str) -> bool {
    let pattern = route.pattern().as_str().trim_end_matches('.');
    pattern.eq_ignore_ascii_case(name)
}

impl Change {
    /// The first entry of the new text that takes this name, and its line.
    pub(super) fn takes(&self, name: &str) -> Option<(u32, &Route)> {
        let mut entries = self.loaded.routes.entries();
        let first = entries.find(|(_, route)| route.pattern().matches(name));
        first.map(|(line, route)| (line, &**route))
    }

    /// What `diff -u` would show.
    pub fn diff(&self) -> String {
        let path = self.path.to_string_lossy();
        let from = if self.old.is_some() {
            &*path
        } else {
            "/dev/null"
        };
        let old = self.old.as_deref().unwrap_or_default();
        diff::unified(from, &path, old, &self.new)
    }

    /// Writes the new text beside its place: a folder that cannot be written is known before anything
    /// else is done.
    ///
    /// # Errors
    /// [`PartyError::Io`].
    pub fn prepare(self) -> Result<Prepared, PartyError> {
        let looks = match &self.old {
            None => Looks::new(0o644),
            Some(_) => Looks::of(&self.real).map_err(PartyError::io("look at it", &self.path))?,
        };
        let written = Beside::write(&self.real, self.new.as_bytes(), looks);
        let beside = written.map_err(PartyError::io("write a new file beside it", &self.path))?;
        Ok(Prepared {
            change: self,
            beside,
        })
    }
}

impl Prepared {
    /// Keeps the old file as `.bak` and puts the new one in its place. Gives where the old one is.
    ///
    /// # Errors
    /// [`PartyError::Refused`] where somebody changed the file meanwhile; [`PartyError::Io`].
    pub fn commit(self) -> Result<Option<PathBuf>, PartyError> {
        let Change {
            path, real, old, ..
        } = self.change;
        let now = match fs::read(&real) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(PartyError::io("read it", &path)(error)),
        };
        if now.as_deref() != old.as_ref().map(String::as_bytes) {
            return Err(PartyError::Refused(format!(
                "{}: somebody else changed it meanwhile, and nothing is lost: run the command again",
                path.display()
            )));
        }
        let mut kept = None;
        if let Some(old) = old {
            let backup = replace::backup(&real);
            let looks = Looks::of(&real).map_err(PartyError::io("look at it", &path))?;
            replace::put(&backup, old.as_bytes(), looks)
                .map_err(PartyError::io("write the backup", &backup))?;
            kept = Some(backup);
        }
        let done = self.beside.commit();
        done.map_err(PartyError::io("put the new file in its place", &path))?;
        Ok(kept)
    }
}

fn is_free(path: &Path) -> bool {
    let absent = fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    absent && folder_of(path).is_dir()
}

fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}
