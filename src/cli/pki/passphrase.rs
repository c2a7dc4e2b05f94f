//! The passphrase of the authority's key: from a file, the environment, or the terminal.

use super::Stop;
use crate::cli::exit::Exit;
use crate::pki::{Authority, Folder, PkiError};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use zeroize::Zeroizing;

const VARIABLE: &str = "SNIHUB_PKI_PASSPHRASE";

/// A new passphrase has at least so many characters.
const LEAST: usize = 8;

/// Longer ones are a file that was not meant.
const MOST: usize = 1024;

/// Where the passphrase comes from.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Source {
    /// The passphrase of the authority's key is the first line of this file [default: the variable
    /// SNIHUB_PKI_PASSPHRASE, else asked for at the terminal]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

type Passphrase = Zeroizing<String>;

impl Source {
    /// Opens the authority's key, asking for a passphrase if it needs one.
    pub(in crate::cli) fn unlock(&self, folder: &Folder) -> Result<Authority, Stop> {
        if !folder.is_sealed()? {
            return Ok(folder.authority(None)?);
        }
        let passphrase = match self.given()? {
            Some(given) => given,
            None => {
                let needed = || PkiError::PassphraseNeeded(folder.path().join("ca.key.pem"));
                let mut terminal = Terminal::open().ok_or_else(needed)?;
                terminal.ask(&format!("Passphrase of {}: ", folder.path().display()))?
            }
        };
        Ok(folder.authority(Some(&passphrase))?)
    }

    /// One for a new key; asked for twice.
    pub(super) fn new_one(&self) -> Result<Passphrase, Stop> {
        let passphrase = match self.given()? {
            Some(given) => given,
            None => {
                let Some(mut terminal) = Terminal::open() else {
                    return Err(Stop::Said(
                        Exit::Usage,
                        format!(
                            "no terminal to ask for a passphrase: give --passphrase-file FILE or \
                             {VARIABLE}, or --plain-key for a key without one"
                        ),
                    ));
                };
                let first = terminal.ask("Passphrase for the authority's key: ")?;
                check(&first)?;
                if *terminal.ask("The same again: ")? != *first {
                    return Err(Stop::Said(
                        Exit::Usage,
                        "the two differ; nothing was made".to_owned(),
                    ));
                }
                first
            }
        };
        check(&passphrase)?;
        Ok(passphrase)
    }

    fn given(&self) -> Result<Option<Passphrase>, Stop> {
        if let Some(path) = &self.passphrase_file {
            let mut text = Zeroizing::new(String::new());
            let file = File::open(path).and_then(|file| {
                // One byte more tells what is too long.
                file.take(MOST as u64 + 1).read_to_string(&mut text)
            });
            file.map_err(|error| Stop::unread(path, &error))?;
            let line = text.lines().next().unwrap_or_default();
            if line.is_empty() || line.len() > MOST {
                let path = path.display();
                let text = format!("{path}: its first line is no passphrase: 1 to {MOST} bytes");
                return Err(Stop::Said(Exit::Config, text));
            }
            return Ok(Some(Zeroizing::new(line.to_owned())));
        }
        match std::env::var(VARIABLE) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(Stop::Said(Exit::Usage, format!("{VARIABLE}: {error}"))),
        }
    }
}

fn check(new: &str) -> Result<(), Stop> {
    if new.chars().count() < LEAST {
        let text = format!(
            "a passphrase has at least {LEAST} characters: whoever reads the key file can try them all"
        );
        return Err(Stop::Said(Exit::Usage, text));
    }
    Ok(())
}

/// The process's terminal, whatever stdin is.
struct Terminal(File);

impl Terminal {
    fn open() -> Option<Terminal> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        terminal.ok().map(Terminal)
    }

    /// Asks without echo. Ctrl-C is read as a key, so that the terminal is as before whatever is
    /// typed (termios(3), ISIG).
    fn ask(&mut self, prompt: &str) -> Result<Passphrase, Stop> {
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
        // FLUSH: what was typed before the question is no answer to it.
        let set =
            |modes| tcsetattr(&self.0, OptionalActions::Flush, modes).map_err(io::Error::from);
        // From here on a signal that ends the process gives the terminal back first.
        *QUIET.lock().unwrap_or_else(PoisonError::into_inner) = Some(before.clone());
        give_back_at_signals().map_err(failed)?;
        set(&quiet).map_err(failed)?;
        let mut out = &self.0;
        let line = write!(out, "{prompt}").and_then(|()| read_line(&self.0));
        let after = set(&before).and_then(|()| writeln!(out));
        *QUIET.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

/// How the terminal was before the question that is being asked.
static QUIET: Mutex<Option<Termios>> = Mutex::new(None);

/// SIGTERM, SIGHUP, SIGINT and SIGQUIT end the process as they would, and leave no terminal without
/// echo. For the rest of the process: a handler stays (signal(7)).
fn give_back_at_signals() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    static HEARD: AtomicBool = AtomicBool::new(false);
    if HEARD.swap(true, Relaxed) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let kinds = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ];
    let inside = runtime.enter();
    let signals = kinds.into_iter();
    let signals = signals.map(|kind| signal(kind).map(|signal| (kind, signal)));
    let mut signals = signals.collect::<io::Result<Vec<_>>>()?;
    drop(inside);
    let wait = move || {
        end(runtime.block_on(std::future::poll_fn(|context| {
            let mut all = signals.iter_mut();
            let came = all.find_map(|(kind, signal)| {
                let came = signal.poll_recv(context).is_ready();
                came.then(|| kind.as_raw_value())
            });
            came.map_or(Poll::Pending, Poll::Ready)
        })));
    };
    let name = std::thread::Builder::new().name("signals".into());
    name.spawn(wait).map(drop)
}

/// Ends the process by that signal, as a shell tells of it.
fn end(signal: i32) {
    let quiet = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(before), Some(terminal)) = (&*quiet, Terminal::open()) {
        let _ = tcsetattr(&terminal.0, OptionalActions::Flush, before);
        let _ = writeln!(&terminal.0);
    }
    std::process::exit(128 + signal);
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
