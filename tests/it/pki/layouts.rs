//! Every layout has exactly its files, modes, names, usages and keys, and openssl takes each of its
//! certificates for what it is for, and for nothing else.

use super::rig::{Ca, does, have, verify};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// A certificate: its file, its key's, whether it is taken for a server and for a client, its names,
/// and its subject.
struct Pair {
    certificate: &'static str,
    key: &'static str,
    server: bool,
    client: bool,
    names: &'static [&'static str],
    subject: &'static str,
}

struct Case {
    layout: &'static str,
    arguments: &'static [&'static str],
    primary: &'static str,
    authority: &'static str,
    pairs: &'static [Pair],
    secret: &'static str,
    rsa: bool,
}

const fn both(
    certificate: &'static str,
    key: &'static str,
    names: &'static [&'static str],
    subject: &'static str,
) -> Pair {
    Pair {
        certificate,
        key,
        server: true,
        client: true,
        names,
        subject,
    }
}

const CASES: [Case; 8] = [
    Case {
        layout: "pulsar",
        arguments: &["9998", "broker-0.9998.fate.org"],
        primary: "9998.fate.org",
        authority: "ca.cert.pem",
        pairs: &[both(
            "broker.cert.pem",
            "broker.key-pk8.pem",
            &["9998.fate.org", "broker-0.9998.fate.org"],
            "CN = 9998.fate.org",
        )],
        secret: "pulsar-cert",
        rsa: true,
    },
    Case {
        layout: "hub",
        arguments: &["proxy.fate.org"],
        primary: "proxy.fate.org",
        authority: "ca.cert.pem",
        pairs: &[both(
            "proxy.cert.pem",
            "proxy.key.pem",
            &["proxy.fate.org"],
            "CN = proxy.fate.org",
        )],
        secret: "traffic-server-cert",
        rsa: false,
    },
    Case {
        layout: "eggroll",
        arguments: &["9998"],
        primary: "9998.fate.org",
        authority: "ca.pem",
        pairs: &[
            both(
                "server.crt",
                "server.key",
                &["9998.fate.org"],
                "CN = 9998.fate.org",
            ),
            Pair {
                certificate: "client.crt",
                key: "client.key",
                server: false,
                client: true,
                names: &["party-9998-client"],
                subject: "CN = party-9998-client",
            },
        ],
        secret: "eggroll-certs",
        rsa: false,
    },
    Case {
        layout: "osx",
        arguments: &["osx.9998.example.org", "192.168.0.4", "fd00::4"],
        primary: "osx.9998.example.org",
        authority: "ca.crt",
        pairs: &[both(
            "server.crt",
            "server.pem",
            &["osx.9998.example.org", "192.168.0.4", "fd00::4"],
            "CN = osx",
        )],
        secret: "osx-certs",
        rsa: false,
    },
    Case {
        layout: "substra-orchestrator",
        arguments: &["orchestrator.substra.org", "node-1"],
        primary: "orchestrator.substra.org",
        authority: "ca.crt",
        pairs: &[both(
            "tls.crt",
            "tls.key",
            &["orchestrator.substra.org", "node-1"],
            "CN = orchestrator.substra.org",
        )],
        secret: "orchestrator-tls-server-pair",
        rsa: false,
    },
    Case {
        layout: "substra-backend",
        arguments: &["backend.org1.org", "--org", "Org1MSP"],
        primary: "backend.org1.org",
        authority: "ca.crt",
        pairs: &[both(
            "tls.crt",
            "tls.key",
            &["backend.org1.org"],
            "CN = backend.org1.org, O = Org1MSP",
        )],
        secret: "orchestrator-tls-client-pair",
        rsa: false,
    },
    Case {
        layout: "flower",
        arguments: &["superlink.flower.org", "10.0.0.5"],
        primary: "superlink.flower.org",
        authority: "ca.crt",
        pairs: &[both(
            "server.pem",
            "server.key",
            &["superlink.flower.org", "10.0.0.5"],
            "CN = superlink.flower.org",
        )],
        secret: "flower-superlink-certs",
        rsa: false,
    },
    Case {
        layout: "podvm",
        arguments: &[],
        primary: "podvm-server",
        authority: "ca.crt",
        pairs: &[
            Pair {
                certificate: "tls.crt",
                key: "tls.key",
                server: true,
                client: false,
                names: &["podvm-server"],
                subject: "CN = podvm-server",
            },
            Pair {
                certificate: "client.crt",
                key: "client.key",
                server: false,
                client: true,
                names: &["podvm_client"],
                subject: "CN = podvm_client",
            },
        ],
        secret: "certs-for-tls",
        rsa: false,
    },
];

/// Names of files with their modes.
fn files(folder: &Path) -> BTreeMap<String, u32> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let named = |entry: std::fs::DirEntry| {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        (entry.file_name().into_string().unwrap(), mode)
    };
    entries.map(|entry| named(entry.unwrap())).collect()
}

impl Case {
    fn arguments(&self, more: &[&'static str]) -> Vec<&'static str> {
        [&["issue", self.layout], self.arguments, more].concat()
    }

    fn files(&self) -> BTreeMap<String, u32> {
        let mut wanted = BTreeMap::from([(self.authority.to_owned(), 0o644)]);
        for pair in self.pairs {
            wanted.insert(pair.certificate.to_owned(), 0o644);
            wanted.insert(pair.key.to_owned(), 0o600);
        }
        wanted
    }
}

#[test]
fn the_files_are_the_layouts_own_with_their_modes() {
    let ca = Ca::plain();
    for case in &CASES {
        ca.ok(&case.arguments(&[]));
        let folder = ca.path(&format!("pki/issued/{}/{}", case.layout, case.primary));
        assert_eq!(files(&folder), case.files(), "{}", case.layout);
        let meta = std::fs::metadata(&folder).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o700, "{}", case.layout);
        let authority = ca.read("pki/ca.cert.pem");
        assert_eq!(
            std::fs::read_to_string(folder.join(case.authority)).unwrap(),
            authority
        );
        for pair in case.pairs {
            let key = std::fs::read_to_string(folder.join(pair.key)).unwrap();
            assert!(
                key.starts_with("-----BEGIN PRIVATE KEY-----\n"),
                "{}",
                case.layout
            );
            let certificate = std::fs::read_to_string(folder.join(pair.certificate)).unwrap();
            let blocks = certificate.matches("BEGIN CERTIFICATE").count();
            assert_eq!(
                blocks,
                if case.layout == "osx" { 2 } else { 1 },
                "{}",
                case.layout
            );
        }
    }
}

#[test]
fn openssl_takes_each_for_what_it_is_for_and_no_more() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    for case in &CASES {
        ca.ok(&case.arguments(&[]));
        let folder = ca.path(&format!("pki/issued/{}/{}", case.layout, case.primary));
        let authority = folder.join(case.authority);
        for pair in case.pairs {
            let leaf = folder.join(pair.certificate);
            for name in pair.names {
                for (purpose, wanted) in [("sslserver", pair.server), ("sslclient", pair.client)] {
                    let said = verify(&authority, &leaf, purpose, name);
                    let what = format!("{} {name} {purpose}: {}", case.layout, said.err);
                    assert_eq!(said.code == Some(0), wanted, "{what}");
                }
            }
            for other in [
                "9999.fate.org",
                "fate.org",
                "localhost",
                "x.9998.fate.org",
                "10.0.0.6",
            ] {
                let said = verify(&authority, &leaf, "any", other);
                assert_ne!(said.code, Some(0), "{} {other}", case.layout);
                assert!(said.err.contains("mismatch"), "{}", said.err);
            }
            asks_openssl(case, pair, &folder);
        }
    }
}

fn asks_openssl(case: &Case, pair: &Pair, folder: &Path) {
    let leaf = folder.join(pair.certificate);
    let leaf = leaf.to_str().unwrap();
    let key = folder.join(pair.key);
    let key = key.to_str().unwrap();
    let text = does(
        "openssl",
        &[
            "x509", "-in", leaf, "-noout", "-text", "-nameopt", "oneline",
        ],
    );
    for part in [
        "Version: 3",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "CA:FALSE",
        "Digital Signature",
        &format!("Subject: {}\n", pair.subject),
    ] {
        assert!(text.contains(part), "{}: {part:?} in {text}", case.layout);
    }
    assert_eq!(
        text.matches("DNS:").count() + text.matches("IP Address:").count(),
        pair.names.len()
    );
    // RSA alone encrypts keys, and only pulsar's are RSA.
    assert_eq!(
        text.contains("Key Encipherment"),
        case.rsa,
        "{}",
        case.layout
    );
    let kind = if case.rsa {
        "rsaEncryption"
    } else {
        "prime256v1"
    };
    assert!(text.contains(kind), "{}", case.layout);
    let of_certificate = does("openssl", &["x509", "-in", leaf, "-noout", "-pubkey"]);
    assert_eq!(
        of_certificate,
        does("openssl", &["pkey", "-in", key, "-pubout"])
    );
}

#[test]
fn the_authority_signs_leaves_and_lists_and_nothing_else() {
    if !have("openssl") {
        return;
    }
    for (key, kind) in [("p256", "prime256v1"), ("rsa2048", "2048 bit")] {
        let ca = Ca::none();
        ca.ok(&["init", "--plain-key", "--key", key]);
        let certificate = ca.path("pki/ca.cert.pem");
        let text = does(
            "openssl",
            &[
                "x509",
                "-noout",
                "-text",
                "-in",
                certificate.to_str().unwrap(),
            ],
        );
        for part in [
            "CA:TRUE, pathlen:0",
            "Certificate Sign, CRL Sign",
            "Version: 3",
            kind,
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        ca.ok(&["issue", "pulsar", "9998.fate.org"]);
        let leaf = ca.path("pki/issued/pulsar/9998.fate.org/broker.cert.pem");
        let said = verify(&certificate, &leaf, "sslserver", "9998.fate.org");
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
}

#[test]
fn a_secret_has_the_charts_name_and_the_files_as_keys() {
    let ca = Ca::plain();
    for case in &CASES {
        ca.ok(&case.arguments(&["--as", "secret", "--namespace", "fate"]));
        let file = format!("pki/issued/{}/{}.secret.yaml", case.layout, case.primary);
        let meta = std::fs::metadata(ca.path(&file)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
        let text = ca.read(&file);
        let value: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let at = |key: &str| value[key].as_str().unwrap().to_owned();
        assert_eq!(
            (at("apiVersion").as_str(), at("kind").as_str()),
            ("v1", "Secret")
        );
        assert_eq!(value["metadata"]["name"].as_str(), Some(case.secret));
        assert_eq!(value["metadata"]["namespace"].as_str(), Some("fate"));
        let data = value["data"].as_mapping().unwrap();
        let keys: Vec<_> = data
            .keys()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(keys, case.files().into_keys().collect::<Vec<_>>());
        assert_eq!(
            decoded(data[case.authority].as_str().unwrap()),
            ca.read("pki/ca.cert.pem")
        );
        let key = decoded(data[case.pairs[0].key].as_str().unwrap());
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}

/// By another decoder than what encoded it.
fn decoded(base64: &str) -> String {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for byte in base64.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(value(byte));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_tar_unpacks_to_the_same_files_and_modes() {
    if !have("tar") {
        return;
    }
    let ca = Ca::plain();
    for case in &CASES {
        let mut issue = ca.command(&case.arguments(&["--as", "tar", "--out", "-"]));
        let mut issue = issue
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = ca.path(case.layout);
        std::fs::create_dir(&out).unwrap();
        let unpacked = Command::new("tar")
            .arg("-xpC")
            .arg(&out)
            .stdin(issue.stdout.take().unwrap())
            .status()
            .unwrap();
        assert!(unpacked.success() && issue.wait().unwrap().success());
        assert_eq!(files(&out), case.files(), "{}", case.layout);
    }
}

#[test]
fn flowers_files_are_its_users_own_or_it_is_said_how() {
    let ca = Ca::plain();
    let said = ca.ok(&["issue", "flower", "superlink.fate.org"]);
    let folder = ca.path("pki/issued/flower/superlink.fate.org");
    let owners = || {
        let files = ["", "ca.crt", "server.pem", "server.key"];
        files.map(|file| std::fs::metadata(folder.join(file)).unwrap().uid())
    };
    if rustix::process::geteuid().is_root() {
        assert_eq!(owners(), [49999; 4]);
    } else {
        assert!(said.contains("chown -R 49999:49999 "), "{said}");
    }
}
