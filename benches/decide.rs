//! One decision: in a table of 10 routes and in one of 100,000 (90,000 exact names, 9,900
//! `*.suffix`, and last in the file 100 general patterns). And how long that table takes to build.
//!
//! `one` asks for the same name again and again; `spread` goes through 1,024 names of the table, so
//! that no decision finds its route in the processor's nearest cache.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use snihub::route::{
    Action, ConnectPorts, Decision, Denied, Entry, FqdnPattern, Query, RouteTable, TargetTemplate,
};
use snihub::tls::ServerName;
use std::hint::black_box;

const SPREAD: usize = 1024;

/// How many routes of each form.
struct Size {
    exact: usize,
    suffix: usize,
    general: usize,
}

const SMALL: Size = Size {
    exact: 6,
    suffix: 3,
    general: 1,
};
const LARGE: Size = Size {
    exact: 90_000,
    suffix: 9_900,
    general: 100,
};

fn entries(size: &Size) -> Vec<Entry> {
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

fn table(size: &Size) -> RouteTable {
    RouteTable::new(entries(size), ConnectPorts::Default).unwrap()
}

fn decide<'t>(table: &'t RouteTable, name: &ServerName) -> Result<Decision<'t>, Denied<'t>> {
    table.decide(black_box(&Query {
        name: Some(name),
        source: [192, 0, 2, 1].into(),
        inbound_port: 443,
        proxy_port: None,
    }))
}

/// Names that `of` makes of the numbers below `count`, far from each other.
fn names(count: usize, of: impl Fn(usize) -> String) -> Vec<ServerName> {
    let numbers = (0..SPREAD).map(|i| i * 7919 % count);
    numbers
        .map(|i| ServerName::parse(of(i).as_bytes()).unwrap())
        .collect()
}

fn decisions(c: &mut Criterion) {
    for (routes, size) in [("10", SMALL), ("100000", LARGE)] {
        let table = table(&size);
        let mut group = c.benchmark_group(format!("decide/{routes}"));
        let cases = [
            (
                "exact",
                true,
                names(size.exact, |i| format!("broker-{i}.site.example")),
            ),
            (
                "suffix",
                true,
                names(size.suffix, |i| format!("b1.party-{i}.fate.example")),
            ),
            (
                "general",
                true,
                names(size.general, |i| format!("lab-{i}-x.research.example")),
            ),
            (
                "miss",
                false,
                names(100_000, |i| format!("nobody-{i}.site.example")),
            ),
        ];
        for (case, taken, names) in cases {
            assert!(
                names
                    .iter()
                    .all(|name| decide(&table, name).is_ok() == taken)
            );
            let one = &names[SPREAD / 2];
            group.bench_function(format!("{case}/one"), |b| {
                b.iter(|| decide(&table, one).is_ok());
            });
            let mut next = names.iter().cycle();
            group.bench_function(format!("{case}/spread"), |b| {
                b.iter(|| next.next().map(|name| decide(&table, name).is_ok()));
            });
        }
        group.finish();
    }
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("table");
    group.sample_size(10);
    let entries = entries(&LARGE);
    group.bench_function("build/100000", |b| {
        b.iter_batched(
            || entries.clone(),
            |entries| RouteTable::new(entries, ConnectPorts::Default).unwrap(),
            BatchSize::PerIteration,
        );
    });
    let table = table(&LARGE);
    group.bench_function("lints/100000", |b| b.iter(|| table.lints().len()));
    group.finish();
}

criterion_group!(benches, decisions, build);
criterion_main!(benches);
