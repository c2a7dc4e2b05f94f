//! What can go wrong, and whose turn it is then.

use super::name::NameFault;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Whose fault it is: what an exit code is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What was asked for cannot be: a name, a lifetime, a layout that does not fit.
    Usage,
    /// It could be, and the authority's rules say no.
    Refused,
    /// A file is missing, or is not what it should be.
    Config,
    /// A wrong passphrase, or a file that may not be read or written.
    Denied,
    /// The system would not.
    System,
}

/// Who holds a name, and what takes it back.
#[derive(Debug, Error)]
#[error(
    "{owner} (layout {layout}, serial {serial}) holds a certificate that covers it until {until}. Revoke that one first (`snihub pki revoke {serial}`), or choose another name"
)]
pub struct Holder {
    /// The first name of the certificate.
    pub owner: String,
    /// Its layout.
    pub layout: &'static str,
    /// Its serial number.
    pub serial: String,
    /// And its end.
    pub until: String,
}

/// Why there is no certificate. Each text says what was seen, where, and what to do.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A leaf was asked for without any name: nobody could verify it.
    #[error("a certificate needs at least one name")]
    NoName,
    /// The name could never be a server name.
    #[error("{name:?} cannot be a certificate's name: {reason}")]
    BadName {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        reason: NameFault,
    },
    /// RFC 5280 appendix A, ub-common-name: 64 characters.
    #[error("{0:?} cannot be an authority's name: 1 to 64 characters, no control characters")]
    BadCommonName(String),
    /// RFC 5280 appendix A, ub-organization-name: 64 characters.
    #[error(
        "{0:?} cannot be an organisation's name (O=): 1 to 64 characters, no control characters"
    )]
    BadOrganization(String),
    /// Valid for no time at all, or longer than [`super::LONGEST`].
    #[error("a certificate is valid for 1 second to 10 years, not {} s", .0.as_secs())]
    BadLifetime(Duration),
    /// The authority's own certificate has ended.
    #[error("the authority's certificate ended {0}: {next}", next = super::SUCCESSION)]
    AuthorityEnded(String),
    /// The order does not fit the layout.
    #[error("layout {layout}: {why}")]
    Layout {
        /// The layout's name.
        layout: &'static str,
        /// What does not fit, and what would.
        why: String,
    },
    /// A certificate request that is not signed.
    #[error("{file}: {why}")]
    Request {
        /// Where it was read from.
        file: String,
        /// What it holds or lacks, and what to do.
        why: String,
        /// Whether it could be read at all.
        fault: Fault,
    },
    /// The name is another's.
    #[error("{name} is not given twice: {holder}")]
    Taken {
        /// What was asked for.
        name: String,
        /// Whose it is.
        holder: Box<Holder>,
    },
    /// What is below a party's name is the party's, and something there is another's.
    #[error("{name} would have every name below it, and {below} is another's: {holder}")]
    Above {
        /// What was asked for.
        name: String,
        /// The name below it.
        below: String,
        /// Whose that is.
        holder: Box<Holder>,
    },
    /// The hub's own name in a party's certificate.
    #[error("{name} is the hub's name: whoever's certificate carries it could pose as the hub. {}", what_of_hub(name, *lends))]
    HubName {
        /// As it is.
        name: String,
        /// Whether it may be given away by word in what was asked for.
        lends: bool,
    },
    /// There is one already.
    #[error(
        "{name} has a certificate (layout {layout}, serial {serial}, until {until}). For a new one with the same names: `snihub pki renew {name} --layout {layout}`; to begin anew: `snihub pki revoke {serial}` first"
    )]
    AlreadyIssued {
        /// Its first name.
        name: String,
        /// Its layout.
        layout: &'static str,
        /// Its serial number.
        serial: String,
        /// Its end.
        until: String,
    },
    /// No certificate goes by that name or serial number.
    #[error("no certificate of this authority goes by {0:?}: `snihub pki list` shows them all")]
    NotIssued(String),
    /// More than one certificate goes by that name.
    #[error(
        "{name} stands for {count} certificates; say which, by serial number or with --layout:\n{listed}"
    )]
    Ambiguous {
        /// As it was given.
        name: String,
        /// How many.
        count: usize,
        /// One a line.
        listed: String,
    },
    /// A revoked certificate is not renewed.
    #[error("{0} is revoked: issue a new certificate with `snihub pki issue`")]
    Revoked(String),
    /// No CA folder there.
    #[error("{}: no authority here (no ca.cert.pem and index.jsonl). Make one with `snihub pki init`, or say where it is with --ca DIR", .0.display())]
    NoAuthority(PathBuf),
    /// Something is there already.
    #[error("{}: is there already; nothing was touched. {hint}", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// A file of the CA folder is not as it was written.
    #[error("{}: {what}", path.display())]
    BadFile {
        /// Which.
        path: PathBuf,
        /// What was seen, and what to do.
        what: String,
    },
    /// Another command works on the folder.
    #[error("{}: another snihub holds the lock for {seconds} s already; try again when it is done", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The key is sealed, and no passphrase was given.
    #[error("{}: the key is encrypted: give its passphrase at a terminal, with --passphrase-file FILE, or in SNIHUB_PKI_PASSPHRASE", .0.display())]
    PassphraseNeeded(PathBuf),
    /// Not the passphrase that the key was sealed with.
    #[error("{}: wrong passphrase", .0.display())]
    WrongPassphrase(PathBuf),
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
    /// Key generation, signing or encoding failed.
    #[error("cannot make a certificate: {0}")]
    Crypto(String),
}

impl PkiError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            PkiError::NoName
            | PkiError::BadName { .. }
            | PkiError::BadCommonName(_)
            | PkiError::BadOrganization(_)
            | PkiError::BadLifetime(_)
            | PkiError::Layout { .. }
            | PkiError::PassphraseNeeded(_) => Fault::Usage,
            PkiError::Taken { .. }
            | PkiError::Above { .. }
            | PkiError::HubName { .. }
            | PkiError::AlreadyIssued { .. }
            | PkiError::NotIssued(_)
            | PkiError::Ambiguous { .. }
            | PkiError::Revoked(_)
            | PkiError::Exists { .. } => Fault::Refused,
            PkiError::Request { fault, .. } => *fault,
            PkiError::AuthorityEnded(_) | PkiError::NoAuthority(_) | PkiError::BadFile { .. } => {
                Fault::Config
            }
            PkiError::WrongPassphrase(_) => Fault::Denied,
            PkiError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Fault::Denied
            }
            PkiError::Io { .. } | PkiError::Locked { .. } | PkiError::Crypto(_) => Fault::System,
        }
    }

    /// For `map_err`: what was tried on which file.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PkiError {
        let path = path.to_owned();
        move |source| PkiError::Io { what, path, source }
    }
}

fn what_of_hub(name: &str, lends: bool) -> String {
    match lends {
        true => format!(
            "Only C++ and Python clients straight through the hub need that; if it is meant, say \
             --cpp-clients {name}"
        ),
        false => format!("The hub's own is `snihub pki issue hub {name}`"),
    }
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> PkiError {
        PkiError::Crypto(error.to_string())
    }
}
