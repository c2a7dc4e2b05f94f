//! What a real ATS 9.2 did with given routes and hellos, the hub does too, but for a closed list
//! of differences, each with its reason. A difference that is not listed fails, and so does a
//! listed one that is none any more.
//!
//! Every case goes the whole way: hello bytes, parser, `RouteTable::decide`.

use crate::support::hello::{ECH, Hello, SERVER_NAME, record, sni};
use serde_json::Value;
use snihub::net::addr::Host;
use snihub::refusal::{LooksLike, Refusal};
use snihub::route::{
    Action, ConnectPorts, Entry, FqdnPattern, PortSet, Query, RouteTable, TargetTemplate,
};
use snihub::tls::{HelloError, HelloParser, Step};
use std::collections::BTreeMap;

const INBOUND_PORT: u16 = 14443;
const CONNECT_PORTS: &str = "443 15001-15099";
const MAX_CLIENT_HELLO: usize = 65536;
const CASES: usize = 65;

/// (group, hello, reason).
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "matching",
        "exact.com.",
        "one trailing dot is ignored in names and patterns",
    ),
    (
        "matching",
        ".wild.com",
        "a name with an empty label is refused (rule 15)",
    ),
    (
        "matching",
        ".opt.com",
        "a name with an empty label is refused (rule 15)",
    ),
    (
        "matching",
        "b.wild.com.evil.org",
        "wildcards are anchored at the end, as in ATS 9.2.15",
    ),
    (
        "matching",
        "prefix.network",
        "wildcards are anchored at the end, as in ATS 9.2.15",
    ),
    (
        "matching",
        "foo1.re.com",
        "regular expressions are not interpreted",
    ),
    (
        "matching",
        "x.alt.com",
        "regular expressions are not interpreted",
    ),
    (
        "matching",
        "foo[0-9]+.re.com",
        "a name with such characters is refused (rule 15)",
    ),
    (
        "matching",
        "q?.opt.com",
        "a name with such characters is refused (rule 15)",
    ),
    (
        "matching",
        "end.com$",
        "a name with such characters is refused (rule 15)",
    ),
    (
        "matching",
        "<empty name>",
        "an empty name in a hello is refused (rule 14)",
    ),
    (
        "uncompilable fqdn",
        "<no SNI>",
        "a pattern that cannot match takes nothing",
    ),
    (
        "clienthello",
        "tls1.1 only",
        "no TLS version checks on a blind tunnel",
    ),
    (
        "clienthello",
        "duplicate SNI extension",
        "one alert code for every malformed hello",
    ),
    (
        "clienthello",
        "SNI 256",
        "a name that is none is malformed, not unknown",
    ),
    (
        "clienthello",
        "empty record first",
        "zero-length records are refused (rule 3)",
    ),
];

/// What a client and the operator see of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// Dialled: the name that is looked up (`None`: 127.0.0.1), and the port.
    Tunnel(Option<String>, u16),
    NoRoute,
    PortNotPermitted,
    Alert(u8),
    ClosedWithoutBytes,
}

#[test]
fn each_case_ends_as_in_ats_or_differs_for_a_listed_reason() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ats/observed.json");
    let json: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let cases = json["cases"].as_array().unwrap();
    assert_eq!(cases.len(), CASES);

    let mut listed: BTreeMap<_, _> = DIFFERENCES
        .iter()
        .map(|&(g, h, why)| ((g, h), why))
        .collect();
    assert_eq!(
        listed.len(),
        DIFFERENCES.len(),
        "a difference is listed twice"
    );
    let mut wrong = Vec::new();
    for case in cases {
        let key = (
            case["group"].as_str().unwrap(),
            case["hello"].as_str().unwrap(),
        );
        let (ats, ours) = (
            observed(&case["observed"]),
            replay(&case["entries"], &hello(key)),
        );
        match (ats == ours, listed.remove(&key)) {
            (true, None) | (false, Some(_)) => {}
            (false, None) => wrong.push(format!("{key:?}: ATS {ats:?}, ours {ours:?}")),
            (true, Some(why)) => wrong.push(format!("{key:?}: no difference any more ({why})")),
        }
    }
    wrong.extend(
        listed
            .keys()
            .map(|key| format!("{key:?}: listed, but there is no such case")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn observed(observed: &Value) -> Outcome {
    // DNS knows no case; captures are in lower case here.
    let dns = || observed["dns"][0].as_str().map(str::to_lowercase);
    match observed["kind"].as_str().unwrap() {
        "tunnel" => Outcome::Tunnel(dns(), observed["port"].as_u64().unwrap() as u16),
        "terminated_by_ats" => Outcome::NoRoute,
        // ATS looked the name up, in vain: the hub dials too, and learns it there.
        "plaintext_html" if observed["title"] == "Unknown Host" => Outcome::Tunnel(dns(), 15001),
        "plaintext_html" => Outcome::PortNotPermitted,
        "alert" => Outcome::Alert(observed["desc"].as_u64().unwrap() as u8),
        "closed_no_bytes" => Outcome::ClosedWithoutBytes,
        other => panic!("unknown observation {other}"),
    }
}

fn table(entries: &Value) -> RouteTable {
    let entries = entries
        .as_array()
        .unwrap()
        .iter()
        .zip(1..)
        .map(|(entry, line)| {
            let pattern = FqdnPattern::parse(entry["fqdn"].as_str().unwrap()).unwrap();
            let target = entry["tunnel_route"].as_str().unwrap();
            let (target, _) = TargetTemplate::parse(target, pattern.captures()).unwrap();
            Entry::new(line, pattern, Action::Tunnel(target))
        });
    let connect_ports = ConnectPorts::Written(PortSet::parse(CONNECT_PORTS).unwrap());
    RouteTable::new(entries.collect(), connect_ports).unwrap()
}

fn replay(entries: &Value, wire: &[u8]) -> Outcome {
    let table = table(entries);
    let refusal = match HelloParser::new(MAX_CLIENT_HELLO).advance(wire, &mut Vec::new()) {
        Ok(Step::More(need)) => panic!("{} bytes are no whole hello: {need}", wire.len()),
        Ok(Step::Hello(hello)) => {
            let query = Query {
                name: hello.server_name.as_ref(),
                source: [127, 0, 0, 1].into(),
                inbound_port: INBOUND_PORT,
                proxy_port: None,
            };
            match table.decide(&query) {
                Ok(decision) => return tunnel(&decision.target.host, decision.target.port),
                Err(denied) => denied.refusal,
            }
        }
        Err(HelloError::NotTls) => Refusal::NotTls(LooksLike::Unknown),
        Err(HelloError::TooLarge(why)) => Refusal::TooLarge(why),
        Err(HelloError::Malformed(why)) => Refusal::Malformed(why),
    };
    match (refusal, refusal.alert()) {
        (Refusal::UnknownServerName | Refusal::NoServerName, _) => Outcome::NoRoute,
        (Refusal::PortNotPermitted(_), _) => Outcome::PortNotPermitted,
        (_, Some(alert)) => Outcome::Alert(alert as u8),
        (_, None) => Outcome::ClosedWithoutBytes,
    }
}

fn tunnel(host: &Host, port: u16) -> Outcome {
    match host {
        Host::Name(name) => Outcome::Tunnel(Some(name.to_string()), port),
        Host::Ip(ip) => {
            assert_eq!(ip.to_string(), "127.0.0.1");
            Outcome::Tunnel(None, port)
        }
    }
}

/// The bytes of a case: a plain hello with the name, but in the group that is about hellos, where
/// the label says what is special about it.
fn hello((group, label): (&str, &str)) -> Vec<u8> {
    let plain = || Hello::named("foo.com");
    match (group, label) {
        ("clienthello", "tls1.3 x25519") => plain().versions(&[0x0304]).wire(),
        ("clienthello", "tls1.3 MLKEM share, x25519 in groups") => plain()
            .groups(&[0x11ec, 0x001d])
            .key_shares(&[(0x11ec, 1216)])
            .wire(),
        ("clienthello", "tls1.1 only") => plain().client_version(0x0302).versions(&[0x0302]).wire(),
        ("clienthello", "tls1.2 unknown cipher") => {
            plain().versions(&[0x0303]).ciphers(&[0x1234]).wire()
        }
        ("clienthello", "record version 0x0201") => plain().record_version(0x0201).wire(),
        ("clienthello", "name type 1 then host") => {
            plain().sni(sni(&[(1, b"foo.com"), (0, b"foo.com")])).wire()
        }
        ("clienthello", "duplicate SNI extension") => plain()
            .extension(SERVER_NAME, sni(&[(0, b"foo.com")]))
            .wire(),
        ("clienthello", "SNI 256") => {
            let name = format!("{}{}.long.com", "a234567.".repeat(30), "b".repeat(7));
            assert_eq!(name.len(), 256);
            Hello::named(name).wire()
        }
        ("clienthello", "padded 4000") => plain().padded_to(4000).wire(),
        ("clienthello", "padded 20000") => plain().padded_to(20000).wire(),
        ("clienthello", "1-byte records") => plain().wire_in_records_of(1),
        ("clienthello", "ECH extension") => plain().extension(ECH, vec![0x5a; 200]).wire(),
        ("clienthello", "empty record first") => [record(22, 0x0301, &[]), plain().wire()].concat(),
        ("clienthello", "app data after hello") => {
            [plain().wire(), record(23, 0x0303, b"early data")].concat()
        }
        ("clienthello", "SSH") => b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec(),
        ("clienthello", unknown) => panic!("no hello is known for the label {unknown}"),
        (_, "<no SNI>") => Hello::nameless().wire(),
        (_, "<empty name>") => Hello::named("").wire(),
        (_, name) => Hello::named(name).wire(),
    }
}
