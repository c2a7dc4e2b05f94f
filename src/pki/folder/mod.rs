//! An authority on disk.
//!
//! ```text
//! pki/
//!   ca.cert.pem   what verifiers trust
//!   trust.pem     while there is one before it: both certificates, which bundles then hold
//!   ca.key.pem    0600; PKCS#8, sealed by a passphrase or plain
//!   crl.pem       what was taken back
//!   index.jsonl   what was issued and revoked: one event a line, only ever appended
//!   lock          held by whoever changes the rest
//!   issued/       where bundles go unless they are told to go elsewhere
//! ```
//!
//! A command that is killed at any moment leaves a folder that the next one completes: a number is
//! in the index before its certificate leaves, so that it is never given twice; what is written is
//! there whole or not at all; and what was begun is found under the lock and either was delivered or
//! is given up, with its keys.

mod deliver;
mod index;
mod judge;
mod list;
mod locked;
mod manifest;
mod place;
mod policy;
mod revoke;

pub use deliver::{Delivery, Fits, Placed, Receipt};
pub use index::{Issue, Outcome, Reason, To};
pub use list::{AUTHORITY_DUE_DAYS, DUE_DAYS, Entry, Listing, SUCCESSION, Standing, ambiguous};
pub use locked::Locked;
pub use manifest::{MANIFEST, Manifest};
pub use revoke::RevocationList;

use super::output::OutFile;
use super::sealed::{self, NotOpened};
use super::{Authority, Moment, PkiError, pem};
use crate::regular::{ReadError, read_file};
use index::{Event, State};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

const CERTIFICATE: &str = "ca.cert.pem";
const KEY: &str = "ca.key.pem";
const TRUST: &str = "trust.pem";
const LIST: &str = "crl.pem";
const INDEX: &str = "index.jsonl";
const LOCK: &str = "lock";

/// Bound of the index and of the revocation list, in bytes: a hundred thousand certificates.
const MOST_BYTES: u64 = 256 << 20;

/// Due to be made again after this: a verifier takes no list that is older.
pub const LIST_VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A CA folder, as it was when it was read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    state: State,
    certificate: String,
    /// Of `trust.pem`.
    trusted: Option<String>,
}

/// What a new authority is told of its star.
#[derive(Debug, Clone, Copy, Default)]
pub struct Founding<'f> {
    /// The domain that parties' names are below.
    pub domain: Option<&'f str>,
    /// What the hub is called, where that is not `proxy.` and the domain.
    pub hub: Option<&'f str>,
    /// The certificate of the authority that it succeeds, PEM: verifiers are to trust both.
    pub before: Option<&'f str>,
}

impl Folder {
    /// Makes a CA folder around a new authority, with an empty revocation list; its key is sealed if
    /// there is a passphrase. The folder appears whole or not at all.
    ///
    /// # Errors
    /// [`PkiError::Exists`] where a file or a folder with anything in it is; [`PkiError::Io`].
    pub fn create(
        path: &Path,
        authority: &Authority,
        passphrase: Option<&str>,
        founding: Founding<'_>,
    ) -> Result<Folder, PkiError> {
        let path = absolute(path)?;
        let key = match passphrase {
            Some(passphrase) => sealed::seal(authority.key(), passphrase)?,
            None => pem::encode("PRIVATE KEY", authority.key()),
        };
        let mut index = String::new();
        let first_list = Event::Crl {
            number: 1,
            time: Moment::now(),
        };
        let [domain, hub] = [founding.domain, founding.hub].map(|said| said.map(str::to_owned));
        let first = Event::init(domain, hub);
        for event in [first, first_list] {
            index += &serde_json::to_string(&event).map_err(|e| PkiError::Crypto(e.to_string()))?;
            index.push('\n');
        }
        let file = |name, mode, text: String| OutFile {
            name,
            mode,
            bytes: text.into_bytes(),
        };
        let mut files = vec![
            file(CERTIFICATE, 0o644, authority.certificate_pem()),
            file(KEY, 0o600, key),
            file(LIST, 0o644, authority.revocation_list(1, &[], LIST_VALID)?),
            file(INDEX, 0o600, index),
            file(LOCK, 0o600, String::new()),
        ];
        if let Some(before) = founding.before {
            let both = authority.certificate_pem() + before;
            files.push(file(TRUST, 0o644, both));
        }
        let parent = path.parent().unwrap_or(&path);
        place::make_folders(parent).map_err(PkiError::io("make the folder", parent))?;
        // Two at once would mix what they write beside the place.
        let lock = File::open(parent).and_then(|parent| parent.lock().map(|()| parent));
        let _lock = lock.map_err(PkiError::io("lock the folder", parent))?;
        place::put_folder(&path, &files, None, None).map_err(|source| match source.kind() {
            ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                // What was made beside it holds a key that nobody will ever need.
                let _ = place::remove(&place::beside(&path));
                exists(&path)
            }
            _ => PkiError::io("make the folder", &path)(source),
        })?;
        Folder::open(&path)
    }

    /// Fails as [`Folder::create`] would for what is there already, before anybody thinks up a
    /// passphrase.
    ///
    /// # Errors
    /// [`PkiError::Exists`].
    pub fn check_free(path: &Path) -> Result<(), PkiError> {
        let free = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if free { Ok(()) } else { Err(exists(path)) }
    }

    /// Reads a CA folder.
    ///
    /// # Errors
    /// [`PkiError::NoAuthority`], [`PkiError::BadFile`], [`PkiError::Io`].
    pub fn open(path: &Path) -> Result<Folder, PkiError> {
        let path = absolute(path)?;
        let read = |name, bound| {
            let read = read(&path.join(name), bound)?;
            read.ok_or_else(|| PkiError::NoAuthority(path.clone()))
        };
        let bad = |_| PkiError::BadFile {
            path: path.join(CERTIFICATE),
            what: "no PEM: bring the file back from a backup".to_owned(),
        };
        let certificate =
            String::from_utf8(read(CERTIFICATE, pem::MOST_BYTES as u64)?).map_err(bad)?;
        let state = State::read(&path.join(INDEX), &read(INDEX, MOST_BYTES)?)?;
        let trusted = trusted(&path.join(TRUST), &certificate)?;
        Ok(Folder {
            path,
            state,
            certificate,
            trusted,
        })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The domain that parties' names are below, if it was said.
    pub fn domain(&self) -> Option<&str> {
        self.state.domain.as_deref()
    }

    /// What the hub is called, which no party's certificate carries unless that is said: by word, or
    /// `proxy.` and the domain.
    pub fn hub(&self) -> Option<String> {
        self.state.hub()
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// What bundles say that verifiers trust, PEM: the authority's certificate, and while `trust.pem` is
    /// there those of authorities before it, too.
    pub fn trusted_pem(&self) -> &str {
        self.trusted.as_deref().unwrap_or(&self.certificate)
    }

    /// Where the certificates are that bundles hold in the place of the authority's own.
    pub fn trust_file(&self) -> Option<PathBuf> {
        self.trusted.as_ref().map(|_| self.path.join(TRUST))
    }

    /// When the authority's certificate ends.
    ///
    /// # Errors
    /// [`PkiError::BadFile`] where it is none.
    pub fn ends(&self) -> Result<Moment, PkiError> {
        Authority::ends_of(&self.certificate).map_err(|what| PkiError::BadFile {
            path: self.path.join(CERTIFICATE),
            what,
        })
    }

    /// Whether the key needs a passphrase.
    ///
    /// # Errors
    /// [`PkiError::Io`], [`PkiError::BadFile`].
    pub fn is_sealed(&self) -> Result<bool, PkiError> {
        Ok(self.key_block()?.label == sealed::LABEL)
    }

    /// The authority, ready to sign.
    ///
    /// # Errors
    /// [`PkiError::PassphraseNeeded`], [`PkiError::WrongPassphrase`], [`PkiError::BadFile`] where key
    /// and certificate are not what they should be, [`PkiError::Io`].
    pub fn authority(&self, passphrase: Option<&str>) -> Result<Authority, PkiError> {
        let path = self.path.join(KEY);
        let block = self.key_block()?;
        let bad = |what: &str| PkiError::BadFile {
            path: path.clone(),
            what: what.to_owned(),
        };
        let key = match (block.label.as_str(), passphrase) {
            (sealed::LABEL, None) => return Err(PkiError::PassphraseNeeded(path)),
            (sealed::LABEL, Some(passphrase)) => {
                sealed::open(&block.der, passphrase).map_err(|error| match error {
                    NotOpened::WrongPassphrase => PkiError::WrongPassphrase(path.clone()),
                    NotOpened::NotRead => bad(
                        "encrypted in a way that is not read here: `openssl pkcs8 -topk8 -v2 aes256` \
                         encrypts it anew",
                    ),
                })?
            }
            ("PRIVATE KEY", _) => Zeroizing::new(block.der.clone()),
            (label, _) => {
                return Err(bad(&format!(
                    "holds {}, not a PKCS#8 key: `openssl pkcs8 -topk8` makes one of it",
                    label.escape_debug()
                )));
            }
        };
        let authority = Authority::load(&self.certificate, &key).map_err(|what| bad(&what))?;
        Ok(authority.trusting(self.trusted_pem()))
    }

    /// The mode of the key's file, if others than its owner may do anything with it.
    pub fn exposed_key(&self) -> Option<(PathBuf, u32)> {
        let path = self.path.join(KEY);
        let mode = fs::metadata(&path).ok()?.mode() & 0o7777;
        (mode & 0o077 != 0).then_some((path, mode))
    }

    fn key_block(&self) -> Result<pem::Block, PkiError> {
        let path = self.path.join(KEY);
        let bad = |what| PkiError::BadFile {
            path: path.clone(),
            what,
        };
        let text = read(&path, pem::MOST_BYTES as u64)?;
        let text =
            text.ok_or_else(|| PkiError::io("read it", &path)(ErrorKind::NotFound.into()))?;
        let blocks = pem::blocks(&Zeroizing::new(text)).map_err(bad)?;
        let key = blocks
            .into_iter()
            .find(|b| b.label.ends_with("PRIVATE KEY"));
        key.ok_or_else(|| bad("holds no private key".to_owned()))
    }
}

/// Reads `trust.pem`. Whatever is in it goes to every party: certificates, and no key.
fn trusted(path: &Path, own: &str) -> Result<Option<String>, PkiError> {
    let Some(text) = read(path, pem::MOST_BYTES as u64)? else {
        return Ok(None);
    };
    let bad = |what: String| PkiError::BadFile {
        path: path.to_owned(),
        what: format!(
            "{what}. It holds ca.cert.pem and behind it that of the authority before; without the file \
             bundles trust this authority alone"
        ),
    };
    let text = String::from_utf8(text).map_err(|_| bad("is no PEM".to_owned()))?;
    let blocks = pem::blocks(text.as_bytes()).map_err(bad)?;
    if let Some(other) = blocks.iter().find(|block| block.label != "CERTIFICATE") {
        let label = other.label.escape_debug();
        return Err(bad(format!("holds {label}, no certificate")));
    }
    let own = pem::blocks(own.as_bytes()).map_err(bad)?;
    let held = |own: &pem::Block| blocks.iter().any(|block| block.der == own.der);
    if !own.iter().any(held) {
        return Err(bad("does not hold this authority's certificate".to_owned()));
    }
    Ok(Some(text))
}

/// One of the folder's files; none where it is not there.
fn read(path: &Path, bound: u64) -> Result<Option<Vec<u8>>, PkiError> {
    match read_file(path, bound) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_absent() => Ok(None),
        Err(ReadError::Io(source)) => Err(PkiError::io("read it", path)(source)),
        Err(error) => Err(PkiError::BadFile {
            path: path.to_owned(),
            what: error.to_string(),
        }),
    }
}

fn exists(path: &Path) -> PkiError {
    let authority = path.join(INDEX).exists();
    PkiError::Exists {
        path: path.to_owned(),
        hint: if authority {
            "An authority lives there: `snihub pki list` shows what it issued"
        } else {
            "Choose an empty or a new folder with --ca DIR"
        },
    }
}

fn absolute(path: &Path) -> Result<PathBuf, PkiError> {
    std::path::absolute(path).map_err(PkiError::io("find the folder", path))
}
