//! What happens to the files: inotify's events, and who has not finished writing.

use crate::config;
use crate::net::Resolver;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::warn;

/// A file that was written this lately is left alone, unless its writer was seen to be done.
const WRITING: Duration = Duration::from_secs(1);
/// A writer that was seen and has not closed the file after this long has forgotten it.
const WRITER_GONE: Duration = Duration::from_secs(10);

/// Which files are whole, as far as their writers can be seen: a table cut in the middle of a line
/// may be a valid one.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// Written and not closed since, and when last.
    open: BTreeMap<PathBuf, Instant>,
    /// Closed after writing, or renamed into place.
    done: BTreeSet<PathBuf>,
    /// A link was put in place: a ConfigMap's `..data`, which moves whole files.
    all_done: bool,
}

impl Writers {
    pub(super) fn note(&mut self, seen: Seen, files: &config::FileSet) {
        for path in seen.paths {
            if files.paths().any(|file| file == path) {
                if seen.what == What::Written {
                    self.done.remove(&path);
                    self.open.insert(path, Instant::now());
                } else {
                    self.open.remove(&path);
                    self.done.insert(path);
                }
            } else if seen.what == What::Moved && path.is_symlink() {
                self.all_done = true;
            }
        }
    }

    /// A file whose writer may not be done: seen writing and not yet closing, or (where nothing was
    /// seen) written within the last second.
    pub(super) fn unfinished<'f>(&self, files: &'f config::FileSet) -> Option<&'f Path> {
        files.paths().find(|&path| match self.open.get(path) {
            Some(last) => last.elapsed() < WRITER_GONE,
            None => !self.all_done && !self.done.contains(path) && written_lately(path),
        })
    }

    /// Lets go of what was seen, but for those who still write.
    pub(super) fn forget(&mut self) {
        self.done.clear();
        self.all_done = false;
        self.open.retain(|_, last| last.elapsed() < WRITER_GONE);
    }
}

/// A time in the future is a clock's fault and no reason to wait.
fn written_lately(path: &Path) -> bool {
    let written = std::fs::metadata(path).and_then(|meta| meta.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < WRITING))
}

/// Something that happened to files.
#[derive(Debug)]
pub(super) struct Seen {
    what: What,
    paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Written,
    Closed,
    Moved,
}

/// The inotify watches. Where there are none (limit reached, no inotify), the poll remains.
pub(super) struct Watching {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// The same, for the watcher's thread.
    ours: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Watching {
    /// With what happens to the files from now on.
    pub(super) fn new() -> (Watching, mpsc::Receiver<Seen>) {
        let (tell, seen) = mpsc::channel(1024);
        let ours = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let of_ours = Arc::clone(&ours);
        let heard = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let what = match event.kind {
                // Another file of the folder, a log perhaps, may be written all the time.
                EventKind::Modify(ModifyKind::Data(_)) if !any_of(&event.paths, &of_ours) => return,
                EventKind::Modify(ModifyKind::Data(_)) => What::Written,
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => What::Closed,
                EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => {
                    What::Moved
                }
                // Reads, our own among them; what is gone, which the poll sees.
                _ => return,
            };
            // A full queue is no loss: the poll sees what changed.
            drop(tell.try_send(Seen {
                what,
                paths: event.paths,
            }));
        };
        let watcher = notify::recommended_watcher(heard)
            .inspect_err(|error| warn!(%error, "no file watcher: changes are seen by polling"))
            .ok();
        (
            Watching {
                watcher,
                watched: BTreeSet::new(),
                ours,
            },
            seen,
        )
    }

    /// Watches the files and their directories, and lets go of others. A file is watched anew
    /// each time: a rename has put another inode in its place.
    pub(super) fn follow(&mut self, files: &config::FileSet, resolver: &Resolver) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let system = resolver.files();
        let mut wanted = files.directories();
        wanted.extend(files.paths().map(Path::to_owned));
        for path in [system.hosts, system.resolv_conf] {
            wanted.extend(path.parent().map(Path::to_owned));
            wanted.insert(path);
        }
        for gone in self.watched.difference(&wanted) {
            drop(watcher.unwatch(gone));
        }
        for path in &wanted {
            if !self.watched.contains(path) || path.is_file() {
                // Not there yet, or no watches left: the poll sees it.
                drop(watcher.watch(path, RecursiveMode::NonRecursive));
            }
        }
        // Not while a watch is added: that waits for the thread which takes this lock.
        self.ours
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&wanted);
        self.watched = wanted;
    }
}

fn any_of(paths: &[PathBuf], ours: &Mutex<BTreeSet<PathBuf>>) -> bool {
    let ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
    paths.iter().any(|path| ours.contains(path))
}
