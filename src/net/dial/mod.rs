//! From a target to a connected socket that has had the client's first bytes.

mod race;

use crate::net::addr::{Host, Target};
use crate::net::fence::is_own_listener;
use crate::net::preface::Preface;
use crate::net::proxy_protocol::ProxyHeader;
use crate::net::resolve::{Addresses, ResolveClient, ResolveError};
use race::Failure;
use socket2::SockRef;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How to dial.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// For one address (`dial_timeout`, default 5 s). Zero: only `total` bounds it.
    pub per_address: Duration,
    /// For everything: names, all addresses, and writing the preface (`dial_timeout_total`,
    /// default 15 s).
    pub total: Duration,
    /// The hub's own listeners, as bound: never dialled.
    pub own: Arc<[SocketAddr]>,
}

impl Default for DialOptions {
    fn default() -> Self {
        DialOptions {
            per_address: Duration::from_secs(5),
            total: Duration::from_secs(15),
            own: Arc::from([]),
        }
    }
}

/// An upstream that has had the PROXY header and the preface.
#[derive(Debug)]
pub struct Dialed {
    /// NODELAY is set.
    pub stream: TcpStream,
    /// Where it is connected to.
    pub address: SocketAddr,
    /// Bytes of the client's written: the preface, without the PROXY header.
    pub sent: u64,
    /// Time spent on the name; zero for a literal.
    pub resolve_time: Duration,
    /// Time from the first attempt to the connection that stands.
    pub connect_time: Duration,
}

/// No upstream. The texts say where and what to do.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// ECONNREFUSED, or RST while connecting.
    #[error("{0}: is the upstream running, and is the port right?")]
    Refused(Tried),
    /// No route, or a router or firewall said no.
    #[error("{0}: check routes and firewalls between here and there")]
    Unreachable(Tried),
    /// No answer within the address's or the whole time.
    #[error("{0}: a firewall drops the packets, or the host is down")]
    TimedOut(Tried),
    /// Every address lies outside the target's fence.
    #[error("{0}: allow_private on the entry permits private ranges; local ones never are")]
    NotPermitted(Tried),
    /// Every address is the hub's own listener.
    #[error("{0}: the route leads back to the hub")]
    Loop(Tried),
    /// The host lacks what a connection takes: EADDRNOTAVAIL (local ports), EMFILE, ENFILE,
    /// ENOBUFS, ENOMEM.
    #[error(
        "{0}: this host lacks local ports (net.ipv4.ip_local_port_range), descriptors or memory"
    )]
    LocalLimit(Tried),
    /// Connected, but the upstream closed, reset or stalled before it had the client's first bytes.
    #[error("{address} took the connection but not the client's first bytes: {cause}")]
    PrefaceNotSent {
        /// The upstream.
        address: SocketAddr,
        /// TimedOut where the whole time ran out.
        #[source]
        cause: io::Error,
    },
}

impl DialError {
    /// All labels.
    pub const LABELS: [&str; 8] = [
        "resolve",
        "refused",
        "unreachable",
        "timed_out",
        "not_permitted",
        "loop",
        "local_limit",
        "preface_not_sent",
    ];

    /// The metric label: one of [`DialError::LABELS`].
    pub fn label(&self) -> &'static str {
        match self {
            DialError::Resolve(_) => "resolve",
            DialError::Refused(_) => "refused",
            DialError::Unreachable(_) => "unreachable",
            DialError::TimedOut(_) => "timed_out",
            DialError::NotPermitted(_) => "not_permitted",
            DialError::Loop(_) => "loop",
            DialError::LocalLimit(_) => "local_limit",
            DialError::PrefaceNotSent { .. } => "preface_not_sent",
        }
    }
}

/// Every address that was tried, and what came of each. Prints as
/// `pulsar.b:6651: [2001:db8::1]:6651 no route, 10.0.0.1:6651 refused`.
#[derive(Debug)]
pub struct Tried {
    target: Target,
    failures: Vec<(SocketAddr, Failure)>,
}

impl Tried {
    /// The addresses, in the order in which they failed.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.failures.iter().map(|(address, _)| *address)
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A literal is the one address that was tried: once is enough.
        if matches!(self.target.host, Host::Name(_)) || self.failures.is_empty() {
            write!(f, "{}: ", self.target)?;
        }
        for (n, (address, failure)) in self.failures.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{address} {failure}")?;
        }
        Ok(())
    }
}

/// Resolves, tries all permitted addresses (RFC 8305), and writes `header` and `preface` to the
/// first that connects. Each step counts against `options.total`.
///
/// # Errors
/// [`DialError`]; the preface is gone then: no other upstream may get a client's bytes after one
/// had some of them.
pub async fn dial(
    target: &Target,
    resolver: &ResolveClient,
    options: &DialOptions,
    header: Option<ProxyHeader>,
    preface: Preface,
) -> Result<Dialed, DialError> {
    let begin = Instant::now();
    let deadline = begin + options.total;
    let addresses = match &target.host {
        Host::Ip(ip) => Addresses::from([*ip]),
        Host::Name(name) => resolver.resolve(name, deadline).await?,
    };
    let resolved = Instant::now();
    let (permitted, failures) = fence(target, &addresses, &options.own);
    let header = header.map(|header| header.to_bytes()).unwrap_or_default();
    let first = FirstBytes([&header, preface.as_bytes()]);
    let won = race::connect(permitted, failures, first, options, deadline).await;
    let (Connected { stream, owed }, address) =
        won.map_err(|failures| explain(target, failures))?;
    let connect_time = resolved.elapsed();
    match timeout_at(deadline, owed.send(&stream)).await {
        Ok(Ok(())) => Ok(Dialed {
            stream,
            address,
            sent: preface.as_bytes().len() as u64,
            resolve_time: resolved - begin,
            connect_time,
        }),
        Ok(Err(cause)) => Err(DialError::PrefaceNotSent { address, cause }),
        Err(_) => Err(DialError::PrefaceNotSent {
            address,
            cause: io::ErrorKind::TimedOut.into(),
        }),
    }
}

/// Splits what was resolved into what may be dialled and what may not.
fn fence(
    target: &Target,
    addresses: &Addresses,
    own: &[SocketAddr],
) -> (Vec<SocketAddr>, Vec<(SocketAddr, Failure)>) {
    let (mut permitted, mut failures) = (Vec::new(), Vec::new());
    for ip in addresses.iter() {
        let address = SocketAddr::new(ip.to_canonical(), target.port);
        if is_own_listener(address, own) {
            failures.push((address, Failure::Loop));
        } else if !target.fence.permits(address.ip()) {
            failures.push((address, Failure::NotPermitted));
        } else if !permitted.contains(&address) {
            permitted.push(address);
        }
    }
    (permitted, failures)
}

/// The most telling failure names the error: what this host lacks, then what an upstream said,
/// then silence.
fn explain(target: &Target, failures: Vec<(SocketAddr, Failure)>) -> DialError {
    let most_telling = failures
        .iter()
        .map(|(address, failure)| failure.rank(*address))
        .min();
    let tried = Tried {
        target: target.clone(),
        failures,
    };
    match most_telling {
        Some(race::LOCAL) => DialError::LocalLimit(tried),
        Some(race::REFUSED) => DialError::Refused(tried),
        Some(race::TIMED_OUT) | None => DialError::TimedOut(tried),
        Some(race::LOOP) => DialError::Loop(tried),
        Some(race::NOT_PERMITTED) => DialError::NotPermitted(tried),
        Some(_) => DialError::Unreachable(tried),
    }
}

/// What an upstream gets before anything else, and in one segment where it fits: the PROXY header
/// and the client's first bytes.
#[derive(Debug, Clone, Copy)]
struct FirstBytes<'a>([&'a [u8]; 2]);

/// A connection that stands.
struct Connected<'a> {
    stream: TcpStream,
    /// What it has not had yet.
    owed: FirstBytes<'a>,
}

impl<'a> FirstBytes<'a> {
    /// What is left when `n` of them are sent.
    fn after(self, n: usize) -> FirstBytes<'a> {
        let [header, preface] = self.0;
        let of_header = n.min(header.len());
        FirstBytes([&header[of_header..], &preface[n - of_header..]])
    }

    /// One `sendmsg`, whether or not epoll has said that there is room.
    fn send_now(self, stream: &TcpStream) -> io::Result<FirstBytes<'a>> {
        let sent = SockRef::from(stream).send_vectored(&self.0.map(IoSlice::new))?;
        Ok(self.after(sent))
    }

    async fn send(mut self, stream: &TcpStream) -> io::Result<()> {
        while self.0.iter().any(|bytes| !bytes.is_empty()) {
            stream.writable().await?;
            match stream.try_write_vectored(&self.0.map(IoSlice::new)) {
                Ok(n) => self = self.after(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
