//! Who may have which name: no certificate covers what another party's covers.

use super::super::bundle::Order;
use super::super::error::Holder;
use super::super::{Layout, Name, PkiError};
use super::index::{Issue, State};

/// What of the rules an operator sets aside by word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waived<'w> {
    /// The hub's names that a party's certificate may carry.
    pub(super) hubs: &'w [Name],
    /// Whether more of them could have been said.
    pub(super) lends: bool,
    /// Whether it takes the place of one with the same first name and layout that has not ended.
    pub(super) renews: bool,
    /// Whether the operator said the names: a request alone cannot show that its sender is the party
    /// that has them in another layout.
    pub(super) said: bool,
    /// Whether `O=` was said, not just read from a request.
    pub(super) organization: bool,
}

/// # Errors
/// [`PkiError::AlreadyIssued`], [`PkiError::HubName`], [`PkiError::Taken`], [`PkiError::Above`];
/// [`PkiError::Layout`] for a party that would have the whole star, or the hub.
pub(super) fn check(state: &State, order: &Order, waived: Waived<'_>) -> Result<(), PkiError> {
    let primary = order.primary();
    let to_hub = order.layout() == Layout::Hub;
    let hub = state.hub().and_then(|hub| Name::dns(&hub).ok());
    let of_hub = |name: &&Name| hub.as_ref() == Some(*name) && !waived.hubs.contains(name);
    if let Some(name) = order.names().iter().find(of_hub).filter(|_| !to_hub) {
        return Err(hub_name(order, name, waived));
    }
    if !waived.renews {
        not_the_domain(state, order)?;
        not_above(state, order, hub.as_ref())?;
    }
    for issue in state.live() {
        if issue.primary == primary && issue.layout == order.layout() {
            let whole = !issue.serials().any(|serial| state.is_revoked(serial));
            if !waived.renews && whole {
                return Err(PkiError::AlreadyIssued {
                    layout: issue.layout.spec().name,
                    serial: issue.id().to_string(),
                    until: issue.ends().to_string(),
                    name: primary,
                });
            }
            // What is left of one half of which was taken back keeps the name from others, and not from
            // whom it is given to by word.
            if waived.renews || waived.said {
                continue;
            }
        }
        if issue.primary == primary && waived.said && !hub_and_party(issue.layout, order.layout()) {
            // Another system of the same party.
            continue;
        }
        check_organization(issue, order, waived)?;
        for name in order.names() {
            // What a party was given by word stays the hub's.
            let lent = issue.primary != name.to_string()
                && (issue.hub_names.contains(&name.to_string()) || hub.as_ref() == Some(name));
            // Giving the hub's name away is no way to give another party's.
            let free = match waived.hubs.contains(name) {
                true => issue.layout == Layout::Hub || lent,
                false => to_hub && lent,
            };
            if !free && covers(issue, name) {
                return Err(taken(issue, order, name, waived));
            }
        }
    }
    Ok(())
}

/// What is below a party's name is that party's: one that is called as the authority's domain, or what
/// that is within, would have all of the star.
fn not_the_domain(state: &State, order: &Order) -> Result<(), PkiError> {
    let spec = order.layout().spec();
    let domain = state
        .domain
        .as_deref()
        .and_then(|name| Name::dns(name).ok());
    let (Some(domain), true) = (domain, spec.party) else {
        return Ok(());
    };
    let within = |name: &&Name| matches!(name, Name::Dns(_)) && domain.is_within(name);
    match order.names().first().filter(within) {
        Some(name) => Err(PkiError::Layout {
            layout: spec.name,
            why: format!(
                "{name} would have every name below {domain}, the authority's domain: a party's name \
                 is below it, as 9998.{domain}"
            ),
        }),
        None => Ok(()),
    }
}

/// Nor one that is above a name that somebody else has: that one's owner got it before, and would stand
/// within another party.
fn not_above(state: &State, order: &Order, hub: Option<&Name>) -> Result<(), PkiError> {
    let spec = order.layout().spec();
    let (Some(own @ Name::Dns(_)), true) = (order.names().first(), spec.party) else {
        return Ok(());
    };
    let below = |name: &Name| name != own && name.is_within(own);
    if let Some(hub) = hub.filter(|hub| below(hub)) {
        return Err(PkiError::Layout {
            layout: spec.name,
            why: format!(
                "{own} would have every name below it, and {hub} is the hub's: choose another name"
            ),
        });
    }
    let primary = order.primary();
    for issue in state.live().filter(|issue| issue.primary != primary) {
        let all = issue.certificates.iter();
        let mut names = all.flat_map(|certified| &certified.names);
        let theirs = names.find(|name| Name::dns(name).is_ok_and(|name| below(&name)));
        if let Some(theirs) = theirs {
            return Err(PkiError::Above {
                name: primary,
                below: theirs.clone(),
                holder: holder(issue),
            });
        }
    }
    Ok(())
}

/// The hub is nobody's other system.
fn hub_and_party(one: Layout, other: Layout) -> bool {
    let is = |hub: Layout, party: Layout| hub == Layout::Hub && party.spec().party;
    is(one, other) || is(other, one)
}

/// Whether a certificate speaks for this name. Addresses are no identities here: parties behind NAT
/// share them; nor is localhost.
fn covers(issue: &Issue, name: &Name) -> bool {
    let Name::Dns(_) = name else { return false };
    if name.to_string() == "localhost" {
        return false;
    }
    let party = issue.layout.spec().party;
    let mut all = issue
        .certificates
        .iter()
        .flat_map(|certified| &certified.names);
    let own = Name::dns(&issue.primary);
    all.any(|other| *other == name.to_string())
        // What is below a party's name is that party's, whether it has a certificate for it or not.
        || party && own.is_ok_and(|own| name.is_within(&own))
}

/// Only a broker's certificate has it besides its own name.
fn hub_name(order: &Order, name: &Name, waived: Waived<'_>) -> PkiError {
    let own = order.names().first() == Some(name);
    PkiError::HubName {
        name: name.to_string(),
        lends: waived.lends && order.layout() == Layout::Pulsar && !own,
    }
}

fn taken(issue: &Issue, order: &Order, name: &Name, waived: Waived<'_>) -> PkiError {
    if issue.layout == Layout::Hub || issue.hub_names.contains(&name.to_string()) {
        return hub_name(order, name, waived);
    }
    PkiError::Taken {
        name: name.to_string(),
        holder: holder(issue),
    }
}

fn holder(issue: &Issue) -> Box<Holder> {
    Box::new(Holder {
        owner: issue.primary.clone(),
        layout: issue.layout.spec().name,
        serial: issue.id().to_string(),
        until: issue.ends().to_string(),
    })
}

/// Substra's orchestrator takes `O=` for who one is: a request may not claim another's.
fn check_organization(issue: &Issue, order: &Order, waived: Waived<'_>) -> Result<(), PkiError> {
    let spec = issue.layout.spec();
    let Some(organization) = order.organization() else {
        return Ok(());
    };
    let mut all = issue.certificates.iter();
    let same = all.any(|certified| certified.organization.as_deref() == Some(organization));
    // In whatever layout the other one is: a certificate verifies by its authority, and says who one
    // is by its O=, not by the files it came in.
    let counts = spec.organization || order.layout().spec().organization;
    // Two of one organisation are what an operator makes of them, who said so both times: what came
    // with a request may be a stranger's, also where it came first.
    let both_said = waived.organization && (issue.organization_said || !issue.by_request);
    if waived.renews || both_said || !counts || !same {
        return Ok(());
    }
    Err(PkiError::Taken {
        name: format!("O={}", organization.escape_debug()),
        holder: holder(issue),
    })
}
