//! What only the whole table can tell, and where in the file it belongs.

use super::problem::{Reporter, seen};
use super::sni_yaml::Place;
use crate::route::{Lint, RouteTable, TableError, TargetError, TargetTemplate, TargetWarning};
use std::collections::HashMap;

/// Reports the table's lints. `places`: of its entries, in order.
pub(super) fn report(table: &RouteTable, places: &[Place], reporter: &mut Reporter<'_>) {
    let entries: Vec<_> = table.entries().collect();
    let name = |entry: usize| {
        entries
            .get(entry)
            .map_or_else(String::new, |(_, route)| seen(route.pattern().as_str()))
    };
    let line = |entry: usize| places.get(entry).map_or(0, |place| place.fqdn.line);
    for lint in table.lints() {
        match lint {
            Lint::Duplicate { entry, of } => {
                let Some(place) = places.get(entry) else {
                    continue;
                };
                let text = format!(
                    "never taken: {} stands in line {}, too",
                    name(entry),
                    line(of)
                );
                reporter.warning(place.fqdn, "fqdn", text);
            }
            Lint::Shadowed { entry, by } => {
                let Some(place) = places.get(entry) else {
                    continue;
                };
                let text = format!(
                    "never taken: {} in line {} takes every such name first",
                    name(by),
                    line(by)
                );
                reporter.warning(place.fqdn, "fqdn", text);
            }
            Lint::PortNotPermitted { entry, port } => {
                let Some(place) = places.get(entry) else {
                    continue;
                };
                let text = format!("port {port} is not in connect_ports: always refused");
                reporter.warning(place.target, "tunnel_route", text);
            }
        }
    }
    unanchored(table, places, reporter);
}

/// Reports why there is no table.
pub(super) fn table_error(error: &TableError, places: &[Place], reporter: &mut Reporter<'_>) {
    match error {
        TableError::TooManyGeneral { entry, .. } => match places.get(*entry) {
            Some(place) => reporter.error(place.fqdn, "fqdn", error.to_string()),
            None => reporter.file_error("fqdn", error.to_string()),
        },
    }
}

/// ATS 9.2 before 9.2.15 does not anchor a wildcard at its end: `*.a.org` also takes
/// `x.a.org.b.net`. Where a later entry is for such a name, the same file routes differently here;
/// one such place a file is reported.
fn unanchored(table: &RouteTable, places: &[Place], reporter: &mut Reporter<'_>) {
    let mut suffixes: HashMap<&str, usize> = HashMap::new();
    for (index, (_, route)) in table.entries().enumerate() {
        let name = route.pattern().as_str();
        if !suffixes.is_empty()
            && let Some(by) = inner_suffix(name, &suffixes)
            && let (Some(place), Some(earlier)) = (places.get(index), places.get(by))
        {
            let text = format!(
                "ATS before 9.2.15 sends {} to the wildcard in line {}, which it does not anchor \
                 at its end; here it is this entry's",
                seen(name),
                earlier.fqdn.line
            );
            reporter.warning(place.fqdn, "fqdn", text);
            return;
        }
        if let Some(suffix) = name.strip_prefix("*.")
            && !suffix.contains('*')
        {
            suffixes.entry(suffix).or_insert(index);
        }
    }
}

/// The first wildcard whose suffix stands inside the name, on label boundaries, but not at its end.
fn inner_suffix(name: &str, suffixes: &HashMap<&str, usize>) -> Option<usize> {
    let dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
    dots.iter().enumerate().find_map(|(n, from)| {
        dots[n + 1..]
            .iter()
            .find_map(|to| suffixes.get(&name[from + 1..*to]).copied())
    })
}

/// Where in the text of a destination the mistake is; `None`: it is the whole of it.
pub(super) fn target_offset(error: &TargetError) -> Option<usize> {
    match error {
        TargetError::Space { at } | TargetError::Port { at, .. } => Some(*at),
        TargetError::NoHost
        | TargetError::Url
        | TargetError::Colons
        | TargetError::Bracket(_)
        | TargetError::Host { .. }
        | TargetError::TooLong(_) => None,
    }
}

/// Where in the text of a destination the warning belongs.
pub(super) fn warning_offset(warning: &TargetWarning) -> usize {
    match warning {
        TargetWarning::LiteralDollar { at, .. } => *at,
    }
}

/// Whether the host is `$N` and nothing else.
pub(super) fn is_bare(target: &TargetTemplate) -> bool {
    let host = target.as_str().split(':').next().unwrap_or("");
    let number = host.strip_prefix('$').unwrap_or("");
    target.is_dynamic() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}
