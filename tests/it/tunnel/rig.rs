//! A real relay on a thread of its own between two blocking sockets that the test plays with.

use snihub::tunnel::{
    Counters, Ended, Handle, Limits, Pools, Relayed, SpliceMode, Transfer, relay,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

/// No test may hang: every blocking read gives up after this.
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const COPY: SpliceMode = SpliceMode::Copy("asked for by the test");
pub(crate) const SPLICE: SpliceMode = SpliceMode::Splice;
pub(crate) const FOR_EVER: Limits = Limits {
    idle: None,
    half_open: None,
    write_stall: None,
};

/// Which way the test sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ClientToUpstream,
    UpstreamToClient,
}

pub(crate) const WAYS: [Way; 2] = [Way::ClientToUpstream, Way::UpstreamToClient];

pub(crate) struct Rig {
    pub(crate) client: TcpStream,
    pub(crate) upstream: TcpStream,
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<Option<(Transfer, Counters)>>,
}

enum Order {
    End(Ended),
    Abort,
    /// A fat tunnel is wanted elsewhere; it comes back, or is dropped on its way.
    Elsewhere {
        arrives: bool,
        left: oneshot::Sender<()>,
    },
    Count(oneshot::Sender<Counters>),
}

impl Rig {
    pub(crate) fn new(mode: SpliceMode, limits: Limits) -> Rig {
        let (client, accepted) = pair();
        let (upstream, dialled) = pair();
        let (orders, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || serve(mode, limits, accepted, dialled, inbox));
        Rig {
            client,
            upstream,
            orders,
            thread,
        }
    }

    /// (sender, receiver)
    pub(crate) fn ends(&self, way: Way) -> (&TcpStream, &TcpStream) {
        match way {
            Way::ClientToUpstream => (&self.client, &self.upstream),
            Way::UpstreamToClient => (&self.upstream, &self.client),
        }
    }

    pub(crate) fn end(&self, why: Ended) {
        self.orders.send(Order::End(why)).ok();
    }

    pub(crate) fn abort(&self) {
        self.orders.send(Order::Abort).ok();
    }

    /// Waits until the tunnel has shown to be fat and left; `arrives`: it goes on then.
    pub(crate) fn moves(&self, arrives: bool) {
        let (left, leaving) = oneshot::channel();
        self.orders.send(Order::Elsewhere { arrives, left }).ok();
        leaving.blocking_recv().expect("it left");
    }

    pub(crate) fn counters(&self) -> Counters {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Count(reply)).ok();
        answer.blocking_recv().expect("the relay's thread is there")
    }

    /// Waits for the tunnel's end; closes neither socket before it.
    pub(crate) fn transfer(self) -> (Transfer, Counters) {
        self.thread.join().expect("no panic").expect("not aborted")
    }

    /// Waits for an aborted tunnel's thread.
    pub(crate) fn aborted(self) -> (TcpStream, TcpStream) {
        assert_eq!(
            self.thread.join().expect("no panic"),
            None,
            "ended before it was aborted"
        );
        (self.client, self.upstream)
    }
}

fn serve(
    mode: SpliceMode,
    limits: Limits,
    client: TcpStream,
    upstream: TcpStream,
    mut inbox: mpsc::UnboundedReceiver<Order>,
) -> Option<(Transfer, Counters)> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(async move {
        let pools = Pools::new(mode, 2);
        let mut handle = Handle::new();
        let mut elsewhere = None;
        let mut task = tokio::task::spawn_local(relay(
            wrapped(client),
            wrapped(upstream),
            limits,
            Rc::clone(&pools),
            Rc::clone(&handle),
        ));
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                done = &mut task => {
                    let transfer = match done.ok()? {
                        Relayed::Over(transfer) => transfer,
                        Relayed::Leaving(parcel) => {
                            let (arrives, left): (bool, oneshot::Sender<()>) = elsewhere.take()?;
                            left.send(()).ok();
                            if !arrives {
                                return None;
                            }
                            handle = Handle::new();
                            let relaying = parcel.open(limits, Rc::clone(&pools), Rc::clone(&handle));
                            task = tokio::task::spawn_local(relaying.expect("registered"));
                            continue;
                        }
                    };
                    assert_eq!(handle.client_to_upstream(), transfer.client_to_upstream);
                    assert_eq!(handle.upstream_to_client(), transfer.upstream_to_client);
                    assert_eq!(handle.relay(), transfer.relay);
                    let counters = pools.counters();
                    assert_eq!((counters.pipes_lent, counters.slabs_lent), (0, 0), "given back");
                    return Some((transfer, counters));
                }
                _ = tick.tick() => {
                    pools.tick();
                    if elsewhere.is_some() {
                        pools.want_elsewhere();
                    }
                }
                Some(order) = inbox.recv() => match order {
                    Order::End(why) => handle.end(why),
                    Order::Abort => task.abort(),
                    Order::Elsewhere { arrives, left } => elsewhere = Some((arrives, left)),
                    Order::Count(reply) => reply.send(pools.counters()).unwrap_or(()),
                },
            }
        }
    })
}

fn wrapped(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nonblocking(true).expect("non-blocking");
    tokio::net::TcpStream::from_std(stream).expect("registered")
}

/// A connection over loopback: the test's end, the hub's end.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bind");
    let outer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (inner, _) = listener.accept().expect("accept");
    for stream in [&outer, &inner] {
        stream.set_nodelay(true).expect("nodelay");
    }
    outer
        .set_read_timeout(Some(PATIENCE))
        .expect("read timeout");
    outer
        .set_write_timeout(Some(PATIENCE))
        .expect("write timeout");
    (outer, inner)
}

/// An endless stream of bytes, none of them 0xFF, that repeats after a prime number of them.
#[derive(Clone)]
pub(crate) struct Pattern {
    block: Arc<Vec<u8>>,
    at: usize,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Pattern {
        let mut state = seed | 1;
        let mut block = Vec::with_capacity(1_048_573);
        while block.len() < 1_048_573 {
            block.push((random(&mut state) % 255) as u8);
        }
        Pattern {
            block: Arc::new(block),
            at: 0,
        }
    }

    /// Up to `most` of the next bytes.
    pub(crate) fn next(&mut self, most: usize) -> &[u8] {
        let from = self.at % self.block.len();
        let to = self.block.len().min(from + most);
        self.at += to - from;
        &self.block[from..to]
    }

    /// Whether `bytes` are the next ones.
    pub(crate) fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.at;
            let wanted = self.next(bytes.len());
            let (head, tail) = bytes.split_at(wanted.len());
            assert!(
                head == wanted,
                "other bytes than were sent, at {at} or soon after"
            );
            bytes = tail;
        }
    }
}

/// xorshift64.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Sends `count` bytes of the pattern in writes of `1..=largest` bytes.
pub(crate) fn send(mut to: &TcpStream, pattern: &mut Pattern, count: usize, largest: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ count as u64;
    let mut left = count;
    while left > 0 {
        let size = 1 + random(&mut state) as usize % largest;
        let bytes = pattern.next(size.min(left));
        to.write_all(bytes).expect("write");
        left -= bytes.len();
    }
}

/// Receives exactly `count` bytes and compares them.
pub(crate) fn receive(mut from: &TcpStream, pattern: &mut Pattern, count: usize) {
    let mut buffer = vec![0; 1 << 18];
    let mut left = count;
    while left > 0 {
        let most = left.min(buffer.len());
        let n = from.read(&mut buffer[..most]).expect("read");
        assert!(n > 0, "the stream ended {left} bytes early");
        pattern.check(&buffer[..n]);
        left -= n;
    }
}

pub(crate) fn fin(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).expect("FIN");
}

/// The next read says "end", and not a byte before it.
pub(crate) fn expect_fin(mut stream: &TcpStream) {
    assert_eq!(
        stream.read(&mut [0; 16]).expect("a clean end"),
        0,
        "bytes after the last one"
    );
}

/// Reads until the RST; returns what came before it. A clean end is a failure.
pub(crate) fn expect_rst(mut stream: &TcpStream) -> usize {
    let mut buffer = vec![0; 1 << 18];
    let mut before = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("a clean end where RST was due: truncation nobody can see"),
            Ok(n) => before += n,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                return before;
            }
        }
    }
}
