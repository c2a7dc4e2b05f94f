//! Real TLS clients talk end to end through the real `snihub run`: the certificate verified by
//! name, every byte of both directions the same at both ends, the client's own hello first.
//!
//! Two recording hops make that visible: client -> tap -> hub -> tap -> server. In CI a client that
//! cannot be had is a failure, elsewhere a line that says so.

mod client;

use crate::support::certs::Authority;
use crate::support::hub::{Hub, Options, new_folder};
use crate::support::tap::{Delivery, Tap};
use crate::support::tls_server::{self, Service};
use client::{Client, GrpcServer};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Output;

/// Bytes that each client sends and gets back: enough to fill every buffer on the way.
const PAYLOAD: usize = 1 << 20;

#[test]
fn openssl_s_client() {
    talks_through_the_hub(Client::OpenSsl);
}

#[test]
fn curl() {
    talks_through_the_hub(Client::Curl);
}

#[test]
fn python_ssl() {
    talks_through_the_hub(Client::Python);
}

#[test]
fn java_jsse() {
    talks_through_the_hub(Client::Java);
}

#[test]
fn grpcio() {
    talks_through_the_hub(Client::Grpc);
}

fn talks_through_the_hub(client: Client) {
    if let Err(missing) = client.to_be_had() {
        assert!(std::env::var_os("CI").is_none(), "{client:?}: {missing}");
        skipped(client, &missing);
        return;
    }
    let folder = new_folder("client");
    let authority = Authority::new("the test's authority");
    fs::write(folder.join("ca.pem"), &authority.certificate_pem).unwrap();
    let identity = authority.identity(&["whole.party.example", "cut.party.example"]);
    fs::write(folder.join("cert.pem"), &identity.certificate_pem).unwrap();
    fs::write(folder.join("key.pem"), &identity.key_pem).unwrap();
    let (server, _grpc) = match client {
        Client::Grpc => {
            let server = GrpcServer::start(&folder);
            (server.addr, Some(server))
        }
        Client::Curl => (tls_server::start(&identity, Service::HttpEcho), None),
        _ => (tls_server::start(&identity, Service::Echo), None),
    };

    let upstreams = ["whole", "cut", "other"].map(|_| Tap::start(server, Delivery::AsItComes));
    let [whole, cut, other] = upstreams.each_ref().map(Tap::addr);
    let hub = Hub::start(Options::routes(format!(
        "sni:\n\
         - fqdn: whole.party.example\n  tunnel_route: {whole}\n\
         - fqdn: cut.party.example\n  tunnel_route: {cut}\n\
         - fqdn: other.party.example\n  tunnel_route: {other}\n"
    )));
    let [whole, cut, _] = &upstreams;
    same_at_both_ends(
        client,
        &hub,
        &folder,
        ("whole.party.example", Delivery::AsItComes),
        whole,
    );
    same_at_both_ends(
        client,
        &hub,
        &folder,
        ("cut.party.example", Delivery::TwoSegments),
        cut,
    );
    the_client_does_verify(client, &hub, &folder);
    fs::remove_dir_all(folder).unwrap();
}

#[expect(
    clippy::explicit_write,
    reason = "eprintln would be hidden, since the test passes"
)]
fn skipped(client: Client, missing: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {client:?}: {missing}").unwrap();
}

fn same_at_both_ends(
    client: Client,
    hub: &Hub,
    folder: &Path,
    (name, delivery): (&str, Delivery),
    upstream: &Tap,
) {
    let inbound = Tap::start(hub.addr(), delivery);
    let payload = payload();
    let output = client.send(name, inbound.addr().port(), folder, &payload);
    assert!(
        output.status.success(),
        "{client:?}, {name}: {}",
        told(&output)
    );
    assert!(
        output.stdout == payload,
        "{client:?}, {name}: another answer: {}",
        told(&output)
    );

    let (sent, arrived) = (inbound.only_tape(), upstream.only_tape());
    let hello = sent.first_record();
    assert_eq!(
        hello[0], 0x16,
        "{client:?}: the first record is no handshake"
    );
    assert!(
        contains(hello, name.as_bytes()),
        "{client:?}: the hello does not carry {name}"
    );
    assert_eq!(
        hello,
        arrived.first_record(),
        "{client:?}, {name}: the hello was changed"
    );
    assert!(
        sent.to_server == arrived.to_server,
        "{client:?}, {name}: client to upstream differs"
    );
    assert!(
        sent.to_client == arrived.to_client,
        "{client:?}, {name}: upstream to client differs"
    );
    assert!(sent.to_server.len() > PAYLOAD && sent.to_client.len() > PAYLOAD);

    let record = hub.closed(name);
    assert_eq!(
        record["client_to_upstream"],
        Value::from(sent.to_server.len()),
        "{record}"
    );
    assert_eq!(
        record["upstream_to_client"],
        Value::from(sent.to_client.len()),
        "{record}"
    );
    assert_eq!(record["ended"], "both_closed", "{record}");
    assert_eq!(record["upstream"], upstream.addr().to_string(), "{record}");
    let closed = hub
        .records()
        .iter()
        .filter(|record| record["name"] == name)
        .count();
    assert_eq!(closed, 1, "closed lines for {name}");
}

/// A route that leads to the wrong party: its certificate is for other names, and the client, which
/// gets to see just that certificate, leaves.
fn the_client_does_verify(client: Client, hub: &Hub, folder: &Path) {
    let name = "other.party.example";
    let output = client.send(name, hub.port(), folder, b"not to be seen");
    assert!(
        !output.status.success(),
        "{client:?} took a certificate for another name"
    );
    assert!(output.stdout.is_empty(), "{client:?}: {}", told(&output));
    let record = hub.closed(name);
    assert!(record["client_to_upstream"].as_u64() > Some(0), "{record}");
}

/// Text without an end of line, so that s_client finds none of its commands in it; no two places
/// alike, so that nothing can be lost, doubled or moved unseen.
fn payload() -> Vec<u8> {
    let mut text = String::with_capacity(PAYLOAD);
    for number in 0..PAYLOAD / 8 {
        text.push_str(&format!("{number:08x}"));
    }
    text.into_bytes()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn told(output: &Output) -> String {
    let head = String::from_utf8_lossy(&output.stdout[..output.stdout.len().min(200)]).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    format!(
        "{}, {} bytes: {head}\nstderr: {error}",
        output.status,
        output.stdout.len()
    )
}
