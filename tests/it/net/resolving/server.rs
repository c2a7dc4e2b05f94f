//! A small name server on loopback: UDP, A and AAAA, NXDOMAIN, silence.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;

pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;

enum Record {
    Addresses(Vec<IpAddr>, u32),
    Silence,
}

#[derive(Default)]
struct Zone {
    records: HashMap<(String, u16), Record>,
    asked: Vec<(String, u16)>,
    silent: bool,
}

/// Ends with the test's runtime.
pub(super) struct Server {
    zone: Arc<Mutex<Zone>>,
    port: u16,
}

impl Server {
    pub(super) async fn start() -> Server {
        Server::slow(Duration::ZERO).await
    }

    /// Waits for `delay` before each reply.
    pub(super) async fn slow(delay: Duration) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let served = zone.clone();
        tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut query).await {
                let reply = served.lock().unwrap().reply(&query[..len]);
                if let Some(reply) = reply {
                    tokio::time::sleep(delay).await;
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Server { zone, port }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn answer(&self, name: &str, family: u16, ips: &[&str], ttl: u32) {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let record = Record::Addresses(ips, ttl);
        let mut zone = self.zone.lock().unwrap();
        zone.records.insert((name.to_owned(), family), record);
    }

    pub(super) fn silent(&self, name: &str) {
        self.silent_for(name, A);
        self.silent_for(name, AAAA);
    }

    pub(super) fn silent_for(&self, name: &str, family: u16) {
        let mut zone = self.zone.lock().unwrap();
        zone.records
            .insert((name.to_owned(), family), Record::Silence);
    }

    pub(super) fn silent_altogether(&self) {
        self.zone.lock().unwrap().silent = true;
    }

    /// How often.
    pub(super) fn asked(&self, name: &str, family: u16) -> usize {
        let zone = self.zone.lock().unwrap();
        zone.asked
            .iter()
            .filter(|(n, f)| n == name && *f == family)
            .count()
    }

    pub(super) fn total(&self) -> usize {
        self.zone.lock().unwrap().asked.len()
    }
}

impl Zone {
    /// RFC 1035 section 4.1. `None`: silence.
    fn reply(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut name, mut at) = (String::new(), 12);
        while query[at] != 0 {
            let label = &query[at + 1..][..usize::from(query[at])];
            name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
            name.push('.');
            at += 1 + label.len();
        }
        let family = u16::from_be_bytes([query[at + 1], query[at + 2]]);
        let question = &query[12..at + 5];
        self.asked.push((name.clone(), family));
        if self.silent {
            return None;
        }
        let known = [A, AAAA]
            .iter()
            .any(|family| self.records.contains_key(&(name.clone(), *family)));
        let (ips, ttl) = match self.records.get(&(name, family)) {
            Some(Record::Silence) => return None,
            Some(Record::Addresses(ips, ttl)) => (ips.as_slice(), *ttl),
            None => (&[][..], 0),
        };
        let code = if known { 0 } else { 3 };
        let authority = u8::from(ips.is_empty());
        let mut reply = query[..2].to_vec();
        reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(ips.len()).unwrap()]);
        reply.extend([0, authority, 0, 0]);
        reply.extend(question);
        for ip in ips {
            reply.extend([0xc0, 12]);
            reply.extend(family.to_be_bytes());
            reply.extend([0, 1]);
            reply.extend(ttl.to_be_bytes());
            match ip {
                IpAddr::V4(v4) => reply.extend([&[0, 4], v4.octets().as_slice()].concat()),
                IpAddr::V6(v6) => reply.extend([&[0, 16], v6.octets().as_slice()].concat()),
            }
        }
        if ips.is_empty() {
            // SOA of the root, to be cached as a negative answer for an hour (RFC 2308).
            reply.extend([0, 0, 6, 0, 1, 0, 0, 14, 16, 0, 22, 0, 0]);
            for number in [1_u32, 3600, 3600, 3600, 3600] {
                reply.extend(number.to_be_bytes());
            }
        }
        Some(reply)
    }
}
