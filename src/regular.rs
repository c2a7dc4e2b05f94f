//! Files that an operator names are regular ones, of a bounded size: a FIFO would be waited for, and a
//! device never ends.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// `O_NONBLOCK` of Linux's asm-generic/fcntl.h (x86, Arm, RISC-V, POWER, s390): opening a FIFO for
/// reading returns at once instead of waiting for a writer (open(2)).
const O_NONBLOCK: i32 = 0o4000;

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

/// Reads a file that an operator names: a regular one, of at most `bound` bytes. Never blocks on a FIFO
/// or device.
///
/// # Errors
/// [`ReadError`].
pub fn read_file(path: &Path, bound: u64) -> Result<Vec<u8>, ReadError> {
    read_with_metadata(path, bound).map(|(_, bytes)| bytes)
}

/// As [`read_file`], with what the file was when it was read.
///
/// # Errors
/// [`ReadError`].
pub fn read_with_metadata(path: &Path, bound: u64) -> Result<(Metadata, Vec<u8>), ReadError> {
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
    Ok((meta, bytes))
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
