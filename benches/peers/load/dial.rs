//! Opening a tunnel: connect, send the hello, wait for the origin's byte.

use crate::command::{ANSWER, Command};
use crate::hello::{Shape, Template};
use crate::poll::{Poll, READ, WRITE};
use crate::socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The first byte of a TLS alert.
const ALERT: u8 = 21;

/// Where tunnels go and how they begin. Names and source addresses take turns.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    via: SocketAddr,
    hellos: Vec<Template>,
    sources: Vec<IpAddr>,
    turn: usize,
    /// How long one tunnel may take to open.
    pub(crate) patience: Duration,
}

impl Dialer {
    /// `sources`: how many addresses of 127/8 to come from, towards an address there. 28,000
    /// ephemeral ports hold 28,000 idle tunnels of one address, and one second of opening and
    /// closing them (then loopback's TIME_WAIT may be used again, tcp_tw_reuse 2).
    pub(crate) fn new(
        via: SocketAddr,
        names: &[String],
        shape: Shape,
        sources: u8,
        patience: Duration,
    ) -> Dialer {
        let local = via.is_ipv4() && via.ip().is_loopback();
        let several = (1..=sources).filter(|_| local && sources > 1);
        Dialer {
            via,
            hellos: names
                .iter()
                .map(|name| Template::new(name, shape))
                .collect(),
            sources: several
                .map(|n| IpAddr::V4(Ipv4Addr::new(127, 0, 1, n)))
                .collect(),
            turn: 0,
            patience,
        }
    }

    /// Begins one.
    pub(crate) fn begin(&mut self, command: Command) -> io::Result<Opening> {
        self.turn += 1;
        let template = &self.hellos[self.turn % self.hellos.len()];
        let source = match self.sources.len() {
            0 => None,
            many => Some(self.sources[self.turn % many]),
        };
        let began = Instant::now();
        let socket = socket::dial(self.via, source)?;
        let hello = template.with(command, self.turn as u64);
        // One write on a fresh connection leaves at once; Nagle would hold back only a second one.
        if template.first < hello.len() {
            socket::nodelay(&socket)?;
        }
        Ok(Opening {
            socket,
            first: template.first,
            hello,
            sent: 0,
            began,
        })
    }

    /// Opens one and waits for it.
    pub(crate) fn one(&mut self, command: Command) -> io::Result<OwnedFd> {
        let mut opening = self.begin(command)?;
        let mut poll = Poll::new()?;
        poll.add(&opening.socket, 0, WRITE)?;
        loop {
            match opening.go_on()? {
                Stage::Stands => return Ok(opening.socket),
                Stage::Sending => {}
                Stage::Waiting => poll.modify(&opening.socket, 0, READ)?,
            }
            let left = self.patience.saturating_sub(opening.began.elapsed());
            if poll.wait(left)? == 0 && left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// A tunnel that does not stand yet.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) socket: OwnedFd,
    pub(crate) began: Instant,
    hello: Vec<u8>,
    /// Bytes of the hello's first write.
    first: usize,
    sent: usize,
}

/// What is next of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To go on when it can be written.
    Sending,
    /// To go on when it can be read.
    Waiting,
    /// The origin has answered.
    Stands,
}

impl Opening {
    /// Does what can be done now.
    ///
    /// A hello in two segments gives the loop a turn between them: the second one leaves after the
    /// first has, and after everybody else has had a turn, so that a proxy that is awake has read
    /// the first alone.
    pub(crate) fn go_on(&mut self) -> io::Result<Stage> {
        if self.sent < self.hello.len() {
            let to = if self.sent < self.first {
                self.first
            } else {
                self.hello.len()
            };
            let sent = socket::send_now(&self.socket, &self.hello[self.sent..to])?;
            self.sent += sent.unwrap_or(0);
            return Ok(match self.sent == self.hello.len() {
                true => Stage::Waiting,
                false => Stage::Sending,
            });
        }
        let mut answer = [0];
        match socket::recv_now(&self.socket, &mut answer)? {
            None => Ok(Stage::Waiting),
            Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) if answer == [ANSWER] => Ok(Stage::Stands),
            Some(_) if answer == [ALERT] => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
