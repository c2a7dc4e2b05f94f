//! Starting a successor, by an intermediate: this very program, which starts it and ends at once. So
//! the successor's parent is systemd, or whoever else takes in what lost its parent, in the same
//! cgroup, sandbox and session, and with the same user; no shell has a part in it.

use super::wire::{self, Message};
use crate::net::PacketSocket;
use crate::telemetry;
use nix::sys::signal::{self, SigSet};
use rustix::io::ioctl_fionbio;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
};
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The command of the intermediate.
pub const COMMAND: &str = "start-successor";
/// The flag of a process that is started so.
pub(super) const SUCCESSOR: &str = "--successor";
/// The flag of one that finds the running hub itself.
pub(super) const TAKEOVER: &str = "--takeover";
/// The program that runs, whatever stands at its path by now (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Bytes of a successor's last words that are kept.
const KEPT: usize = 8 * 1024;
/// What is told where they were more.
const MORE: &str = "(its last words; it said more before, on the stderr of the hub)";
/// How long its last words are waited for once it is gone.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is looked whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long one that is to end may take to do it by itself.
const BY_ITSELF: Duration = Duration::from_secs(2);
/// What a service manager has told this process and no other (sd_listen_fds(3), systemd.exec(5)).
/// `WATCHDOG_PID` goes and `WATCHDOG_USEC` stays: the successor is the one to give a sign of life.
const NOT_ITS_OWN: [&str; 5] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "SYSTEMD_EXEC_PID",
];

/// A process that is no child of ours. Dropped, it is ended, unless it was spared.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Where the kernel has it (Linux 5.3): no other process can come to have its number. Under a type
    /// that lets us wait for it: tokio's AsyncFd, made for that, is to be had by `unsafe` alone.
    pidfd: Option<UnixStream>,
    spared: bool,
}

impl Process {
    /// In the current runtime.
    pub(super) fn new(pid: u32, pidfd: Option<OwnedFd>) -> Process {
        let watched = |pidfd: OwnedFd| {
            ioctl_fionbio(&pidfd, true).ok()?;
            UnixStream::from_std(pidfd.into()).ok()
        };
        Process {
            pid,
            pidfd: pidfd.and_then(watched),
            spared: false,
        }
    }

    /// Finds it by its number.
    pub(super) fn find(pid: u32) -> Process {
        Process::new(pid, pidfd(pid))
    }

    /// It goes on by itself.
    pub(super) fn spared(mut self) -> Process {
        self.spared = true;
        self
    }

    /// Comes back when it has ended, whether or not its parent has looked. Cancel safe.
    pub(super) async fn ended(&self) {
        // Readable as soon as it has (pidfd_open(2)).
        if let Some(pidfd) = &self.pidfd
            && pidfd.readable().await.is_ok()
        {
            return;
        }
        while Pid::from_raw(self.pid as i32).is_some_and(|pid| test_kill_process(pid).is_ok()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Has it end: by itself, so that it says why, or else at once.
    pub(super) async fn end(mut self) {
        self.spared = timeout(BY_ITSELF, self.ended()).await.is_ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.spared {
            return;
        }
        // It may be gone.
        match (&self.pidfd, Pid::from_raw(self.pid as i32)) {
            (Some(pidfd), _) => drop(pidfd_send_signal(pidfd, Signal::KILL)),
            (None, Some(pid)) => drop(kill_process(pid, Signal::KILL)),
            (None, None) => {}
        }
    }
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok()
}

/// Remembers where this program was started from: to be called as soon as it is, since a file that is
/// renamed takes /proc/self/exe along.
pub fn remember_binary() {
    own_binary();
}

/// The binary to start when none is named: where this one was started from, which may be another
/// file by now.
pub(super) fn own_binary() -> PathBuf {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    OWN.get_or_init(find_binary).clone()
}

/// Whether a hub has started this process.
pub(super) fn is_successor() -> bool {
    started_with(SUCCESSOR)
}

/// Whether a supervisor that knows nothing of upgrades starts the next hub when this very process has
/// ended: as the manual has it, by the flag with which it was started.
pub(super) fn is_supervised() -> bool {
    started_with(TAKEOVER)
}

fn started_with(flag: &str) -> bool {
    std::env::args_os().any(|argument| argument == flag)
}

/// As it was named, with the links on the way: they are how another version is put there.
fn find_binary() -> PathBuf {
    let named = std::env::args_os().next().map(PathBuf::from);
    let named = named.unwrap_or_default();
    if named.is_absolute() {
        return named;
    }
    let own = fs::metadata(OWN_PROGRAM).ok();
    let is_own = |path: &PathBuf| match (fs::metadata(path), &own) {
        (Ok(there), Some(own)) => (there.dev(), there.ino()) == (own.dev(), own.ino()),
        (Ok(there), None) => there.is_file(),
        (Err(_), _) => false,
    };
    // Whoever has started it may have named it as he liked.
    may_mean(&named).find(is_own).unwrap_or_else(resolved)
}

/// What a program's name may mean: a path below the current folder, or, without a slash, a file in one
/// of PATH's folders (execvp(3)).
fn may_mean(named: &Path) -> impl Iterator<Item = PathBuf> {
    let path = match named.parent() {
        Some(folder) if folder.as_os_str().is_empty() => std::env::var_os("PATH"),
        _ => Some(OsString::new()),
    };
    let folders: Vec<_> = std::env::split_paths(&path.unwrap_or_default()).collect();
    let in_it = move |folder: PathBuf| std::path::absolute(folder.join(named)).ok();
    folders.into_iter().filter_map(in_it)
}

/// The file itself. proc(5): one that was replaced has this at its end.
fn resolved() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|path| {
            let path = path.into_os_string().into_string().ok()?;
            Some(path.strip_suffix(" (deleted)").unwrap_or(&path).into())
        })
        .unwrap_or_else(|| "snihub".into())
}

/// What starts the successor. Dropped, it is ended, and nobody waits for that: it may hang where no
/// signal reaches it, in an exec from a file system that does not answer.
#[derive(Debug)]
pub(super) struct Intermediate(Option<Child>);

impl Intermediate {
    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        while let Some(child) = &mut self.0 {
            match child.try_wait()? {
                Some(_) => self.0 = None,
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        Ok(())
    }
}

impl Drop for Intermediate {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Not yet waited for: the number is its own.
            drop(child.kill());
            // Without a thread it stays a zombie.
            drop(std::thread::Builder::new().spawn(move || child.wait()));
        }
    }
}

/// What was launched: our end of the connection to the successor, what it says on stderr, and what
/// starts it.
pub(super) type Launched = (PacketSocket, Words, Intermediate);

/// Starts `binary` with the arguments of this process. On a thread of its own, which nobody waits for.
/// `watchdog`: whether the service manager wants a sign of life of this process.
pub(super) async fn launch(binary: PathBuf, watchdog: bool) -> io::Result<Launched> {
    let (sender, launched) = oneshot::channel();
    let thread = std::thread::Builder::new().name("launch".into());
    thread.spawn(move || drop(sender.send(begin(&binary, watchdog))))?;
    launched.await.map_err(io::Error::other)?
}

/// What asks a hub for something that goes on, and ends a program that has not yet asked for it: to
/// reload, and to open its file again.
fn requests() -> SigSet {
    [signal::Signal::SIGHUP, signal::Signal::SIGUSR1]
        .into_iter()
        .collect()
}

/// Hears SIGHUP and SIGUSR1, what has been sent since this process was started among it: to be called
/// as soon as there are handlers.
///
/// # Errors
/// What the kernel says; none is known.
pub fn hear_requests() -> io::Result<()> {
    Ok(requests().thread_unblock()?)
}

fn begin(binary: &Path, watchdog: bool) -> io::Result<Launched> {
    // All processes of a service may be asked (systemctl kill -s USR1). Whom this thread starts, and
    // who is started by that, begins with the same mask (sigprocmask(2)).
    requests().thread_block()?;
    let [ours, its] = PacketSocket::pair()?;
    let (said, stderr) = io::pipe()?;
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("snihub").arg(COMMAND).arg("--").arg(binary);
    command.args(arguments());
    command
        .stdin(Stdio::from(OwnedFd::from(its)))
        .stderr(stderr);
    for variable in NOT_ITS_OWN {
        command.env_remove(variable);
    }
    if !watchdog {
        command.env_remove("WATCHDOG_USEC");
    }
    let words = Words::hear(said, telemetry::to_stderr)?;
    // The command holds the other ends, which would keep the connection from ending: gone with it.
    let intermediate = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => io::Error::other(format!(
            "{OWN_PROGRAM} is not there, by which the hub starts its successor: mount /proc, or \
             restart the hub"
        )),
        _ => error,
    })?;
    Ok((ours, words, Intermediate(Some(intermediate))))
}

fn arguments() -> Vec<OsString> {
    let own = std::env::args_os().skip(1);
    let mut all: Vec<_> = own
        .filter(|argument| argument != SUCCESSOR && argument != TAKEOVER)
        .collect();
    all.push(SUCCESSOR.into());
    all
}

/// What the intermediate does: starts `binary` with its own stdin, tells so there, and is done.
///
/// # Errors
/// Nobody can be told.
pub fn start_successor(binary: &Path, arguments: &[OsString]) -> io::Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let connection = PacketSocket::from_fd(stdin);
    match Command::new(binary).args(arguments).spawn() {
        Ok(child) => {
            let pid = child.id();
            // As its parent we keep its number from being another's.
            let pidfd = pidfd(pid);
            let with: Vec<_> = pidfd.iter().map(AsFd::as_fd).collect();
            wire::say(&connection, &Message::Started { pid }, &with)
        }
        Err(error) => {
            let seen = match error.kind() {
                ErrorKind::NotFound => {
                    " (as the hub sees it: a service may have a /tmp of its own)"
                }
                _ => "",
            };
            let why = format!("cannot run {}: {error}{seen}", binary.display());
            wire::say(&connection, &Message::NotStarted { why }, &[])
        }
    }
}

/// What a successor says on stderr until it has ours; passed on there as it comes.
#[derive(Debug)]
pub(super) struct Words(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    last: Vec<u8>,
    /// Whether that was not all.
    more: bool,
    over: bool,
}

impl Words {
    /// `aloud`: passes them on, and waits for nobody: else they would be heard as late as they are read
    /// there.
    fn hear(mut said: PipeReader, aloud: impl Fn(&[u8]) + Send + 'static) -> io::Result<Words> {
        let heard = Arc::<Mutex<Heard>>::default();
        let words = Words(Arc::clone(&heard));
        let listen = move || {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = said.read(&mut some) {
                aloud(&some[..n]);
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .keep(&some[..n]);
            }
            heard.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        };
        let thread = std::thread::Builder::new().name("successor".into());
        thread.spawn(listen)?;
        Ok(words)
    }

    /// The last lines, once it is gone.
    pub(super) async fn last(self) -> Vec<String> {
        let began = Instant::now();
        loop {
            {
                let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if heard.over || began.elapsed() > LAST_WORDS {
                    return heard.lines();
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Heard {
    fn keep(&mut self, some: &[u8]) {
        self.last.extend_from_slice(some);
        let surplus = self.last.len().saturating_sub(KEPT);
        self.last.drain(..surplus);
        self.more |= surplus > 0;
    }

    /// The first of them is whole, unless it is the only one.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.last);
        let whole = match text.split_once('\n') {
            Some((_, whole)) if self.more && !whole.is_empty() => whole,
            _ => &text,
        };
        let more = self.more.then_some(MORE);
        more.into_iter()
            .chain(whole.lines())
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_successor_has_our_arguments_and_one_flag_once() {
        let all = arguments();
        assert_eq!(all.iter().filter(|one| *one == SUCCESSOR).count(), 1);
        assert!(own_binary().is_absolute());
    }

    #[tokio::test]
    async fn an_intermediate_that_hangs_is_not_waited_for_and_ended() {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pidfd = pidfd(child.id()).unwrap();
        let mut intermediate = Intermediate(Some(child));
        let soon = Duration::from_millis(50);
        let ended = tokio::time::timeout(soon, intermediate.ended()).await;
        assert!(ended.is_err());
        drop(intermediate);
        let until = Instant::now() + Duration::from_secs(30);
        // It is gone when it cannot be sent a signal any more.
        while pidfd_send_signal(&pidfd, Signal::CONT).is_ok() {
            assert!(Instant::now() < until);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    #[tokio::test]
    async fn an_end_is_heard_before_anybody_has_looked_and_one_that_lives_is_ended() {
        let spawn = |seconds: &str| Command::new("sleep").arg(seconds).spawn().unwrap();
        let [mut short, mut long] = [spawn("0"), spawn("1000")];
        // With a pidfd, and without.
        Process::find(short.id()).spared().ended().await;
        assert!(short.wait().unwrap().success());
        Process::new(short.id(), None).spared().ended().await;
        let process = Process::find(long.id());
        assert!(timeout(LOOK_EVERY, process.ended()).await.is_err());
        process.end().await;
        assert!(!long.wait().unwrap().success());
    }

    #[tokio::test]
    async fn last_words_are_heard_to_their_end_and_are_the_last() {
        let (said, mut stderr) = io::pipe().unwrap();
        let words = Words::hear(said, |_| {}).unwrap();
        writeln!(
            stderr,
            "{}\n{}\nthe end",
            "x".repeat(2 * KEPT),
            "y".repeat(10)
        )
        .unwrap();
        drop(stderr);
        assert_eq!(words.last().await, [MORE, "yyyyyyyyyy", "the end"]);
    }

    #[tokio::test]
    async fn words_that_are_one_long_line_are_told_as_far_as_they_were_kept() {
        let (said, mut stderr) = io::pipe().unwrap();
        let words = Words::hear(said, |_| {}).unwrap();
        writeln!(stderr, "{}", "x".repeat(2 * KEPT)).unwrap();
        drop(stderr);
        let last = words.last().await;
        assert_eq!((last.len(), last[0].as_str()), (2, MORE));
        assert_eq!(last[1].len(), KEPT - 1);
    }
}
