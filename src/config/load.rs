//! All files of a configuration at once: what they come to, and everything that is wrong in them.

use super::files::{FileSet, MAX_HUB_FILE, MAX_ROUTES_FILE};
use super::fixed::Written;
use super::hub_yaml::{self, HubYaml};
use super::listen_keys::check_overlap;
use super::problem::{Collected, Problem, Reporter, Severity};
use super::settings::{ListenSpec, Settings};
use super::sni_yaml::{self, SniYaml};
use super::text::{self, Decoded};
use super::{admin_keys, ats};
use crate::regular::ReadError;
use crate::route::RouteTable;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the files are if nobody says so.
pub const HOME: &str = "/etc/snihub";

/// The names of a routes file in a directory: ATS's, and that of FATE's guide.
pub(super) const NAMES: [&str; 2] = ["sni.yaml", "sni.config"];

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`; without it `hub.yaml` in [`HOME`] if there is one, else the defaults.
    pub config: Option<PathBuf>,
    /// `--routes`, a file or a directory; without it `routes` of hub.yaml, else [`HOME`].
    pub routes: Option<PathBuf>,
    /// `--ats`: folders of ATS's configuration, in the place of `routes` and of some keys of hub.yaml,
    /// which is read only where `config` names it.
    pub ats: Vec<PathBuf>,
    /// `--listen`; replaces the list of hub.yaml.
    pub listen: Vec<String>,
    /// `--admin`; replaces `admin` of hub.yaml.
    pub admin: Option<String>,
}

impl Sources {
    /// The command that says of these files what a load of them says.
    pub fn check_command(&self) -> String {
        let mut command = "snihub check".to_owned();
        let config = self.config.iter().map(|path| ("--config", path));
        let routes = self.routes.iter().map(|path| ("--routes", path));
        let ats = self.ats.iter().map(|path| ("--ats", path));
        for (flag, path) in config.chain(routes).chain(ats) {
            command.push_str(&format!(" {flag} {}", path.display()));
        }
        command
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Load {
    /// `None`: at least one error.
    pub loaded: Option<Loaded>,
    /// Every file that took part, also when nothing was loaded: its change is worth another load.
    pub files: FileSet,
    /// Errors and warnings of all files, by file and line; at most [`super::MAX_SHOWN`] of each a file.
    pub problems: Vec<Problem>,
    /// How many errors there are, shown or not.
    pub errors: usize,
    /// How many warnings there are, shown or not.
    pub warnings: usize,
    /// The routes file that was taken, and how many entries it has, right or wrong.
    pub routes: Option<(PathBuf, usize)>,
}

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    /// Of hub.yaml and the command line.
    pub settings: Settings,
    /// Of sni.yaml; may be empty, which is a warning.
    pub routes: RouteTable,
    /// Which file the routes are from.
    pub routes_file: PathBuf,
    /// Where the settings are written.
    pub written: Written,
}

/// Reads hub.yaml and the routes. Mistakes of both are reported even where the first is wrong.
pub fn load(sources: &Sources) -> Load {
    load_from(sources, Path::new(HOME))
}

/// The admin door's socket as `config` names it (hub.yaml in [`HOME`] where that is `None`), for
/// who wants to talk to a hub that runs, perhaps about the very mistakes in that file: they are not
/// told. `None`: it is off.
///
/// # Errors
/// `config` cannot be read: which hub is meant is not known then.
pub fn admin_socket(config: Option<&Path>) -> Result<Option<PathBuf>, ReadError> {
    if let Some(config) = config {
        FileSet::new().read(config, MAX_HUB_FILE)?;
    }
    let sources = Sources {
        config: config.map(Path::to_owned),
        ..Sources::default()
    };
    let hub = Loading::default().hub(&sources, Path::new(HOME));
    Ok(hub.settings.admin)
}

/// [`load`] with another directory in the place of [`HOME`].
pub fn load_from(sources: &Sources, home: &Path) -> Load {
    Loading::default().run(sources, home)
}

/// [`load`] with `text` in the place of what the file at `path` holds: what a change would come to.
pub fn load_instead(sources: &Sources, path: &Path, text: &str) -> Load {
    let files = FileSet::instead(path, text.as_bytes());
    let loading = Loading {
        files,
        ..Loading::default()
    };
    loading.run(sources, Path::new(HOME))
}

/// Where the routes file is, or would be looked for first if there is none; [`load`] says which was
/// taken where there is a choice. `None`: the hub.yaml that would say it cannot be read.
pub fn routes_place(sources: &Sources) -> Option<PathBuf> {
    let hub = Loading::default().hub(sources, Path::new(HOME));
    let path = match sources.routes.as_ref().or(hub.routes.as_ref()) {
        None if hub.unread && sources.config.is_some() => return None,
        written => written.map_or(Path::new(HOME), PathBuf::as_path),
    };
    Some(match path.is_dir() {
        true => path.join(NAMES[0]),
        false => path.to_owned(),
    })
}

/// Why a reload from `old` to `new` needs `reload.allow_shrink`: nothing would be left, or more
/// than 4 routes that are also more than half are gone. A table that was empty may stay so.
pub fn shrink(old: &RouteTable, new: &RouteTable) -> Option<String> {
    shrink_since(&old.ids().cloned().collect::<Vec<_>>(), new)
}

/// As [`shrink`], from a table of which there are the routes' ids.
pub fn shrink_since(old: &[Arc<str>], new: &RouteTable) -> Option<String> {
    let all = match old.len() {
        0 => return None,
        1 => "the only route".to_owned(),
        all => format!("all {all} routes"),
    };
    if new.is_empty() {
        return Some(format!("{all} would be gone"));
    }
    let kept: HashSet<&Arc<str>> = new.ids().collect();
    let gone = old.iter().filter(|id| !kept.contains(id)).count();
    (gone > 4 && gone * 2 > old.len())
        .then(|| format!("{gone} of {} routes would be gone", old.len()))
}

/// The files so far and what is wrong in them.
#[derive(Default)]
pub(super) struct Loading {
    pub(super) files: FileSet,
    pub(super) collected: Vec<Collected>,
}

/// A routes file that was found.
pub(super) struct Taken {
    pub(super) path: PathBuf,
    pub(super) table: Option<RouteTable>,
    pub(super) entries: usize,
}

impl Loading {
    fn run(mut self, sources: &Sources, home: &Path) -> Load {
        let mut hub = self.hub(sources, home);
        let config = sources.config.clone();
        let config = config.unwrap_or_else(|| home.join("hub.yaml"));
        hub.written.file = config.to_string_lossy().into();
        hub.written.ats = !sources.ats.is_empty();
        let listens = !sources.listen.is_empty();
        let named = match &sources.ats[..] {
            [] => None,
            folders => self.ats_settings(folders, listens, &mut hub.settings),
        };
        self.listen(&sources.listen, &mut hub.settings);
        self.admin(sources.admin.as_deref(), &mut hub.settings);
        if !sources.ats.is_empty() {
            let taken = self.ats_routes(&sources.ats, named.as_deref(), &hub.settings);
            return self.finish(hub, taken);
        }
        let written = sources.routes.as_deref().or(hub.routes.as_deref());
        let taken = match (written, &sources.config) {
            // The file that would say where they are has not been read: nothing is said of others.
            (None, Some(_)) if hub.unread => None,
            (written, _) => self.routes(written.unwrap_or(home), &hub.settings),
        };
        self.finish(hub, taken)
    }

    fn hub(&mut self, sources: &Sources, home: &Path) -> HubYaml {
        if !sources.ats.is_empty() && sources.config.is_none() {
            return HubYaml::default();
        }
        let default = home.join("hub.yaml");
        let path = sources.config.as_deref().unwrap_or(&default);
        let name = path.to_string_lossy();
        let bytes = match self.files.read(path, MAX_HUB_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() && sources.config.is_none() => {
                return HubYaml::default();
            }
            Err(error) => {
                self.collected.push(text::unreadable(&name, &error));
                return HubYaml::unread();
            }
        };
        let source = match text::decode(&name, &bytes) {
            Decoded::Text(source) => source,
            Decoded::Wrong(collected) => {
                self.collected.push(collected);
                return HubYaml::unread();
            }
        };
        let mut reporter = Reporter::new(&name, source);
        let taken: &[_] = match sources.ats.is_empty() {
            true => &[],
            false => &ats::IN_PLACE,
        };
        let mut hub = hub_yaml::read(source, taken, &mut reporter);
        self.collected.push(reporter.finish());
        let directory = path.parent().unwrap_or(Path::new(""));
        hub.routes = hub.routes.map(|routes| directory.join(routes));
        let settings = &mut hub.settings;
        let log = &mut settings.access_log.to;
        for file in [&mut settings.admin, &mut settings.admin_token_file, log] {
            *file = file.take().map(|file| directory.join(file));
        }
        hub
    }

    fn listen(&mut self, flags: &[String], settings: &mut Settings) {
        let mut specs: Vec<ListenSpec> = Vec::new();
        for flag in flags {
            let mut complain = |text: String| self.error("--listen", &text);
            match ListenSpec::parse(flag) {
                Ok(spec) => {
                    check_overlap(&specs, &spec, complain);
                    specs.push(spec);
                }
                Err(why) => complain(format!("{} {why}", super::problem::seen(flag))),
            }
        }
        if !flags.is_empty() {
            settings.listen = specs;
        }
    }

    fn admin(&mut self, flag: Option<&str>, settings: &mut Settings) {
        match flag.map(admin_keys::socket_path) {
            None => {}
            Some(Ok(path)) => settings.admin = path,
            Some(Err(why)) => self.error("--admin", &why),
        }
    }

    pub(super) fn routes(&mut self, path: &Path, settings: &Settings) -> Option<Taken> {
        let (path, bytes) = if path.is_dir() {
            self.in_directory(path)?
        } else {
            let outcome = self.files.read(path, MAX_ROUTES_FILE);
            if outcome.as_ref().is_err_and(ReadError::is_absent) {
                // It may come back as a directory: what would be read then is looked for, too.
                for name in NAMES {
                    let _ = self.files.read(&path.join(name), MAX_ROUTES_FILE);
                }
            }
            (path.to_owned(), self.read_or_report(path, outcome)?)
        };
        let name = path.to_string_lossy();
        let source = match text::decode(&name, &bytes) {
            Decoded::Text(source) => source,
            Decoded::Wrong(collected) => {
                self.collected.push(collected);
                return Some(Taken {
                    path: path.clone(),
                    table: None,
                    entries: 0,
                });
            }
        };
        let mut reporter = Reporter::new(&name, source);
        let SniYaml {
            table,
            entries,
            lists,
        } = sni_yaml::read(&path, source, settings, &mut self.files, &mut reporter);
        self.collected.push(reporter.finish());
        self.collected.extend(lists);
        Some(Taken {
            path: path.clone(),
            table,
            entries,
        })
    }

    /// FATE's guide adds sni.config beside a stock sni.yaml of comments only: the one that is not
    /// without entries counts, also where it is wrong; two of them are one too many.
    fn in_directory(&mut self, directory: &Path) -> Option<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for name in NAMES {
            let path = directory.join(name);
            match self.files.read(&path, MAX_ROUTES_FILE) {
                Err(error) if error.is_absent() => {}
                outcome => {
                    let bytes = self.read_or_report(&path, outcome)?;
                    found.push((path, bytes));
                }
            }
        }
        let shown = directory.to_string_lossy();
        let full = |bytes: &[u8]| match text::decode("", bytes) {
            Decoded::Text(source) => !sni_yaml::is_without_entries(source),
            Decoded::Wrong(_) => true,
        };
        match found.len() {
            0 => {
                let text = format!("no {} nor {} in this directory", NAMES[0], NAMES[1]);
                self.error(&shown, &text);
                None
            }
            2 if full(&found[1].1) => {
                if full(&found[0].1) {
                    let text = format!(
                        "both {} and {} have entries, or should (an empty or wrong file \
                         counts); remove one, or name one with --routes",
                        NAMES[0], NAMES[1]
                    );
                    self.error(&shown, &text);
                    return None;
                }
                found.pop()
            }
            _ => Some(found.swap_remove(0)),
        }
    }

    pub(super) fn read_or_report(
        &mut self,
        path: &Path,
        outcome: Result<Vec<u8>, ReadError>,
    ) -> Option<Vec<u8>> {
        let shown = path.to_string_lossy();
        match outcome {
            Ok(bytes) => return Some(bytes),
            Err(error) if error.is_absent() => {
                let text = format!(
                    "there is no such file; --routes names the routes, else sni.yaml in {HOME} is taken"
                );
                self.error(&shown, &text);
            }
            Err(error) => self.collected.push(text::unreadable(&shown, &error)),
        }
        None
    }

    fn error(&mut self, file: &str, text: &str) {
        let problem = Problem::of_file(Severity::Error, file, "", text);
        self.collected.push(text::one(problem));
    }

    fn finish(self, hub: HubYaml, taken: Option<Taken>) -> Load {
        let errors = self.collected.iter().map(|each| each.errors).sum();
        let warnings = self.collected.iter().map(|each| each.warnings).sum();
        let mut problems: Vec<Problem> = self
            .collected
            .into_iter()
            .flat_map(|each| each.problems)
            .collect();
        problems.sort_by_key(Problem::sort_key);
        let routes = taken
            .as_ref()
            .map(|taken| (taken.path.clone(), taken.entries));
        let loaded = taken.filter(|_| errors == 0).and_then(|taken| {
            Some(Loaded {
                settings: hub.settings,
                routes: taken.table?,
                routes_file: taken.path,
                written: hub.written,
            })
        });
        Load {
            loaded,
            files: self.files,
            problems,
            errors,
            warnings,
            routes,
        }
    }
}
