//! A changed file is taken whole, within a second, without touching what stands; a wrong one
//! changes nothing and is reported with its line.

use crate::support::hub::{Hub, Options, new_folder};
use crate::support::party::{Link, Party};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

fn table(entries: &[String]) -> String {
    format!("sni:\n{}", entries.concat())
}

fn refused_reload(hub: &Hub, mark: usize, fragment: &str) {
    hub.wait_line_after(mark, fragment, |line| {
        line["level"] == "ERROR"
            && line["message"]
                .as_str()
                .is_some_and(|m| m.contains(fragment))
    });
    hub.wait_line_after(mark, "reload refused", |line| {
        line["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("reload refused"))
    });
}

#[test]
fn a_party_is_added_under_load_and_no_link_notices() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    let hub = Hub::start(Options::routes(table(&[a.entry("a.example")])));
    let addr = hub.addr();
    let stop = Arc::new(AtomicBool::new(false));
    let links: Vec<_> = (0..8)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut link = Link::open(addr, "a.example", a).unwrap();
                let mut rounds = 0;
                while !stop.load(Relaxed) || rounds == 0 {
                    link.exchange(300_000)
                        .expect("a standing link was disturbed");
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    for round in 0..10 {
        assert!(Link::open(addr, "b.example", b).is_err());
        hub.edit_routes(&table(&[a.entry("a.example"), b.entry("b.example")]));
        let (mut link, took) = Link::open_soon(addr, "b.example", b);
        link.exchange(100_000).unwrap();
        println!("round {round}: routed {took:?} after the rename");
        hub.edit_routes(&table(&[a.entry("a.example")]));
        while Link::open(addr, "b.example", b).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        link.exchange(1000)
            .expect("on_route_removed is keep by default");
    }
    stop.store(true, Relaxed);
    for link in links {
        assert!(link.join().unwrap() > 0);
    }
}

#[test]
fn a_broken_edit_changes_nothing_and_is_reported_with_its_line() {
    let a = Party::start(b'a');
    let hub = Hub::start(Options::routes(table(&[a.entry("a.example")])));
    for (broken, fragment) in [
        (
            "sni:\n- fqdn: a.example\n  tunnel_route: 127.0.0.1:70000\n",
            "sni.yaml:3:",
        ),
        ("sni:\n- fqdn: [\n", "sni.yaml:"),
        ("sni:\n", "the only route would be gone"),
        ("", "the file is empty"),
    ] {
        let mark = hub.mark();
        hub.edit_routes(broken);
        refused_reload(&hub, mark, fragment);
        Link::open(hub.addr(), "a.example", a).expect("the old table stays in force");
    }
    let mark = hub.mark();
    hub.edit_routes(&table(&[a.entry("new.example")]));
    hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    Link::open(hub.addr(), "new.example", a).unwrap();
}

#[test]
fn losing_most_routes_needs_a_word() {
    let a = Party::start(b'a');
    let many: Vec<_> = (0..12).map(|n| a.entry(&format!("p{n}.example"))).collect();
    let hub = Hub::start(Options::routes(table(&many)));
    let mark = hub.mark();
    hub.edit_routes(&table(&many[..4]));
    refused_reload(&hub, mark, "8 of 12 routes would be gone");
    Link::open(hub.addr(), "p11.example", a).unwrap();

    // The word alone makes the waiting table live: both files are judged together.
    let mark = hub.mark();
    hub.replace(
        "hub.yaml",
        "access_log: json\nreload: {allow_shrink: true}\n",
    );
    hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    assert!(Link::open(hub.addr(), "p11.example", a).is_err());
    Link::open(hub.addr(), "p3.example", a).unwrap();
}

/// Writes a table in two pieces, cut where it is valid and wrong, with something in between; the
/// first reload must be of the whole.
fn is_taken_whole(hub: &Hub, entries: &[String], between: impl FnOnce()) {
    let path = hub.folder().join("sni.yaml");
    let whole = table(entries);
    let (first, rest) = whole.split_at(whole.len() - 4);
    let mark = hub.mark();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    between();
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    let line = hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    assert_eq!(line["routes"], entries.len());
    thread::sleep(Duration::from_millis(700));
    let reloads = hub.lines()[mark..]
        .iter()
        .filter(|line| line["message"] == "reloaded")
        .count();
    assert_eq!(reloads, 1, "a half-written table was live");
}

#[test]
fn a_file_written_slowly_is_never_taken_by_half() {
    let a = Party::start(b'a');
    let entries = |names: &[&str]| -> Vec<_> { names.iter().map(|name| a.entry(name)).collect() };
    let hub = Hub::start(Options::routes(table(&entries(&[
        "a.example",
        "b.example",
    ]))));
    let pause = |ms| thread::sleep(Duration::from_millis(ms));
    // Right after the start, before anything is watched.
    is_taken_whole(
        &hub,
        &entries(&["b.example", "c.example", "d.example"]),
        || pause(700),
    );
    Link::open(hub.addr(), "d.example", a).unwrap();
    // After an earlier edit, and for longer than a file is left alone that nobody is seen writing.
    is_taken_whole(&hub, &entries(&["b.example", "d.example"]), || pause(1600));
    // Beside other files that come and go.
    is_taken_whole(
        &hub,
        &entries(&["b.example", "c.example", "d.example"]),
        || {
            pause(200);
            fs::write(hub.folder().join("other"), "x").unwrap();
            fs::rename(hub.folder().join("other"), hub.folder().join("moved")).unwrap();
            fs::remove_file(hub.folder().join("moved")).unwrap();
            pause(700);
        },
    );
    // Even if a reload is asked for.
    is_taken_whole(&hub, &entries(&["b.example", "d.example"]), || {
        pause(200);
        hub.signal(Signal::HUP);
        pause(700);
    });
    Link::open(hub.addr(), "d.example", a).unwrap();
}

#[test]
fn another_order_is_another_table() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    let (all, one) = (a.entry("\"*.example\""), b.entry("one.example"));
    let hub = Hub::start(Options::routes(table(&[all.clone(), one.clone()])));
    Link::open(hub.addr(), "one.example", a).unwrap();
    let mark = hub.mark();
    hub.edit_routes(&table(&[one, all]));
    hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    Link::open(hub.addr(), "one.example", b).unwrap();
}

#[test]
fn a_thousand_renames_a_second_leave_a_whole_table_in_force() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    let with = |party: Party| table(&[a.entry("keep.example"), party.entry("x.example")]);
    let hub = Hub::start(Options::routes(with(a)));
    for round in 0..1_500 {
        hub.edit_routes(&with(if round % 2 == 0 { b } else { a }));
        if round % 100 == 0 {
            Link::open(hub.addr(), "keep.example", a).unwrap();
        }
        thread::sleep(Duration::from_millis(1));
    }
    let mark = hub.mark();
    hub.edit_routes(&table(&[a.entry("keep.example"), b.entry("last.example")]));
    Link::open_soon(hub.addr(), "last.example", b);
    hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    let refused = hub.lines().iter().any(|line| line["level"] == "ERROR");
    assert!(!refused, "a table was taken by half: {:?}", hub.lines());
}

#[test]
fn a_configmap_is_taken_when_kubernetes_swaps_its_data() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    let hub = Hub::start(Options::routes(table(&[a.entry("a.example")])));
    // Laid out beside, then the hub's own file becomes a link into it, as a mount has it.
    let mount = hub.folder().join("mount");
    for (version, party) in [("v1", a), ("v2", b)] {
        fs::create_dir_all(mount.join(version)).unwrap();
        let text = table(&[party.entry("a.example")]);
        fs::write(mount.join(version).join("sni.yaml"), text).unwrap();
    }
    symlink("v1", mount.join("..data")).unwrap();
    symlink("mount/..data/sni.yaml", hub.folder().join("link")).unwrap();
    fs::rename(hub.folder().join("link"), hub.folder().join("sni.yaml")).unwrap();
    // The same content by another way: nothing to tell.
    thread::sleep(Duration::from_millis(1200));
    Link::open(hub.addr(), "a.example", a).unwrap();

    let mark = hub.mark();
    symlink("v2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    Link::open(hub.addr(), "a.example", b).unwrap();
}

#[test]
fn sighup_reloads_and_says_when_nothing_changed() {
    let a = Party::start(b'a');
    let hub = Hub::start(Options::routes(table(&[a.entry("a.example")])));
    hub.signal(Signal::HUP);
    hub.wait_line("nothing changed", |line| {
        line["message"] == "reload: nothing changed"
    });
    Link::open(hub.addr(), "a.example", a).unwrap();
}

#[test]
fn keys_of_the_hub_are_live_and_fixed_ones_say_what_they_need() {
    let a = Party::start(b'a');
    let hub = Hub::start(Options::routes(table(&[a.entry("a.example")])));
    let mark = hub.mark();
    hub.replace(
        "hub.yaml",
        "access_log: json\nconnect_ports: 1\nworkers: 7\n",
    );
    hub.wait_line_after(mark, "waits for an upgrade", |line| {
        line["message"].as_str().is_some_and(|m| {
            m.contains("hub.yaml:3:10: warning: workers: has changed")
                && m.contains("waits for `snihub upgrade`")
        })
    });
    hub.wait_line_after(mark, "reloaded", |line| line["message"] == "reloaded");
    let alert = Link::open(hub.addr(), "a.example", a).unwrap_err();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 80]);
    assert_eq!(hub.closed("a.example")["ended"], "port_not_permitted");
}

#[test]
fn a_list_file_is_watched_like_the_table() {
    let a = Party::start(b'a');
    let entry = a.entry("a.example") + "  ip_allow: \"@allowed\"\n";
    let hub = Hub::start(Options::routes("sni: []\n"));
    hub.replace("allowed", "10.0.0.0/8\n");
    hub.edit_routes(&table(&[entry]));
    hub.wait_line("reloaded", |line| line["message"] == "reloaded");
    let alert = Link::open(hub.addr(), "a.example", a).unwrap_err();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 49]);

    hub.replace("allowed", "10.0.0.0/8\n127.0.0.0/8\n");
    Link::open_soon(hub.addr(), "a.example", a);
    let mark = hub.mark();
    hub.replace("allowed", "10.0.0.0/8\nnonsense\n");
    refused_reload(&hub, mark, "allowed:2:");
    Link::open(hub.addr(), "a.example", a).unwrap();
}

#[test]
fn close_ends_what_the_new_table_would_not_open() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    let all = [
        "keep.example",
        "gone.example",
        "moved.example",
        "barred.example",
    ];
    let entries: Vec<_> = all.iter().map(|name| a.entry(name)).collect();
    let hub = Hub::start(Options::routes(table(&entries)).settings("on_route_removed: close"));
    let mut links = all.map(|name| Link::open(hub.addr(), name, a).unwrap());
    hub.edit_routes(&table(&[
        a.entry("keep.example"),
        b.entry("moved.example"),
        a.entry("barred.example") + "  ip_allow: 10.0.0.0/8\n",
    ]));
    for (name, link) in all.iter().zip(&mut links).skip(1) {
        link.was_reset();
        let record = hub.closed(name);
        assert_eq!(record["ended"], "route_removed", "{name}");
        assert_eq!(record["by"], "hub", "{name}");
    }
    links[0].exchange(100_000).unwrap();
}

#[test]
fn a_name_appended_to_the_hosts_file_is_dialled_without_a_restart() {
    let a = Party::start(b'a');
    let folder = new_folder("hosts");
    let hosts = folder.join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let route = format!(
        "- fqdn: a.example\n  tunnel_route: broker.a:{}\n",
        a.addr.port()
    );
    let options = Options {
        hosts: Some(hosts.clone()),
        ..Options::routes(table(&[route]))
    };
    let hub = Hub::start(options);
    let alert = Link::open(hub.addr(), "a.example", a).unwrap_err();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 80]);
    assert_eq!(hub.closed("a.example")["ended"], "resolve");
    // In place: a bind-mounted file cannot be renamed over.
    let mut file = fs::OpenOptions::new().append(true).open(&hosts).unwrap();
    file.write_all(b"127.0.0.1 broker.a\n").unwrap();
    let (mut link, took) = Link::open_soon(hub.addr(), "a.example", a);
    println!("dialled {took:?} after the write");
    link.exchange(10_000).unwrap();
    drop(fs::remove_dir_all(folder));
}
