//! The house's words for addresses. Knows nothing of sockets or rules.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Both ends of an accepted connection, canonical (an IPv4-mapped IPv6 address is IPv4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// The client: of the socket, or what a trusted PROXY header says.
    pub client: SocketAddr,
    /// The hub's own address that was connected to (port = inbound port).
    pub local: SocketAddr,
}

/// Whom a per-source cap counts: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey(u64);

impl SourceKey {
    /// The key of a source address.
    pub fn of(ip: IpAddr) -> SourceKey {
        SourceKey(match ip.to_canonical() {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            // The upper half of an IPv6 address; ::/64 holds no routable client (RFC 4291 2.4), so
            // it cannot be taken for an IPv4 key.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        })
    }
}

/// Which PROXY header to write to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Where a decision sends the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, 1 to 65535.
    pub port: u16,
    /// Which resolved addresses may be dialled.
    pub fence: Fence,
}

/// A destination host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name to resolve. May be one that no resolver is asked for (a `$` that ATS leaves literal).
    Name(Arc<str>),
}

/// The fence around addresses that a client's name could choose (reliability.md, security rules).
/// The hub's own listeners are always fenced off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// The operator wrote the host: any address.
    Open,
    /// A dynamic host under a literal domain, or `allow_private: true`: not loopback, link-local,
    /// unspecified, multicast.
    NoLocal,
    /// A bare `$N`: moreover no private range.
    NoPrivate,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(ip) => ip.fmt(f),
            Host::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}
