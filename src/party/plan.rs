//! What a command would change in sni.yaml: decided before anything is done.

use super::routes::is_of;
use super::{Change, Party, PartyError, Routes, Row};
use crate::config::edit::{self, ByHand};
use crate::route::{IpSet, IpSetBuilder, TargetTemplate};

/// What `party add` was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'w> {
    /// Who.
    pub party: &'w Party,
    /// Where the hub finds its broker.
    pub route: &'w str,
    /// Where it calls from, if that is not where it listens.
    pub sources: &'w [String],
    /// Who may call it; nobody said: everybody.
    pub allow_from: &'w [String],
}

/// What is to be done to the file.
#[derive(Debug)]
pub struct Plan {
    /// `None`: it says so already.
    pub change: Option<Change>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// A party's entry more.
///
/// # Errors
/// [`PartyError::Usage`] for a route or range that is none; [`PartyError::Refused`] where the name
/// goes elsewhere already, or the file is not edited here; [`PartyError::Config`].
pub fn add(routes: &Routes, wish: &Wish<'_>) -> Result<Plan, PartyError> {
    check_route(wish.route)?;
    let name = &*wish.party.name;
    let allowed = ranges("--allow-from", wish.allow_from)?;
    let sources = ranges("--source", wish.sources)?;
    if let Some(row) = routes.find(name) {
        same(routes, wish, row, allowed.as_ref(), sources.as_ref())?;
        let notes = shadowed(routes, name).into_iter().collect();
        return Ok(Plan {
            change: None,
            notes,
        });
    }
    let mut notes = Vec::new();
    // The first that takes a name wins: the new one has to stand before it.
    let before = routes.takes(name).map(|row| {
        let (place, pattern) = (place(routes, row), row.route.pattern().as_str());
        notes.push(format!("until now {place} ({pattern}) took this name"));
        row.at
    });
    let same_target = |row: &Row<'_>| row.route.target().is_some_and(|t| t.as_str() == wish.route);
    if let Some(other) = routes.rows().find(same_target) {
        let (place, pattern) = (place(routes, other), other.route.pattern().as_str());
        notes.push(format!(
            "{} is also where {pattern} goes ({place})",
            wish.route
        ));
    }
    let (allow_from, from) = (wish.allow_from.join(","), wish.sources.join(","));
    let mut pairs = vec![("fqdn", name), ("tunnel_route", wish.route)];
    pairs.extend((!allow_from.is_empty()).then_some(("ip_allow", &*allow_from)));
    pairs.extend((!from.is_empty()).then_some(("sources", &*from)));
    let text = edit::insert(routes.text(), before, &pairs);
    let change = routes.change(text.map_err(|why| by_hand(routes, &why))?)?;
    if !change
        .takes(name)
        .is_some_and(|(_, route)| is_of(route, name))
    {
        return Err(PartyError::Refused(format!(
            "{}: an entry above would still take {name}; nothing was touched. Add the party by hand, \
             above that one",
            routes.path.display()
        )));
    }
    notes.extend(
        change
            .warnings
            .iter()
            .map(|warning| warning.headline().to_string()),
    );
    Ok(Plan {
        change: Some(change),
        notes,
    })
}

/// All entries of a name less. `None`: there is none.
///
/// # Errors
/// As [`add`].
pub fn remove(routes: &Routes, name: &str) -> Result<Option<Plan>, PartyError> {
    let mut places: Vec<usize> = routes
        .rows()
        .filter(|row| is_of(row.route, name))
        .map(|row| row.at)
        .collect();
    if places.is_empty() {
        return Ok(None);
    }
    // The last first: those before it stay where they are.
    places.reverse();
    let mut text = routes.text().to_owned();
    for at in places {
        text = edit::remove(&text, at).map_err(|why| by_hand(routes, &why))?;
    }
    let change = routes.change(text)?;
    let mut notes = Vec::new();
    if let Some((line, route)) = change.takes(name) {
        let pattern = route.pattern().as_str();
        notes.push(format!(
            "line {line} ({pattern}) takes this name from now on"
        ));
    }
    Ok(Some(Plan {
        change: Some(change),
        notes,
    }))
}

/// Another destination for a name.
///
/// # Errors
/// As [`add`].
pub fn reroute(routes: &Routes, name: &str, route: &str) -> Result<Plan, PartyError> {
    check_route(route)?;
    let mut own = routes.rows().filter(|row| is_of(row.route, name));
    let (Some(row), None) = (own.next(), own.next()) else {
        let (file, many) = (routes.path.display(), routes.find(name).is_some());
        return Err(PartyError::Refused(match many {
            true => {
                format!("{file}: more than one entry is for {name}: say by hand which is meant")
            }
            false => format!("{file}: no entry for {name}; `snihub party list` shows them"),
        }));
    };
    let notes: Vec<String> = shadowed(routes, name).into_iter().collect();
    if row
        .route
        .target()
        .is_some_and(|target| target.as_str() == route)
    {
        return Ok(Plan {
            change: None,
            notes,
        });
    }
    let text = edit::set(routes.text(), row.at, "tunnel_route", route);
    let change = routes.change(text.map_err(|why| by_hand(routes, &why))?)?;
    let warnings = change
        .warnings
        .iter()
        .map(|warning| warning.headline().to_string());
    let notes = notes.into_iter().chain(warnings).collect();
    Ok(Plan {
        change: Some(change),
        notes,
    })
}

/// Whether the entry that is there is what was asked for. What was not said counts as said so.
fn same(
    routes: &Routes,
    wish: &Wish<'_>,
    row: Row<'_>,
    allowed: Option<&IpSet>,
    sources: Option<&IpSet>,
) -> Result<(), PartyError> {
    let (place, name, id) = (place(routes, row), &wish.party.name, &wish.party.id);
    let no = |what: String| Err(PartyError::Refused(format!("{place}: {name} {what}")));
    match row.route.target() {
        Some(target) if target.as_str() == wish.route => {}
        Some(target) => {
            return no(format!(
                "goes to {} already, not to {route}; if it moved: `snihub party reroute {id} --route \
                 {route}`",
                target.as_str(),
                route = wish.route
            ));
        }
        None => {
            return no("has an entry without tunnel_route, which refuses it: remove that".into());
        }
    }
    if row.route.inbound_ports().is_some() {
        return no("has an entry for some inbound ports only: edit it by hand".into());
    }
    for (key, asked, there) in [
        ("ip_allow", allowed, row.route.ip_allow()),
        ("sources", sources, row.route.sources()),
    ] {
        if asked.is_some() && asked != there {
            return no(format!("is there with another {key}: edit it by hand"));
        }
    }
    Ok(())
}

/// An entry that an earlier one keeps from being asked.
fn shadowed(routes: &Routes, name: &str) -> Option<String> {
    let first = routes.takes(name).filter(|row| !is_of(row.route, name))?;
    let (place, pattern) = (place(routes, first), first.route.pattern().as_str());
    Some(format!("{place} ({pattern}) takes this name first"))
}

fn place(routes: &Routes, row: Row<'_>) -> String {
    format!("{}:{}", routes.path.display(), row.line)
}

fn by_hand(routes: &Routes, why: &ByHand) -> PartyError {
    PartyError::Refused(format!("{} {why}", routes.path.display()))
}

/// A fixed `host:port`: a party's own name has no part that could fill a `$1`.
fn check_route(text: &str) -> Result<(), PartyError> {
    let bad = |why: String| PartyError::Usage(format!("--route {text:?} is no HOST:PORT: {why}"));
    let (target, _) = TargetTemplate::parse(text, 0).map_err(|why| bad(why.to_string()))?;
    if text.contains(['$', '{']) {
        return Err(bad(
            "the host and the port of one broker are wanted".to_owned()
        ));
    }
    match target.written_port() {
        Some(1..) => Ok(()),
        _ => Err(bad("say the port, as in 192.168.0.4:6651".to_owned())),
    }
}

/// `None`: nobody said any.
fn ranges(flag: &str, items: &[String]) -> Result<Option<IpSet>, PartyError> {
    let mut set = IpSetBuilder::default();
    for item in items {
        set.add(item)
            .map_err(|why| PartyError::Usage(format!("{flag} {item:?}: {why}")))?;
    }
    Ok((!items.is_empty()).then(|| set.build()))
}
