//! The file of `access_log`: appended to, found again after logrotate has renamed it, and missed
//! without harm while its disk is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
            torn: false,
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
            self.torn = false;
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
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
