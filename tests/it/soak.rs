//! Memory stays flat over many reloads of a large table, with a tunnel left open after each: no
//! tunnel keeps the table it was decided by.

use crate::support::hub::{Hub, Options};
use crate::support::party::{Link, Party};
use std::fmt::Write;

/// So many routes that the one that matters is lost among them; `turn` makes each table another.
fn large_table(routes: usize, turn: usize, party: Party) -> String {
    let mut text = format!("sni:\n{}", party.entry("a.example"));
    for n in 1..routes {
        let port = 1024 + (n + turn) % 60_000;
        write!(
            text,
            "- fqdn: party-{n}.example\n  tunnel_route: 10.0.0.1:{port}\n"
        )
        .unwrap();
    }
    text
}

fn grows_by_less_than_two_tables(routes: usize, reloads: usize) {
    let party = Party::start(b'a');
    let hub = Hub::start(Options::routes("sni: []\n"));
    let empty = hub.rss();
    let mut links = Vec::new();
    let mut settled = 0;
    let mut turn = |turn: usize| {
        let mark = hub.mark();
        hub.edit_routes(&large_table(routes, turn, party));
        hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
        links.push(Link::open(hub.addr(), "a.example", party).unwrap());
        hub.rss()
    };
    // One table in force, one being built beside it, and what the allocator keeps of both.
    let one = turn(0) - empty;
    for n in 1..=reloads {
        let now = turn(n);
        if n == reloads / 10 {
            settled = now;
        }
        if n % (reloads / 10).max(1) == 0 {
            println!("{n} reloads: {} MiB resident", now >> 20);
        }
    }
    let grown = hub.rss().saturating_sub(settled);
    let per_tunnel = 16 * 1024;
    let bound = 2 * one + links.len() as u64 * per_tunnel;
    println!(
        "one table {} MiB; grown by {} KiB since the first tenth",
        one >> 20,
        grown >> 10
    );
    assert!(grown < bound, "grown by {grown} bytes, bound {bound}");
    for link in &mut links {
        link.exchange(100).unwrap();
    }
}

#[test]
fn fifty_reloads_of_two_thousand_routes() {
    grows_by_less_than_two_tables(2_000, 50);
}

#[test]
#[ignore = "minutes: cargo test --release --test it soak -- --ignored --nocapture"]
fn a_thousand_reloads_of_a_hundred_thousand_routes() {
    grows_by_less_than_two_tables(100_000, 1_000);
}
