//! The passphrase of the authority's key: from a file, the environment, or the terminal.

use super::Stop;
use super::question::{MOST, Passphrase, Terminal};
use super::receipt::shown;
use crate::cli::exit::{Exit, complain};
use crate::pki::{Authority, Folder, Locked, PkiError};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use zeroize::Zeroizing;

const VARIABLE: &str = "SNIHUB_PKI_PASSPHRASE";

/// A new passphrase has at least so many characters.
const LEAST: usize = 8;

/// Where the passphrase comes from.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Source {
    /// The passphrase of the authority's key is the first line of this file [default: the variable
    /// SNIHUB_PKI_PASSPHRASE, else asked for at the terminal]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// That the authority's key is not its owner's alone.
pub(super) fn exposed(folder: &Folder) -> Option<String> {
    let (path, mode) = folder.exposed_key()?;
    let path = shown(&path).display();
    Some(format!(
        "warning: {path} has mode {mode:04o}, and the authority's key is its owner's alone: `chmod 600 {path}`"
    ))
}

impl Source {
    /// Opens the authority's key, asking for a passphrase if it needs one.
    pub(in crate::cli) fn unlock(&self, folder: &Folder) -> Result<Authority, Stop> {
        if let Some(exposed) = exposed(folder) {
            complain(&format!("snihub pki: {exposed}\n"));
        }
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

    /// The authority, and its folder to be worked on by nobody else: what a command before left undone
    /// is done.
    pub(super) fn ready(&self, folder: &Folder) -> Result<(Authority, Locked), Stop> {
        // Before the lock: somebody may type for a while.
        let authority = self.unlock(folder)?;
        let mut locked = folder.lock()?;
        locked.complete_list(&authority)?;
        Ok((authority, locked))
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
