//! The file of `access_log`: appended to, found again after logrotate has renamed it, and missed
//! without harm while its disk is full.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// How often it is looked whether the name still leads to the open file, while lines come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The name is to be looked up at the next line.
static REOPEN: AtomicBool = AtomicBool::new(false);

/// From now on SIGUSR1, with which logrotate's files for nginx and others end, has the file opened
/// anew at once; without it that takes a second. It does not end the process, whatever is logged
/// where.
///
/// # Errors
/// When the handler cannot be installed. Within a runtime.
pub fn reopen_at_sigusr1() -> io::Result<()> {
    let mut asked = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            REOPEN.store(true, Relaxed);
        }
    });
    Ok(())
}

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    looked: Instant,
    /// A part of a line stands at the end.
    torn: bool,
    /// Lines that could not be written, since that was told.
    missed: Option<u64>,
}

impl LogFile {
    /// Creates it, 0640, if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile {
            path: path.to_owned(),
            file: append(path)?,
            looked: Instant::now(),
            torn: is_torn(path),
            missed: None,
        })
    }

    /// The file that the name leads to now.
    fn follow(&mut self) -> io::Result<()> {
        let asked = REOPEN.swap(false, Relaxed);
        if !asked && self.missed.is_none() && self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        let open = self.file.metadata()?;
        let there = match fs::metadata(&self.path) {
            Ok(there) => Some((there.dev(), there.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there != Some((open.dev(), open.ino())) {
            self.file = append(&self.path)?;
            self.torn = is_torn(&self.path);
        }
        Ok(())
    }

    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        // What has been renamed takes lines as well as what is not there yet.
        let followed = self.follow();
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let done = lines.len() - rest.len();
                    self.torn = done > 0 && lines[done - 1] != b'\n';
                    return Err(error);
                }
            }
        }
        followed
    }
}

impl Write for LogFile {
    /// Takes all lines, or says in the log, once, that it cannot.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let put = self.put(lines);
        let path = self.path.display();
        match put {
            Ok(()) => {
                if let Some(missed) = self.missed.take() {
                    info!("access_log: {path} is written again; {missed} lines are missing in it");
                }
                Ok(lines.len())
            }
            Err(error) => {
                if self.missed.is_none() {
                    error!(
                        "access_log: {path}: {error}; its lines are missed until it can be \
                         written, nothing else is"
                    );
                }
                let many = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                *self.missed.get_or_insert(0) += many;
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        // fifo(7): else it waits until somebody reads, for ever and without a word.
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(nobody) if nobody == Errno::NXIO.raw_os_error() && is_fifo(path) => {
                io::Error::other("it is a named pipe that nobody reads")
            }
            _ => error,
        })?;
    // From now on a reader that is slow may be waited for: a thread of its own writes.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo())
}

/// Whether a part of a line stands at the end, of a hub whose disk was full or that was killed. A file
/// that may not be read is taken as whole.
fn is_torn(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        if !fs::metadata(path)?.is_file() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(last[0])
    };
    last().is_ok_and(|last| last != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_stays_alone() {
        let dir = std::env::temp_dir().join(format!("snihub-torn-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("access.log");
        for (before, wanted) in [
            ("", "new\n"),
            ("whole\n", "whole\nnew\n"),
            ("whole\nto", "whole\nto\nnew\n"),
        ] {
            fs::write(&path, before).unwrap();
            let mut log = LogFile::open(&path).unwrap();
            log.write_all(b"new\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), wanted);
        }
        // One that has come in its place, as well.
        let mut log = LogFile::open(&path).unwrap();
        let other = dir.join("other");
        fs::write(&other, "to").unwrap();
        fs::rename(&other, &path).unwrap();
        log.looked -= LOOK_EVERY;
        log.write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "to\nnew\n");
        fs::remove_dir_all(dir).unwrap();
    }
}
