//! A standing tunnel as the admin door tells of it.

use crate::net::sockopt::TcpFigures;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

/// One tunnel at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tunnel {
    /// The session's, as the log prints it; `kill` takes it.
    pub id: String,
    /// The client.
    pub source: SocketAddr,
    /// The party that dials out from there; `null`: of none, or of several.
    pub party: Option<Arc<str>>,
    /// The hub's own address that was connected to.
    pub inbound: SocketAddr,
    /// The server name; `null`: the hello had none.
    pub name: Option<Arc<str>>,
    /// The id of the route that took it.
    pub route: Option<Arc<str>>,
    /// Where it leads, as sni.yaml says.
    pub target: Option<Box<str>>,
    /// Where it is connected to.
    pub upstream: Option<SocketAddr>,
    /// Since the connection was accepted.
    pub age_ms: u64,
    /// Since the last byte either way, to 250 ms.
    pub idle_ms: u64,
    /// Bytes so far, hello included.
    pub client_to_upstream: u64,
    /// Bytes so far.
    pub upstream_to_client: u64,
    /// Bytes a second, over about the last one.
    pub client_to_upstream_per_second: u64,
    /// Bytes a second, over about the last one.
    pub upstream_to_client_per_second: u64,
    /// What has carried its bytes: `copy`, or `splice` at least in part.
    pub relay: Cow<'static, str>,
    /// Bytes, both ways together, that `splice` carried.
    pub spliced: u64,
    /// It stands in a process that takes no new clients: the one before an upgrade, or one that is
    /// about to end.
    #[serde(default)]
    pub draining: bool,
    /// One direction is over, the other still runs.
    pub half_open: bool,
    /// Bytes wait for a receiver that takes none.
    pub stalled: bool,
    /// What the kernel says of both sockets; `null` where it was not asked, or would not.
    pub tcp: Option<Tcp>,
}

/// TCP_INFO of both sides.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Tcp {
    /// Smoothed round-trip time to the client, in microseconds.
    pub client_rtt_us: u32,
    /// Segments sent again to the client, since the connection stands.
    pub client_retransmits: u32,
    /// Smoothed round-trip time to the upstream, in microseconds.
    pub upstream_rtt_us: u32,
    /// Segments sent again to the upstream.
    pub upstream_retransmits: u32,
}

impl Tcp {
    /// Of the client's and the upstream's socket.
    pub fn of([client, upstream]: [TcpFigures; 2]) -> Tcp {
        Tcp {
            client_rtt_us: client.rtt_us,
            client_retransmits: client.retransmits,
            upstream_rtt_us: upstream.rtt_us,
            upstream_retransmits: upstream.retransmits,
        }
    }
}
