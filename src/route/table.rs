//! All entries, in file order.

use super::name_index::NameIndex;
use super::party_index::PartyIndex;
use super::pattern::Form;
use super::target::Unformed;
use super::{ConnectPorts, Decision, Denied, Entry, Query, Route};
use crate::refusal::Refusal;
use crate::tls::ServerName;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use thiserror::Error;

/// How many patterns may be neither exact, nor `*.suffix`, nor `*`: they are tried one by one.
pub const MAX_GENERAL_PATTERNS: usize = 1_000;

/// All entries, in file order.
#[derive(Debug)]
pub struct RouteTable {
    pub(super) rows: Box<[Row]>,
    exact: NameIndex,
    suffix: NameIndex,
    /// First of the chain of `*`.
    any: u32,
    /// Ascending.
    general: Box<[u32]>,
    parties: PartyIndex,
    connect_ports: ConnectPorts,
}

/// An entry at its place.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u32,
    /// The next entry with the same pattern, if this one is for some inbound ports only.
    next: u32,
    pub(super) route: Arc<Route>,
}

/// No entry: after every place. (An entry takes 200 bytes, so 2^32 of them fit nowhere.)
const NONE: u32 = u32::MAX;

/// Why entries make no table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TableError {
    /// This entry is the first one above [`MAX_GENERAL_PATTERNS`].
    #[error(
        "pattern {pattern:?} is number {MAX_GENERAL_PATTERNS} + 1 of those that are neither exact, \
         nor *.suffix, nor * alone ({total} in all); at most {MAX_GENERAL_PATTERNS} are taken"
    )]
    TooManyGeneral {
        /// Its place among the entries, from 0.
        entry: usize,
        /// Its line.
        line: u32,
        /// Its text.
        pattern: Arc<str>,
        /// How many there are.
        total: usize,
    },
}

impl RouteTable {
    /// The table of these entries, in file order.
    ///
    /// # Errors
    /// [`TableError`]s, each naming its entry.
    pub fn new(
        entries: Vec<Entry>,
        connect_ports: ConnectPorts,
    ) -> Result<RouteTable, Vec<TableError>> {
        let mut ids = Ids::default();
        let rows: Box<[Row]> = entries
            .into_iter()
            .map(|entry| Row {
                line: entry.line,
                next: NONE,
                route: Arc::new(Route::new(ids.of(&entry), entry)),
            })
            .collect();
        drop(ids);
        let general: Box<[u32]> = places(&rows, |form| matches!(form, Form::General(_))).collect();
        if let Some(&first) = general.get(MAX_GENERAL_PATTERNS) {
            let row = &rows[first as usize];
            return Err(vec![TableError::TooManyGeneral {
                entry: first as usize,
                line: row.line,
                pattern: Arc::clone(row.route.pattern().shared_text()),
                total: general.len(),
            }]);
        }
        let mut table = RouteTable {
            parties: PartyIndex::of(rows.iter().map(|row| &*row.route)),
            exact: NameIndex::with_room_for(places(&rows, |f| *f == Form::Exact).count()),
            suffix: NameIndex::with_room_for(places(&rows, |f| *f == Form::Suffix).count()),
            any: NONE,
            general,
            rows,
            connect_ports,
        };
        table.link();
        Ok(table)
    }

    /// First match in file order wins, exact and wildcard alike; then `ip_allow`, then the target,
    /// then `connect_ports`. Names that no route takes, and routes without a target, are
    /// `UnknownServerName` (`NoServerName` without a name). So is a host that cannot be formed from
    /// the name (`$1.svc` where `*` took nothing); a port that cannot be formed (`h:$1` where `*`
    /// took no number, `{proxy_protocol_port}` without a PROXY header) is `PortNotPermitted(0)`.
    ///
    /// # Errors
    /// [`Denied`], with the entry that matched, if one did.
    pub fn decide(&self, query: &Query<'_>) -> Result<Decision<'_>, Denied<'_>> {
        let name = query.name.map_or("", ServerName::as_str);
        let unknown = match query.name {
            Some(_) => Refusal::UnknownServerName,
            None => Refusal::NoServerName,
        };
        let end = self.rows.len() as u32;
        let Some(place) = self.first_match(name, end, |route| route.listens_on(query.inbound_port))
        else {
            return Err(Denied {
                refusal: unknown,
                route: None,
            });
        };
        let route = &self.rows[place as usize].route;
        let denied = |refusal| Denied {
            refusal,
            route: Some(route),
        };
        if route
            .ip_allow()
            .is_some_and(|allowed| !allowed.contains(query.source))
        {
            return Err(denied(Refusal::NotAllowed));
        }
        let template = route.target().ok_or_else(|| denied(unknown))?;
        let target = template
            .expand(
                || route.pattern().capture(name).unwrap_or_default(),
                query.inbound_port,
                query.proxy_port,
                route.allow_private(),
            )
            .map_err(|unformed| match unformed {
                Unformed::Host => denied(unknown),
                Unformed::Port => denied(Refusal::PortNotPermitted(0)),
            })?;
        if !self
            .connect_ports
            .permits(target.port, template.port_is_clients_choice())
        {
            return Err(denied(Refusal::PortNotPermitted(target.port)));
        }
        Ok(Decision { route, target })
    }

    /// The same for somebody whom the entry's `ip_allow` lets in: source rules are left out of account,
    /// but where the list is empty.
    ///
    /// # Errors
    /// As [`RouteTable::decide`].
    pub fn decide_for_some(
        &self,
        name: Option<&ServerName>,
        inbound_port: u16,
    ) -> Result<Decision<'_>, Denied<'_>> {
        let mut query = Query {
            name,
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            inbound_port,
            proxy_port: None,
        };
        let decided = self.decide(&query);
        if let Err(denied) = &decided
            && denied.refusal == Refusal::NotAllowed
            && let Some(allowed) = denied.route.and_then(|route| route.ip_allow())
            && let Some((first, _)) = allowed.ranges().next()
        {
            query.source = first;
            return self.decide(&query);
        }
        decided
    }

    /// The one route whose `sources` hold the address; `None`: no route's, or several routes'.
    pub fn party_of(&self, source: IpAddr) -> Option<&Arc<Route>> {
        self.parties
            .of_source(source)
            .map(|place| &self.rows[place as usize].route)
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Line and route of every entry, in file order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (u32, &Arc<Route>)> {
        self.rows.iter().map(|row| (row.line, &row.route))
    }

    /// The line of a route of this table; searches, so for people only.
    pub fn line_of(&self, route: &Arc<Route>) -> Option<u32> {
        self.rows
            .iter()
            .find(|row| Arc::ptr_eq(&row.route, route))
            .map(|row| row.line)
    }

    /// The bound on destination ports.
    pub fn connect_ports(&self) -> &ConnectPorts {
        &self.connect_ports
    }

    /// The first entry before `end` that takes the name and that `accepts`.
    ///
    /// Exact names and suffixes are asked for by hash, `*` is one chain; so the general patterns
    /// need be tried only as far as the best of those.
    pub(super) fn first_match(
        &self,
        name: &str,
        end: u32,
        accepts: impl Fn(&Route) -> bool,
    ) -> Option<u32> {
        let key_of = |place: u32| self.rows[place as usize].route.pattern().key();
        let mut best = end;
        if let Some(first) = self.exact.get(name, key_of) {
            best = self.first_in_chain(first, best, &accepts);
        }
        for (dot, _) in name
            .bytes()
            .enumerate()
            .filter(|&(at, b)| b == b'.' && at > 0)
        {
            if let Some(first) = self.suffix.get(&name[dot + 1..], key_of) {
                best = self.first_in_chain(first, best, &accepts);
            }
        }
        best = self.first_in_chain(self.any, best, &accepts);
        for &place in self.general.iter().take_while(|&&place| place < best) {
            let route = &self.rows[place as usize].route;
            if accepts(route) && route.pattern().matches(name) {
                return Some(place);
            }
        }
        (best < end).then_some(best)
    }

    /// The first of the entries with one and the same pattern that is before `best` and accepted,
    /// else `best`.
    #[inline]
    fn first_in_chain(&self, first: u32, best: u32, accepts: &impl Fn(&Route) -> bool) -> u32 {
        let mut place = first;
        while place < best {
            let row = &self.rows[place as usize];
            if accepts(&row.route) {
                return place;
            }
            place = row.next;
        }
        best
    }

    /// Fills the indices from the last entry to the first: each becomes the head of the chain of
    /// its pattern. One without inbound ports ends the chain, since it takes all that come to it.
    fn link(&mut self) {
        for place in (0..self.rows.len() as u32).rev() {
            let row = &self.rows[place as usize];
            let pattern = row.route.pattern();
            if pattern.cannot_match().is_some() {
                continue;
            }
            let all_ports = row.route.inbound_ports().is_none();
            let key_of = |place: u32| self.rows[place as usize].route.pattern().key();
            let after = match pattern.form() {
                Form::Exact => self.exact.put(pattern.key(), place, key_of),
                Form::Suffix => self.suffix.put(pattern.key(), place, key_of),
                Form::Any => Some(std::mem::replace(&mut self.any, place)),
                Form::General(_) => None,
            };
            self.rows[place as usize].next = if all_ports {
                NONE
            } else {
                after.unwrap_or(NONE)
            };
        }
    }
}

/// The places of the entries of one form, but for those that no name can match.
fn places(rows: &[Row], is: impl Fn(&Form) -> bool) -> impl Iterator<Item = u32> {
    rows.iter().enumerate().filter_map(move |(place, row)| {
        let pattern = row.route.pattern();
        (pattern.cannot_match().is_none() && is(pattern.form())).then_some(place as u32)
    })
}

/// Hands out ids, each once.
#[derive(Default)]
struct Ids {
    /// How many entries wanted it.
    wanted: HashMap<Arc<str>, u32>,
}

impl Ids {
    fn of(&mut self, entry: &Entry) -> Arc<str> {
        let text = entry.pattern.shared_text();
        let id = match (&**text, &entry.inbound_ports) {
            ("", None) => "(no name)".into(),
            ("", Some(ports)) => format!("(no name):{ports}").into(),
            (_, None) => Arc::clone(text),
            (text, Some(ports)) => format!("{text}:{ports}").into(),
        };
        self.once(id)
    }

    fn once(&mut self, id: Arc<str>) -> Arc<str> {
        let mut nth = *self
            .wanted
            .entry(Arc::clone(&id))
            .and_modify(|n| *n += 1)
            .or_insert(1);
        if nth == 1 {
            return id;
        }
        // Somebody may have called a pattern `a#2`.
        loop {
            let numbered: Arc<str> = format!("{id}#{nth}").into();
            if !self.wanted.contains_key(&numbered) {
                self.wanted.insert(Arc::clone(&id), nth);
                self.wanted.insert(Arc::clone(&numbered), 1);
                return numbered;
            }
            nth += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{entry, ip, ips, on_ports, table};
    use crate::route::{Action, FqdnPattern, PortSet};
    use proptest::prelude::*;

    fn query(port: u16) -> Query<'static> {
        let source = ip("192.0.2.1");
        Query {
            name: None,
            source,
            inbound_port: port,
            proxy_port: None,
        }
    }

    /// Id and target of the decision, or refusal and id.
    fn ask(table: &RouteTable, name: &str, query: Query<'_>) -> Result<String, Refusal> {
        let name = (!name.is_empty()).then(|| ServerName::parse(name.as_bytes()).unwrap());
        match table.decide(&Query {
            name: name.as_ref(),
            ..query
        }) {
            Ok(decision) => Ok(format!("{} {}", decision.route.id, decision.target)),
            Err(denied) => Err(denied.refusal),
        }
    }

    #[test]
    fn the_first_in_the_file_wins_whatever_its_form() {
        let fqdns = ["a.b.c", "*.b.c", "*.c", "x*.c", "*", "z.c", "*.b.c"];
        for first in 0..fqdns.len() {
            let order = fqdns[first..].iter().chain(&fqdns[..first]);
            let table = table(order.clone().map(|fqdn| entry(fqdn, "h:1")));
            for name in ["a.b.c", "q.b.c", "xa.c", "z.c", "q.c", "other", "b.c"] {
                let wanted = order
                    .clone()
                    .find(|f| FqdnPattern::parse(f).unwrap().matches(name));
                let wanted = format!("{} h:1", wanted.unwrap());
                assert_eq!(
                    ask(&table, name, query(443)),
                    Ok(wanted),
                    "{name} from {first}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn the_indices_find_what_a_walk_through_the_file_finds(
            fqdns in prop::collection::vec(("[ab*]{0,2}(\\.[ab*]{1,2}){0,2}", 0..3_u8), 0..12),
            name in "([ab]{1,2}(\\.[ab]{1,2}){0,2})?",
            on_443: bool,
        ) {
            let table = table(fqdns.iter().map(|(fqdn, ports)| match ports {
                0 => entry(fqdn, "h:1"),
                1 => on_ports("443", entry(fqdn, "h:1")),
                _ => on_ports("444", entry(fqdn, "h:1")),
            }));
            let port = if on_443 { 443 } else { 444 };
            let wanted = table.entries().position(|(_, route)| {
                let pattern = route.pattern();
                pattern.cannot_match().is_none()
                    && pattern.matches(&name)
                    && route.listens_on(port)
            });
            let found = table.first_match(&name, table.len() as u32, |r| r.listens_on(port));
            prop_assert_eq!(found.map(|place| place as usize), wanted);
        }
    }

    #[test]
    fn a_hello_without_a_name_takes_only_what_is_meant_for_it() {
        let named = table([entry("*.*", "h:1"), entry("a", "h:1")]);
        assert_eq!(ask(&named, "", query(1)), Err(Refusal::NoServerName));
        assert_eq!(ask(&named, "b", query(1)), Err(Refusal::UnknownServerName));
        let empty = table([entry("", "h:1")]);
        assert_eq!(ask(&empty, "", query(1)), Ok("(no name) h:1".into()));
        assert_eq!(ask(&empty, "x", query(1)), Err(Refusal::UnknownServerName));
        assert_eq!(
            ask(&table([entry("*", "h:1")]), "", query(1)),
            Ok("* h:1".into())
        );
    }

    #[test]
    fn inbound_ports_are_part_of_the_match() {
        let table = table([
            on_ports("443", entry("a", "one:1")),
            on_ports("8080-8086,9000", entry("a", "two:1")),
            entry("a", "rest:1"),
            on_ports("1", entry("a", "never:1")),
        ]);
        for (port, wanted) in [
            (443, "a:443 one:1"),
            (8086, "a:8080-8086,9000 two:1"),
            (9000, "a:8080-8086,9000 two:1"),
            (1, "a rest:1"),
        ] {
            assert_eq!(ask(&table, "a", query(port)), Ok(wanted.into()));
        }
    }

    #[test]
    fn an_entry_without_a_route_ends_the_search() {
        let closed = Entry::new(1, FqdnPattern::parse("a").unwrap(), Action::None);
        let table = table([closed, entry("*", "h:1")]);
        let name = ServerName::parse(b"a").unwrap();
        let denied = table
            .decide(&Query {
                name: Some(&name),
                ..query(1)
            })
            .unwrap_err();
        assert_eq!(denied.refusal, Refusal::UnknownServerName);
        assert_eq!(denied.route.map(|route| &*route.id), Some("a"));
    }

    #[test]
    fn ip_allow_is_judged_before_target_and_port() {
        let mut only = entry("*.a", "h:$1");
        only.ip_allow = Some(ips(&["10.0.0.0/8"]));
        let mut nobody = entry("b", "h:1");
        nobody.ip_allow = Some(ips(&[]));
        let table = table([only, nobody, entry("*", "open:1")]);
        let from = |source| Query {
            source: ip(source),
            ..query(1)
        };
        assert_eq!(
            ask(&table, "x.a", from("192.0.2.1")),
            Err(Refusal::NotAllowed)
        );
        assert_eq!(
            ask(&table, "x.a", from("10.9.9.9")),
            Err(Refusal::PortNotPermitted(0))
        );
        assert_eq!(
            ask(&table, "443.a", from("::ffff:10.9.9.9")),
            Ok("*.a h:443".into())
        );
        assert_eq!(ask(&table, "b", from("10.9.9.9")), Err(Refusal::NotAllowed));
    }

    #[test]
    fn connect_ports_bound_every_port_where_written_and_the_clients_choice_always() {
        let entries = || vec![entry("w", "h:15001"), entry("i", "h"), entry("*.c", "h:$1")];
        let default = RouteTable::new(entries(), ConnectPorts::Default).unwrap();
        assert_eq!(ask(&default, "w", query(14443)), Ok("w h:15001".into()));
        assert_eq!(ask(&default, "i", query(14443)), Ok("i h:14443".into()));
        assert_eq!(ask(&default, "6700.c", query(1)), Ok("*.c h:6700".into()));
        assert_eq!(
            ask(&default, "22.c", query(1)),
            Err(Refusal::PortNotPermitted(22))
        );
        let written = ConnectPorts::Written(PortSet::parse("22").unwrap());
        let written = RouteTable::new(entries(), written).unwrap();
        assert_eq!(
            ask(&written, "w", query(1)),
            Err(Refusal::PortNotPermitted(15001))
        );
        assert_eq!(
            ask(&written, "i", query(14443)),
            Err(Refusal::PortNotPermitted(14443))
        );
        assert_eq!(ask(&written, "22.c", query(1)), Ok("*.c h:22".into()));
        assert_eq!(
            ask(&written, "443.c", query(1)),
            Err(Refusal::PortNotPermitted(443))
        );
    }

    #[test]
    fn a_name_that_makes_no_host_is_unknown() {
        let table = table([entry("pre*", "$1.svc:1")]);
        assert_eq!(
            ask(&table, "pre", query(1)),
            Err(Refusal::UnknownServerName)
        );
        assert_eq!(ask(&table, "prex", query(1)), Ok("pre* x.svc:1".into()));
    }

    #[test]
    fn a_pattern_that_no_name_matches_does_no_harm() {
        let table = table([
            entry(".", "h:1"),
            entry("*.", "h:1"),
            entry("10.0.0.7", "h:1"),
        ]);
        assert_eq!(ask(&table, "", query(1)), Err(Refusal::NoServerName));
        assert_eq!(ask(&table, "a", query(1)), Err(Refusal::UnknownServerName));
    }

    #[test]
    fn ids_are_unique_and_stay_when_other_entries_come() {
        let entries = [
            entry("a", "h:1"),
            entry("A.", "h:2"),
            entry("a#2", "h:3"),
            entry("a", "h:4"),
            entry("", "h:5"),
            entry("", "h:6"),
            on_ports("443", entry("a", "h:7")),
            on_ports("443", entry("", "h:8")),
        ];
        let table = table(entries);
        let ids: Vec<&str> = table.entries().map(|(_, route)| &*route.id).collect();
        assert_eq!(
            ids,
            [
                "a",
                "a#2",
                "a#2#2",
                "a#3",
                "(no name)",
                "(no name)#2",
                "a:443",
                "(no name):443"
            ]
        );
    }

    #[test]
    fn general_patterns_are_bounded_and_the_first_one_too_many_is_named() {
        let entries = |n: usize| -> Vec<Entry> {
            let general = (0..n).map(|i| Entry {
                line: i as u32 + 9,
                ..entry(&format!("{i}*"), "h:1")
            });
            [entry("*", "h:1"), entry("*.a", "h:1")]
                .into_iter()
                .chain(general)
                .collect()
        };
        assert!(RouteTable::new(entries(1000), ConnectPorts::Default).is_ok());
        let errors = RouteTable::new(entries(1001), ConnectPorts::Default).unwrap_err();
        let wanted = TableError::TooManyGeneral {
            entry: 1002,
            line: 1009,
            pattern: "1000*".into(),
            total: 1001,
        };
        assert_eq!(errors, [wanted]);
    }
}
