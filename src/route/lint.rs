//! What is worth a warning about a table that loads.

use super::{ConnectPorts, Route, RouteTable};

/// Something about a table that is worth a warning. Entries are given by their place, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lint {
    /// Same pattern and inbound ports as an earlier entry: never taken.
    Duplicate {
        /// The later one.
        entry: usize,
        /// The earlier one.
        of: usize,
    },
    /// An earlier entry takes every name (on every inbound port) that this one could: never taken.
    Shadowed {
        /// The later one.
        entry: usize,
        /// The earlier one.
        by: usize,
    },
    /// The written port is outside the written `connect_ports`: each connection is refused.
    PortNotPermitted {
        /// The entry.
        entry: usize,
        /// Its port.
        port: u16,
    },
}

impl RouteTable {
    /// What is worth a warning, in file order. Costs about as much as one decision per entry.
    pub fn lints(&self) -> Vec<Lint> {
        let mut lints = Vec::new();
        for (entry, row) in self.rows.iter().enumerate() {
            lints.extend(self.never_taken(entry, &row.route));
            lints.extend(self.port_not_permitted(entry, &row.route));
        }
        lints
    }

    /// Looks the pattern itself up as if it were a name: its `*`, which is in no literal text, can
    /// only be taken by another `*`, and what takes the `*` takes whatever it stands for.
    fn never_taken(&self, entry: usize, route: &Route) -> Option<Lint> {
        if route.pattern().cannot_match().is_some() {
            return None;
        }
        let covers = |earlier: &Route| match (earlier.inbound_ports(), route.inbound_ports()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(earlier), Some(later)) => earlier.covers(later),
        };
        let earlier = self.first_match(route.pattern().as_str(), entry as u32, covers)? as usize;
        let by = &self.rows[earlier].route;
        let same = by.pattern() == route.pattern() && by.inbound_ports() == route.inbound_ports();
        Some(if same {
            Lint::Duplicate { entry, of: earlier }
        } else {
            Lint::Shadowed { entry, by: earlier }
        })
    }

    fn port_not_permitted(&self, entry: usize, route: &Route) -> Option<Lint> {
        let port = route.target()?.written_port()?;
        match self.connect_ports() {
            ConnectPorts::Written(set) if !set.contains(port) => {
                Some(Lint::PortNotPermitted { entry, port })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{entry, on_ports, table};
    use crate::route::{Entry, PortSet};

    fn lints(fqdns: &[&str]) -> Vec<Lint> {
        table(fqdns.iter().map(|fqdn| entry(fqdn, "h:1"))).lints()
    }

    #[test]
    fn an_entry_that_nothing_reaches_is_told_with_the_first_that_takes_its_names() {
        for (earlier, later) in [
            ("*", "a.com"),
            ("*", ""),
            ("*", "*.a.com"),
            ("*", "a*b"),
            ("**", "*"),
            ("*.com", "a.com"),
            ("*.com", "*.a.com"),
            ("*.com", "a.*.com"),
            ("*a*", "*a"),
            ("a*.com", "ab*.com"),
            ("a*.com", "abc.com"),
        ] {
            let shadowed = Lint::Shadowed { entry: 2, by: 1 };
            assert_eq!(
                lints(&["other", earlier, later]),
                [shadowed],
                "{earlier} {later}"
            );
        }
        let duplicate = Lint::Duplicate { entry: 1, of: 0 };
        for (one, other) in [
            ("A.com", "a.com."),
            ("*", "*"),
            ("*.a", "*.A"),
            ("a*b", "a*b"),
        ] {
            assert_eq!(lints(&[one, other]), [duplicate], "{one} {other}");
        }
    }

    #[test]
    fn an_entry_that_something_may_reach_is_not_told() {
        for (earlier, later) in [
            ("a.com", "*.com"),
            ("a.com", "*"),
            ("*.com", "com"),
            ("*.com", "*com"),
            ("*.a.com", "*.b.com"),
            ("*.*", ""),
            ("ab*.com", "a*.com"),
            ("*a", "*a*"),
            ("", "*"),
            ("*", "10.0.0.7"),
        ] {
            assert_eq!(lints(&[earlier, later]), [], "{earlier} {later}");
        }
    }

    #[test]
    fn inbound_ports_count() {
        let on = |ports| on_ports(ports, entry("a.com", "h:1"));
        let all = || entry("a.com", "h:1");
        let told = |entries: [Entry; 2]| table(entries).lints();
        assert_eq!(told([on("443"), all()]), []);
        assert_eq!(told([on("443"), on("444")]), []);
        assert_eq!(
            told([on("1-500"), on("443-444")]),
            [Lint::Shadowed { entry: 1, by: 0 }]
        );
        assert_eq!(
            told([all(), on("443")]),
            [Lint::Shadowed { entry: 1, by: 0 }]
        );
        assert_eq!(
            told([on("443"), on("443")]),
            [Lint::Duplicate { entry: 1, of: 0 }]
        );
    }

    #[test]
    fn a_written_port_outside_written_connect_ports_is_told() {
        let entries = || {
            vec![
                entry("a", "h:6651"),
                entry("b", "h:15999"),
                entry("*.c", "h:$1"),
            ]
        };
        let written = ConnectPorts::Written(PortSet::parse("443,6651").unwrap());
        let table = RouteTable::new(entries(), written).unwrap();
        assert_eq!(
            table.lints(),
            [Lint::PortNotPermitted {
                entry: 1,
                port: 15999
            }]
        );
        assert_eq!(
            RouteTable::new(entries(), ConnectPorts::Default)
                .unwrap()
                .lints(),
            []
        );
    }
}
