//! A hub with one route to an upstream that the test plays, and the record held to what happened.

use crate::support::hello::Hello;
use crate::support::hub::{Hub, Options};
use crate::support::wire::{Upstream, call, read_exactly};
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};

/// The name that leads to the upstream.
pub(crate) const NAME: &str = "a.example.com";

/// The whole hello of a client of [`NAME`].
pub(crate) fn hello() -> Vec<u8> {
    Hello::named(NAME).wire()
}

/// Hub and upstream.
pub(crate) struct Star {
    pub(crate) hub: Hub,
    pub(crate) upstream: Upstream,
}

impl Star {
    /// `entry`: further keys of the entry of [`NAME`]; `settings`: lines of hub.yaml.
    pub(crate) fn new(entry: &[&str], settings: &str) -> Star {
        let upstream = Upstream::listen();
        let table = table(upstream.addr(), entry);
        let hub = Hub::start(
            Options::routes(table)
                .settings(settings)
                .argument("--log-level=debug"),
        );
        Star { hub, upstream }
    }

    /// A standing tunnel: both ends, the upstream's after the hello.
    pub(crate) fn tunnel(&self) -> (TcpStream, TcpStream) {
        let hello = hello();
        let client = call(self.hub.addr(), &hello);
        let upstream = self.upstream.accept();
        assert_eq!(read_exactly(&upstream, hello.len()), hello);
        (client, upstream)
    }

    /// The record of the client with this address; there is only one.
    pub(crate) fn record_of(&self, client: SocketAddr) -> Value {
        let of_client = |line: &Value| line["source"] == client.to_string();
        let record = self
            .hub
            .wait_record(&format!("closed, source {client}"), of_client);
        let all = self.hub.records();
        assert_eq!(all.iter().filter(|line| of_client(line)).count(), 1);
        record
    }
}

/// sni.yaml with one entry.
pub(crate) fn table(upstream: SocketAddr, entry: &[&str]) -> String {
    let more: String = entry.iter().map(|line| format!("  {line}\n")).collect();
    format!("sni:\n- fqdn: {NAME}\n  tunnel_route: {upstream}\n{more}")
}

/// Each of these fields is in the record with this value; `Value::Null`: is not in it.
#[track_caller]
pub(crate) fn holds(record: &Value, want: &Value) {
    for (field, want) in want.as_object().unwrap() {
        assert_eq!(&record[field], want, "{field} of {record:#}");
    }
}

/// The record's counts, client to upstream and back.
#[track_caller]
pub(crate) fn counts(record: &Value, up: usize, down: usize) {
    assert_eq!(record["client_to_upstream"], up, "of {record:#}");
    assert_eq!(record["upstream_to_client"], down, "of {record:#}");
}
