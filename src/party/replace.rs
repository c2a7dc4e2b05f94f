//! A file that takes another's place in one step, with its mode and owner: written beside it, synced,
//! renamed over it, and the folder synced (rename(2), fsync(2)).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// What a file has besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks {
    pub(super) mode: u32,
    /// User and group; `None`: whoever writes it.
    owner: Option<(u32, u32)>,
}

impl Looks {
    /// Of a file that is new.
    pub(crate) fn new(mode: u32) -> Looks {
        Looks { mode, owner: None }
    }

    /// As those of a file that is there.
    pub(crate) fn of(path: &Path) -> io::Result<Looks> {
        let meta = fs::metadata(path)?;
        Ok(Looks {
            mode: meta.mode() & 0o7777,
            owner: Some((meta.uid(), meta.gid())),
        })
    }
}

/// Written and synced, and not in its place yet. Dropped: gone.
#[derive(Debug)]
pub(crate) struct Beside {
    path: PathBuf,
    place: PathBuf,
}

impl Beside {
    /// Writes what is to be at `place`; what a crash left there is overwritten.
    pub(crate) fn write(place: &Path, bytes: &[u8], looks: Looks) -> io::Result<Beside> {
        let path = sibling(place, ".", ".snihub-new");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Never readable by more than its mode says, not even for a moment.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let beside = Beside {
            path,
            place: place.to_owned(),
        };
        let meta = file.metadata()?;
        if let Some((user, group)) = looks.owner
            && (user, group) != (meta.uid(), meta.gid())
        {
            fchown(&file, Some(user), Some(group)).map_err(|error| {
                let text = format!(
                    "it has to be of user {user} and group {group}, as the old one is, and may not be \
                     given to them ({error}): run this as root, or have the old one belong to you and \
                     a group of yours"
                );
                io::Error::new(error.kind(), text)
            })?;
        }
        file.set_permissions(Permissions::from_mode(looks.mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(beside)
    }

    /// Renames it into its place.
    pub(crate) fn commit(self) -> io::Result<()> {
        fs::rename(&self.path, &self.place)?;
        let parent = self
            .place
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After a rename nothing is there.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file that replaces whatever was there.
pub(crate) fn put(place: &Path, bytes: &[u8], looks: Looks) -> io::Result<()> {
    Beside::write(place, bytes, looks)?.commit()
}

/// Where the file is kept as it was before a change.
pub(crate) fn backup(place: &Path) -> PathBuf {
    sibling(place, "", ".bak")
}

fn sibling(place: &Path, front: &str, back: &str) -> PathBuf {
    let mut name = OsString::from(front);
    name.push(place.file_name().unwrap_or_default());
    name.push(back);
    place.with_file_name(name)
}
