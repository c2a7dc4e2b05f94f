//! Files that are there whole or not at all, whatever ends the process in between: written beside
//! their place, synced, renamed into it, and the folder synced (rename(2), fsync(2)).

use super::super::output::OutFile;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Where `place` is written before it is there.
pub(super) fn beside(place: &Path) -> PathBuf {
    sibling(place, ".", ".snihub-new")
}

/// Where what was at `place` goes when something newer takes its place.
pub(super) fn before(place: &Path, by: &str) -> PathBuf {
    sibling(place, "", &format!(".before-{by}"))
}

fn sibling(place: &Path, front: &str, back: &str) -> PathBuf {
    let mut name = OsString::from(front);
    name.push(place.file_name().unwrap_or_default());
    name.push(back);
    place.with_file_name(name)
}

/// Writes a file that replaces whatever was there.
pub(super) fn put_file(place: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(place);
    remove(&new)?;
    let put = write(&new, bytes, mode, None).and_then(|()| fs::rename(&new, place));
    if put.is_err() {
        // It may hold a key.
        let _ = remove(&new);
    }
    put?;
    sync_parent(place)
}

/// Makes a folder and those above it that are not there, for their owner alone to write to, whatever
/// the umask is: who may write to one could put another file in the place of a key.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

/// Makes a folder of files. What was there is kept as `old`, if that is said; else nothing may be.
pub(super) fn put_folder(
    place: &Path,
    files: &[OutFile],
    owner: Option<u32>,
    old: Option<&Path>,
) -> io::Result<()> {
    let new = beside(place);
    remove(&new)?;
    DirBuilder::new().mode(0o700).create(&new)?;
    for file in files {
        write(&new.join(file.name), &file.bytes, file.mode, owner)?;
    }
    give(&new, owner)?;
    File::open(&new)?.sync_all()?;
    match old {
        Some(old) => exchange(&new, place, old)?,
        // Fails where a folder with files is, or a file.
        None => fs::rename(&new, place)?,
    }
    sync_parent(place)
}

/// The second half of an exchange that was cut short: what is beside is what was there before.
pub(super) fn finish_exchange(place: &Path, old: &Path) -> io::Result<()> {
    match fs::rename(beside(place), old) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a file or a folder; that it is not there is well.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn exchange(new: &Path, place: &Path, old: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => fs::rename(new, old),
        // A file system without it: for a moment nothing is there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::rename(place, old)?;
            fs::rename(new, place)
        }
        Err(error) => Err(error.into()),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32, owner: Option<u32>) -> io::Result<()> {
    // Never readable by more than `mode` says, not even for a moment.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    // The umask took bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    give(path, owner)?;
    file.sync_all()
}

/// Only root may give files away; others are told to (`Receipt::to_chown`).
fn give(path: &Path, owner: Option<u32>) -> io::Result<()> {
    match owner {
        Some(owner) if rustix::process::geteuid().is_root() => {
            chown(path, Some(owner), Some(owner))
        }
        _ => Ok(()),
    }
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
