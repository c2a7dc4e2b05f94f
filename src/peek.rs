//! From an accepted socket to a server name, within bounds and one absolute deadline.
//!
//! ```text
//! read into the worker's scratch --whole?--> one copy, done      (the usual hello: one recv)
//!        | no
//! a buffer of its own, counted; nothing is parsed before the bytes are in that decide something;
//! the kernel wakes a slow sender's reader only then (SO_RCVLOWAT)
//! ```
//! "Peek" names the stage, not MSG_PEEK, which would copy the same bytes again and again: what was
//! read is kept as [`Preface`] and owed to the upstream.

use crate::net::addr::Endpoints;
use crate::net::preface::{HelloMemory, MemoryPermit, Preface};
use crate::net::proxy_protocol::{self, Parsed, Trusted};
use crate::net::sockopt;
use crate::refusal::Refusal;
use crate::tls::{ClientHello, HelloError, HelloParser, Step, looks_like};
use crate::tunnel;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Bytes per `recv`, and so the most early data that is taken along with a hello.
const READ: usize = 16 * 1024;

/// First size of a buffer that a hello in pieces is kept in; libpulsar's has 1,544 bytes, and a
/// post-quantum key share makes 1.9 KB of a browser's.
const FIRST_BUFFER: usize = 2 * 1024;

/// Bounds of the stage.
#[derive(Debug, Clone)]
pub struct PeekOptions {
    /// Bytes of the handshake message (`max_client_hello`); the raw bytes are bounded by twice
    /// that.
    pub max_client_hello: usize,
    /// `Some`: a PROXY header is required (`proxy_protocol: required`), from these sources alone.
    pub proxy: Option<Arc<Trusted>>,
    /// Accept plus `hello_timeout`: for the PROXY header and the hello together.
    pub deadline: Instant,
}

/// A worker's buffers, shared by its sessions: used between two awaits only.
#[derive(Debug)]
pub struct Scratch {
    read: RefCell<Box<[u8]>>,
}

impl Scratch {
    /// 16 KiB.
    pub fn new() -> Scratch {
        Scratch {
            read: RefCell::new(vec![0; READ].into()),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// A whole hello.
#[derive(Debug)]
pub struct Peeked {
    /// What the hub needs of it.
    pub hello: ClientHello,
    /// The bytes that the upstream is owed: hello and what came with it, without a PROXY header.
    pub preface: Preface,
    /// The client as a PROXY header says, if it does.
    pub endpoints: Endpoints,
    /// The port that the client connected to, as a PROXY header says.
    pub proxy_port: Option<u16>,
    /// With SO_RCVLOWAT as it was at accept.
    pub stream: TcpStream,
}

/// No hello.
#[derive(Debug)]
pub struct PeekFailed {
    /// Why.
    pub refusal: Refusal,
    /// For the alert and the [farewell](crate::net::farewell).
    pub stream: TcpStream,
    /// The client as a PROXY header says, if one was read.
    pub endpoints: Endpoints,
    /// All bytes read, a PROXY header included. None: a balancer's check, most likely.
    pub bytes_received: u64,
}

/// Reads until the hello is whole, or is refused, or `options.deadline` has come.
///
/// # Errors
/// [`PeekFailed`], with the stream, so that the client can be told.
pub async fn peek(
    stream: TcpStream,
    scratch: &Scratch,
    endpoints: Endpoints,
    options: &PeekOptions,
    memory: &Arc<HelloMemory>,
) -> Result<Peeked, Box<PeekFailed>> {
    let mut reading = Reading::new(endpoints, options, memory);
    let outcome = match timeout_at(options.deadline, reading.run(&stream, scratch)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            // What lay below the low-water mark was sent all the same, and is counted.
            reading.received += sockopt::unread(&stream);
            Err(Refusal::TooSlow)
        }
    };
    if reading.low_water > 1 {
        // Left as it is, it would stall the tails of the tunnel. A socket that refuses this is no
        // socket any more.
        let _ = sockopt::set_receive_low_water(&stream, 1);
    }
    match outcome {
        Ok(hello) => Ok(Peeked {
            hello,
            preface: Preface::new(reading.held, reading.permit),
            endpoints: reading.endpoints,
            proxy_port: reading.proxy_port,
            stream,
        }),
        Err(refusal) => Err(Box::new(PeekFailed {
            refusal,
            stream,
            endpoints: reading.endpoints,
            bytes_received: reading.received,
        })),
    }
}

/// The stage so far.
struct Reading<'a> {
    endpoints: Endpoints,
    proxy_port: Option<u16>,
    /// Still to come before the hello.
    proxy_header: Option<&'a Trusted>,
    parser: HelloParser,
    /// For a hello that is spread over several records.
    joined: Vec<u8>,
    /// Bytes kept, PROXY header excluded once it is read.
    held: Vec<u8>,
    permit: MemoryPermit,
    /// Bytes of `held` below which there is nothing new to decide.
    need: usize,
    received: u64,
    reads: u32,
    /// SO_RCVLOWAT as set; 1 is the kernel's default.
    low_water: usize,
}

impl<'a> Reading<'a> {
    fn new(endpoints: Endpoints, options: &'a PeekOptions, memory: &Arc<HelloMemory>) -> Self {
        Reading {
            endpoints,
            proxy_port: None,
            proxy_header: options.proxy.as_deref(),
            parser: HelloParser::new(options.max_client_hello),
            joined: Vec::new(),
            held: Vec::new(),
            permit: memory.permit(),
            need: 1,
            received: 0,
            reads: 0,
            low_water: 1,
        }
    }

    async fn run(&mut self, stream: &TcpStream, scratch: &Scratch) -> Result<ClientHello, Refusal> {
        loop {
            if stream.readable().await.is_err() {
                return Err(Refusal::ClientLeft);
            }
            match self.read(stream, scratch) {
                Ok(Some(hello)) => return Ok(hello),
                Ok(None) => self.raise_low_water(stream),
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// One `recv`, and what it decides.
    fn read(
        &mut self,
        stream: &TcpStream,
        scratch: &Scratch,
    ) -> Result<Option<ClientHello>, Refusal> {
        let mut buffer = scratch.read.borrow_mut();
        let fresh = match stream.try_read(&mut buffer) {
            // FIN; or RST, or a keepalive that nobody answered.
            Ok(0) => return Err(Refusal::ClientLeft),
            Ok(n) => &buffer[..n],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Err(Refusal::ClientLeft),
        };
        self.received += fresh.len() as u64;
        self.reads += 1;
        if self.held.is_empty() {
            // The usual hello is decided where it lies.
            let mut rest = fresh;
            let decided = self.decide(&mut rest)?;
            if decided.is_some() && fresh.len() < READ {
                tunnel::presume_empty(stream);
            }
            self.keep(rest, decided.is_none())?;
            return Ok(decided);
        }
        self.keep(fresh, true)?;
        if self.held.len() < self.need {
            return Ok(None);
        }
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        let decided = self.decide(&mut rest);
        let proxy_header = held.len() - rest.len();
        self.held = held;
        self.held.drain(..proxy_header);
        if let Ok(None) = decided {
            // What was joined from records counts, too.
            self.count(self.held.capacity())?;
        }
        decided
    }

    /// Takes a PROXY header off the front of `bytes` (all that is there), then looks for the hello.
    fn decide(&mut self, bytes: &mut &[u8]) -> Result<Option<ClientHello>, Refusal> {
        if let Some(trusted) = self.proxy_header {
            if !trusted.contains(self.endpoints.client.ip()) {
                return Err(Refusal::BadProxyHeader("the source is not in trusted"));
            }
            match proxy_protocol::parse(bytes) {
                Parsed::Bad(how) => return Err(Refusal::BadProxyHeader(how)),
                Parsed::More(need) => {
                    self.need = need;
                    return Ok(None);
                }
                Parsed::Header { addresses, len } => {
                    self.proxy_header = None;
                    *bytes = &bytes[len..];
                    if let Some(addresses) = addresses {
                        self.endpoints.client = addresses.source;
                        self.proxy_port = Some(addresses.destination.port());
                    }
                }
            }
        }
        match self.parser.advance(bytes, &mut self.joined) {
            Ok(Step::Hello(hello)) => Ok(Some(hello)),
            Ok(Step::More(need)) => {
                self.need = need;
                Ok(None)
            }
            Err(HelloError::NotTls) => Err(Refusal::NotTls(looks_like(bytes))),
            Err(HelloError::TooLarge(what)) => Err(Refusal::TooLarge(what)),
            Err(HelloError::Malformed(how)) => Err(Refusal::Malformed(how)),
        }
    }

    /// Appends to `held`; more is expected to come if `grows`: 2 KiB, 16 KiB, then doubling. By what
    /// came, never by what a length field promises: five bytes must not pin 16 KiB.
    fn keep(&mut self, bytes: &[u8], grows: bool) -> Result<(), Refusal> {
        let len = self.held.len() + bytes.len();
        let capacity = match len {
            _ if !grows => len,
            wanted if wanted <= FIRST_BUFFER => FIRST_BUFFER,
            wanted if wanted <= READ => READ,
            wanted => wanted.next_power_of_two(),
        };
        if capacity > self.held.capacity() {
            self.count(capacity)?;
            self.held.reserve_exact(capacity - self.held.len());
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Counts the buffer's capacity and what was joined against the process-wide bound.
    fn count(&mut self, capacity: usize) -> Result<(), Refusal> {
        self.permit
            .grow_to(capacity + self.joined.capacity())
            .map_err(|_| Refusal::OverLimit("limits.hello_memory"))
    }

    /// From the second incomplete read on the sender counts as slow: the kernel is told how much
    /// is missing, and wakes nobody before it is in. FIN and RST still do.
    fn raise_low_water(&mut self, stream: &TcpStream) {
        let missing = self.need.saturating_sub(self.held.len()).max(1);
        if self.reads > 1
            && missing != self.low_water
            && sockopt::set_receive_low_water(stream, missing).is_ok()
        {
            self.low_water = missing;
        }
    }
}
