//! Certificates that callers refuse, and servers that want one of theirs.

use super::rig::{Diagnosis, Rig, hub};
use crate::pki::rig::{Ca, does, have};
use crate::support::certs::{Authority, Identity};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

fn examined(rig: &Rig, identity: &Identity) -> Diagnosis {
    let hub = hub(&[("9998.fate.org", rig.broker(identity, "9998.fate.org"))]);
    rig.doctor(&hub, &["9998"])
}

#[test]
fn an_expired_one() {
    let rig = Rig::new();
    let said = examined(&rig, &rig.lasting("9998.fate.org", [-30, -3]));
    said.error(
        "directly",
        "certificate.ended",
        "over since 3 days",
        "snihub pki issue pulsar 9998.fate.org",
    );
    // Everything else is told, too: nothing ended with the certificate.
    assert_eq!(
        said.found("directly")[3..],
        ["ok pulsar", "ok pulsar.advertised"]
    );
    let same = said.finding("through the hub", "certificate");
    assert_eq!(same["seen"], "the same certificate as directly");
}

#[test]
fn one_of_an_authority_that_is_over_or_will_be() {
    let rig = Rig::new();
    let leaf = rig.lasting("9998.fate.org", [-30, 380]);
    let hub = hub(&[("9998.fate.org", rig.broker(&leaf, "9998.fate.org"))]);
    rig.ca.dir.write("over.pem", rig.authority_until(-3));
    rig.ca.dir.write("due.pem", rig.authority_until(5));
    let said = rig.doctor(&hub, &["9998", "--trust", "over.pem"]);
    said.error(
        "directly",
        "authority.over",
        "is over since",
        "snihub pki init",
    );
    let well = |said: &Diagnosis| {
        said.found("directly")
            .contains(&"ok certificate".to_owned())
    };
    assert!(!well(&said), "{:#}", said.body);
    let said = rig.doctor(&hub, &["9998", "--trust", "due.pem"]);
    let due = said.finding("directly", "authority.due");
    assert_eq!(due["severity"], "warning", "{due}");
    assert!(well(&said), "{:#}", said.body);
    // Whoever of several with one name and key lasts longest may be asked.
    let both = rig.authority_until(-3) + &rig.ca.read("pki/ca.cert.pem");
    rig.ca.dir.write("both.pem", &both);
    let said = rig.doctor(&hub, &["9998", "--trust", "both.pem"]);
    assert!(well(&said) && said.code == Some(0), "{:#}", said.body);
}

#[test]
fn nothing_that_needs_an_authority_is_advised_when_ours_is_over() {
    let rig = Rig::new();
    let leaf = rig.lasting("9998.fate.org", [-30, -3]);
    let hub = hub(&[("9998.fate.org", rig.broker(&leaf, "9998.fate.org"))]);
    rig.ca.dir.write("pki/ca.cert.pem", rig.authority_until(-2));
    let said = rig.doctor(&hub, &["9998"]);
    let ended = said.finding("directly", "certificate.ended");
    let lacking = said.finding("configuration", "authority");
    for fix in [&ended["fix"], &lacking["fix"]] {
        let fix = fix.as_str().unwrap();
        let adds = fix.matches("party add").count();
        let by_the_successor = fix.matches("--ca NEW --parties DIR").count();
        assert!(
            fix.contains("pki init") && adds == by_the_successor,
            "{fix}"
        );
        assert!(!fix.contains("pki renew"), "{fix}");
    }
}

#[test]
fn one_that_is_good_for_several_parties() {
    let rig = Rig::new();
    let own = rig.broker(&rig.identity(&["9998.fate.org"]), "9998.fate.org");
    let both = rig.identity(&["9999.fate.org", "9998.fate.org", "b.9999.fate.org"]);
    let both = rig.broker(&both, "9999.fate.org");
    let wild = rig.with("9997.fate.org", |params| {
        let wild = rcgen::SanType::DnsName("*.fate.org".try_into().unwrap());
        params.subject_alt_names.push(wild);
    });
    let wild = rig.broker(&wild, "9997.fate.org");
    // The same broker by a second name, and by one below its own: nobody else.
    let routes = [
        ("9998.fate.org", own),
        ("9999.fate.org", both),
        ("b.9999.fate.org", own),
        ("9997.fate.org", wild),
        ("again.fate.org", wild),
    ];
    let hub = hub(&routes);
    let several = |party: &str| {
        let said = rig.doctor(&hub, &[party]);
        let found = said.found("directly");
        let warned = found.contains(&"warning certificate.several".to_owned());
        warned.then(|| {
            assert_eq!(said.code, Some(1), "{:#}", said.body);
            let finding = said.finding("directly", "certificate.several");
            finding["seen"].as_str().unwrap().to_owned()
        })
    };
    assert_eq!(several("9998"), None);
    let seen = "its certificate is good for 9998.fate.org, too";
    assert_eq!(several("9999").as_deref(), Some(seen));
    let seen = "its certificate is good for 9998.fate.org, 9999.fate.org, too";
    assert_eq!(several("9997").as_deref(), Some(seen));
}

#[test]
fn one_that_ends_with_its_authority_is_not_renewed() {
    let rig = Rig {
        ca: Ca::lasting("20"),
    };
    let said = examined(&rig, &rig.identity(&["9998.fate.org"]));
    let finding = said.finding("directly", "certificate.due");
    let fix = finding["fix"].as_str().unwrap();
    assert!(
        fix.contains("our authority ends then") && fix.contains("pki init --ca NEW"),
        "{fix}"
    );
    let said = examined(&rig, &rig.lasting("9998.fate.org", [-1, 10]));
    let finding = said.finding("directly", "certificate.due");
    let fix = finding["fix"].as_str().unwrap();
    assert!(fix.contains("snihub pki"), "{fix}");
    assert!(!fix.contains("authority ends"), "{fix}");
}

#[test]
fn one_of_a_machine_whose_clock_runs_ahead() {
    let rig = Rig::new();
    let said = examined(&rig, &rig.lasting("9998.fate.org", [1, 90]));
    said.error(
        "directly",
        "certificate.not_yet",
        "begins only at",
        "timedatectl",
    );
}

#[test]
fn one_with_another_name() {
    let rig = Rig::new();
    let said = examined(&rig, &rig.identity(&["localhost", "pulsar.fate.org"]));
    let words = "for localhost, pulsar.fate.org, not for 9998.fate.org";
    said.error("directly", "certificate.names", words, "DNS:9998.fate.org");
    let why = &said.finding("directly", "certificate.names")["why"];
    assert!(why.as_str().unwrap().contains("openssl.cnf"), "{why}");
}

#[test]
fn one_of_another_authority_and_with_all_faults_at_once() {
    let rig = Rig::new();
    let said = examined(
        &rig,
        &Authority::new("CN of another").identity(&["9999.fate.org"]),
    );
    said.error(
        "directly",
        "certificate.issuer",
        "CN of another",
        "snihub pki issue pulsar 9998.fate.org",
    );
    said.error(
        "directly",
        "certificate.names",
        "9999.fate.org",
        "9998.fate.org",
    );
}

#[test]
fn one_of_an_earlier_authority_of_the_same_name() {
    let rig = Rig::new();
    let before = ["init", "--plain-key", "--domain", "fate.org", "--ca"];
    // Its key may be of another kind, too.
    for (at, key) in ["p256", "rsa2048"].into_iter().enumerate() {
        let folder = format!("old{at}");
        let init = [&before[..], &[&*folder, "--key", key]].concat();
        rig.ca.ok(&init);
        rig.ca.ok(&["issue", "pulsar", "9998", "--ca", &folder]);
        let issued = format!("{folder}/issued/pulsar/9998.fate.org");
        let identity = Identity {
            certificate_pem: rig.ca.read(&format!("{issued}/broker.cert.pem")),
            key_pem: rig.ca.read(&format!("{issued}/broker.key-pk8.pem")),
        };
        examined(&rig, &identity).error(
            "directly",
            "certificate.issuer",
            "an earlier or a later authority of the same name, CN=fate.org star CA",
            "snihub pki issue pulsar 9998.fate.org",
        );
    }
}

#[test]
fn one_that_is_signed_by_itself() {
    for ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let rig = Rig::new();
        let mut params = CertificateParams::new(["9998.fate.org".to_owned()]).unwrap();
        params.is_ca = ca;
        let key = KeyPair::generate().unwrap();
        let identity = Identity {
            certificate_pem: params.self_signed(&key).unwrap().pem(),
            key_pem: key.serialize_pem(),
        };
        let said = examined(&rig, &identity);
        said.error(
            "directly",
            "certificate.issuer",
            "signed by itself, not by our authority",
            "snihub pki issue pulsar 9998.fate.org",
        );
    }
}

#[test]
fn one_of_an_authority() {
    let rig = Rig::new();
    let said = examined(
        &rig,
        &rig.with("9998.fate.org", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
    );
    said.error(
        "directly",
        "certificate.use",
        "an authority's (basicConstraints CA:TRUE), not a server's",
        "snihub pki issue pulsar 9998.fate.org",
    );
}

#[test]
fn the_line_to_change_is_one_that_works() {
    let rig = Rig::new();
    let broker = rig.broker(&rig.identity(&["localhost"]), "9998.fate.org");
    let hub = hub(&[("9998.fate.org", broker)]);
    for layout in ["pulsar", "eggroll", "osx"] {
        let asked = ["9998", "--layout", layout];
        for wanted in ["issue", "renew"] {
            let said = rig.doctor(&hub, &asked);
            let fix = said.finding("directly", "certificate.names")["fix"].clone();
            let command = rig.does(fix.as_str().unwrap());
            let made = format!("snihub pki {wanted} ");
            assert!(command.starts_with(&made), "{command}");
            assert!(command.contains(layout), "{command}");
        }
    }
}

#[test]
fn one_without_extensions_as_openssl_makes_them() {
    if !have("openssl") {
        return;
    }
    let rig = Rig::new();
    let path = |name: &str| rig.ca.path(name).to_str().unwrap().to_owned();
    let (key, request, certificate) = (path("k.pem"), path("r.pem"), path("c.pem"));
    let request_it = [
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=9998.fate.org",
        "-keyout",
        &key,
        "-out",
        &request,
    ];
    does("openssl", &request_it);
    let (ca, ca_key) = (path("pki/ca.cert.pem"), path("pki/ca.key.pem"));
    does(
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-out",
            &certificate,
        ],
    );
    let identity = Identity {
        certificate_pem: rig.ca.read("c.pem"),
        key_pem: rig.ca.read("k.pem"),
    };
    // rustls would not serve it.
    let server = Server::start(&identity, &rig, &[]);
    let hub = hub(&[("9998.fate.org", server.address)]);
    let said = rig.doctor(&hub, &["9998", "--layout", "osx"]);
    said.error(
        "directly",
        "certificate.version",
        "X.509 v1",
        "snihub pki issue osx 9998.fate.org",
    );
    said.error(
        "directly",
        "certificate.names",
        "no name at all (its subject is CN=9998.fate.org)",
        "DNS:",
    );
}

#[test]
fn a_server_that_wants_one_of_its_clients() {
    if !have("openssl") {
        return;
    }
    let rig = Rig::new();
    let identity = rig.identity(&["9998.fate.org"]);
    let ca = rig.ca.path("pki/ca.cert.pem");
    let ca = ca.to_str().unwrap();
    rig.ca.dir.write("cert.pem", &identity.certificate_pem);
    rig.ca.dir.write("key.pem", &identity.key_pem);
    for version in ["-tls1_2", "-tls1_3"] {
        let strict = Server::start(
            &identity,
            &rig,
            &[
                "-Verify",
                "1",
                "-verify_return_error",
                "-CAfile",
                ca,
                version,
            ],
        );
        let hub = hub(&[("9998.fate.org", strict.address)]);
        let said = rig.doctor(&hub, &["9998", "--layout", "eggroll"]);
        let finding = said.finding("directly", "client_certificate.required");
        assert_eq!(
            (said.code, &finding["severity"]),
            (Some(1), &"warning".into()),
            "{version}"
        );
        let shown = [
            "9998", "--layout", "eggroll", "--cert", "cert.pem", "--key", "key.pem",
        ];
        let said = rig.doctor(&hub, &shown);
        assert_eq!(said.code, Some(0), "{version}: {:#}", said.body);
        said.finding("directly", "client_certificate");
    }
    let kind = Server::start(&identity, &rig, &["-verify", "1", "-CAfile", ca]);
    let hub = hub(&[("9998.fate.org", kind.address)]);
    let said = rig.doctor(&hub, &["9998", "--layout", "eggroll"]);
    assert_eq!(
        (
            said.code,
            &said.finding("directly", "client_certificate")["severity"]
        ),
        (Some(0), &"note".into())
    );
}

#[test]
fn a_server_that_declines_a_client_certificate_of_another_authority() {
    if !have("openssl") {
        return;
    }
    let rig = Rig::new();
    let identity = rig.identity(&["9998.fate.org"]);
    let ca = rig.ca.path("pki/ca.cert.pem");
    let foreign = Authority::new("CN of another").identity(&["9998.fate.org"]);
    rig.ca.dir.write("foreign.pem", &foreign.certificate_pem);
    rig.ca.dir.write("foreign.key", &foreign.key_pem);
    let strict = ["-Verify", "1", "-verify_return_error", "-CAfile"];
    for version in ["-tls1_2", "-tls1_3"] {
        let wanted = [&strict[..], &[ca.to_str().unwrap(), version]].concat();
        let server = Server::start(&identity, &rig, &wanted);
        let hub = hub(&[("9998.fate.org", server.address)]);
        let shown = ["--cert", "foreign.pem", "--key", "foreign.key"];
        let said = rig.doctor(
            &hub,
            &[&["9998", "--layout", "eggroll"][..], &shown].concat(),
        );
        for way in ["directly", "through the hub"] {
            said.error(
                way,
                "client_certificate.declined",
                "ends the connection",
                "has to hold the authority's certificate",
            );
        }
    }
}

#[test]
fn one_that_was_revoked_and_its_layout_decides_nothing() {
    let rig = Rig::new();
    rig.ca.ok(&["issue", "pulsar", "9998.fate.org"]);
    rig.ca.ok(&["issue", "osx", "9998.fate.org"]);
    let issued = "pki/issued/pulsar/9998.fate.org";
    let identity = Identity {
        certificate_pem: rig.ca.read(&format!("{issued}/broker.cert.pem")),
        key_pem: rig.ca.read(&format!("{issued}/broker.key-pk8.pem")),
    };
    let broker = rig.broker(&identity, "9998.fate.org");
    let hub = hub(&[("9998.fate.org", broker)]);
    // Of two layouts that stand pulsar is asked.
    let said = rig.doctor(&hub, &["9998"]);
    said.finding("directly", "pulsar");
    assert_eq!(said.code, Some(0), "{:#}", said.body);
    for layout in ["osx", "pulsar"] {
        rig.ca.ok(&["revoke", "9998.fate.org", "--layout", layout]);
    }
    let said = rig.doctor(&hub, &["9998"]);
    said.finding("directly", "pulsar");
    said.error(
        "directly",
        "certificate.revoked",
        "was revoked on",
        "snihub pki issue pulsar 9998.fate.org",
    );
    let found = said.found("directly");
    assert!(!found.contains(&"ok certificate".to_owned()), "{found:?}");
}

#[test]
fn a_server_of_tls_1_2_alone_is_told() {
    if !have("openssl") {
        return;
    }
    let rig = Rig::new();
    let server = Server::start(
        &rig.identity(&["9998.fate.org"]),
        &rig,
        &["-tls1_2", "-alpn", "h2"],
    );
    let hub = hub(&[("9998.fate.org", server.address)]);
    let said = rig.doctor(&hub, &["9998", "--layout", "eggroll"]);
    let seen = said.finding("directly", "tls")["seen"].as_str().unwrap();
    assert!(seen.starts_with("TLS 1.2, speaks h2, "), "{seen}");
    assert_eq!(said.code, Some(0), "{:#}", said.body);
}

/// `openssl s_server`, ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(identity: &Identity, rig: &Rig, arguments: &[&str]) -> Server {
        let certificate = rig.ca.dir.write("server.pem", &identity.certificate_pem);
        let key = rig.ca.dir.write("server.key", &identity.key_pem);
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &address.to_string(), "-cert"]);
        command
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .args(arguments);
        // With its stdin closed it would close what it accepts.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().starts_with("ACCEPT"));
        assert!(ready, "openssl s_server does not listen");
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
