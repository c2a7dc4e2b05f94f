//! PROXY headers: required from a balancer, refused from anybody else, and written for an upstream
//! before the first byte of the hello.

use super::rig::{NAME, Star, counts, hello, holds, table};
use crate::support::hub::{Hub, Options};
use crate::support::wire::{End, Upstream, call, connect_from, read_exactly, read_to_end};
use serde_json::json;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A hub whose only listener requires the header from 127.0.0.1.
fn behind_a_balancer(entry: &[&str]) -> Star {
    let upstream = Upstream::listen();
    let hub = Hub::start(
        Options::routes(table(upstream.addr(), entry))
            .settings("listen: [{address: \"127.0.0.1:0\", proxy_protocol: required, trusted: [127.0.0.1/32]}]")
            .listen_of_file(),
    );
    Star { hub, upstream }
}

/// PROXY v2 over IPv4 from 192.0.2.7:4711 to 198.51.100.1:443.
fn v2() -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1];
    let ports = [4711u16.to_be_bytes(), 443u16.to_be_bytes()].concat();
    [V2_START, &[0x21, 0x11, 0, 12], &addresses, &ports].concat()
}

#[test]
fn a_good_header_says_who_called() {
    let star = behind_a_balancer(&["ip_allow: 192.0.2.0/24, 2001:db8::/32"]);
    let headers: [(Vec<u8>, &str); 3] = [
        (
            b"PROXY TCP4 192.0.2.8 198.51.100.1 4710 443\r\n".to_vec(),
            "192.0.2.8:4710",
        ),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 4712 443\r\n".to_vec(),
            "[2001:db8::7]:4712",
        ),
        (v2(), "192.0.2.7:4711"),
    ];
    for (header, source) in headers {
        let client = call(star.hub.addr(), &[header, hello()].concat());
        let upstream = star.upstream.accept();
        assert_eq!(read_exactly(&upstream, hello().len()), hello());
        drop(client);
        assert_eq!(read_to_end(&upstream), (Vec::new(), End::Fin));
        drop(upstream);
        let record = star.record_of(source.parse().unwrap());
        holds(&record, &json!({"ended": "both_closed", "name": NAME}));
        // The header is the balancer's, not the client's.
        counts(&record, hello().len(), 0);
    }
}

#[test]
fn the_source_of_the_header_is_what_ip_allow_judges() {
    let star = behind_a_balancer(&["ip_allow: 127.0.0.0/8"]);
    let client = call(star.hub.addr(), &[v2(), hello()].concat());
    let (alert, end) = read_to_end(&client);
    assert_eq!((alert.last(), end), (Some(&49), End::Fin));
    let record = star.hub.closed(NAME);
    holds(
        &record,
        &json!({"ended": "not_allowed", "source": "192.0.2.7:4711"}),
    );
    star.upstream.nobody_came();
}

#[test]
fn without_a_good_header_nobody_is_served() {
    let star = behind_a_balancer(&[]);
    let bad: [(Vec<u8>, &str); 4] = [
        (hello(), "missing"),
        (b"PROXY TCP4 nonsense\r\n".to_vec(), "malformed"),
        (
            [V2_START, &[0x31, 0x11, 0, 12], &[0; 12]].concat(),
            "unknown version",
        ),
        (
            [V2_START, &[0x21, 0x11, 0xff, 0xff]].concat(),
            "longer than 536",
        ),
    ];
    for (bytes, why) in bad {
        let client = call(star.hub.addr(), &bytes);
        is_declined(&star, &client, why);
    }
    // A header that is as good as any, from somebody who is not trusted.
    let mut stranger = connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), star.hub.addr());
    stranger.write_all(&[v2(), hello()].concat()).unwrap();
    is_declined(&star, &stranger, "the source is not in trusted");
}

fn is_declined(star: &Star, client: &TcpStream, why: &str) {
    assert_eq!(read_to_end(client), (Vec::new(), End::Fin), "{why}");
    // The record's source is the balancer's own: its header was not believed.
    let record = star.record_of(client.local_addr().unwrap());
    holds(
        &record,
        &json!({"ended": "bad_proxy_header", "by": "hub", "level": "WARN", "name": null}),
    );
    let told = record["why"].as_str().unwrap();
    assert!(told.contains(why), "{told}");
    star.upstream.nobody_came();
}

/// What a header from this client to this hub looks like.
type Header = fn(SocketAddr, SocketAddr) -> Vec<u8>;

#[test]
fn a_header_is_sent_before_the_hello() {
    let v1 = |client: SocketAddr, hub: SocketAddr| {
        let line = format!(
            "PROXY TCP4 {} {} {} {}\r\n",
            client.ip(),
            hub.ip(),
            client.port(),
            hub.port()
        );
        line.into_bytes()
    };
    let v2 = |client: SocketAddr, hub: SocketAddr| {
        let mut header = [V2_START, &[0x21, 0x11, 0, 12]].concat();
        header.extend([127, 0, 0, 1, 127, 0, 0, 1]);
        header.extend(client.port().to_be_bytes());
        header.extend(hub.port().to_be_bytes());
        header
    };
    let versions: [(&str, Header); 2] = [("send_proxy: v1", v1), ("send_proxy: v2", v2)];
    for (entry, header) in versions {
        let star = Star::new(&[entry], "");
        let client = call(star.hub.addr(), &hello());
        let source = client.local_addr().unwrap();
        let upstream = star.upstream.accept();
        let wanted = [header(source, star.hub.addr()), hello()].concat();
        assert_eq!(read_exactly(&upstream, wanted.len()), wanted, "{entry}");
        drop(client);
        assert_eq!(read_to_end(&upstream), (Vec::new(), End::Fin));
        drop(upstream);
        // The hub's own header is not the client's bytes.
        counts(&star.record_of(source), hello().len(), 0);
    }
}

/// Both at once: the balancer's client is announced to the upstream.
#[test]
fn a_header_is_passed_on_in_the_other_version() {
    let star = behind_a_balancer(&["send_proxy: v1"]);
    let client = call(star.hub.addr(), &[v2(), hello()].concat());
    let upstream = star.upstream.accept();
    let line = format!(
        "PROXY TCP4 192.0.2.7 127.0.0.1 4711 {}\r\n",
        star.hub.port()
    );
    let wanted = [line.as_bytes(), &hello()].concat();
    assert_eq!(read_exactly(&upstream, wanted.len()), wanted);
    drop(client);
}
