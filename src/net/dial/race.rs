//! Happy eyeballs (RFC 8305 sections 4 and 5), small: families interleaved, IPv6 first; the next
//! address starts when the last one failed or 250 ms went by; the first to connect wins, the
//! others are closed.

use super::{Connected, DialOptions, FirstBytes};
use crate::net::fence::route_source;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// RFC 8305 section 5: Connection Attempt Delay.
const STAGGER: Duration = Duration::from_millis(250);

/// A name with more addresses than this has the rest ignored: 16 x 250 ms fill four seconds.
const MAX_ATTEMPTS: usize = 16;

/// What came of one address.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is a listener of the hub.
    Loop,
    /// It is outside the fence.
    NotPermitted,
    /// It did not answer within `dial_timeout`.
    TimedOut,
    /// The whole time ran out while it was being tried, or before.
    OutOfTime,
    /// What the kernel said.
    Io(io::Error),
}

pub(super) const LOCAL: u8 = 0;
pub(super) const REFUSED: u8 = 1;
pub(super) const TIMED_OUT: u8 = 2;
pub(super) const UNREACHABLE: u8 = 3;
pub(super) const NOT_PERMITTED: u8 = 4;
pub(super) const LOOP: u8 = 5;

impl Failure {
    /// The lower, the more it tells of why there is no connection.
    pub(super) fn rank(&self, address: SocketAddr) -> u8 {
        use nix::libc::{EADDRNOTAVAIL, EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC};
        match self {
            Failure::TimedOut | Failure::OutOfTime => TIMED_OUT,
            Failure::NotPermitted => NOT_PERMITTED,
            Failure::Loop => LOOP,
            Failure::Io(e) => match (e.raw_os_error(), e.kind()) {
                // No local port is left; or, for IPv6, no local address.
                (Some(EADDRNOTAVAIL), _) if route_source(address.ip()).is_none() => UNREACHABLE,
                // ENOSPC: epoll takes no more (fs.epoll.max_user_watches).
                (Some(EADDRNOTAVAIL | EAGAIN | EMFILE | ENFILE | ENOBUFS | ENOMEM | ENOSPC), _) => {
                    LOCAL
                }
                (_, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => REFUSED,
                (_, io::ErrorKind::TimedOut) => TIMED_OUT,
                _ => UNREACHABLE,
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Loop => f.write_str("is the hub's own listener"),
            Failure::NotPermitted => f.write_str("is an address that this route may not dial"),
            Failure::TimedOut => f.write_str("did not answer within dial_timeout"),
            Failure::OutOfTime => f.write_str("did not answer within dial_timeout_total"),
            Failure::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("refused the connection")
            }
            Failure::Io(e) => e.fmt(f),
        }
    }
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Connected<'a>, Failure>> + Send + 'a>>;

/// Connects to the first of `addresses` that answers, and may have sent it some of the first bytes: an
/// attempt that has cannot fail any more, and is done in the same poll, so no other upstream gets any.
/// `failures`: what is known to fail already; all of them come back if none connects.
pub(super) async fn connect<'a>(
    addresses: Vec<SocketAddr>,
    mut failures: Vec<(SocketAddr, Failure)>,
    first: FirstBytes<'a>,
    options: &'a DialOptions,
    deadline: Instant,
) -> Result<(Connected<'a>, SocketAddr), Vec<(SocketAddr, Failure)>> {
    if let ([address], true) = (&addresses[..], failures.is_empty()) {
        // The usual case has nobody to race with.
        let won = attempt(*address, first, options, deadline).await;
        return won
            .map(|connected| (connected, *address))
            .map_err(|failure| vec![(*address, failure)]);
    }
    let mut waiting = interleave(addresses).into_iter();
    let mut running: Vec<(SocketAddr, Attempt<'_>)> = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            running.push((
                address,
                Box::pin(attempt(address, first, options, deadline)),
            ));
        }
        if running.is_empty() {
            return Err(failures);
        }
        // Until one is done, or the next one's turn has come.
        let turn = if waiting.len() == 0 {
            deadline
        } else {
            deadline.min(Instant::now() + STAGGER)
        };
        match timeout_at(turn, first_done(&mut running)).await {
            Ok((address, Ok(connected))) => return Ok((connected, address)),
            Ok((address, Err(failure))) => failures.push((address, failure)),
            Err(_) if Instant::now() < deadline => {}
            Err(_) => {
                let left = running.iter().map(|(address, _)| *address).chain(waiting);
                failures.extend(left.map(|address| (address, Failure::OutOfTime)));
                return Err(failures);
            }
        }
    }
}

/// RFC 8305 section 4: the families take turns, IPv6 first; the order within each stays.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut order = Vec::new();
    while order.len() < MAX_ATTEMPTS {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            break;
        }
        order.extend(pair.into_iter().flatten());
    }
    order.truncate(MAX_ATTEMPTS);
    order
}

/// Takes out of `running` (not empty) the first that is done.
async fn first_done<'a>(
    running: &mut Vec<(SocketAddr, Attempt<'a>)>,
) -> (SocketAddr, Result<Connected<'a>, Failure>) {
    poll_fn(|cx| {
        for n in 0..running.len() {
            if let Poll::Ready(result) = running[n].1.as_mut().poll(cx) {
                return Poll::Ready((running.remove(n).0, result));
            }
        }
        Poll::Pending
    })
    .await
}

async fn attempt<'a>(
    address: SocketAddr,
    first: FirstBytes<'a>,
    options: &DialOptions,
    deadline: Instant,
) -> Result<Connected<'a>, Failure> {
    let own_limit = match options.per_address {
        Duration::ZERO => None,
        limit => Instant::now()
            .checked_add(limit)
            .filter(|own| *own < deadline),
    };
    match timeout_at(own_limit.unwrap_or(deadline), open(address, first)).await {
        Ok(result) => result.map_err(Failure::Io),
        Err(_) if own_limit.is_some() => Err(Failure::TimedOut),
        Err(_) => Err(Failure::OutOfTime),
    }
}

async fn open(address: SocketAddr, first: FirstBytes<'_>) -> io::Result<Connected<'_>> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        done => done?,
    }
    // Nobody listens at a local address, and the kernel chose that very port to dial from: TCP's
    // simultaneous open (RFC 9293 3.5) connects the socket to itself.
    if may_be_dialled_from(address.port()) && socket.local_addr()?.as_socket() == Some(address) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // What can fail without the upstream comes before the first byte: after it no other may have any.
    let stream = TcpStream::from_std(socket.into())?;
    // The kernel shakes hands with itself on the way out of `connect`: on loopback the connection
    // stands already, though it said EINPROGRESS. EAGAIN: not yet.
    let sent = match address.ip().is_loopback() {
        true => first.send_now(&stream),
        false => Err(io::ErrorKind::WouldBlock.into()),
    };
    match sent {
        Ok(owed) => Ok(Connected { stream, owed }),
        Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
        Err(_) => {
            // SO_ERROR is asked for only where epoll says that there is one.
            let ready = Interest::WRITABLE | Interest::ERROR;
            if stream.ready(ready).await?.is_error() {
                stream.take_error()?.map_or(Ok(()), Err)?;
            }
            Ok(Connected {
                stream,
                owed: first,
            })
        }
    }
}

/// Whether the kernel may choose this port for a connection: as it was told when the first one was
/// dialled (net.ipv4.ip_local_port_range, of both families).
fn may_be_dialled_from(port: u16) -> bool {
    static CHOSEN_FROM: LazyLock<RangeInclusive<u16>> = LazyLock::new(|| {
        let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        port_range(&told.unwrap_or_default()).unwrap_or(0..=u16::MAX)
    });
    CHOSEN_FROM.contains(&port)
}

fn port_range(told: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = told.split_ascii_whitespace().map(str::parse);
    Some(ends.next()?.ok()?..=ends.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split(' ').map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_are_bounded() {
        assert_eq!(
            interleave(addresses("1.1.1.1:1 1.1.1.2:1 1.1.1.3:1 [2::1]:1 [2::2]:1")),
            addresses("[2::1]:1 1.1.1.1:1 [2::2]:1 1.1.1.2:1 1.1.1.3:1")
        );
        assert_eq!(interleave(addresses("1.1.1.1:1")), addresses("1.1.1.1:1"));
        assert!(interleave(Vec::new()).is_empty());
        let many = (0..100)
            .map(|n| SocketAddr::from(([10, 0, 0, n], 1)))
            .collect();
        assert_eq!(interleave(many).len(), MAX_ATTEMPTS);
    }

    #[test]
    fn the_ports_that_the_kernel_dials_from_are_read_as_it_writes_them() {
        assert_eq!(port_range("32768\t60999\n"), Some(32_768..=60_999));
        for unknown in ["", "32768", "a b", "1 70000"] {
            assert_eq!(port_range(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn the_most_telling_failure_ranks_first() {
        let v4 = "127.0.0.1:1".parse().unwrap();
        let io = |errno| Failure::Io(io::Error::from_raw_os_error(errno)).rank(v4);
        use nix::libc::{
            EADDRNOTAVAIL, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EMFILE, ENETUNREACH, ENOSPC,
            ETIMEDOUT,
        };
        assert_eq!(io(EMFILE), LOCAL);
        assert_eq!(io(ENOSPC), LOCAL);
        assert_eq!(io(EADDRNOTAVAIL), LOCAL);
        assert_eq!(io(ECONNREFUSED), REFUSED);
        assert_eq!(io(ECONNRESET), REFUSED);
        assert_eq!(io(ETIMEDOUT), TIMED_OUT);
        assert_eq!(io(EHOSTUNREACH), UNREACHABLE);
        assert_eq!(io(ENETUNREACH), UNREACHABLE);
        assert_eq!(Failure::OutOfTime.rank(v4), TIMED_OUT);
    }
}
