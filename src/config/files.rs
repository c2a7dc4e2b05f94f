//! The files that a configuration was made of: read once, bounded, and remembered so that a
//! reload can ask cheaply whether any of them is another one by now.

use foldhash::quality::FixedState;
use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Size bound of a routes file and of each `"@file"`: a million routes.
pub const MAX_ROUTES_FILE: u64 = 64 << 20;

/// Size bound of hub.yaml.
pub const MAX_HUB_FILE: u64 = 1 << 20;

/// `O_NONBLOCK` of Linux's asm-generic/fcntl.h (x86, Arm, RISC-V, POWER, s390): opening a FIFO for
/// reading returns at once instead of waiting for a writer (open(2)).
const O_NONBLOCK: i32 = 0o4000;

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

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// `open`, `stat` or `read` failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A directory, FIFO, device or socket.
    #[error("is {0}, not a regular file")]
    NotRegular(&'static str),
    /// Above its bound in bytes.
    #[error("has {size} bytes; at most {bound} are read")]
    TooLarge {
        /// Bytes seen.
        size: u64,
        /// Bytes allowed.
        bound: u64,
    },
}

impl ReadError {
    /// There is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, ReadError::Io(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }

    /// Permission denied (exit code 77).
    pub fn is_denied(&self) -> bool {
        matches!(self, ReadError::Io(error) if error.kind() == ErrorKind::PermissionDenied)
    }
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
        let outcome = read_regular(path, bound);
        let (stat, hash) = match &outcome {
            Ok((stat, bytes)) => (Some(*stat), hash_of(Some(bytes))),
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
        self.combine(|file| {
            hash_of(
                read_regular(&file.path, file.bound)
                    .ok()
                    .map(|(_, bytes)| bytes)
                    .as_deref(),
            )
        })
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
        match read_regular(&self.path, self.bound) {
            Ok((stat, bytes)) if hash_of(Some(&bytes)) == self.hash => {
                self.stat = Some(stat);
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

/// Reads a file that an operator names: a regular one, of at most `bound` bytes. Never blocks on a FIFO
/// or device.
///
/// # Errors
/// [`ReadError`].
pub fn read_file(path: &Path, bound: u64) -> Result<Vec<u8>, ReadError> {
    read_regular(path, bound).map(|(_, bytes)| bytes)
}

fn read_regular(path: &Path, bound: u64) -> Result<(Stat, Vec<u8>), ReadError> {
    // Before opening: to open a device can have effects.
    regular(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    regular(&meta)?;
    let size = meta.size();
    if size > bound {
        return Err(ReadError::TooLarge { size, bound });
    }
    let bytes = read_bounded(file, bound)?;
    Ok((Stat::of(&meta), bytes))
}

/// A file can grow while it is read.
fn read_bounded(file: File, bound: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    file.take(bound + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > bound {
        Err(ReadError::TooLarge { size, bound })
    } else {
        Ok(bytes)
    }
}

fn regular(meta: &Metadata) -> Result<(), ReadError> {
    // The file type bits of st_mode (inode(7)).
    match meta.mode() & 0o170_000 {
        0o100_000 => Ok(()),
        0o040_000 => Err(ReadError::NotRegular("a directory")),
        0o010_000 => Err(ReadError::NotRegular("a FIFO")),
        0o140_000 => Err(ReadError::NotRegular("a socket")),
        _ => Err(ReadError::NotRegular("a device")),
    }
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
