//! The manuals in config/ load as they are and with every example uncommented, speak of every key,
//! and give the defaults that the code has.

use crate::support::dir::TempDir;
use snihub::config::{self, Load, Settings, Sources, hub_keys, sni_keys};
use snihub::net::dial::DialError;
use snihub::refusal::Refusal;
use snihub::tunnel::Ended;
use std::path::Path;
use std::process::Command;

const HUB: &str = include_str!("../../config/hub.yaml");
const SNI: &str = include_str!("../../config/sni.yaml");
const README: &str = include_str!("../../README.md");

/// Settings are lines with `#` and no space, or `#` and indentation of two or more.
fn uncommented(manual: &str) -> String {
    let setting = |line: &str| {
        let rest = line.strip_prefix('#')?;
        let first = rest.chars().next()?;
        (first != ' ' || (rest.starts_with("  ") && rest.contains(": ") && !in_prose(rest)))
            .then(|| rest.to_owned())
    };
    let lines = manual
        .lines()
        .map(|line| setting(line).unwrap_or_else(|| line.to_owned()));
    lines.map(|line| line + "\n").collect()
}

/// Prose that is indented as a table begins at the third column or with a word and two spaces.
fn in_prose(rest: &str) -> bool {
    let words = rest.trim_start();
    rest.starts_with("   ")
        || !words
            .split(' ')
            .next()
            .is_some_and(|word| word.ends_with(':'))
}

fn load(hub: &str, sni: &str) -> Load {
    let dir = TempDir::new();
    let (config, routes) = (
        Some(dir.write("hub.yaml", hub)),
        Some(dir.write("sni.yaml", sni)),
    );
    config::load(&Sources {
        config,
        routes,
        ..Sources::default()
    })
}

fn messages(load: &Load) -> Vec<String> {
    load.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_manuals_load_as_they_are() {
    let load = load(HUB, SNI);
    assert_eq!(
        (load.errors, load.warnings),
        (0, 1),
        "{:?}",
        messages(&load)
    );
    assert!(load.problems[0].text.contains("no routes"));
    assert_eq!(load.loaded.expect("settings").settings, Settings::default());
}

#[test]
fn the_hub_yaml_of_the_container_loads() {
    let hub = include_str!("../../config/container/hub.yaml");
    let dir = TempDir::new();
    std::fs::create_dir(dir.path().join("routes")).expect("a folder");
    dir.write("routes/sni.yaml", "sni: [{fqdn: a, tunnel_route: h}]\n");
    let load = config::load(&Sources {
        config: Some(dir.write("hub.yaml", hub)),
        ..Sources::default()
    });
    assert_eq!(messages(&load), [""; 0]);
    let settings = load.loaded.expect("settings").settings;
    let ports = [
        settings.listen[0].address,
        settings.ops_listen.expect("a door"),
    ];
    assert_eq!(ports.map(|address| address.port()), [8443, 9100]);
}

#[test]
fn the_hubs_defaults_are_those_of_the_code() {
    let hub = uncommented(HUB);
    for key in [
        "\nlisten:\n- \"[::]:443\"\n",
        "\nworkers: auto\n",
        "\n  per_route: off\n",
    ] {
        assert!(hub.contains(key), "{key:?} in\n{hub}");
    }
    // /etc/snihub/ is not the test's to read.
    let hub = hub.replace("\nroutes: /etc/snihub/\n", "\nroutes: sni.yaml\n");
    let load = load(&hub, "sni: [{fqdn: a, tunnel_route: h}]\n");
    assert_eq!(messages(&load), [""; 0]);
    assert_eq!(load.loaded.expect("settings").settings, Settings::default());
}

#[test]
fn every_key_of_hub_yaml_is_written_with_its_default() {
    let hub = uncommented(HUB);
    let keys = hub_keys();
    assert!(keys.len() >= 30);
    let unset = [
        "connect_ports",
        "listen.address",
        "listen.name",
        "listen.proxy_protocol",
        "listen.trusted",
        "admin_token_file",
    ];
    for key in keys {
        let last = key.rsplit('.').next().unwrap_or(&key);
        assert!(HUB.contains(last), "{key} is not in the manual");
        let unwritten = unset.contains(&key.as_str());
        let nested = if key.contains('.') { "\n  " } else { "\n" };
        assert_eq!(
            hub.contains(&format!("{nested}{last}:")),
            !unwritten,
            "{key}"
        );
    }
}

#[test]
fn the_examples_of_sni_yaml_are_routes() {
    let load = load("", &uncommented(SNI));
    assert_eq!(messages(&load), [""; 0]);
    let routes = load.loaded.expect("a table").routes;
    let written = SNI
        .lines()
        .filter(|line| line.starts_with("#- fqdn:"))
        .count();
    assert_eq!((routes.len(), written), (7, 7));
}

#[test]
fn every_key_of_sni_yaml_is_spoken_of() {
    let words: Vec<&str> = SNI
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let keys: Vec<&str> = sni_keys().collect();
    assert!(keys.len() >= 45);
    for key in keys {
        assert!(words.contains(&key), "{key} is not in the manual");
    }
    // And the other way: what is written in an example is a key.
    for line in uncommented(SNI)
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        if let Some((key, _)) = line.trim_start_matches(['-', ' ']).split_once(':') {
            assert!(
                key == "sni" || sni_keys().any(|known| known == key),
                "{line}"
            );
        }
    }
}

#[test]
fn the_readme_has_every_exit_code_of_the_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .arg("--help")
        .output()
        .expect("snihub runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, listed) = help.split_once("Exit codes:").expect("a list");
    let codes: Vec<&str> = listed
        .split(';')
        .filter_map(|item| item.split_whitespace().next())
        .collect();
    assert_eq!(codes, ["0", "1", "2", "64", "69", "71", "77", "78", "130"]);
    let rows: Vec<&str> = README
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|word| word.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    assert_eq!(rows, codes);
}

#[test]
fn the_readme_has_every_end_of_a_session() {
    // Nothing is handed over before there are upgrades.
    let ended = Ended::ALL
        .into_iter()
        .filter(|ended| *ended != Ended::HandedOver);
    let labels = ended
        .map(Ended::label)
        .chain(Refusal::LABELS)
        .chain(DialError::LABELS);
    for label in labels {
        assert!(README.contains(&format!("`{label}`")), "{label}");
    }
}

#[test]
fn the_readme_leads_to_the_list_of_differences() {
    let readme: Vec<&str> = README.split_whitespace().collect();
    let sentence = "The end of [`config/sni.yaml`](config/sni.yaml) has the whole list.";
    assert!(readme.join(" ").contains(sentence));
    let (_, list) = SNI
        .split_once("# Different from ATS on purpose, the whole list.")
        .expect("the list");
    assert!(list.lines().skip(1).all(|line| line.starts_with("# ")));
    for of in ["Names", "This file", "Destinations", "Connections"] {
        assert!(list.contains(&format!("\n# {of}:\n")), "{of}");
    }
}

/// A file of the interop suite's settings, for one party: what a party is given, or the suite's own.
fn interop(file: &str, values: &[(&str, &str)]) -> String {
    let folders = ["src/party/templates", "tests/interop/settings"];
    let mut folders = folders
        .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .into_iter();
    let folder = folders.find(|folder| folder.join(file).exists()).unwrap();
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    values.iter().fold(text, |text, (key, value)| {
        let placeholder = format!("{{{key}}}");
        assert!(text.contains(&placeholder), "{file} has no {placeholder}");
        text.replace(&placeholder, value)
    })
}

#[test]
fn the_readme_has_the_settings_that_the_interop_suite_runs() {
    let route = |party, address| interop("route.yaml", &[("party", party), ("address", address)]);
    let (first, second) = (route("9999", "192.168.0.1"), route("10000", "192.168.0.2"));
    let table = format!("sni:\n{first}{second}");
    let load = load("", &table);
    assert_eq!(messages(&load), [""; 0]);
    let hub = ("hub", "proxy.fate.org:443");
    let address = ("address", "192.168.0.1");
    for (language, text) in [
        ("yaml", table),
        (
            "properties",
            interop(
                "broker.conf",
                &[
                    ("party", "9999"),
                    ("name", "9999.fate.org"),
                    ("address", "0.0.0.0"),
                    ("certificate", "/pulsar/certs/broker.cert.pem"),
                    ("key", "/pulsar/certs/broker.key-pk8.pem"),
                    ("authority", "/pulsar/certs/ca.cert.pem"),
                ],
            ),
        ),
        (
            "yaml",
            interop(
                "pulsar_route_table.yaml",
                &[("party", "9999"), ("domain", "fate.org"), address, hub],
            ),
        ),
        (
            "json",
            interop("cluster.json", &[("name", "10000.fate.org"), hub]),
        ),
    ] {
        let block = format!("```{language}\n{text}```\n");
        assert!(README.contains(&block), "README.md lacks\n{block}");
    }
}
