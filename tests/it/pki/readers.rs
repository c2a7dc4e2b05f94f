//! Python's ssl with check_hostname, Java as netty loads PEM, and gnutls read what openssl reads.

use super::rig::{Ca, does, have, tries};
use crate::support::program::{python, which};
use std::path::{Path, PathBuf};

fn script(name: &str) -> String {
    format!("{}/tests/it/pki/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Certificate, key, authority and name of every certificate that a server uses.
fn servers(ca: &Ca) -> Vec<[PathBuf; 3]> {
    ca.ok(&["issue", "pulsar", "9998"]);
    ca.ok(&["issue", "hub", "proxy.fate.org"]);
    ca.ok(&["issue", "eggroll", "9998"]);
    ca.ok(&["issue", "osx", "osx.fate.org"]);
    ca.ok(&["issue", "substra-orchestrator", "orchestrator.fate.org"]);
    let backend = [
        "issue",
        "substra-backend",
        "backend.fate.org",
        "--org",
        "Org1MSP",
    ];
    ca.ok(&backend);
    ca.ok(&["issue", "flower", "superlink.fate.org"]);
    let all = [
        (
            "pulsar/9998.fate.org",
            "broker.cert.pem broker.key-pk8.pem ca.cert.pem",
        ),
        (
            "hub/proxy.fate.org",
            "proxy.cert.pem proxy.key.pem ca.cert.pem",
        ),
        ("eggroll/9998.fate.org", "server.crt server.key ca.pem"),
        ("osx/osx.fate.org", "server.crt server.pem ca.crt"),
        (
            "substra-orchestrator/orchestrator.fate.org",
            "tls.crt tls.key ca.crt",
        ),
        ("substra-backend/backend.fate.org", "tls.crt tls.key ca.crt"),
        ("flower/superlink.fate.org", "server.pem server.key ca.crt"),
    ];
    let paths = |(folder, files): (&str, &str)| {
        let mut files = files.split(' ');
        let folder = ca.path(&format!("pki/issued/{folder}"));
        [(); 3].map(|()| folder.join(files.next().unwrap()))
    };
    all.into_iter().map(paths).collect()
}

fn name(certificate: &Path) -> String {
    let folder = certificate.parent().unwrap().file_name().unwrap();
    folder.to_str().unwrap().to_owned()
}

fn arguments(script: String, server: &[PathBuf; 3], name: &str) -> Vec<String> {
    let paths = server.iter().map(|path| path.to_str().unwrap().to_owned());
    [script]
        .into_iter()
        .chain(paths)
        .chain([name.to_owned()])
        .collect()
}

#[test]
fn python_shakes_hands_with_host_names_checked() {
    let Some(python) = python().filter(|_| have("python3")) else {
        return;
    };
    let ca = Ca::plain();
    for server in servers(&ca) {
        let name = name(&server[0]);
        let said = does(&python, &arguments(script("Handshake.py"), &server, &name));
        assert_eq!(said, "verified both ways\n", "{name}");
        let said = tries(
            &python,
            &arguments(script("Handshake.py"), &server, "other.fate.org"),
        );
        assert!(
            said.err.contains("Hostname mismatch"),
            "{name}: {}",
            said.err
        );
    }
}

/// Layouts with a certificate for each side: each is taken on its own side alone.
#[test]
fn python_takes_a_clients_own_certificate_and_not_for_a_server() {
    let Some(python) = python().filter(|_| have("python3")) else {
        return;
    };
    let ca = Ca::plain();
    ca.ok(&["issue", "eggroll", "9998"]);
    ca.ok(&["issue", "podvm"]);
    for (folder, server, authority, name, client) in [
        (
            "eggroll/9998.fate.org",
            "server",
            "ca.pem",
            "9998.fate.org",
            "party-9998-client",
        ),
        (
            "podvm/podvm-server",
            "tls",
            "ca.crt",
            "podvm-server",
            "podvm_client",
        ),
    ] {
        let file = |name: &str| {
            let path = ca.path(&format!("pki/issued/{folder}/{name}"));
            path.to_str().unwrap().to_owned()
        };
        let pair = |stem: &str| [file(&format!("{stem}.crt")), file(&format!("{stem}.key"))];
        let shake = |server: &str, name: &str, client: &str| {
            let [certificate, key] = pair(server);
            let mut all = vec![script("Handshake.py"), certificate, key, file(authority)];
            all.push(name.to_owned());
            all.extend(pair(client));
            tries(&python, &all)
        };
        let said = shake(server, name, "client");
        assert_eq!(said.out, "verified both ways\n", "{folder}: {}", said.err);
        let said = shake("client", client, "client");
        assert!(
            said.err.contains("unsuitable certificate purpose"),
            "{}",
            said.err
        );
    }
}

#[test]
fn java_loads_and_trusts_them() {
    let compiler = &["--describe-module", "jdk.compiler"];
    if !have("java") || tries("java", compiler).code != Some(0) {
        assert!(std::env::var_os("CI").is_none(), "java has no compiler");
        return;
    }
    let ca = Ca::plain();
    let mut all = vec!["-XX:TieredStopAtLevel=1".to_owned(), script("LoadPem.java")];
    let servers = servers(&ca);
    for server in &servers {
        all.extend(arguments(name(&server[0]), server, "").into_iter().take(4));
    }
    let said = does("java", &all);
    assert_eq!(
        said,
        format!("{} loaded, trusted, checked by name\n", servers.len())
    );
}

#[test]
fn gnutls_verifies_them() {
    if which("certtool").is_none() {
        assert!(std::env::var_os("CI").is_none(), "no certtool in PATH");
        return;
    }
    let ca = Ca::plain();
    for [certificate, key, authority] in servers(&ca) {
        let name = name(&certificate);
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let verify = |host: &str| {
            let authority = path(&authority);
            let (infile, host) = (path(&certificate), host.to_owned());
            let fixed = [
                "--verify".to_owned(),
                "--load-ca-certificate".to_owned(),
                authority,
            ];
            let rest = [
                "--infile".to_owned(),
                infile,
                "--verify-hostname".to_owned(),
                host,
            ];
            tries("certtool", &[fixed.to_vec(), rest.to_vec()].concat())
        };
        let said = verify(&name);
        assert_eq!(said.code, Some(0), "{name}: {}{}", said.out, said.err);
        assert_ne!(verify("other.fate.org").code, Some(0), "{name}");
        does(
            "certtool",
            &["--key-info".to_owned(), "--infile".to_owned(), path(&key)],
        );
    }
}
