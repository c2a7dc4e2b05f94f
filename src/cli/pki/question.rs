//! A question at the terminal, without echo. The terminal is as before whatever is typed, and
//! whichever signal comes.

use super::Stop;
use crate::cli::exit::Exit;
use crate::telemetry::stat_fields;
use rustix::process::{Signal, getpid, getppid, kill_current_process_group, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use zeroize::Zeroizing;

/// Longer ones are a file that was not meant.
pub(super) const MOST: usize = 1024;

pub(super) type Passphrase = Zeroizing<String>;

/// The process's terminal, whatever stdin is.
pub(super) struct Terminal(File);

impl Terminal {
    pub(super) fn open() -> Option<Terminal> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        terminal.ok().map(Terminal)
    }

    /// Asks without echo. Ctrl-C and Ctrl-Z are read as keys, so that the terminal is as before whatever
    /// is typed (termios(3), ISIG).
    pub(super) fn ask(&mut self, prompt: &str) -> Result<Passphrase, Stop> {
        let failed = |error: io::Error| {
            Stop::Said(
                Exit::System,
                format!("cannot ask for a passphrase: {error}"),
            )
        };
        let before = tcgetattr(&self.0).map_err(|error| failed(error.into()))?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        let question = Question {
            before,
            quiet,
            prompt: prompt.to_owned(),
        };
        // From here on a signal that ends or stops the process gives the terminal back first.
        heed_signals().map_err(failed)?;
        let mut asked = asked();
        let began = question.put(&self.0);
        *asked = Some(question);
        drop(asked);
        let line = began.and_then(|()| read_line(&self.0));
        // Under the lock, so that no signal makes it quiet again.
        let mut asked = self::asked();
        let after = match asked.take() {
            Some(question) => question.give_back(&self.0),
            None => Ok(()),
        };
        drop(asked);
        let line = line.map_err(failed)?;
        after.map_err(failed)?;
        line.ok_or_else(|| {
            Stop::Said(
                Exit::Interrupted,
                "interrupted; nothing was made".to_owned(),
            )
        })
    }
}

/// A question that waits for its answer.
struct Question {
    /// How the terminal was.
    before: Termios,
    /// How it is meanwhile.
    quiet: Termios,
    prompt: String,
}

impl Question {
    fn put(&self, mut terminal: &File) -> io::Result<()> {
        // FLUSH: what was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &self.quiet)?;
        write!(terminal, "{}", self.prompt)
    }

    fn give_back(&self, mut terminal: &File) -> io::Result<()> {
        tcsetattr(terminal, OptionalActions::Flush, &self.before)?;
        writeln!(terminal)
    }
}

static ASKED: Mutex<Option<Question>> = Mutex::new(None);

fn asked() -> MutexGuard<'static, Option<Question>> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SIGTERM, SIGHUP, SIGINT and SIGQUIT end the process as they would, SIGTSTP stops it, and none of them
/// leaves a terminal without echo; after SIGCONT the question is put again. For the rest of the process: a
/// handler stays (signal(7)).
fn heed_signals() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    static HEARD: AtomicBool = AtomicBool::new(false);
    if HEARD.swap(true, Relaxed) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let kinds = [
        Signal::TERM,
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TSTP,
        Signal::CONT,
    ];
    let inside = runtime.enter();
    let signals = kinds.into_iter();
    let signals = signals.map(|kind| {
        let heard = signal(SignalKind::from_raw(kind.as_raw()));
        heard.map(|heard| (kind, heard))
    });
    let mut signals = signals.collect::<io::Result<Vec<_>>>()?;
    drop(inside);
    let wait = move || {
        loop {
            heed(runtime.block_on(std::future::poll_fn(|context| {
                let mut all = signals.iter_mut();
                let came = all.find_map(|(kind, signal)| {
                    let came = signal.poll_recv(context).is_ready();
                    came.then_some(*kind)
                });
                came.map_or(Poll::Pending, Poll::Ready)
            })));
        }
    };
    let name = std::thread::Builder::new().name("signals".into());
    name.spawn(wait).map(drop)
}

fn heed(signal: Signal) {
    let asked = asked();
    let waits = asked.as_ref().zip(Terminal::open());
    if signal == Signal::CONT {
        // A shell has set the terminal as it likes it.
        if let Some((question, terminal)) = waits {
            let _ = question.put(&terminal.0);
        }
        return;
    }
    if let Some((question, terminal)) = waits {
        let _ = question.give_back(&terminal.0);
    }
    if signal == Signal::TSTP {
        let _ = kill_process(getpid(), Signal::STOP);
        return;
    }
    // As a shell tells of it.
    std::process::exit(128 + signal.as_raw());
}

/// Ctrl-Z: all that runs in the terminal's foreground stops, if a shell is there that lets it go on
/// again.
fn stop() {
    let parent = getppid().and_then(|parent| group_and_session(&parent.to_string()));
    let own = group_and_session("self");
    if let (Some((group, session)), Some((own_group, own_session))) = (parent, own)
        && session == own_session
        && group != own_group
    {
        let _ = kill_current_process_group(Signal::TSTP);
    }
}

/// A process's group and session (proc(5), stat, fields 5 and 6), 0 if they began outside of this PID
/// namespace: getpgid and getsid of rustix take that for impossible.
fn group_and_session(process: &str) -> Option<(i32, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat_fields(&stat)?.skip(2);
    let mut next = || fields.next()?.parse().ok();
    Some((next()?, next()?))
}

/// Reads keys up to Enter; none if it was interrupted.
fn read_line(mut keys: impl Read) -> io::Result<Option<Passphrase>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MOST));
    let mut key = [0];
    loop {
        if keys.read(&mut key)? == 0 {
            return Ok(None);
        }
        match key[0] {
            b'\r' | b'\n' => break,
            // Ctrl-C, Ctrl-D, Ctrl-\.
            3 | 4 | 28 => return Ok(None),
            26 => stop(),
            // Backspace takes a whole character of UTF-8.
            8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U.
            21 => line.clear(),
            byte if line.len() < MOST => line.push(byte),
            _ => {}
        }
    }
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "what was typed is not UTF-8",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_the_line_and_ctrl_c_ends_it() {
        let read = |keys: &str| {
            read_line(keys.as_bytes())
                .unwrap()
                .map(|line| line.to_string())
        };
        assert_eq!(read("abc\n"), Some("abc".to_owned()));
        assert_eq!(read("aü\x7fb\r"), Some("ab".to_owned()));
        assert_eq!(read("x\x15a b\x08\x08c\n"), Some("ac".to_owned()));
        assert_eq!(read("\x7f\n"), Some(String::new()));
        for ended in ["ab\x03", "ab\x04", "ab"] {
            assert_eq!(read(ended), None, "{ended:?}");
        }
        assert!(read_line(&b"\xff\n"[..]).is_err());
    }
}
