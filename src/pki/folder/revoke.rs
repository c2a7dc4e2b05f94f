//! What is taken back, and the list of it.

use super::super::authority::Revocation;
use super::super::show::{ReadList, read_list};
use super::super::{Authority, Moment, PkiError, Serial};
use super::index::{Event, Reason};
use super::{Folder, LIST, LIST_VALID, Locked, MOST_BYTES, place, read};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// The list as it is on the disk.
#[derive(Debug, Clone)]
pub struct RevocationList {
    /// Where it is.
    pub path: PathBuf,
    /// Its number.
    pub number: u64,
    /// Verifiers take no list that is older.
    pub next_update: Moment,
    /// How many certificates are on it.
    pub count: usize,
    /// Whether everything that was revoked is on it.
    pub complete: bool,
}

impl Folder {
    /// The list on the disk; none if there is none that can be read.
    pub fn revocation_list(&self) -> Option<RevocationList> {
        let path = self.path.join(LIST);
        let ReadList {
            number,
            next_update,
            serials,
        } = read_list(&read(&path, MOST_BYTES).ok()??)?;
        let revoked = self
            .state
            .revoked
            .iter()
            .map(|(serial, ..)| serial.bytes().to_vec());
        Some(RevocationList {
            path,
            number,
            next_update,
            count: serials.len(),
            complete: serials == revoked.collect::<BTreeSet<_>>(),
        })
    }
}

impl Locked {
    /// Takes certificates back and makes the list anew; those that were taken back before stay so.
    /// The answer is those that were not revoked yet.
    ///
    /// # Errors
    /// [`PkiError::Io`], and of [`Locked::write_list`]: then what was revoked is revoked, and the
    /// next command that signs writes the list.
    pub fn revoke(
        &mut self,
        authority: &Authority,
        serials: &[Serial],
        reason: Reason,
    ) -> Result<Vec<Serial>, PkiError> {
        let mut taken = Vec::new();
        for &serial in serials {
            if self.folder.state.is_revoked(serial) {
                continue;
            }
            let time = Moment::now();
            self.append(Event::Revoke {
                serial,
                time,
                reason,
            })?;
            taken.push(serial);
        }
        if taken.is_empty() {
            self.complete_list(authority)?;
        } else {
            self.write_list(authority, LIST_VALID)?;
        }
        Ok(taken)
    }

    /// Makes the list anew, due again `valid_for` from now.
    ///
    /// # Errors
    /// [`PkiError::BadLifetime`], [`PkiError::AuthorityEnded`], [`PkiError::Crypto`],
    /// [`PkiError::Io`].
    pub fn write_list(
        &mut self,
        authority: &Authority,
        valid_for: Duration,
    ) -> Result<(), PkiError> {
        let number = self.folder.state.crl_number + 1;
        let revoked = self.folder.state.revoked.iter();
        let revoked: Vec<Revocation> = revoked
            .map(|&(serial, time, reason)| Revocation {
                serial,
                time,
                reason: reason.code(),
            })
            .collect();
        let list = authority.revocation_list(number, &revoked, valid_for)?;
        // RFC 5280 section 5.2.3: a number stands for one list only.
        self.append(Event::Crl {
            number,
            time: Moment::now(),
        })?;
        let path = self.folder.path.join(LIST);
        place::put_file(&path, list.as_bytes(), 0o644).map_err(PkiError::io("write it", &path))
    }

    /// Makes the list anew if a revocation is not on it, as after a crash.
    ///
    /// # Errors
    /// As [`Locked::write_list`].
    pub fn complete_list(&mut self, authority: &Authority) -> Result<(), PkiError> {
        match self.folder.revocation_list() {
            Some(list) if list.complete => Ok(()),
            _ => self.write_list(authority, LIST_VALID),
        }
    }
}
