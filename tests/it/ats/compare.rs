//! `snihub compare` between two tables; `tests/interop/run replace` has a real Traffic Server.

use super::rig::{free_port, said, snihub};
use crate::support::certs::Authority;
use crate::support::dir::TempDir;
use crate::support::hub::{Hub, Options};
use crate::support::tls_server::{self, Service};
use serde_json::Value;

#[test]
fn what_leads_elsewhere_is_listed() {
    let authority = Authority::new("compare");
    let server = |name| tls_server::start(&authority.identity(&[name]), Service::Echo);
    let (one, other) = (server("one.example"), server("other.example"));
    let entry = |name, to| format!("- fqdn: {name}\n  tunnel_route: {to}\n");
    let table = |moved, more: &str| {
        let all = [entry("same.example", one), entry("moved.example", moved)];
        Hub::start(Options::routes(format!("sni:\n{}{more}", all.concat())))
    };
    let old = table(one, &entry("gone.example", one));
    let new = table(other, "");
    let dir = TempDir::new();
    let names = "\u{feff}same.example\nmoved.example # twice\nMOVED.example\n\n# none\ngone.example\nnever.example\n";
    let names = dir.write("names", names).display().to_string();
    let (old_at, new_at) = (old.addr().to_string(), new.addr().to_string());
    let compare = |words: &[&str]| {
        let all = [
            "compare", "--ats", &old_at, "--hub", &new_at, "--names", &names,
        ];
        snihub(&[&all, words].concat())
    };
    let output = compare(&[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let differing = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(" DIFFERS "));
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        differing(&text),
        ["moved.example", "gone.example"],
        "{text}"
    );
    assert!(text.contains("4 names: 2 alike, 2 different\n"), "{text}");
    // At the old one three names show the same certificate.
    assert!(text.contains("\n1 of these are alike?: "), "{text}");
    assert!(
        text.contains("one.example, by CN=compare, until "),
        "{text}"
    );
    assert!(
        said(&compare(&["--all"])).contains("same.example   alike?"),
        "{text}"
    );
    let rows: Value = serde_json::from_slice(&compare(&["--format", "json"]).stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 4);

    // The same one twice: nothing differs.
    let twice = [
        "compare", "--ats", &new_at, "--hub", &new_at, "--names", &names,
    ];
    let output = snihub(&twice);
    assert_eq!(output.status.code(), Some(0));
    assert!(!said(&output).contains("alike?"), "{}", said(&output));
}

#[test]
fn who_cannot_be_asked_and_what_is_no_name_is_told() {
    let dir = TempDir::new();
    let ask = |names: &[u8], ats: &str| {
        let names = dir.write("names", names).display().to_string();
        let hub = format!("127.0.0.1:{}", free_port());
        let output = snihub(&["compare", "--ats", ats, "--hub", &hub, "--names", &names]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    let closed = format!("127.0.0.1:{}", free_port());
    let (code, text) = ask(b"a.example\n", &closed);
    assert_eq!(code, Some(71), "{text}");
    assert!(
        text.contains(&format!("Traffic Server at {closed} cannot be asked")),
        "{text}"
    );
    let (code, text) = ask(
        b"ok.example\n*.example\n1.2.3.4\nb\xfccher.example\n",
        &closed,
    );
    assert_eq!(code, Some(78), "{text}");
    assert!(
        text.contains("names:2: *.example: no server name")
            && text.contains("names:3:")
            && text.contains("names:4: b\u{fffd}cher.example: no server name"),
        "{text}"
    );
    assert_eq!(ask(b"# none \xff\n", &closed).0, Some(78));
    assert_eq!(ask(b"a\n", "nowhere").0, Some(64));
}
