//! `--ats DIR`: ATS's own files are run as they are, and every line of them is told of.

use super::rig::{Running, at, free_port, lay, records, said, servername, snihub};
use crate::support::dir::TempDir;
use crate::support::party::{Link, Party};
use std::fs;
use std::process::Command;

const CERTIFICATES: &str = "dest_ip=* ssl_cert_name=proxy.cert.pem ssl_key_name=proxy.key.pem\n";

fn run(folders: &[&std::path::Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command.args(["run", "--admin", "off"]);
    for folder in folders {
        command.arg("--ats").arg(folder);
    }
    command
}

fn table(entries: &[String]) -> String {
    format!("sni:\n{}", entries.concat())
}

#[test]
fn the_folder_of_fates_guide_is_run_as_it_is() {
    let (a, b) = (Party::start(b'a'), Party::start(b'b'));
    let (dir, port) = (TempDir::new(), free_port());
    let sni = table(&[a.entry("a.example"), b.entry("b.example")]);
    let files = [
        ("records.config", &records(port, "")[..]),
        ("ssl_multicert.config", CERTIFICATES),
        // ATS installs one of comments only.
        ("sni.yaml", "# sni.yaml\n#\n"),
        ("sni.config", &sni),
    ];
    lay(dir.path(), &files);
    let hub = Running::start(&mut run(&[dir.path()]), port);
    hub.said(&format!(
        "routes are those of {}/sni.config",
        dir.path().display()
    ));
    hub.said("records.config:7:1: note: skipped, as ATS does: // begins no comment");
    hub.said("\"8080:ipv6\" is not opened: it is not for TLS");
    hub.said("ssl_multicert.config:1:1: note: not needed: TLS ends at the parties");
    Link::open(at(port), "a.example", a).unwrap();
    Link::open(at(port), "b.example", b).unwrap();

    // Its files are looked after as the hub's own are.
    let more = table(&[
        a.entry("a.example"),
        b.entry("b.example"),
        b.entry("c.example"),
    ]);
    fs::write(dir.path().join("sni.config"), more).unwrap();
    Link::open_soon(at(port), "c.example", b);
    let narrow = records(port, "").replace("443 1024-65535", "443");
    fs::write(dir.path().join("records.config"), narrow).unwrap();
    hub.said("is not in connect_ports: always refused");
}

#[test]
fn every_line_is_told_of() {
    let dir = TempDir::new();
    let more = "\
LOCAL proxy.config.http.connect_ports STRING 443 6650-6700
CONFIG proxy.config.http.transaction_active_timeout_in INT 900
CONFIG proxy.config.ours.nobody.knows INT 1
CONFIG proxy.config.dns.nameservers STRING 10.0.0.53
CONFIG proxy.config.broken
# a comment
";
    let files = [
        ("records.config", &records(443, more)[..]),
        ("ssl_multicert.config", CERTIFICATES),
        ("ip_allow.yaml", "ip_allow: []\n"),
        (
            "sni.yaml",
            "sni: [{fqdn: a.example, tunnel_route: h:6651}]\n",
        ),
    ];
    lay(dir.path(), &files);
    let output = snihub(&["check", "--ats", dir.path().to_str().unwrap()]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let source = &files[0].1;
    let due = source.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let mut lines = 0;
    for (number, line) in due {
        let place = format!("records.config:{}:", number + 1);
        assert!(
            text.contains(&place),
            "nothing is said of {line:?} in\n{text}"
        );
        lines += 1;
    }
    assert!(lines >= 15, "{lines}");
    for part in [
        "connect_ports: no effect: line 15 says it again",
        "connect_ports: taken: routes may lead to ports 443,6650-6700",
        "transaction_active_timeout_in: not taken: the hub cuts no tunnel for being old",
        "proxy.config.ours.nobody.knows: not known to the hub, ignored",
        "warning: proxy.config.dns.nameservers: not taken",
        "is not CONFIG NAME TYPE VALUE",
        "taken: listens on 127.0.0.1:443",
        "ip_allow.yaml: warning: not read: who may come says ip_allow of each entry",
        "sni.yaml: 1 route, 0 errors, 2 warnings",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let strict = snihub(&["check", "--strict", "--ats", dir.path().to_str().unwrap()]);
    assert_eq!(strict.status.code(), Some(78));
    let json = snihub(&[
        "check",
        "--format",
        "json",
        "--ats",
        dir.path().to_str().unwrap(),
    ]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let notes = report["problems"].as_array().unwrap().iter();
    assert!(notes.filter(|p| p["severity"] == "note").count() > 10);
}

#[test]
fn the_routes_file_is_the_one_that_is_named() {
    let dir = TempDir::new();
    let entry = |host: &str| format!("sni: [{{fqdn: a.example, tunnel_route: {host}:6651}}]\n");
    let (yaml, config, other) = (entry("yaml"), entry("config"), entry("other"));
    lay(
        dir.path(),
        &[
            ("one/records.config", &records(443, "")[..]),
            ("one/sni.yaml", &yaml),
            ("one/sni.config", &config),
            ("two/sni/sni.yaml", &other),
        ],
    );
    let folder = |name: &str| dir.path().join(name).display().to_string();
    let (one, two) = (folder("one"), folder("two"));
    let explain = |folders: &[&str]| {
        let mut words = vec!["explain", "a.example"];
        folders
            .iter()
            .for_each(|folder| words.extend(["--ats", folder]));
        let output = snihub(&words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said(&output) + &stderr)
    };
    let named = |line: &str| fs::write(dir.path().join("one/records.config"), records(443, line));
    let (code, text) = explain(&[&one[..]]);
    assert_eq!(code, Some(78), "{text}");
    assert!(
        text.contains("both sni.yaml and sni.config have entries"),
        "{text}"
    );
    for (name, folders, host) in [
        ("sni.config", &[&one[..]][..], "config:6651"),
        ("sni.yaml", &[&one], "yaml:6651"),
        ("sni/sni.yaml", &[&one, &two], "other:6651"),
        (&format!("{two}/sni/sni.yaml"), &[&one], "other:6651"),
    ] {
        named(&servername(name)).unwrap();
        let (code, text) = explain(folders);
        assert!(
            code == Some(0) && text.contains(host),
            "{name}: {code:?} {text}"
        );
    }
    // Not there yet: told with every place, and no error.
    named(&servername("sni/nowhere.yaml")).unwrap();
    let output = snihub(&["check", "--ats", &one, "--ats", &two]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!(
            "{one}/sni/nowhere.yaml: warning: there is no such file"
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!("(nor {two}/sni/nowhere.yaml)")),
        "{text}"
    );
}

#[test]
fn a_table_that_comes_later_is_waited_for() {
    let a = Party::start(b'a');
    let (dir, port) = (TempDir::new(), free_port());
    lay(dir.path(), &[("records.config", &records(port, ""))]);
    let hub = Running::start(&mut run(&[dir.path()]), port);
    hub.said("there is no such file (nor ");
    hub.said("no routes: every client is refused until sni.yaml has one");
    assert_eq!(
        Link::open(at(port), "a.example", a).unwrap_err(),
        [21, 3, 3, 0, 2, 2, 112]
    );
    lay(
        dir.path(),
        &[("sni.config", &table(&[a.entry("a.example")]))],
    );
    Link::open_soon(at(port), "a.example", a);
    // And one that goes away takes no route along.
    fs::remove_file(dir.path().join("sni.config")).unwrap();
    hub.said("the only route would be gone");
    hub.said(&format!(
        "`snihub check --ats {}` shows the same",
        dir.path().display()
    ));
    Link::open(at(port), "a.example", a).unwrap();
}

#[test]
fn what_is_no_folder_of_ats_is_an_error_of_its_own() {
    let dir = TempDir::new();
    let check = |words: &[&str]| {
        let output = snihub(&[&["check", "--ats", dir.path().to_str().unwrap()], words].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said(&output) + &stderr)
    };
    let (code, text) = check(&[]);
    assert_eq!(code, Some(78));
    assert!(
        text.contains("records.config: there is no such file: --ats names"),
        "{text}"
    );
    lay(dir.path(), &[("records.yaml", "ts: {}\n")]);
    assert!(
        check(&[])
            .1
            .contains("records.yaml, of ATS 10, is not read")
    );
    lay(
        dir.path(),
        &[
            (
                "records.config",
                "CONFIG proxy.config.http.server_ports STRING 8080\n",
            ),
            ("sni.yaml", "sni: []\n"),
            ("hub.yaml", "listen: :8443\naccess_log: json\n"),
        ],
    );
    let (code, text) = check(&[]);
    assert_eq!(code, Some(78));
    assert!(
        text.contains("records.config:1:46: proxy.config.http.server_ports: no entry is for TLS"),
        "{text}"
    );
    // What both could say is said in one place.
    let (code, text) = check(&["--config", dir.path().join("hub.yaml").to_str().unwrap()]);
    assert_eq!(code, Some(78));
    assert!(
        text.contains("hub.yaml:1:1: listen: with --ats, proxy.config.http.server_ports"),
        "{text}"
    );
    assert_eq!(check(&["--routes", "x"]).0, Some(64));
}
