//! An authority, brokers of a kind, a hub, and the doctor as an operator calls it.

use crate::pki::rig::{Ca, Said};
use crate::support::certs::Identity;
use crate::support::hub::{Hub, Options};
use crate::support::pulsar;
use crate::support::tls_server::{self, Service};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use serde_json::Value;
use snihub::pki::Folder;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use time::OffsetDateTime;

/// A star's authority, in `pki/`.
pub(super) struct Rig {
    pub(super) ca: Ca,
}

/// What the doctor said.
pub(super) struct Diagnosis {
    pub(super) code: Option<i32>,
    pub(super) body: Value,
}

impl Rig {
    pub(super) fn new() -> Rig {
        Rig { ca: Ca::plain() }
    }

    /// A certificate of the star's authority for these names.
    pub(super) fn identity(&self, names: &[&str]) -> Identity {
        let folder = Folder::open(&self.ca.path("pki")).unwrap();
        let authority = folder.authority(None).unwrap();
        let issued = authority
            .issue(names, Duration::from_secs(90 * 24 * 3600))
            .unwrap();
        Identity {
            certificate_pem: issued.certificate_pem,
            key_pem: issued.key_pem.to_string(),
        }
    }

    /// One that begins and ends so many days from now, signed with the same authority's key.
    pub(super) fn lasting(&self, name: &str, [from, to]: [i64; 2]) -> Identity {
        self.with(name, |params| {
            let now = OffsetDateTime::now_utc();
            params.not_before = now + time::Duration::days(from);
            params.not_after = now + time::Duration::days(to);
        })
    }

    /// One that is changed in some way, signed with the same authority's key.
    pub(super) fn with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::from_pem(&self.ca.read("pki/ca.key.pem")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.ca.read("pki/ca.cert.pem"), key).unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate_pem: params.signed_by(&key, &issuer).unwrap().pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The same authority, name and key, with an end so many days from now; PEM.
    pub(super) fn authority_until(&self, days: i64) -> String {
        authority_until(&self.ca, days)
    }

    /// A broker with TLS.
    pub(super) fn broker(&self, identity: &Identity, advertised: &'static str) -> SocketAddr {
        tls_server::start(identity, Service::Pulsar(advertised))
    }

    /// A broker of 9998.fate.org with which nothing is wrong.
    pub(super) fn well(&self) -> SocketAddr {
        self.broker(&self.identity(&["9998.fate.org"]), "9998.fate.org")
    }

    /// The doctor on the hub's machine, on the hub's own files.
    pub(super) fn doctor(&self, hub: &Hub, arguments: &[&str]) -> Diagnosis {
        let table = hub.folder().join("sni.yaml");
        self.doctor_by(hub, table.to_str().unwrap(), arguments)
    }

    /// The same with another sni.yaml.
    pub(super) fn doctor_by(&self, hub: &Hub, table: &str, arguments: &[&str]) -> Diagnosis {
        let admin = hub.folder().join("admin.sock");
        let files = ["--routes", table, "--admin", admin.to_str().unwrap()];
        self.run(&[arguments, &files].concat())
    }

    /// The doctor, with this authority.
    pub(super) fn run(&self, arguments: &[&str]) -> Diagnosis {
        let said = self.say(&[arguments, &["--format", "json"]].concat());
        let body = serde_json::from_str(&said.out)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}{}", said.out, said.err));
        Diagnosis {
            code: said.code,
            body,
        }
    }

    /// Types the last command that a line to change has, which has to work; gives it.
    pub(super) fn does(&self, fix: &str) -> String {
        let command = fix.rsplit('`').nth(1).expect("a command");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let mut run = Command::new(env!("CARGO_BIN_EXE_snihub"));
        run.args(&words)
            .current_dir(self.ca.dir.path())
            .stdin(Stdio::null());
        Said::of(&run.output().unwrap()).succeeded(&words);
        command.to_owned()
    }

    /// What it prints.
    pub(super) fn say(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command.arg("doctor").args(arguments);
        // A machine that is busy with other tests answers late, and a black hole never.
        if !arguments.contains(&"--timeout") {
            command.args(["--timeout", "20"]);
        }
        command.current_dir(self.ca.dir.path()).stdin(Stdio::null());
        Said::of(&command.output().unwrap())
    }
}

/// The authority of `pki/`, name and key, with an end so many days from now; PEM.
pub(crate) fn authority_until(ca: &Ca, days: i64) -> String {
    let key = KeyPair::from_pem(&ca.read("pki/ca.key.pem")).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "fate.org star CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let end = OffsetDateTime::now_utc() + time::Duration::days(days);
    params.not_before = end - time::Duration::days(30);
    params.not_after = end;
    params.self_signed(&key).unwrap().pem()
}

/// A hub with these routes.
pub(super) fn hub(routes: &[(&str, SocketAddr)]) -> Hub {
    Hub::start(Options::routes(table(routes)).with_admin())
}

pub(super) fn table(routes: &[(&str, SocketAddr)]) -> String {
    let entry =
        |(name, to): &(&str, SocketAddr)| format!("- fqdn: \"{name}\"\n  tunnel_route: {to}\n");
    format!("sni:\n{}", routes.iter().map(entry).collect::<String>())
}

/// Something else than TLS: what it does with a connection.
pub(super) fn serve(each: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// A broker's plain port.
pub(super) fn plain_broker() -> SocketAddr {
    serve(|mut stream| drop(pulsar::serve(&mut stream, "9998.fate.org")))
}

impl Diagnosis {
    /// All findings of the sections whose title begins so, as `severity check`.
    pub(super) fn found(&self, section: &str) -> Vec<String> {
        let named = |finding: &Value| {
            let word = |key: &str| finding[key].as_str().unwrap().to_owned();
            format!("{} {}", word("severity"), word("check"))
        };
        self.findings(section).into_iter().map(named).collect()
    }

    /// The one finding of this check in such a section.
    pub(super) fn finding(&self, section: &str, check: &str) -> &Value {
        let mut all = self.findings(section);
        all.retain(|finding| finding["check"] == check);
        assert_eq!(all.len(), 1, "{section}, {check}: {:#}", self.body);
        all[0]
    }

    fn findings(&self, section: &str) -> Vec<&Value> {
        let reports = self.body["reports"].as_array().unwrap().iter();
        let sections = reports.flat_map(|report| report["sections"].as_array().unwrap());
        let wanted = sections.filter(|one| one["title"].as_str().unwrap().starts_with(section));
        let found: Vec<&Value> = wanted
            .flat_map(|one| one["findings"].as_array().unwrap())
            .collect();
        assert!(!found.is_empty(), "no section {section}: {:#}", self.body);
        found
    }

    /// It is an error with these words, and says why and what to do, with these.
    pub(super) fn error(&self, section: &str, check: &str, seen: &str, fix: &str) {
        let finding = self.finding(section, check);
        assert_eq!(finding["severity"], "error", "{finding:#}");
        let says = |key: &str| finding[key].as_str().unwrap_or_default();
        assert!(says("seen").contains(seen), "{seen:?} in {finding:#}");
        assert!(!says("why").is_empty(), "{finding:#}");
        assert!(says("fix").contains(fix), "{fix:?} in {finding:#}");
        assert_eq!((self.code, &self.body["worst"]), (Some(2), &"error".into()));
    }
}
