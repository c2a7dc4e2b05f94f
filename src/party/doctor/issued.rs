//! What the authority here has issued to each party, read once for all of them.

use super::finding::Finding;
use crate::party::{LAYOUTS, Party};
use crate::pki::{Folder, Layout, Moment, Reason, Standing, first_der};
use std::collections::HashMap;

/// What the authority has of a party, in the order of its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Has {
    /// Nothing, or it was taken back, be it a half of it, or never left.
    Nothing,
    /// One that is over: it can be renewed.
    Before,
    /// One that verifiers take.
    Standing,
}

/// By name.
#[derive(Debug)]
pub struct Issued<'f> {
    domain: Option<&'f str>,
    /// When the authority's own certificate ends, if that can be read.
    ends: Option<Moment>,
    /// Of the layouts that parties have, the oldest first.
    by_name: HashMap<&'f str, Vec<(Layout, Standing)>>,
    /// Certificates that were taken back, as DER.
    revoked: HashMap<Vec<u8>, (Moment, Reason)>,
}

impl<'f> Issued<'f> {
    /// Of this folder.
    pub fn of(folder: &'f Folder) -> Issued<'f> {
        let mut issued = Issued {
            domain: folder.domain(),
            ends: folder.ends().ok(),
            by_name: HashMap::new(),
            revoked: HashMap::new(),
        };
        for entry in folder.listing().entries {
            let issue = entry.issue;
            if LAYOUTS.contains(&issue.layout) {
                let own = issued.by_name.entry(&issue.primary).or_default();
                own.push((issue.layout, entry.standing));
            }
            if let Some(since) = entry.revoked
                && let Ok(der) = first_der(issue.certificates[entry.at].pem.as_bytes())
            {
                issued.revoked.insert(der, since);
            }
        }
        issued
    }

    /// The domain of the star.
    pub(super) fn domain(&self) -> Option<&'f str> {
        self.domain
    }

    /// Whether a new certificate would end no later than this one that ends so: the authority ends then.
    pub(super) fn bounds(&self, ends: Moment) -> bool {
        self.ends.is_some_and(|authority| ends >= authority)
    }

    /// What a party runs: what a certificate was made for that may be in use. Of several pulsar, since
    /// that is asked more than anything else.
    pub(super) fn layout(&self, party: &Party) -> Option<Layout> {
        let own = self.by_name.get(&*party.name)?;
        let among = |wanted: &dyn Fn(Standing) -> bool| {
            let own = own.iter().rev().filter(|(_, one)| wanted(*one));
            let mut layouts = own.map(|(layout, _)| *layout);
            let newest = layouts.next()?;
            let pulsar = newest == Layout::Pulsar || layouts.any(|one| one == Layout::Pulsar);
            Some(if pulsar { Layout::Pulsar } else { newest })
        };
        // One that is over may be what is wrong; what was taken back or never left runs nowhere.
        among(&|one| one.stands() || matches!(one, Standing::Renewed | Standing::Half))
            .or_else(|| among(&|one| one == Standing::Ended))
    }

    /// What it has in this layout.
    pub(super) fn has(&self, party: &Party, layout: Layout) -> Has {
        let own = self.by_name.get(&*party.name).into_iter().flatten();
        let own = own.filter(|(of, _)| *of == layout);
        let best = own.map(|(_, standing)| match standing {
            Standing::Valid | Standing::Due | Standing::AuthorityDue => Has::Standing,
            Standing::Ended | Standing::Renewed => Has::Before,
            Standing::Half | Standing::Revoked | Standing::Lost => Has::Nothing,
        });
        best.max().unwrap_or(Has::Nothing)
    }

    /// Whether one stands for it, in any layout.
    pub(super) fn stands(&self, party: &Party) -> bool {
        let mut own = self.by_name.get(&*party.name).into_iter().flatten();
        own.any(|(_, standing)| standing.stands())
    }

    /// Since when and why a certificate, DER, is taken back.
    pub(super) fn revoked(&self, der: &[u8]) -> Option<(Moment, Reason)> {
        self.revoked.get(der).copied()
    }
}

/// Where none stands. `route`: where the hub finds it.
pub(super) fn lacking(party: &Party, route: &str, layout: Layout) -> Finding {
    let (id, name) = (&party.id, &party.name);
    let layout = match layout {
        Layout::Pulsar => String::new(),
        layout => format!(" --layout {}", layout.spec().name),
    };
    let seen = format!("our authority has no certificate that stands for {name}");
    Finding::note("authority", seen).fix(format!(
        "`snihub party add {id} --route {route}{layout}` issues one"
    ))
}
