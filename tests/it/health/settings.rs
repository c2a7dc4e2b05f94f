//! The keys: what they may be, and what is said where they do nothing.

use crate::support::dir::TempDir;
use snihub::config::{self, Load, Sources};
use snihub::route::ProbeKind;
use std::time::Duration;

fn load(hub: &str, sni: &str) -> Load {
    let dir = TempDir::new();
    config::load(&Sources {
        config: Some(dir.write("hub.yaml", hub)),
        routes: Some(dir.write("sni.yaml", sni)),
        ..Sources::default()
    })
}

const ONE: &str = "sni:\n- fqdn: a.example\n  tunnel_route: h:1\n";

#[test]
fn a_kind_alone_is_enough() {
    for (hub, kind, interval) in [
        ("", ProbeKind::Off, 30),
        ("probe: tls\n", ProbeKind::Tls, 30),
        ("probe: {kind: tcp, interval: 1h}\n", ProbeKind::Tcp, 3_600),
        ("probe: {interval: 1s}\n", ProbeKind::Off, 1),
    ] {
        let load = load(hub, &format!("{ONE}  probe: tcp\n"));
        assert_eq!(load.problems, [], "{hub}");
        let loaded = load.loaded.unwrap();
        let probe = &loaded.settings.probe;
        assert_eq!(
            (probe.kind, probe.interval),
            (kind, Duration::from_secs(interval))
        );
        let (_, route) = loaded.routes.entries().next().unwrap();
        assert_eq!(route.probe, Some(ProbeKind::Tcp));
    }
}

#[test]
fn mistakes_are_told() {
    for (hub, sni, words) in [
        ("probe: yes\n", "", "\"yes\" is not one of off, tcp, tls"),
        ("probe: {kind: https}\n", "", "is not one of off, tcp, tls"),
        ("probe: {interval: 500ms}\n", "", "is not in 1s..=1h"),
        ("probe: {timeout: off}\n", "", "is not in 100ms..=5m"),
        ("probe: {intervall: 5s}\n", "", "did you mean interval?"),
        ("", "  probe: {kind: tls}\n", "where one value is expected"),
        ("", "  probes: tls\n", "did you mean probe?"),
    ] {
        let load = load(hub, &format!("{ONE}{sni}"));
        assert_eq!(
            (load.errors, load.problems.len()),
            (1, 1),
            "{:?}",
            load.problems
        );
        let told = load.problems[0].to_string();
        assert!(told.contains(words), "{words:?} in {told}");
    }
}

#[test]
fn where_nobody_can_be_asked_it_is_a_warning() {
    for (fqdn, target, words) in [
        (
            "\"*.example\"",
            "h:1",
            "the hub asks only where fqdn is one name",
        ),
        (
            "\"*.example\"",
            "$1.svc.org:6651",
            "the hub asks only where fqdn is one name",
        ),
        ("''", "h:1", "the hub asks only where fqdn is one name"),
    ] {
        let entry = |kind: &str| {
            format!("sni:\n- fqdn: {fqdn}\n  tunnel_route: {target}\n  probe: {kind}\n")
        };
        let asked = load("", &entry("tls"));
        assert_eq!(
            (asked.errors, asked.problems.len()),
            (0, 1),
            "{:?}",
            asked.problems
        );
        assert!(
            asked.problems[0].text.contains(words),
            "{:?}",
            asked.problems
        );
        // The hub's own default goes for those that can be asked, and off is off.
        assert_eq!(load("probe: tls\n", &entry("off")).problems, []);
    }
    let proxied =
        "sni:\n- fqdn: a.example\n  tunnel_route: h:{proxy_protocol_port}\n  probe: tcp\n";
    let listen = "listen: [{address: ':1', proxy_protocol: required, trusted: [10.0.0.0/8]}]\n";
    let told = load(listen, proxied).problems;
    assert!(
        told.len() == 1 && told[0].text.contains("without a client"),
        "{told:?}"
    );
}
