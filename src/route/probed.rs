//! Which upstream can be asked how it does, and by which name: what a client would be sent to.

use super::{Route, RouteTable};
use crate::net::addr::Target;
use crate::tls::ServerName;
use std::sync::Arc;

/// How an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeKind {
    /// It is not.
    #[default]
    Off,
    /// By a connection.
    Tcp,
    /// By a connection and a handshake with the route's name.
    Tls,
}

impl ProbeKind {
    /// Its word in the files and the API.
    pub fn label(self) -> &'static str {
        match self {
            ProbeKind::Off => "off",
            ProbeKind::Tcp => "tcp",
            ProbeKind::Tls => "tls",
        }
    }
}

impl RouteTable {
    /// The one name of a route of this table, and where its clients are sent. `None`: it takes more
    /// than one name, an earlier entry takes its name, or no client of a listener on `ports` is sent
    /// anywhere (no destination, a port that only a PROXY header gives or that is not permitted).
    pub fn sole_client(&self, route: &Arc<Route>, ports: &[u16]) -> Option<(ServerName, Target)> {
        let name = route.pattern().one_name()?;
        let mut ports = ports.iter().filter(|&&port| route.listens_on(port));
        let target = ports.find_map(|&port| {
            let decision = self.decide_for_some(Some(&name), port).ok()?;
            Arc::ptr_eq(decision.route, route).then_some(decision.target)
        })?;
        Some((name, target))
    }
}

#[cfg(test)]
mod tests {
    use crate::route::tests::{entry, ips, on_ports, table};

    #[test]
    fn who_can_be_asked_has_one_name_and_takes_it() {
        let mut some = entry("some.org", "h:1");
        some.ip_allow = Some(ips(&["10.0.0.0/8"]));
        let mut nobody = entry("nobody.org", "h:1");
        nobody.ip_allow = Some(ips(&[]));
        let table = table([
            entry("one.org", "10.0.0.1:6651"),
            entry("inbound.org", "h"),
            entry("*.wild.org", "h:1"),
            entry("", "h:1"),
            entry("proxy.org", "h:{proxy_protocol_port}"),
            on_ports("8443", entry("there.org", "h:{inbound_local_port}")),
            on_ports("9", entry("nowhere.org", "h:1")),
            some,
            nobody,
            entry("a.wild.org", "h:1"),
            entry("one.org", "h:2"),
        ]);
        let found = |place: usize| {
            let (_, route) = table.entries().nth(place).unwrap();
            let (name, target) = table.sole_client(route, &[443, 8443])?;
            Some(format!("{} {target}", name.as_str()))
        };
        for (place, wanted) in [
            Some("one.org 10.0.0.1:6651"),
            Some("inbound.org h:443"),
            None,
            None,
            None,
            Some("there.org h:8443"),
            None,
            Some("some.org h:1"),
            None,
            None,
            None,
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(found(place).as_deref(), wanted, "entry {place}");
        }
    }
}
