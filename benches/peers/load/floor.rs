//! The floor: the least that any proxy has to do. It accepts, connects and moves bytes, as fast as
//! plain epoll allows; no routing, no limits, no timeouts, no records. No proxy for the real world.

use crate::machine;
use crate::pair::{Pair, Pools};
use crate::poll::{Poll, READ};
use crate::socket;
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

/// A bare proxy to compare with.
#[derive(Debug, clap::Args)]
pub(crate) struct Floor {
    /// Where to listen.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where all connections lead.
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
    /// Threads, each with a listener of its own (SO_REUSEPORT).
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// How bulk is moved.
    #[arg(long, value_enum, default_value = "splice")]
    mode: Mode,
    /// How long to live.
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = crate::seconds)]
    seconds: Duration,
}

/// How bulk is moved; small messages are always copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// read and write, 64 KiB at a time.
    Copy,
    /// splice through a pipe of 256 KiB.
    Splice,
}

/// The listener's token; a pair's sides are 2n and 2n + 1.
const LISTENER: u64 = u64::MAX;
const ACCEPTS: usize = 64;
const TICK: Duration = Duration::from_millis(200);

impl Floor {
    /// Serves until its time is over.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        machine::raise_open_files();
        let end = Instant::now() + self.seconds;
        let mut running = Vec::new();
        for _ in 0..self.threads {
            let listener = socket::listener(self.listen, true).context("listen")?;
            let (to, mode) = (self.to, self.mode);
            running.push(thread::spawn(move || {
                let mut worker = Worker {
                    poll: Poll::new()?,
                    listener,
                    to,
                    pairs: Vec::new(),
                    free: Vec::new(),
                    pools: Pools::new(mode),
                };
                worker.serve(end)
            }));
        }
        for thread in running {
            thread.join().expect("a floor thread")?;
        }
        Ok(())
    }
}

struct Worker {
    poll: Poll,
    listener: OwnedFd,
    to: SocketAddr,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    pools: Pools,
}

impl Worker {
    fn serve(&mut self, end: Instant) -> io::Result<()> {
        self.poll.add(&self.listener, LISTENER, READ)?;
        while Instant::now() < end {
            for at in 0..self.poll.wait(TICK)? {
                let ready = self.poll.ready(at);
                if ready.token == LISTENER {
                    self.accept();
                    continue;
                }
                let (at, side) = ((ready.token / 2) as usize, (ready.token % 2) as usize);
                let Some(pair) = &mut self.pairs[at] else {
                    continue;
                };
                let goes_on = pair.go_on(side, ready, &mut self.pools);
                if !matches!(
                    goes_on.and_then(|more| {
                        pair.watch(&self.poll, at as u64 * 2)?;
                        Ok(more)
                    }),
                    Ok(true)
                ) {
                    self.close(at);
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            let client = match socket::accept(&self.listener) {
                Ok(Some(client)) => client,
                Ok(None) => return,
                Err(error) => {
                    eprintln!("load: floor: accept: {error}");
                    return thread::sleep(Duration::from_millis(10));
                }
            };
            if let Err(error) = self.begin(client) {
                eprintln!("load: floor: connect: {error}");
            }
        }
    }

    fn begin(&mut self, client: OwnedFd) -> io::Result<()> {
        let upstream = socket::dial(self.to, None)?;
        socket::nodelay(&upstream)?;
        let at = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let pair = Pair::new(client, upstream);
        for (side, socket) in (0..).zip(&pair.sockets) {
            self.poll.add(socket, at as u64 * 2 + side, READ)?;
        }
        self.pairs[at] = Some(pair);
        Ok(())
    }

    fn close(&mut self, at: usize) {
        if let Some(pair) = self.pairs[at].take() {
            pair.close(&mut self.pools);
            self.free.push(at);
        }
    }
}
