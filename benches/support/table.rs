//! Tables of routes, and names to ask them for. Shared by benches.

use snihub::route::{
    Action, ConnectPorts, Decision, Denied, Entry, FqdnPattern, Query, RouteTable, TargetTemplate,
};
use snihub::tls::ServerName;
use std::hint::black_box;

/// How many names [`names`] gives: more than the processor's nearest cache has routes.
pub(crate) const SPREAD: usize = 1024;

/// How many routes of each form.
pub(crate) struct Size {
    pub(crate) exact: usize,
    pub(crate) suffix: usize,
    pub(crate) general: usize,
}

/// 100,000: exact names, then `*.suffix`, and last in the file general patterns.
pub(crate) const LARGE: Size = Size {
    exact: 90_000,
    suffix: 9_900,
    general: 100,
};

/// The routes, in file order.
pub(crate) fn entries(size: &Size) -> Vec<Entry> {
    let exact = (0..size.exact).map(|i| (format!("broker-{i}.site.example"), i));
    let suffix = (0..size.suffix).map(|i| (format!("*.party-{i}.fate.example"), i));
    let general = (0..size.general).map(|i| (format!("lab-{i}-*.research.*"), i));
    let fqdns = exact.chain(suffix).chain(general);
    fqdns
        .zip(1..)
        .map(|((fqdn, i), line)| {
            let pattern = FqdnPattern::parse(&fqdn).unwrap();
            let target = format!("pulsar-{i}.internal.example:6651");
            let (target, _) = TargetTemplate::parse(&target, pattern.captures()).unwrap();
            Entry::new(line, pattern, Action::Tunnel(target))
        })
        .collect()
}

/// A table of them.
pub(crate) fn table(size: &Size) -> RouteTable {
    RouteTable::new(entries(size), ConnectPorts::Default).unwrap()
}

/// One decision.
pub(crate) fn decide<'t>(
    table: &'t RouteTable,
    name: &ServerName,
) -> Result<Decision<'t>, Denied<'t>> {
    table.decide(black_box(&Query {
        name: Some(name),
        source: [192, 0, 2, 1].into(),
        inbound_port: 443,
        proxy_port: None,
    }))
}

/// Names that `of` makes of the numbers below `count`, far from each other.
pub(crate) fn names(count: usize, of: impl Fn(usize) -> String) -> Vec<ServerName> {
    let numbers = (0..SPREAD).map(|i| i * 7919 % count);
    numbers
        .map(|i| ServerName::parse(of(i).as_bytes()).unwrap())
        .collect()
}
