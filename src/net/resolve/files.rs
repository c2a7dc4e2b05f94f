//! The two system files: read, and noticed when they change.

use super::Generation;
use super::dns::Dns;
use super::hosts::Hosts;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the resolver reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverFiles {
    /// hosts(5).
    pub hosts: PathBuf,
    /// resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// The port of every name server: 53 (resolv.conf cannot say another).
    pub dns_port: u16,
}

impl Default for ResolverFiles {
    fn default() -> Self {
        ResolverFiles {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            dns_port: 53,
        }
    }
}

/// A file longer than this is not read: a hosts file of a million lines is a mistake.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What a look at the files found: something for the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// The hosts file has other content, which is in use now.
    pub hosts: bool,
    /// resolv.conf has other content, which is in use now.
    pub resolv_conf: bool,
    /// What cannot be used, and why; what was read before stays in use.
    pub problems: Vec<String>,
}

/// Both files as last seen.
pub(super) struct Watched {
    files: ResolverFiles,
    hosts: Seen,
    resolv_conf: Seen,
}

impl Watched {
    /// The first look, what it found, and what is wrong with it.
    pub(super) fn open(files: ResolverFiles) -> (Watched, Generation, Vec<String>) {
        let nothing = Generation {
            hosts: Arc::default(),
            dns: Err(Arc::from("resolv.conf was not read")),
        };
        let mut watched = Watched {
            files,
            hosts: Seen::default(),
            resolv_conf: Seen::default(),
        };
        let (generation, refreshed) = watched.take_over(&nothing);
        (watched, generation, refreshed.problems)
    }

    pub(super) fn files(&self) -> &ResolverFiles {
        &self.files
    }

    /// `None`: nothing changed. Else what is new; no generation if nothing usable is.
    pub(super) fn refresh(&mut self, now: &Generation) -> Option<(Option<Generation>, Refreshed)> {
        let (generation, refreshed) = self.take_over(now);
        if refreshed == Refreshed::default() {
            return None;
        }
        let usable = refreshed.hosts || refreshed.resolv_conf;
        Some((usable.then_some(generation), refreshed))
    }

    fn take_over(&mut self, now: &Generation) -> (Generation, Refreshed) {
        let mut refreshed = Refreshed::default();
        let mut next = now.clone();
        match self.hosts.look(&self.files.hosts) {
            Look::Same => {}
            // An absent hosts file has no entries: what was taken away must be gone.
            Look::Changed(Err(e)) if e.kind() == io::ErrorKind::NotFound => {
                next.hosts = Arc::default();
                refreshed.hosts = true;
            }
            Look::Changed(Err(e)) => refreshed.problems.push(problem(&self.files.hosts, &e)),
            Look::Changed(Ok(bytes)) => {
                next.hosts = Arc::new(Hosts::parse(&bytes));
                refreshed.hosts = true;
            }
        }
        if let Look::Changed(read) = self.resolv_conf.look(&self.files.resolv_conf) {
            let path = &self.files.resolv_conf;
            let opened = read.map_err(|e| problem(path, &e)).and_then(|bytes| {
                Dns::open(&bytes, self.files.dns_port).map_err(|e| problem(path, &e))
            });
            match opened {
                Ok(dns) => {
                    next.dns = Ok(Arc::new(dns));
                    refreshed.resolv_conf = true;
                }
                Err(problem) => {
                    // Nobody removes the name servers on purpose: whoever rewrites the file step
                    // by step is not done. The last ones stay.
                    if now.dns.is_err() {
                        next.dns = Err(problem.as_str().into());
                        refreshed.resolv_conf = true;
                    }
                    refreshed.problems.push(problem);
                }
            }
        }
        (next, refreshed)
    }
}

fn problem(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// One file: what tells that it changed without reading it, and a hash of what was read.
#[derive(Debug, Default)]
struct Seen {
    looked: bool,
    /// `None`: look at the content whatever the stamp; `Some(None)`: the file is not there.
    stamp: Option<Option<Stamp>>,
    hash: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

enum Look {
    Same,
    Changed(io::Result<Vec<u8>>),
}

impl Seen {
    fn look(&mut self, path: &Path) -> Look {
        let stamp = std::fs::metadata(path).ok().map(|meta| Stamp {
            place: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        });
        if self.stamp == Some(stamp) {
            return Look::Same;
        }
        let read = read(path);
        let hash = read.as_ref().ok().map(|bytes| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            hasher.finish()
        });
        let same = self.looked && self.hash == hash && hash.is_some();
        self.looked = true;
        self.hash = hash;
        // The kernel's clock for times ticks every few milliseconds: a second write in the tick of
        // the one just read would leave the stamp as it is. A young stamp is looked behind again.
        self.stamp = Some(stamp).filter(|stamp| stamp.is_none_or(|stamp| !stamp.is_young()));
        if same {
            Look::Same
        } else {
            Look::Changed(read)
        }
    }
}

impl Stamp {
    fn is_young(&self) -> bool {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
        now.saturating_sub(self.changed.0) < 2
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    // A pipe in its place would block for ever.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("is longer than 16 MiB"));
    }
    Ok(bytes)
}
