//! One decision: in a table of 10 routes and in one of 100,000 (90,000 exact names, 9,900
//! `*.suffix`, and last in the file 100 general patterns). And how long that table takes to build.
//!
//! `one` asks for the same name again and again; `spread` goes through 1,024 names of the table, so
//! that no decision finds its route in the processor's nearest cache. `hello` begins with the bytes
//! of a ClientHello: parse, check of the name, decision.

#[path = "support/hellos.rs"]
mod hellos;
#[path = "support/table.rs"]
mod table;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use snihub::route::{ConnectPorts, RouteTable};
use std::hint::black_box;
use table::{LARGE, SPREAD, Size, decide, entries, names, table};

const SMALL: Size = Size {
    exact: 6,
    suffix: 3,
    general: 1,
};

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

fn hello(c: &mut Criterion) {
    let table = table(&LARGE);
    let mut group = c.benchmark_group("hello/100000");
    let mut joined = Vec::new();
    for size in [344, 1800] {
        let hellos: Vec<_> = names(LARGE.exact, |i| format!("broker-{i}.site.example"))
            .iter()
            .map(|name| hellos::built(name.as_str(), size))
            .collect();
        let mut decided = |hello: &Vec<u8>| {
            let name = hellos::parse(black_box(hello), &mut joined);
            name.is_some_and(|name| decide(&table, &name).is_ok())
        };
        assert!(hellos.iter().all(&mut decided));
        let one = &hellos[SPREAD / 2];
        group.bench_function(format!("{size} B/one"), |b| b.iter(|| decided(one)));
        let mut next = hellos.iter().cycle();
        group.bench_function(format!("{size} B/spread"), |b| {
            b.iter(|| next.next().map(&mut decided));
        });
    }
    group.finish();
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

criterion_group!(benches, decisions, hello, build);
criterion_main!(benches);
