//! Every socket option the hub sets, in one place.
//!
//! On Linux an accepted socket is a copy of its listener's (`sk_clone`): keepalive and its three
//! numbers, NODELAY and LINGER are inherited, so the first two are set once, on the listener
//! (`tests/it/net/socket_options.rs` holds the kernel to it).
//!
//! TCP_USER_TIMEOUT is never set: it overrules keepalive's count (`tcp_keepalive_timer`), so that
//! with 15 minutes for a write that stalls, a peer that vanished from an idle link would be noticed
//! after 15 minutes instead of three. (Measured, 1 s x 3 probes: after 4 s; with 20 s of
//! TCP_USER_TIMEOUT after 20 s.) The tunnel's own wheel keeps `write_stall_timeout`.

// The macro names `libc`, `getsockopt_impl` and `setsockopt_impl` as found where it is used.
use nix::sys::socket::{GetSockOpt, SetSockOpt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

sockopt_impl!(
    /// Bytes that must be in before a socket counts as readable. Kernel type: `int`.
    RcvLowat, Both, libc::SOL_SOCKET, libc::SO_RCVLOWAT, libc::c_int
);

/// The kernel's `struct tcp_info` as far as every kernel has it (`linux/tcp.h`): a longer one would
/// come back short from an older kernel. Fields of ours only are named.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TcpInfoHead {
    states: [u8; 8],
    before_rtt: [u32; 15],
    rtt: u32,
    before_total_retrans: [u32; 7],
    total_retrans: u32,
}

sockopt_impl!(
    /// What the kernel measured. Kernel type: `struct tcp_info`, its first 104 bytes, which Linux 2.6 has.
    TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfoHead
);

/// What the kernel says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFigures {
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// Segments that were sent again since the connection stands.
    pub retransmits: u32,
}

/// TCP_INFO, two figures of it.
///
/// # Errors
/// What the kernel says.
pub fn tcp_figures(socket: impl AsFd) -> io::Result<TcpFigures> {
    let info = TcpInfo.get(&socket.as_fd())?;
    Ok(TcpFigures {
        rtt_us: info.rtt,
        retransmits: info.total_retrans,
    })
}

/// When the kernel probes a silent peer, and when it gives up: after `idle`, then `probes` times
/// `idle` without an answer the socket ends with ETIMEDOUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE and TCP_KEEPINTVL; the kernel counts whole seconds, 1 to 32,767.
    pub idle: Duration,
    /// TCP_KEEPCNT, 1 to 127.
    pub probes: u32,
}

impl Default for Keepalive {
    /// 45 s x 3: a dead peer is noticed within three minutes, NAT tables of a minute stay warm.
    fn default() -> Self {
        Keepalive {
            idle: Duration::from_secs(45),
            probes: 3,
        }
    }
}

/// What every tunnel socket has: NODELAY (the hub forwards what it read, at once) and keepalive
/// (`None`: off). For a listener, whose connections inherit it. An upstream's socket has NODELAY from
/// [`crate::net::dial()`] and keepalive from [`crate::tunnel::Pools::set_keepalive`].
///
/// # Errors
/// What the kernel says; EINVAL for a keepalive outside its bounds.
pub fn for_tunnels(socket: impl AsFd, keepalive: Option<Keepalive>) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_nodelay(true)?;
    keep_alive(socket, keepalive)
}

/// Keepalive alone (`None`: off): four system calls where it is on.
///
/// # Errors
/// What the kernel says; EINVAL for a keepalive outside its bounds.
pub fn keep_alive(socket: impl AsFd, keepalive: Option<Keepalive>) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    match keepalive {
        None => socket.set_keepalive(false),
        Some(Keepalive { idle, probes }) => socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(idle)
                .with_interval(idle)
                .with_retries(probes),
        ),
    }
}

/// SO_LINGER{1, 0}: from now on closing sends RST and drops what was not sent, so that an abnormal
/// end can never look like a clean FIN. Set on both sockets of a tunnel before it is cut.
///
/// # Errors
/// What the kernel says.
pub fn reset_on_close(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))
}

/// SO_RCVLOWAT: readable only when `bytes` are in (or FIN, or RST). The kernel grows the receive
/// buffer to fit. For the hello alone; 1 before anything else reads the socket, or the tail of a
/// stream waits for ever.
///
/// # Errors
/// What the kernel says.
pub fn set_receive_low_water(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes.max(1)).unwrap_or(libc::c_int::MAX);
    Ok(RcvLowat.set(&socket.as_fd(), &bytes)?)
}

/// SO_RCVLOWAT as it stands.
///
/// # Errors
/// What the kernel says.
pub fn receive_low_water(socket: impl AsFd) -> io::Result<usize> {
    let bytes = RcvLowat.get(&socket.as_fd())?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// FIONREAD: bytes that are in and were not read; 0 where the kernel does not say.
pub fn unread(socket: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(socket).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `linux/tcp.h`: eight bytes of states, then 24 numbers up to `tcpi_total_retrans`.
    #[test]
    fn the_kernels_figures_are_read_from_their_places() {
        assert_eq!(size_of::<TcpInfoHead>(), 8 + 24 * 4);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let figures = tcp_figures(&client).unwrap();
        assert!((1..1_000_000).contains(&figures.rtt_us), "{figures:?}");
        assert_eq!(figures.retransmits, 0);
        let info = TcpInfo.get(&client.as_fd()).unwrap();
        // tcpi_state 1 is ESTABLISHED; tcpi_snd_mss is the third number.
        assert_eq!(info.states[0], 1);
        assert!((500..=65_535).contains(&info.before_rtt[2]), "{info:?}");
        // tcpi_snd_cwnd, right behind rttvar and ssthresh.
        assert!(
            (2..=1_000).contains(&info.before_total_retrans[2]),
            "{info:?}"
        );
    }
}
