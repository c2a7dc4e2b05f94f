//! Programs of others, run to their end within a bound.

use super::hub::PATIENCE;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where a program lies, if it is to be had.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A copy of a program. By `cp`: what this process writes itself a child that another test starts
/// meanwhile holds open for a moment, and it could not be executed (ETXTBSY).
pub(crate) fn copy(from: impl AsRef<Path>, to: &Path) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to).status();
    assert!(copied.unwrap().success(), "{}", to.display());
}

/// The Python that `.ci/run` gave grpcio to, else the system's.
pub(crate) fn python() -> Option<PathBuf> {
    let ours = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python/bin/python3");
    if ours.is_file() {
        Some(ours)
    } else {
        which("python3")
    }
}

/// Feeds `input` and, unless `then` says to wait for so many bytes of output first, closes stdin;
/// collects what it prints; kills it after [`PATIENCE`].
pub(crate) fn run(command: &mut Command, input: &[u8], then: Then) -> Output {
    let what = format!("{command:?}");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
    let stdin = child.stdin.take().unwrap();
    let stderr = collect(child.stderr.take().unwrap());
    let mut stdout = child.stdout.take().unwrap();
    let feeder = feed(stdin, input.to_vec());
    let reader = thread::spawn(move || {
        let mut printed = Vec::new();
        let Then::CloseAfter(wanted) = then else {
            drop(feeder.join());
            drop(stdout.read_to_end(&mut printed));
            return printed;
        };
        drop(
            stdout
                .by_ref()
                .take(wanted as u64)
                .read_to_end(&mut printed),
        );
        drop(feeder.join());
        drop(stdout.read_to_end(&mut printed));
        printed
    });
    let status = wait(&mut child, &what);
    Output {
        status,
        stdout: reader.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

/// When the program's stdin is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// As soon as it has taken the input.
    Close,
    /// When it has printed so many bytes.
    CloseAfter(usize),
}

/// Writes in a thread of its own, since the program may print before it has read all; the thread's
/// result holds stdin open.
fn feed(mut stdin: ChildStdin, input: Vec<u8>) -> JoinHandle<ChildStdin> {
    thread::spawn(move || {
        // A program that ended early says why itself.
        drop(stdin.write_all(&input));
        stdin
    })
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        bytes
    })
}

fn wait(child: &mut Child, what: &str) -> ExitStatus {
    // A Java start on a busy machine takes seconds.
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            drop(child.kill());
            drop(child.wait());
            panic!("{what}: has not ended in {:?}", 2 * PATIENCE);
        }
        thread::sleep(Duration::from_millis(10));
    }
}
