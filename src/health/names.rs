//! Whose certificate is good for whom else. An HTTP/2 client that has a connection to one party uses
//! it for every other name that this party's certificate has and that leads to the same address (RFC
//! 9113 section 9.1.1), and behind a hub all names do: what is for the other ends at the first.

use super::plan::Whom;
use crate::net::Target;
use crate::route::RouteTable;
use crate::tls::ServerName;
use std::collections::HashMap;
use std::sync::Arc;

/// Names of a certificate that are kept.
const MOST_NAMES: usize = 32;
/// RFC 1035 section 2.3.4; a longer text is no name of a host.
const LONGEST: usize = 253;
/// Routes that are named, and counted: who shares with a hundred shares with all.
const MOST_ROUTES: usize = 8;
const MOST_COUNTED: usize = 100;

/// Other routes for which a certificate is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Also {
    /// The name in it that the first of them has.
    pub by: String,
    /// Their ids, the first 8.
    pub routes: Vec<Arc<str>>,
    /// How many there are, counted up to 100.
    pub many: usize,
}

/// The names that the hub routes one by one, and where each leads.
#[derive(Debug, Default)]
pub(super) struct Names {
    rows: Vec<Row>,
    exact: HashMap<Arc<str>, Vec<usize>>,
    /// By what follows the first dot.
    below: HashMap<Box<str>, Vec<usize>>,
}

#[derive(Debug)]
struct Row {
    id: Arc<str>,
    name: Arc<str>,
    target: Target,
}

impl Names {
    /// Of all routes, asked or not. `ports`: those of the hub's listeners.
    pub(super) fn of(table: &RouteTable, ports: &[u16]) -> Names {
        let mut names = Names::default();
        for (_, route) in table.entries() {
            let Some((name, target)) = table.sole_client(route, ports) else {
                continue;
            };
            let (place, name) = (names.rows.len(), name.as_str());
            if let Some((_, parent)) = name.split_once('.') {
                names.below.entry(parent.into()).or_default().push(place);
            }
            let name: Arc<str> = name.into();
            names
                .exact
                .entry(Arc::clone(&name))
                .or_default()
                .push(place);
            names.rows.push(Row {
                id: Arc::clone(&route.id),
                name,
                target,
            });
        }
        names
    }

    /// The routes that lead elsewhere than `own` and for whose names a certificate with these names
    /// is good. One that is not good for `own` is refused before anything is sent.
    pub(super) fn also(&self, own: &Whom, certificate: &[String]) -> Option<Also> {
        let name = own.name.as_str();
        if !certificate.iter().any(|one| covers(one, name)) {
            return None;
        }
        let mut also: Option<Also> = None;
        let mut seen = Vec::new();
        for by in certificate {
            for &place in self.covered(by) {
                let row = &self.rows[place];
                if row.target == own.target
                    || is_within(&row.name, name)
                    || is_within(name, &row.name)
                {
                    continue;
                }
                if seen.contains(&place) {
                    continue;
                }
                seen.push(place);
                let also = also.get_or_insert_with(|| Also {
                    by: by.clone(),
                    routes: Vec::new(),
                    many: 0,
                });
                also.many += 1;
                if also.many <= MOST_ROUTES {
                    also.routes.push(Arc::clone(&row.id));
                }
                if also.many == MOST_COUNTED {
                    return Some(also.clone());
                }
            }
        }
        also
    }

    fn covered(&self, by: &str) -> &[usize] {
        let found = match by.strip_prefix("*.") {
            Some(parent) => self.below.get(parent),
            None => self.exact.get(by),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// The names of hosts among those of a certificate, in lower case.
pub(super) fn of_hosts(names: &[String]) -> Vec<String> {
    let host = |name: &&String| {
        let host = name.strip_prefix("*.").unwrap_or(name);
        name.len() <= LONGEST && ServerName::parse(host.as_bytes()).is_ok()
    };
    let hosts = names.iter().filter(host).take(MOST_NAMES);
    let plain = |name: &String| name.trim_end_matches('.').to_ascii_lowercase();
    hosts.map(plain).collect()
}

/// RFC 9525 section 6.3: a `*` is the whole first label, and stands for one.
fn covers(certified: &str, name: &str) -> bool {
    match certified.strip_prefix("*.") {
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(_, below)| below == parent),
        None => certified == name,
    }
}

/// A party's brokers have names below its own, and may have one certificate.
fn is_within(name: &str, other: &str) -> bool {
    let rest = name.strip_suffix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Action, ConnectPorts, Entry, FqdnPattern, ProbeKind, TargetTemplate};

    fn table(entries: &[(&str, &str)]) -> RouteTable {
        let entry = |(name, target): &(&str, &str)| {
            let pattern = FqdnPattern::parse(name).unwrap();
            let (target, _) = TargetTemplate::parse(target, pattern.captures()).unwrap();
            Entry::new(1, pattern, Action::Tunnel(target))
        };
        RouteTable::new(entries.iter().map(entry).collect(), ConnectPorts::Default).unwrap()
    }

    /// Of the certificate of the first route.
    fn also(
        entries: &[(&str, &str)],
        certificate: &[&str],
    ) -> Option<(String, Vec<String>, usize)> {
        let table = table(entries);
        let names = Names::of(&table, &[443]);
        let (_, first) = table.entries().next().unwrap();
        let whom = Whom::of(first, &table, ProbeKind::Tls, &[443]).unwrap();
        let certificate: Vec<String> = certificate.iter().map(|&name| name.to_owned()).collect();
        let also = names.also(&whom, &of_hosts(&certificate))?;
        let routes = also.routes.iter().map(ToString::to_string).collect();
        Some((also.by, routes, also.many))
    }

    #[test]
    fn a_wildcard_and_a_list_are_good_for_others() {
        let star = [
            ("a.fate.org", "10.0.0.1:1"),
            ("b.fate.org", "10.0.0.2:1"),
            ("c.fate.org", "10.0.0.3:1"),
            ("c.other.org", "10.0.0.4:1"),
            ("x.c.fate.org", "10.0.0.5:1"),
        ];
        let found = |certificate: &[&str]| also(&star, certificate);
        let both = vec!["b.fate.org".to_owned(), "c.fate.org".to_owned()];
        assert_eq!(found(&["*.FATE.org"]), Some(("*.fate.org".into(), both, 2)));
        let one = Some(("b.fate.org".into(), vec!["b.fate.org".to_owned()], 1));
        assert_eq!(found(&["a.fate.org", "B.fate.org.", "b.fate.org"]), one);
        assert_eq!(found(&["a.fate.org"]), None);
        assert_eq!(
            found(&["a.fate.org", "localhost", "10.0.0.2", "URI b.fate.org"]),
            None
        );
        // A client refuses it for a.fate.org: it never gets as far as to have a connection.
        assert_eq!(found(&["b.fate.org", "*.other.org"]), None);
    }

    #[test]
    fn names_of_one_party_may_share() {
        let party = [
            ("9999.fate.org", "10.0.0.1:1"),
            ("b1.9999.fate.org", "10.0.0.2:1"),
            ("alias.org", "10.0.0.1:1"),
            ("*.fate.org", "10.0.0.3:1"),
        ];
        let names = [
            "9999.fate.org",
            "b1.9999.fate.org",
            "alias.org",
            "*.fate.org",
        ];
        assert_eq!(also(&party, &names), None);
    }

    #[test]
    fn who_shares_with_many_is_counted_to_a_bound() {
        let names: Vec<String> = (0..1_000).map(|n| format!("{n}.fate.org")).collect();
        let targets: Vec<String> = (0..1_000).map(|n| format!("h{n}:1")).collect();
        let star: Vec<(&str, &str)> = names
            .iter()
            .zip(&targets)
            .map(|(name, target)| (&**name, &**target))
            .collect();
        let (_, routes, many) = also(&star, &["*.fate.org"]).unwrap();
        assert_eq!((routes.len(), many), (MOST_ROUTES, MOST_COUNTED));
    }
}
