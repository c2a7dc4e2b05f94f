//! The page is whole, loads nothing from elsewhere, and the states it shows are those of the links.
//! What a browser makes of it: `tests/page/run`.

use super::http::{tcp, unix, unix_with, wait_for};
use super::{door, hub, socket, table};
use crate::support::party::{Link, Party};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;

fn one_route() -> String {
    table(&["a.example"], Party::start(b'a'))
}

/// What stands between quotes in `text` and is a part of the page.
fn parts_named(text: &str) -> BTreeSet<String> {
    text.split(['"', '\''])
        .filter_map(|word| {
            let name = word
                .strip_prefix("page/")
                .or_else(|| word.strip_prefix("./"))?;
            let known = [".js", ".css", ".svg"]
                .iter()
                .any(|end| name.ends_with(end));
            known.then(|| name.to_owned())
        })
        .collect()
}

#[test]
fn the_page_is_whole_and_all_of_it_is_here() {
    let hub = hub(one_route(), "");
    let admin = door(&hub, "admin_listen");
    let get = |path: &str| tcp(admin, "GET", path, "Host: localhost\r\n");
    let page = get("/");
    assert_eq!(page.status, 200);
    assert_eq!(unix(&socket(&hub), "GET", "/").body, page.body);
    let mut named = parts_named(&page.body);
    let mut read = BTreeSet::new();
    while let Some(name) = named.pop_first() {
        let part = get(&format!("/page/{name}"));
        assert_eq!(part.status, 200, "{name}");
        let kind = match name.rsplit('.').next().unwrap() {
            "js" => "content-type: text/javascript",
            "css" => "content-type: text/css",
            _ => "content-type: image/svg+xml",
        };
        for header in [
            kind,
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
        ] {
            assert!(
                part.head.contains(header),
                "{name}: {header}: {}",
                part.head
            );
        }
        // A name space is no address.
        let text = part.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://") && !text.contains("//www"), "{name}");
        read.insert(name);
        named.extend(&parts_named(&text) - &read);
    }
    assert_eq!(read.len(), 9, "{read:?}");
    let markup = page.body.to_lowercase();
    for inline in [
        "style=",
        " onclick",
        " onload",
        "<style",
        "javascript:",
        "://",
    ] {
        assert!(!markup.contains(inline), "{inline}");
    }
    assert_eq!(markup.matches("<script").count(), 1);
    assert_eq!(get("/page/none.js").status, 404);
    assert_eq!(get("/page/../api/status").status, 404);
    let ops = door(&hub, "ops_listen");
    for path in ["/", "/page/main.js"] {
        assert_eq!(tcp(ops, "GET", path, "Host: a\r\n").status, 404, "{path}");
    }
}

/// `ssh -L` leads a browser to the unix socket, where its peer is sshd as root.
#[test]
fn by_the_unix_socket_a_page_from_elsewhere_reads_and_changes_nothing() {
    let hub = hub(one_route(), "");
    let ask = |method: &str, path: &str, headers: &str| {
        unix_with(&socket(&hub), method, path, headers).status
    };
    assert_eq!(ask("GET", "/api/status", "Host: evil.example\r\n"), 421);
    assert_eq!(ask("GET", "/api/status", "Host: localhost:9901\r\n"), 200);
    let reload = "/api/reload";
    for origin in ["http://evil.example", "http://localhost:9901", "null"] {
        let headers = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        assert_eq!(ask("POST", reload, &headers), 403, "{origin}");
    }
    assert_eq!(ask("POST", reload, "Host: localhost\r\n"), 200);
}

#[test]
fn the_state_of_a_route_is_that_of_its_latest_client() {
    let party = Party::start(b'a');
    let down = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = down.local_addr().unwrap();
    drop(down);
    let routes = format!(
        "{}- fqdn: gone.example\n  tunnel_route: {gone}\n- fqdn: shut.example\n  tunnel_route: {}\n  ip_allow: 192.0.2.1\n",
        table(&["a.example"], party),
        party.addr
    );
    let hub = hub(routes, "");
    let rows = || unix(&socket(&hub), "GET", "/api/routes").json();
    let states = |rows: &Value| -> Vec<String> {
        let rows = rows["routes"].as_array().unwrap();
        let state = |row: &Value| row["state"].as_str().unwrap().to_owned();
        rows.iter().map(state).collect()
    };
    assert_eq!(states(&rows()), ["idle", "idle", "idle"]);
    assert_eq!(rows()["routes"][0]["last_opened_unix_ms"], Value::Null);
    let link = Link::open(hub.addr(), "a.example", party).unwrap();
    for name in ["gone.example", "shut.example"] {
        assert!(Link::open(hub.addr(), name, party).is_err());
    }
    let seen = wait_for("the states", || {
        let rows = rows();
        match states(&rows) == ["up", "failing", "refused"] {
            true => Ok(rows),
            false => Err(rows.to_string()),
        }
    });
    for (place, key) in ["last_opened", "last_dial_error", "last_refused"]
        .iter()
        .enumerate()
    {
        let at = &seen["routes"][place][format!("{key}_unix_ms")];
        assert!(at.as_u64().unwrap() > 1_600_000_000_000, "{seen}");
    }
    drop(link);
    wait_for("nothing stands", || match states(&rows())[0].as_str() {
        "idle" => Ok(()),
        other => Err(other.to_owned()),
    });
}
