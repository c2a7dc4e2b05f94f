//! The parties' servers: each connection brings a hello with a command in it, gets one byte for an
//! answer and then what the command says. Blind to TLS beyond the hello, as hub and peers are.

use crate::control::Counters;
use crate::conversation::{Conversation, Desk, Wants};
use crate::machine;
use crate::poll::{self, Poll, READ};
use crate::socket;
use anyhow::Context;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The server of every measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Origin {
    /// Where to listen; several with commas.
    #[arg(long, value_name = "ADDR", required = true, value_delimiter = ',')]
    listen: Vec<SocketAddr>,
    /// Threads; connections are dealt out to them in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// How long to live.
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = crate::seconds)]
    seconds: Duration,
}

/// Tokens of listeners are above all descriptors.
const LISTENERS: u64 = 1 << 32;
/// Connections taken before others get their turn.
const ACCEPTS: usize = 64;
/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(200);

impl Origin {
    /// Serves until its time is over.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        machine::raise_open_files();
        let counters = Arc::new(Counters::default());
        let mut seats = Vec::new();
        for _ in 0..self.threads {
            seats.push(Arc::new(Seat {
                door: Arc::new(poll::door()?),
                inbox: Mutex::default(),
            }));
        }
        let mut listeners = Vec::new();
        for address in &self.listen {
            let socket = socket::listener(*address, false).with_context(|| format!("{address}"))?;
            let token = LISTENERS + listeners.len() as u64;
            poll::add(&seats[0].door, &socket, token, READ)?;
            listeners.push(socket);
        }
        let end = Instant::now() + self.seconds;
        let mut running = Vec::new();
        for seat in &seats {
            let (seat, seats) = (Arc::clone(seat), seats.clone());
            let listeners = std::mem::take(&mut listeners);
            let desk = Desk::new(Arc::clone(&counters));
            running.push(thread::spawn(move || {
                let mut server = Server {
                    poll: Poll::behind(Arc::clone(&seat.door)),
                    seat,
                    seats,
                    listeners,
                    turn: 0,
                    talks: Vec::new(),
                    desk,
                };
                server.serve(end)
            }));
        }
        for thread in running {
            thread.join().expect("an origin thread")?;
        }
        Ok(())
    }
}

/// How others hand a thread its connections: first into the inbox, then into its epoll.
struct Seat {
    door: Arc<OwnedFd>,
    inbox: Mutex<Vec<OwnedFd>>,
}

/// One thread.
struct Server {
    poll: Poll,
    seat: Arc<Seat>,
    seats: Vec<Arc<Seat>>,
    /// Only the first thread has them.
    listeners: Vec<OwnedFd>,
    turn: usize,
    /// By descriptor, which is also the token.
    talks: Vec<Option<Talk>>,
    desk: Desk,
}

struct Talk {
    socket: OwnedFd,
    conversation: Conversation,
    wants: Wants,
}

impl Server {
    fn serve(&mut self, end: Instant) -> anyhow::Result<()> {
        while Instant::now() < end {
            for at in 0..self.poll.wait(TICK)? {
                let ready = self.poll.ready(at);
                match ready.token.checked_sub(LISTENERS) {
                    Some(listener) => self.accept(listener as usize),
                    None => self.go_on(ready.token as usize)?,
                }
            }
        }
        Ok(())
    }

    /// Takes what waits and deals it out. Out of descriptors it is left in the backlog.
    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPTS {
            let socket = match socket::accept(&self.listeners[listener]) {
                Ok(Some(socket)) => socket,
                Ok(None) => return,
                Err(error) => {
                    eprintln!("load: origin: accept: {error}");
                    return thread::sleep(Duration::from_millis(10));
                }
            };
            self.desk.counters.accepted.fetch_add(1, Relaxed);
            self.turn += 1;
            let seat = Arc::clone(&self.seats[self.turn % self.seats.len()]);
            let token = socket.as_raw_fd() as u64;
            // Held over both steps: the other thread looks only once the socket is registered.
            let mut inbox = seat.inbox.lock().expect("no thread panics with it");
            if let Err(error) = poll::add(&seat.door, &socket, token, READ) {
                eprintln!("load: origin: epoll: {error}");
                continue;
            }
            inbox.push(socket);
        }
    }

    fn go_on(&mut self, token: usize) -> anyhow::Result<()> {
        if !matches!(self.talks.get(token), Some(Some(_))) {
            self.adopt();
        }
        // Unknown even so: closed since the event was made.
        let Some(Some(talk)) = self.talks.get_mut(token) else {
            return Ok(());
        };
        let wants = match talk.conversation.go_on(&talk.socket, &mut self.desk) {
            Ok(wants) => wants,
            // The client is gone, as at the end of every run.
            Err(_) => Wants::Close,
        };
        if wants == Wants::Close {
            self.talks[token] = None;
        } else if wants != talk.wants {
            talk.wants = wants;
            self.poll
                .modify(&talk.socket, token as u64, wants.flags())?;
        }
        Ok(())
    }

    fn adopt(&mut self) {
        let mut inbox = self.seat.inbox.lock().expect("no thread panics with it");
        for socket in inbox.drain(..) {
            let token = socket.as_raw_fd() as usize;
            if self.talks.len() <= token {
                self.talks.resize_with(token + 1, || None);
            }
            self.talks[token] = Some(Talk {
                socket,
                conversation: Conversation::new(),
                wants: Wants::Read,
            });
        }
    }
}
