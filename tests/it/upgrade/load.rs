//! Upgrades under load: no connection refused, no byte lost, no counter that falls.

use super::{ask, ended, ends, pid, samples, start, status, tunnels, upgrade};
use crate::admin::http::{unix, wait_for};
use crate::support::hub::Hub;
use crate::support::party::{Link, Party};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

const NAME: &str = "a.example";
/// Links that stand over several upgrades, each held by another process.
const STANDING: usize = 6;

/// Every count of the metrics that only grows.
fn counts(hub: &Hub) -> std::collections::BTreeMap<String, f64> {
    let mut all = samples(hub);
    all.retain(|name, _| {
        let series = name.split('{').next().unwrap();
        let total = series.starts_with("snihub_") && series.ends_with("_total");
        total || series.ends_with("_bucket") || series.ends_with("_count")
    });
    assert!(all.len() > 50, "{all:?}");
    all
}

fn upgrades(times: usize) {
    let party = Party::start(b'a');
    // Other workers each time: of any number all sockets are claimed.
    let settings = |workers| {
        format!("access_log: json\nadmin: admin.sock\nupgrade_drain: 1d\nworkers: {workers}\n")
    };
    let hub = start(&[NAME], party, "workers: 3");
    let over = AtomicBool::new(false);
    let [opened, sent, cut] = [0; 3].map(AtomicU64::new);
    let open = || {
        // Refused, reset or answered by an alert, this fails.
        let link = Link::open(hub.addr(), NAME, party);
        opened.fetch_add(1, Relaxed);
        link.unwrap_or_else(|got| panic!("a connection got {got:?}"))
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let (open, over, sent, cut) = (&open, &over, &sent, &cut);
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        let mut link = open();
                        let bytes = 1 << (8 + 3 * n);
                        match link.exchange(bytes) {
                            Ok(()) => sent.fetch_add(bytes as u64, Relaxed),
                            Err(_) => cut.fetch_add(1, Relaxed),
                        };
                    }
                })
            })
            .collect();
        let scrapes = scope.spawn(|| {
            let (mut last, mut rounds) = (counts(&hub), 0);
            while !over.load(Relaxed) {
                let now = counts(&hub);
                for (name, before) in &last {
                    assert!(
                        now.get(name) >= Some(before),
                        "{name} was {before}, is {:?}",
                        now.get(name)
                    );
                }
                (last, rounds) = (now, rounds + 1);
            }
            rounds
        });
        // An orchestrator that hears no ready takes the clients elsewhere.
        let asked = scope.spawn(|| {
            let mut asked = 0;
            while !over.load(Relaxed) {
                for path in ["/readyz", "/livez"] {
                    let answer = unix(&super::socket(&hub), "GET", path);
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                }
                let status = unix(&super::socket(&hub), "GET", "/api/status").json();
                let seen = (&status["ready"], &status["draining"]);
                assert_eq!(seen, (&true.into(), &false.into()), "{status}");
                asked += 1;
            }
            asked
        });
        let mut standing = VecDeque::new();
        for n in 0..times {
            standing.push_back(open());
            hub.replace("hub.yaml", &settings([1, 4, 2, 3][n % 4]));
            let done = upgrade(&hub);
            assert!(done["tunnels"].as_u64().unwrap() >= 1, "{done}");
            let mut alive = VecDeque::new();
            for mut link in standing.drain(..) {
                // `upgrade_drain` is a day: hardly one is cut.
                match link.exchange(300_000) {
                    Ok(()) => {
                        sent.fetch_add(300_000, Relaxed);
                        alive.push_back(link);
                    }
                    Err(_) => {
                        cut.fetch_add(1, Relaxed);
                    }
                }
            }
            standing = alive;
            if standing.len() == STANDING {
                standing.pop_front();
            }
        }
        over.store(true, Relaxed);
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        let (scrapes, asked) = (scrapes.join().unwrap(), asked.join().unwrap());
        assert!(asked >= times, "{asked} times asked");
        assert!(scrapes >= times, "{scrapes} scrapes");
        let drained = hub
            .records()
            .iter()
            .filter(|record| record["ended"] == "drained")
            .count();
        // Each has a reason. Of the last ones nobody has looked.
        let cut = cut.load(Relaxed) as usize;
        assert!(
            cut <= drained,
            "{cut} links were cut, {drained} are on record"
        );
        println!(
            "{times} upgrades, {} connections, {scrapes} scrapes, {cut} closed by upgrade_drain",
            opened.load(Relaxed)
        );
    });
    wait_for("the tunnels are over", || match tunnels(&hub).len() {
        0 => Ok(()),
        n => Err(format!("{n} tunnels")),
    });
    wait_for(
        "the processes before are over",
        || match status(&hub)["predecessors"].as_array().unwrap().len() {
            0 => Ok(()),
            n => Err(format!("{n} processes")),
        },
    );
    let (status, samples) = (status(&hub), samples(&hub));
    let connections = opened.load(Relaxed);
    assert_eq!(status["accepted"], connections);
    assert_eq!(status["tunnels_opened"], connections);
    assert_eq!(samples["snihub_tunnels_opened_total"], connections as f64);
    assert_eq!(samples["snihub_tunnels_draining"], 0.0);
    // The party's one byte and the hello come on top.
    let down = status["upstream_to_client"].as_u64().unwrap();
    let up = status["client_to_upstream"].as_u64().unwrap();
    assert_eq!(down, up + connections);
    assert!(up > sent.load(Relaxed));
    let ids: std::collections::HashSet<String> = hub
        .records()
        .iter()
        .map(|record| record["session"].to_string())
        .collect();
    assert_eq!(
        ids.len() as u64,
        connections,
        "session ids of all processes"
    );
}

#[test]
fn twenty_upgrades_under_load_lose_nobody() {
    upgrades(20);
}

#[test]
#[ignore = "some minutes: cargo test --test it two_hundred -- --ignored --nocapture"]
fn two_hundred_upgrades_under_load_lose_nobody() {
    upgrades(200);
}

#[test]
fn a_link_stays_where_it_is_and_is_shown() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    link.exchange(10_000).unwrap();
    assert!(Link::open(hub.addr(), "unknown.example", party).is_err());
    hub.closed("unknown.example");
    let before = tunnels(&hub);
    let done = ask(&hub, &["upgrade"]);
    let old = u64::from(hub.pid());
    assert!(
        done.starts_with(&format!("upgraded: process {} (", pid(&hub))),
        "{done}"
    );
    assert!(
        done.contains(&format!("in the place of {old}\n1 tunnel left there")),
        "{done}"
    );
    assert!(done.contains("closed evenly over 1d00h, until "), "{done}");
    let [tunnel] = &tunnels(&hub)[..] else {
        panic!("one tunnel")
    };
    assert_eq!(
        (&tunnel["id"], &before[0]["draining"]),
        (&before[0]["id"], &false.into())
    );
    assert_eq!(tunnel["draining"], true);
    link.exchange(10_000).unwrap();
    let status = status(&hub);
    assert_eq!(status["tunnels_open"], 1);
    assert!(status["sessions"].as_u64() >= Some(1), "{status}");
    assert_eq!(status["predecessors"][0]["pid"], old);
    assert_eq!(status["predecessors"][0]["tunnels_open"], 1);
    let text = ask(&hub, &["status"]);
    assert!(
        text.contains(&format!("draining     pid {old}, 1 tunnel of these")),
        "{text}"
    );
    let samples = samples(&hub);
    assert_eq!(samples["snihub_tunnels_draining"], 1.0);
    assert_eq!(samples["snihub_predecessors"], 1.0);
    assert_eq!(
        samples[&format!("snihub_route_tunnels_open{{route=\"{NAME}\"}}")],
        1.0
    );
    assert!(samples["snihub_bytes_total{direction=\"client_to_upstream\"}"] > 20_000.0);
    // Nobody reads what it says on the pipe that it was started with, once the old one is gone.
    let stderr = |pid| std::fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
    assert_eq!(stderr(pid(&hub)), stderr(old));
    // Who was refused of late is known over two upgrades, and once the first process is gone.
    upgrade(&hub);
    assert!(ask(&hub, &["refusals"]).contains("unknown.example"));
    // Its end is the end of the old process, and nothing is lost of what was counted.
    drop(link);
    ends(old);
    let last = "the process before this one has ended with the last of its tunnels";
    hub.wait_line(last, |line| line["message"] == last && line["pid"] == old);
    wait_for(
        "no process before",
        || match super::status(&hub)["predecessors"].as_array() {
            Some(all) if all.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    assert!(ask(&hub, &["refusals"]).contains("unknown.example"));
    let status = super::status(&hub);
    assert_eq!(
        (&status["tunnels_open"], &status["tunnels_opened"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn a_log_level_that_was_chosen_stays() {
    let hub = start(&[NAME], Party::start(b'a'), "");
    ask(&hub, &["log-level", "debug"]);
    for _ in 0..2 {
        upgrade(&hub);
        assert_eq!(ask(&hub, &["log-level"]), "debug\n");
    }
}

#[test]
fn lines_that_a_full_disk_has_cost_stay_counted() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let settings = std::fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    let full = "access_log: {format: json, to: /dev/full}";
    hub.replace("hub.yaml", &settings.replace("access_log: json", full));
    upgrade(&hub);
    let lost = |hub: &Hub| samples(hub)["snihub_log_lines_lost_total{log=\"access\"}"];
    Link::open(hub.addr(), NAME, party).unwrap();
    wait_for("two lines that are lost", || match lost(&hub) {
        2.0 => Ok(()),
        other => Err(other.to_string()),
    });
    upgrade(&hub);
    assert_eq!(lost(&hub), 2.0);
}

#[test]
fn what_is_left_is_closed_evenly_over_upgrade_drain() {
    let party = Party::start(b'a');
    let options = crate::support::hub::Options::routes(format!("sni:\n{}", party.entry(NAME)));
    let hub = Hub::start(options.settings("upgrade_drain: 4s").with_admin());
    let mut links: Vec<_> = (0..20)
        .map(|_| Link::open(hub.addr(), NAME, party).unwrap())
        .collect();
    upgrade(&hub);
    let mut new = Link::open(hub.addr(), NAME, party).unwrap();
    links.iter_mut().for_each(Link::was_reset);
    ends(u64::from(hub.pid()));
    new.exchange(1000).unwrap();
    ended(&hub, "drained", 20);
}
