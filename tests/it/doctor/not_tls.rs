//! What speaks behind the route where TLS should, and which setting causes it.

use super::rig::{Diagnosis, Rig, hub, plain_broker, serve};
use crate::support::tls_server::{self, Service};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

fn examined(rig: &Rig, server: SocketAddr) -> Diagnosis {
    let hub = hub(&[("9998.fate.org", server)]);
    rig.doctor(&hub, &["9998"])
}

#[test]
fn a_plain_pulsar_port() {
    let said = examined(&Rig::new(), plain_broker());
    said.error(
        "directly",
        "plain.pulsar",
        "speaks plain Pulsar, not TLS",
        "brokerServicePortTls=6651",
    );
    let why = &said.finding("directly", "plain.pulsar")["why"];
    assert!(why.as_str().unwrap().contains("6650"), "{why}");
    // All that comes through the hub is an end without a byte.
    said.error(
        "through the hub",
        "hub.no_answer",
        "the hub takes the hello, and then",
        "directly",
    );
}

#[test]
fn a_web_server() {
    let said = examined(&Rig::new(), web_server());
    said.error(
        "directly",
        "plain.http",
        "plain HTTP",
        "snihub party reroute 9998",
    );
    said.error(
        "through the hub",
        "plain.http",
        "what the hub leads to speaks plain HTTP",
        "reroute",
    );
}

/// One that waits for a whole request, as many do.
#[test]
fn a_web_server_that_says_nothing_to_a_hello() {
    let server = serve(|mut stream| {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) if request.len() < 2000 => request.push(byte[0]),
                _ => return,
            }
        }
        drop(stream.write_all(b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n"));
    });
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", server)]);
    let said = rig.doctor(&hub, &["9998", "--timeout", "1"]);
    said.error(
        "directly",
        "plain.http",
        "plain HTTP",
        "snihub party reroute 9998",
    );
}

#[test]
fn grpc_without_tls() {
    // SETTINGS at once (RFC 9113 section 3.4), then an end.
    let server = serve(|stream| after_reading(stream, b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0"));
    let said = examined(&Rig::new(), server);
    said.error("directly", "plain.h2c", "cleartext HTTP/2", "useSSL");
}

#[test]
fn ssh() {
    let server = serve(|mut stream| {
        drop(stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"));
        drop(stream.read(&mut [0; 4096]));
    });
    let said = examined(&Rig::new(), server);
    said.error(
        "directly",
        "plain.ssh",
        "speaks SSH",
        "snihub party reroute 9998",
    );
    said.error(
        "through the hub",
        "plain.ssh",
        "speaks SSH",
        "snihub party reroute 9998",
    );
}

#[test]
fn something_unknown_moves_no_cursor() {
    let server = serve(|stream| {
        after_reading(
            stream,
            b"\x1b[2J\x07 hello, this is nothing that anybody knows",
        );
    });
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", server)]);
    let (table, admin) = (
        hub.folder().join("sni.yaml"),
        hub.folder().join("admin.sock"),
    );
    let said = rig.say(&[
        "--routes",
        table.to_str().unwrap(),
        "--admin",
        admin.to_str().unwrap(),
    ]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.out.contains("something that is no TLS") || said.out.contains("speaks no TLS"),
        "{}",
        said.out
    );
    assert!(!said.out.contains('\x1b') && !said.out.contains('\x07'));
}

#[test]
fn https_where_the_broker_should_be() {
    let rig = Rig::new();
    let server = tls_server::start(&rig.identity(&["9998.fate.org"]), Service::BadRequest);
    let said = examined(&rig, server);
    said.error(
        "directly",
        "inside.http",
        "inside TLS",
        "brokerServicePortTls",
    );
    let why = &said.finding("directly", "inside.http")["why"];
    assert!(why.as_str().unwrap().contains("webServicePortTls"), "{why}");
    said.error(
        "through the hub",
        "inside.http",
        "inside TLS what the hub leads to speaks something else",
        "snihub party reroute 9998",
    );
}

#[test]
fn a_server_that_says_nothing_inside_tls() {
    let rig = Rig::new();
    let server = tls_server::start(&rig.identity(&["9998.fate.org"]), Service::HttpEcho);
    let hub = hub(&[("9998.fate.org", server)]);
    let said = rig.doctor(&hub, &["9998", "--timeout", "1"]);
    said.error(
        "directly",
        "pulsar.silent",
        "no answer to CONNECT",
        "brokerServicePortTls",
    );
}

/// Where the hub should be: the party is not to blame.
#[test]
fn a_web_server_in_the_place_of_the_hub() {
    let rig = Rig::new();
    let web = web_server().to_string();
    let blames_the_place = |said: &Diagnosis| {
        let seen = format!("{web} itself speaks no TLS (looks like plain HTTP)");
        said.error("through the hub", "hub.none", &seen, "--via");
    };
    blames_the_place(&rig.run(&["9998.fate.org", "--via", &web]));
    let hub_of_it = hub(&[("9998.fate.org", rig.well())]);
    let said = rig.doctor(&hub_of_it, &["9998", "--via", &web]);
    assert_eq!(said.found("directly")[3], "ok pulsar");
    blames_the_place(&said);
    // Behind the hub it is the party's.
    let hub = hub(&[("9998.fate.org", web_server())]);
    let said = rig.run(&["9998.fate.org", "--via", &hub.addr().to_string()]);
    said.error(
        "through the hub",
        "plain.http",
        "what the hub leads to speaks plain HTTP",
        "on the hub's machine: `snihub party reroute 9998 ",
    );
}

/// What says nothing that is known is no hub either.
#[test]
fn something_unknown_in_the_place_of_the_hub() {
    let rig = Rig::new();
    let place = serve(|stream| after_reading(stream, b"<!DOCTYPE HTML>\n<html>no</html>\n"));
    let said = rig.run(&["9998.fate.org", "--via", &place.to_string()]);
    let seen = format!("{place} itself speaks no TLS (unknown protocol)");
    said.error("through the hub", "hub.none", &seen, "--via");
}

fn web_server() -> SocketAddr {
    serve(|stream| {
        after_reading(
            stream,
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        );
    })
}

fn after_reading(mut stream: TcpStream, answer: &[u8]) {
    drop(stream.read(&mut [0; 4096]));
    drop(stream.write_all(answer));
    // Whoever closes with bytes unread resets, and the answer may be lost.
    drop(stream.shutdown(std::net::Shutdown::Write));
    drop(std::io::copy(&mut stream, &mut std::io::sink()));
}
