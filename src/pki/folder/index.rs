//! The index of a CA folder: one line of JSON per event, only ever appended, synced before what it
//! tells of leaves the folder. A line that a crash cut short tells of nothing that left.

use super::super::output::Form;
use super::super::{Certified, Layout, Moment, PkiError, Serial};
use rcgen::RevocationReason;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// What this program writes; a higher number is of a later one.
const VERSION: u32 = 1;

/// Why a certificate is taken back (RFC 5280 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nobody says.
    Unspecified,
    /// Somebody else may have the private key.
    KeyCompromise,
    /// The party left the star, or is another one now.
    AffiliationChanged,
    /// A newer certificate took its place.
    Superseded,
    /// Its server is no more.
    CessationOfOperation,
}

impl Reason {
    /// All there are.
    pub const ALL: [Reason; 5] = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
    ];

    /// What people call it, on the command line too.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "key-compromise",
            Reason::AffiliationChanged => "affiliation-changed",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessation-of-operation",
        }
    }

    /// RFC 5280 section 5.3.1: "unspecified" is said by leaving it out.
    pub(super) fn code(self) -> Option<RevocationReason> {
        match self {
            Reason::Unspecified => None,
            Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Reason::Superseded => Some(RevocationReason::Superseded),
            Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        }
    }
}

/// Where a bundle goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// Below `issued/` of the CA folder.
    Default,
    /// A path; absolute in the index.
    Path(std::path::PathBuf),
    /// The caller's writer.
    Writer,
}

/// Certificates that were made in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// When.
    pub time: Moment,
    /// In which layout.
    pub layout: Layout,
    /// The name they go by.
    pub primary: String,
    /// For a key that is elsewhere: by `pki sign`.
    pub by_request: bool,
    /// Whether an operator said its `O=`, where a request could have had it from anybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub organization_said: bool,
    /// How they were written.
    pub form: Form,
    /// And where.
    pub to: To,
    /// As [`Delivery::handed`](super::Delivery::handed), absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<std::path::PathBuf>,
    /// One for each leaf of the layout.
    pub certificates: Vec<Certified>,
    /// Those of its names that are the hub's, and given to a party by word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hub_names: Vec<String>,
}

impl Issue {
    /// The first certificate's serial number, by which the rest of the index speaks of it.
    pub fn id(&self) -> Serial {
        self.certificates[0].serial
    }

    /// All their serial numbers.
    pub fn serials(&self) -> impl Iterator<Item = Serial> {
        self.certificates.iter().map(|certified| certified.serial)
    }

    /// How many of them are among these.
    fn count(&self, serials: &HashSet<Serial>) -> usize {
        self.serials().filter(|one| serials.contains(one)).count()
    }

    /// When the first of them ends.
    pub fn ends(&self) -> Moment {
        let ends = self
            .certificates
            .iter()
            .map(|certified| certified.not_after);
        ends.min().unwrap_or(self.time)
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The first line.
    Init {
        time: Moment,
        version: u32,
        domain: Option<String>,
        /// What the hub is called, where that is not `proxy.` and the domain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hub: Option<String>,
    },
    /// Before the certificates leave.
    Issue(Issue),
    /// They have left.
    Done { id: Serial, time: Moment },
    /// They never left, and their keys are gone; the serial numbers stay used.
    Lost { id: Serial, time: Moment },
    Revoke {
        serial: Serial,
        time: Moment,
        reason: Reason,
    },
    /// Before the list with this number leaves.
    Crl { number: u64, time: Moment },
}

impl Event {
    pub(super) fn init(domain: Option<String>, hub: Option<String>) -> Event {
        Event::Init {
            time: Moment::now(),
            version: VERSION,
            domain,
            hub,
        }
    }
}

/// What became of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Written in the index; whether it left is not known yet.
    Begun,
    /// It left.
    Done,
    /// It never left.
    Lost,
}

/// What the index comes to.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) domain: Option<String>,
    hub: Option<String>,
    pub(super) issues: Vec<(Issue, Outcome)>,
    pub(super) revoked: Vec<(Serial, Moment, Reason)>,
    /// The highest that was given.
    pub(super) crl_number: u64,
    /// Bytes of whole lines.
    pub(super) length: u64,
}

impl State {
    /// Reads an index.
    ///
    /// # Errors
    /// [`PkiError::BadFile`] with the line that is not as it was written. The last line without its
    /// newline is not read: a crash cut it short.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<State, PkiError> {
        // By bytes: what was cut short may end in the middle of a character.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = &bytes[..whole.map_or(0, |at| at + 1)];
        let mut state = State {
            length: whole.len() as u64,
            ..State::default()
        };
        for (number, line) in (1..).zip(whole.split_inclusive(|byte| *byte == b'\n')) {
            let bad = |what: String| PkiError::BadFile {
                path: path.to_owned(),
                what: format!("line {number}: {what}; bring the file back from a backup"),
            };
            let event = serde_json::from_slice(line).map_err(|error| bad(error.to_string()))?;
            state.take(event).map_err(bad)?;
        }
        Ok(state)
    }

    pub(super) fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Init { version, .. } if version > VERSION => {
                return Err("written by a later snihub".to_owned());
            }
            Event::Init { domain, hub, .. } => (self.domain, self.hub) = (domain, hub),
            Event::Issue(issue) if issue.certificates.is_empty() => {
                return Err("an issue without certificates".to_owned());
            }
            Event::Issue(issue) => self.issues.push((issue, Outcome::Begun)),
            Event::Done { id, .. } => self.end(id, Outcome::Done)?,
            Event::Lost { id, .. } => self.end(id, Outcome::Lost)?,
            Event::Revoke {
                serial,
                time,
                reason,
            } => self.revoked.push((serial, time, reason)),
            Event::Crl { number, .. } => self.crl_number = self.crl_number.max(number),
        }
        Ok(())
    }

    fn end(&mut self, id: Serial, outcome: Outcome) -> Result<(), String> {
        // From the end: it is among the last.
        let mut latest = self.issues.iter_mut().rev();
        let issue = latest.find(|(issue, _)| issue.id() == id);
        let issue = issue.ok_or_else(|| format!("{id} was never begun"))?;
        issue.1 = outcome;
        Ok(())
    }

    /// What the hub is called; none where neither that nor a domain was said.
    pub(super) fn hub(&self) -> Option<String> {
        let usual = || Some(format!("proxy.{}", self.domain.as_ref()?));
        self.hub.clone().or_else(usual)
    }

    /// Whether this number was ever given, also to what never left.
    pub(super) fn used(&self, serial: Serial) -> bool {
        let mut all = self
            .issues
            .iter()
            .flat_map(|(issue, _)| &issue.certificates);
        all.any(|certified| certified.serial == serial)
    }

    pub(super) fn is_revoked(&self, serial: Serial) -> bool {
        self.revoked.iter().any(|(revoked, ..)| *revoked == serial)
    }

    /// What left or may have.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Issue> {
        let kept = |entry: &&(Issue, Outcome)| entry.1 != Outcome::Lost;
        self.issues.iter().filter(kept).map(|(issue, _)| issue)
    }

    /// What left, the newest last.
    pub(super) fn done(&self) -> impl Iterator<Item = &Issue> {
        let left = |entry: &&(Issue, Outcome)| entry.1 == Outcome::Done;
        self.issues.iter().filter(left).map(|(issue, _)| issue)
    }

    /// What verifiers take something of today: left, not ended, and not all of it revoked.
    pub(super) fn live(&self) -> impl Iterator<Item = &Issue> {
        let taken = self.taken();
        self.done().filter(move |issue| taken(issue))
    }

    /// What a party can work with: live, and nothing of it revoked.
    pub(super) fn whole(&self) -> impl Iterator<Item = &Issue> {
        let revoked = self.revoked_serials();
        self.live().filter(move |issue| issue.count(&revoked) == 0)
    }

    /// What verifiers would take something of if somebody had its key, whether it left or not.
    pub(super) fn usable(&self) -> impl Iterator<Item = &Issue> {
        let taken = self.taken();
        let all = self.issues.iter().map(|(issue, _)| issue);
        all.filter(move |issue| taken(issue))
    }

    /// Whether an issue is not ended and not all of it revoked: what is left of it speaks for the name.
    fn taken(&self) -> impl Fn(&Issue) -> bool + use<> {
        let (now, revoked) = (Moment::now(), self.revoked_serials());
        move |issue| issue.ends() > now && issue.count(&revoked) < issue.certificates.len()
    }

    fn revoked_serials(&self) -> HashSet<Serial> {
        self.revoked.iter().map(|(serial, ..)| *serial).collect()
    }
}

/// Appends one line and waits until it is on the disk.
pub(super) fn append(file: &mut File, state: &mut State, event: Event) -> std::io::Result<()> {
    let mut line = serde_json::to_string(&event)?;
    line.push('\n');
    // In one call; behind what is known to be whole.
    file.seek(SeekFrom::Start(state.length))?;
    let written = file
        .write_all(line.as_bytes())
        .and_then(|()| file.sync_data());
    if let Err(error) = written {
        // A part of a line is not for the next one to be glued to.
        let _ = file.set_len(state.length);
        return Err(error);
    }
    state.length += line.len() as u64;
    state.take(event).map_err(std::io::Error::other)
}
