//! What can go wrong, in the operator's words.

use crate::config::Problem;
use crate::pki::PkiError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a command about a party did nothing, or not all. Each text says what was seen, where, and
/// what to do.
#[derive(Debug, Error)]
pub enum PartyError {
    /// Of the CA folder.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The files are wrong, or would be after the change: as `snihub check` tells it.
    #[error("the files are wrong")]
    Config(Vec<Problem>),
    /// What was asked for cannot be.
    #[error("{0}")]
    Usage(String),
    /// It could be, and what is there says no.
    #[error("{0}")]
    Refused(String),
    /// The system would not.
    #[error("{}: cannot {what}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PartyError {
    /// For `map_err`: what was tried on which file.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PartyError {
        let path = path.to_owned();
        move |source| PartyError::Io { what, path, source }
    }
}
