//! The files that a configuration was made of: read once, bounded, and remembered so that a
//! reload can ask cheaply whether any of them is another one by now.

use crate::regular::{ReadError, read_file, read_with_metadata};
use foldhash::quality::FixedState;
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::hash::BuildHasher;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Size bound of a routes file and of each `"@file"`: a million routes.
pub const MAX_ROUTES_FILE: u64 = 64 << 20;

/// Size bound of hub.yaml.
pub const MAX_HUB_FILE: u64 = 1 << 20;

/// The kernel follows at most so many links in one path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Every file that took part in a load, also those that were looked for and not there.
#[derive(Debug, Default, Clone)]
pub struct FileSet {
    files: Vec<Watched>,
    /// A file, and what is read in its place.
    instead: Option<(PathBuf, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct Watched {
    path: PathBuf,
    bound: u64,
    stat: Option<Stat>,
    hash: u64,
}

/// What tells one version of a file from the next without reading it. `ctime` cannot be set back
/// by hand (inode(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileSet {
    /// An empty set.
    pub fn new() -> FileSet {
        FileSet::default()
    }

    /// An empty set that reads `bytes` in the place of the file at `path`.
    pub(super) fn instead(path: &Path, bytes: &[u8]) -> FileSet {
        FileSet {
            instead: Some((path.to_owned(), bytes.to_owned())),
            ..FileSet::default()
        }
    }

    /// Reads a regular file of at most `bound` bytes and remembers it, whatever the outcome: that
    /// it is absent, or unreadable, is a version too. Never blocks on a FIFO or device.
    pub fn read(&mut self, path: &Path, bound: u64) -> Result<Vec<u8>, ReadError> {
        if let Some((_, bytes)) = self.instead.as_ref().filter(|(of, _)| of == path) {
            return Ok(bytes.clone());
        }
        let outcome = read_with_metadata(path, bound);
        let (stat, hash) = match &outcome {
            Ok((meta, bytes)) => (Some(Stat::of(meta)), hash_of(Some(bytes))),
            Err(_) => (None, hash_of(None)),
        };
        self.files.retain(|file| file.path != path);
        self.files.push(Watched {
            path: path.to_owned(),
            bound,
            stat,
            hash,
        });
        outcome.map(|(_, bytes)| bytes)
    }

    /// The files, in the order in which they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Whether the content of any file differs from what was read. Costs one `stat` a file while
    /// nothing moves; a file whose inode, size or times differ is read and hashed, and if its
    /// content is the same, the new `stat` is remembered.
    pub fn changed(&mut self) -> bool {
        self.files.iter_mut().any(Watched::changed)
    }

    /// One number for all contents as they were read.
    pub fn loaded_hash(&self) -> u64 {
        self.combine(|file| file.hash)
    }

    /// The same number for the contents as they are now: reads every file.
    ///
    /// A half-written YAML file is often valid YAML. Use new contents only when two calls, some
    /// time apart, agree, and `loaded_hash` of the load made from them agrees too.
    pub fn hash_now(&self) -> u64 {
        self.combine(|file| hash_of(read_file(&file.path, file.bound).ok().as_deref()))
    }

    /// The directories in which a rename or a changed link can replace one of the files: those of
    /// the paths, of every link on the way (a ConfigMap's `..data`) and of what they lead to.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let mut directories = BTreeSet::new();
        for file in &self.files {
            follow(&file.path, &mut directories);
        }
        directories
    }

    fn combine(&self, hash: impl Fn(&Watched) -> u64) -> u64 {
        let each: Vec<u64> = self.files.iter().map(hash).collect();
        FixedState::with_seed(0).hash_one(each)
    }
}

impl Watched {
    fn changed(&mut self) -> bool {
        let now = std::fs::metadata(&self.path)
            .ok()
            .map(|meta| Stat::of(&meta));
        if now == self.stat && now.is_some() {
            return false;
        }
        match read_with_metadata(&self.path, self.bound) {
            Ok((meta, bytes)) if hash_of(Some(&bytes)) == self.hash => {
                self.stat = Some(Stat::of(&meta));
                false
            }
            Ok(_) => true,
            Err(_) => self.hash != hash_of(None),
        }
    }
}

impl Stat {
    fn of(meta: &Metadata) -> Stat {
        Stat {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// `None`, an unreadable file, has a hash of its own, unlike that of any content.
fn hash_of(content: Option<&[u8]>) -> u64 {
    FixedState::with_seed(0).hash_one(content)
}

/// Walks `path` link by link; notes the directory of each link and of the end.
fn follow(path: &Path, directories: &mut BTreeSet<PathBuf>) {
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    directories.extend(path.parent().map(Path::to_owned));
    for _ in 0..MAX_LINKS {
        let Some((link, target)) = first_link(&path) else {
            break;
        };
        let directory = link.parent().unwrap_or(Path::new("/")).to_owned();
        let rest = path.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
        let joined = directory.join(target);
        path = if rest.as_os_str().is_empty() {
            joined
        } else {
            joined.join(rest)
        };
        directories.insert(directory);
    }
    directories.extend(path.parent().map(Path::to_owned));
}

fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut prefix = PathBuf::new();
    for component in path.components() {
        prefix.push(component);
        if matches!(component, Component::Normal(_))
            && let Ok(target) = std::fs::read_link(&prefix)
        {
            return Some((prefix, target));
        }
    }
    None
}
