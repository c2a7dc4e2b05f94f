//! What was issued, and how each certificate stands.

use super::super::{Layout, Moment, Name, PkiError, Serial};
use super::index::{Issue, Outcome, Reason};
use super::{Folder, RevocationList};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// A certificate that ends within these days is due to be renewed.
pub const DUE_DAYS: i64 = 30;

/// An authority that ends within these days is due to get a successor: every party has to trust the new
/// one before the first certificate of it is shown.
pub const AUTHORITY_DUE_DAYS: i64 = 180;

/// What to do then.
pub const SUCCESSION: &str = "make its successor (`snihub pki init --ca NEW --succeed OLD`), have every \
                              party trust NEW/trust.pem, which holds both, then make each party's bundle \
                              anew (`snihub party add PARTY --route HOST:PORT --ca NEW --parties DIR`); README \
                              has it line by line";

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Verifiers take it.
    Valid,
    /// Verifiers take it, for less than 30 days.
    Due,
    /// The same, and a new one would end no later: the authority itself does.
    AuthorityDue,
    /// Verifiers take it, and a newer one is there.
    Renewed,
    /// Verifiers take it, and another of the same issue was taken back: a party cannot work with the
    /// rest, and whoever has its key can.
    Half,
    /// It is over.
    Ended,
    /// It was taken back.
    Revoked,
    /// It was not found where it was to go when that was looked for after a crash.
    Lost,
}

impl Standing {
    /// Whether verifiers take it and no newer one is there.
    pub fn stands(self) -> bool {
        matches!(
            self,
            Standing::Valid | Standing::Due | Standing::AuthorityDue
        )
    }
}

/// One certificate.
#[derive(Debug, Clone)]
pub struct Entry<'f> {
    /// The issue that it belongs to.
    pub issue: &'f Issue,
    /// Which of its certificates.
    pub at: usize,
    /// How it stands.
    pub standing: Standing,
    /// Whether a newer one of the same name and layout is there.
    pub newer: bool,
    /// Whole days left, negative when it is over.
    pub days_left: i64,
    /// Since when and why it is revoked.
    pub revoked: Option<(Moment, Reason)>,
}

/// All of them, the oldest first.
#[derive(Debug, Clone)]
pub struct Listing<'f> {
    /// The certificates.
    pub entries: Vec<Entry<'f>>,
    /// The revocation list, if one can be read.
    pub list: Option<RevocationList>,
}

impl Folder {
    /// Every certificate, also what was never delivered.
    pub fn listing(&self) -> Listing<'_> {
        let (revoked, newest) = (self.revocations(), self.newest());
        // What cannot be read bounds nothing here; whoever asks for it is told.
        let authority = self.ends().ok();
        let issues = self.state.issues.iter();
        let entries = issues.flat_map(|(issue, outcome)| {
            let renewed = newest.get(&(issue.layout, &*issue.primary)) != Some(&issue.id());
            let half = issue.serials().any(|one| revoked.contains_key(&one));
            let revoked = &revoked;
            (0..issue.certificates.len()).map(move |at| {
                let revoked = revoked.get(&issue.certificates[at].serial).copied();
                entry(issue, *outcome, at, revoked, (half, renewed), authority)
            })
        });
        Listing {
            entries: entries.collect(),
            list: self.revocation_list(),
        }
    }

    /// How the authority's own certificate stands: valid, due (less than 180 days) or ended; and the
    /// whole days that it has left.
    ///
    /// # Errors
    /// As [`Folder::ends`].
    pub fn standing(&self) -> Result<(Standing, i64), PkiError> {
        let days = self.ends()?.days_after(Moment::now());
        let standing = match days {
            ..0 => Standing::Ended,
            0..AUTHORITY_DUE_DAYS => Standing::Due,
            AUTHORITY_DUE_DAYS.. => Standing::Valid,
        };
        Ok((standing, days))
    }

    /// Since when and why; the first word on it counts.
    fn revocations(&self) -> HashMap<Serial, (Moment, Reason)> {
        let mut map = HashMap::new();
        for &(serial, time, reason) in &self.state.revoked {
            map.entry(serial).or_insert((time, reason));
        }
        map
    }

    /// Of each name in each layout the newest that verifiers take; else the newest that left.
    fn newest(&self) -> HashMap<(Layout, &str), Serial> {
        // Of equal keys the last counts.
        let both = self.state.done().chain(self.state.whole());
        both.map(|issue| ((issue.layout, &*issue.primary), issue.id()))
            .collect()
    }

    /// The newest issue of that name, or the one with that serial number. A party may be given as it
    /// was to `issue`: without its domain.
    ///
    /// # Errors
    /// [`PkiError::NotIssued`]; [`PkiError::Ambiguous`] where several layouts have the name and none
    /// is said.
    pub fn find(&self, name: &str, layout: Option<Layout>) -> Result<&Issue, PkiError> {
        let found = self.all_of(name, layout);
        let newest = self.newest();
        let newest = |issue: &&Issue| {
            let newest = newest.get(&(issue.layout, &*issue.primary));
            Serial::parse(name).is_some() || newest == Some(&issue.id())
        };
        one(name, found.into_iter().filter(newest).collect())
    }

    /// As [`Folder::find`], for taking back: older certificates of the name that are still valid
    /// count, too, so that nobody takes back the wrong one; and what was not found where it was to
    /// go, or was not looked for yet: somebody may have moved it before, and has a key that works.
    ///
    /// # Errors
    /// As [`Folder::find`].
    pub fn find_live(&self, name: &str, layout: Option<Layout>) -> Result<Vec<&Issue>, PkiError> {
        let found = match Serial::parse(name) {
            Some(_) => self.all_of(name, layout),
            None => self.called(name, layout, |_| true),
        };
        if found.is_empty() {
            return Err(PkiError::NotIssued(name.to_owned()));
        }
        let usable: HashSet<_> = self.state.usable().map(Issue::id).collect();
        let standing = |issue: &&Issue| usable.contains(&issue.id());
        let (valid, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(standing);
        // Nothing valid: the last one, so that it can be said what became of it.
        Ok(if valid.is_empty() {
            rest.into_iter().last().into_iter().collect()
        } else {
            valid
        })
    }

    fn all_of(&self, name: &str, layout: Option<Layout>) -> Vec<&Issue> {
        if let Some(serial) = Serial::parse(name) {
            // Also of what never left, as far as is known: whoever doubts it can take it back.
            let all = self.state.issues.iter().map(|(issue, _)| issue);
            let has = |issue: &&Issue| issue.certificates.iter().any(|c| c.serial == serial);
            return all.filter(has).collect();
        }
        self.called(name, layout, |outcome| outcome == Outcome::Done)
    }

    fn called(
        &self,
        name: &str,
        layout: Option<Layout>,
        counts: impl Fn(Outcome) -> bool,
    ) -> Vec<&Issue> {
        let issues = self.state.issues.iter();
        let found = issues.filter(|(issue, became)| {
            counts(*became) && layout.is_none_or(|layout| issue.layout == layout)
        });
        let found = found.map(|(issue, _)| issue);
        let name = Name::parse(name).map_or_else(|_| name.to_owned(), |name| name.to_string());
        let full = self.domain().map(|domain| format!("{name}.{domain}"));
        let (exact, others): (Vec<_>, Vec<_>) = found.partition(|issue| issue.primary == name);
        if !exact.is_empty() {
            return exact;
        }
        let others = others.into_iter();
        others
            .filter(|issue| Some(&issue.primary) == full.as_ref())
            .collect()
    }
}

fn entry(
    issue: &Issue,
    outcome: Outcome,
    at: usize,
    revoked: Option<(Moment, Reason)>,
    (half, renewed): (bool, bool),
    authority: Option<Moment>,
) -> Entry<'_> {
    let ends = issue.certificates[at].not_after;
    let days_left = ends.days_after(Moment::now());
    let standing = if revoked.is_some() {
        Standing::Revoked
    } else if outcome != Outcome::Done {
        Standing::Lost
    } else if days_left < 0 {
        Standing::Ended
    } else if half {
        Standing::Half
    } else if renewed {
        Standing::Renewed
    } else if days_left < DUE_DAYS && authority.is_some_and(|authority| ends >= authority) {
        Standing::AuthorityDue
    } else if days_left < DUE_DAYS {
        Standing::Due
    } else {
        Standing::Valid
    };
    Entry {
        issue,
        at,
        standing,
        newer: renewed,
        days_left,
        revoked,
    }
}

fn one<'f>(name: &str, mut found: Vec<&'f Issue>) -> Result<&'f Issue, PkiError> {
    match found.len() {
        0 => Err(PkiError::NotIssued(name.to_owned())),
        1 => Ok(found.remove(0)),
        _ => Err(ambiguous(name, &found)),
    }
}

/// The error that says which certificates a name stands for.
pub fn ambiguous(name: &str, found: &[&Issue]) -> PkiError {
    let listed = found.iter().fold(String::new(), |mut text, issue| {
        let newline = if text.is_empty() { "" } else { "\n" };
        let (layout, serial) = (issue.layout.spec().name, issue.id());
        let _ = write!(
            text,
            "{newline}  {serial}  layout {layout}, until {}",
            issue.ends()
        );
        text
    });
    PkiError::Ambiguous {
        name: name.to_owned(),
        count: found.len(),
        listed,
    }
}
