//! What hub.yaml says, in types that cannot be wrong, and the defaults where it says nothing.
//! The manual, `config/hub.yaml`, is checked against this file.

use crate::route::{ConnectPorts, ProbeKind};
use crate::telemetry::LogFormat;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// All settings of the hub; [`Settings::default`] is the hub without a hub.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; never empty, no address and port twice.
    pub listen: Vec<ListenSpec>,
    /// Worker threads, 1..=1024; `None`: one per available CPU.
    pub workers: Option<usize>,
    /// Which destination ports a route may lead to.
    pub connect_ports: ConnectPorts,
    /// Bytes of one ClientHello, 4 KiB..=1 MiB; its raw bytes may be twice that.
    pub max_client_hello: usize,
    /// From accept to the whole hello, PROXY header included; 100 ms..=5 min.
    pub hello_timeout: Duration,
    /// For one address of an upstream; 100 ms..=5 min.
    pub dial_timeout: Duration,
    /// For all addresses and the name's resolution; `dial_timeout`..=10 min.
    pub dial_timeout_total: Duration,
    /// TCP keepalive on both sides; `None`: off.
    pub keepalive: Option<Keepalive>,
    /// No byte either way; `None`: off.
    pub idle_timeout: Option<Duration>,
    /// One direction has ended and the other is silent; `None`: off.
    pub half_open_timeout: Option<Duration>,
    /// Bytes wait on a closed window; `None`: off.
    pub write_stall_timeout: Option<Duration>,
    /// How long tunnels may go on after SIGTERM; zero: cut at once.
    pub drain: Duration,
    /// How long tunnels may go on in the old process after an upgrade; zero: cut at once.
    pub upgrade_drain: Duration,
    /// Caps.
    pub limits: Limits,
    /// What a reload does to the tunnels of a route that it removes.
    pub on_route_removed: OnRouteRemoved,
    /// Whether a reload may empty the table, or take more than half of it and more than 4 routes.
    pub reload_allow_shrink: bool,
    /// Whether, how and how often upstreams are asked.
    pub probe: Probe,
    /// How and where records are written.
    pub access_log: AccessLog,
    /// The admin door's unix socket; `None`: off.
    pub admin: Option<PathBuf>,
    /// The admin door on TCP, a loopback address; `None`: off.
    pub admin_listen: Option<SocketAddr>,
    /// The file with the token that changes over TCP need; `None`: nothing is changed over TCP.
    pub admin_token_file: Option<PathBuf>,
    /// Totals and health for everyone who can connect; `None`: off.
    pub ops_listen: Option<SocketAddr>,
    /// Of `/metrics`.
    pub metrics: Metrics,
}

/// The admin door's socket where hub.yaml names none.
pub const ADMIN_SOCKET: &str = "/run/snihub/admin.sock";

/// What `/metrics` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Routes with series of their own, 0..=100,000; the rest is summed. Pairs of party and route:
    /// eight times as many.
    pub max_routes: usize,
    /// Whether `ops_listen` tells who talks to whom, too.
    pub routes_on_ops: bool,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            max_routes: 1_000,
            routes_on_ops: false,
        }
    }
}

/// One listening address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    /// `[::]` takes IPv4, too, and means `0.0.0.0` where the kernel has no IPv6. Port 0: the kernel
    /// picks one.
    pub address: SocketAddr,
    /// Sockets that a service manager passes by this name take its place: 1..=255 printable ASCII
    /// characters without `:` (FileDescriptorName= of systemd.socket(5)).
    pub name: Option<String>,
    /// Whether a PROXY header comes before the hello.
    pub proxy_protocol: ProxyProtocol,
    /// Who may send a PROXY header; not empty where one is required.
    pub trusted: Vec<IpNet>,
}

/// Whether connections begin with a PROXY header (v1 or v2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// They do not; one that comes is no TLS.
    #[default]
    Off,
    /// Each does, and comes from a `trusted` address; anything else is refused.
    Required,
}

/// TCP keepalive (tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE and TCP_KEEPINTVL: whole seconds, 1 s..=32767 s (the kernel's MAX_TCP_KEEPIDLE).
    pub interval: Duration,
    /// TCP_KEEPCNT: 1..=127 (the kernel's MAX_TCP_KEEPCNT).
    pub probes: u32,
}

/// Caps; `None` in an optional one: see there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Tunnels at once; `None`: what RLIMIT_NOFILE gives.
    pub tunnels: Option<usize>,
    /// Connections whose hello is not whole.
    pub pending_hellos: usize,
    /// Of them from one source (IPv6: one /64); `trusted` balancers do not count. Never above
    /// `pending_hellos`.
    pub pending_hellos_per_source: usize,
    /// Bytes held for hellos that are not whole.
    pub hello_memory: usize,
    /// Connections whose upstream is not there yet.
    pub pending_dials: usize,
    /// Tunnels from one source; `None`: no cap.
    pub per_source: Option<usize>,
    /// Tunnels of one route; `None`: no cap.
    pub per_route: Option<usize>,
}

/// What a reload does to the tunnels of a removed route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRouteRemoved {
    /// Nothing.
    #[default]
    Keep,
    /// They are closed, spread over seconds; so are those whose target changed or whose source is
    /// no longer allowed.
    Close,
}

/// Whether, how and how often upstreams are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where the entry of sni.yaml does not say.
    pub kind: ProbeKind,
    /// From one probe of a route to its next; 1 s..=1 h.
    pub interval: Duration,
    /// For all of one probe; 100 ms..=5 min.
    pub timeout: Duration,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe {
            kind: ProbeKind::Off,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
        }
    }
}

/// How and where records are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessLog {
    /// How.
    pub format: LogFormat,
    /// The file; `None`: among the other lines, on stdout.
    pub to: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec![ListenSpec::any(443)],
            workers: None,
            connect_ports: ConnectPorts::Default,
            max_client_hello: 64 << 10,
            hello_timeout: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(5),
            dial_timeout_total: Duration::from_secs(15),
            keepalive: Some(Keepalive::default()),
            idle_timeout: None,
            half_open_timeout: Some(Duration::from_secs(3600)),
            write_stall_timeout: Some(Duration::from_secs(15 * 60)),
            drain: Duration::from_secs(25),
            upgrade_drain: Duration::from_secs(600),
            limits: Limits::default(),
            on_route_removed: OnRouteRemoved::default(),
            reload_allow_shrink: false,
            probe: Probe::default(),
            access_log: AccessLog::default(),
            admin: Some(ADMIN_SOCKET.into()),
            admin_listen: None,
            admin_token_file: None,
            ops_listen: None,
            metrics: Metrics::default(),
        }
    }
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive {
            interval: Duration::from_secs(45),
            probes: 3,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tunnels: None,
            pending_hellos: 4_096,
            pending_hellos_per_source: 1_024,
            hello_memory: 64 << 20,
            pending_dials: 4_096,
            per_source: None,
            per_route: None,
        }
    }
}

impl ListenSpec {
    /// Every address of the machine, IPv6 and IPv4.
    pub fn any(port: u16) -> ListenSpec {
        ListenSpec::at(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }

    /// One address, without PROXY headers.
    pub fn at(address: SocketAddr) -> ListenSpec {
        ListenSpec {
            address,
            name: None,
            proxy_protocol: ProxyProtocol::Off,
            trusted: Vec::new(),
        }
    }

    /// Reads `0.0.0.0:443`, `[::]:443`, `:443` or `443`.
    ///
    /// # Errors
    /// What is allowed, in words.
    pub fn parse(text: &str) -> Result<ListenSpec, String> {
        let text = text.trim();
        let port = text.strip_prefix(':').unwrap_or(text);
        // `parse` also takes a leading `+`.
        if let (true, Ok(port)) = (port.starts_with(|c: char| c.is_ascii_digit()), port.parse()) {
            return Ok(ListenSpec::any(port));
        }
        text.parse().map(ListenSpec::at).map_err(|_| {
            "is not an address to listen on: 0.0.0.0:443, [::]:443, or :443 for every address \
             (ports 0..=65535; no host names)"
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, address) in [
            ("0.0.0.0:443", "0.0.0.0:443"),
            ("[::]:443", "[::]:443"),
            (":8443", "[::]:8443"),
            ("443", "[::]:443"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            (" [fe80::1%2]:1 ", "[fe80::1%2]:1"),
        ] {
            let spec = ListenSpec::parse(text).expect(text);
            assert_eq!(spec.address, address.parse().expect(address));
        }
        for text in [
            "",
            ":",
            "localhost:443",
            "1.2.3.4",
            "::1:443",
            ":65536",
            "-1",
            "[::1]",
            ":+1",
        ] {
            assert!(ListenSpec::parse(text).is_err(), "{text:?}");
        }
    }
}
