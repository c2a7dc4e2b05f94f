//! Tunnels opened some at a time, and closed again or kept: the way every measurement comes to its
//! tunnels.

use crate::command::Command;
use crate::dial::{Dialer, Opening, Stage};
use crate::histogram::Histogram;
use crate::poll::{Poll, READ, WRITE};
use crate::run::{Errors, Phase};
use crate::socket;
use rustix::net::Shutdown;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How a tunnel that has answered is closed.
///
/// `client`: FIN, and the tunnel counts as closed when the proxy's FIN has come back: what a real
/// client does, and every peer closes both sides cleanly. TIME_WAIT then stays with the client's
/// ports, which is why there are several source addresses, and with the proxy's ports towards the
/// origin, where loopback lets them be used again after a second (tcp_tw_reuse 2).
/// `origin`: the origin closes right after its byte; TIME_WAIT stays with the listening sides and
/// no ephemeral port is held. `reset`: RST from the client; cheapest and without TIME_WAIT here,
/// but the peers differ in what they do with it, so it is not the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Close {
    Client,
    Origin,
    Reset,
}

/// What to open and what then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// At a time.
    pub(crate) concurrency: usize,
    /// In all; `None`: until the phase is over.
    pub(crate) count: Option<u64>,
    /// Begun per second; `None`: as fast as possible.
    pub(crate) rate: Option<f64>,
    pub(crate) then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close(Close),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Those that are kept, with their numbers, in no order.
    tunnels: Vec<(u64, OwnedFd)>,
    /// From connect to the origin's byte.
    pub(crate) answered: Histogram,
    /// From connect to the end.
    pub(crate) whole: Histogram,
    pub(crate) errors: Errors,
}

impl Opened {
    /// By number.
    pub(crate) fn in_order(mut self) -> Vec<OwnedFd> {
        self.tunnels.sort_by_key(|(number, _)| *number);
        self.tunnels.into_iter().map(|(_, socket)| socket).collect()
    }
}

/// [`open`] in a thread of its own.
pub(crate) fn spawn(
    mut dialer: Dialer,
    plan: Plan,
    phase: &Arc<Phase>,
    command: impl Fn(u64) -> Command + Send + 'static,
) -> thread::JoinHandle<anyhow::Result<Opened>> {
    let phase = Arc::clone(phase);
    thread::spawn(move || open(&mut dialer, &plan, &phase, command))
}

/// So many tunnels that stay, 32 at a time; `command` gets their numbers, from 0.
pub(crate) fn open_all(
    dialer: &mut Dialer,
    count: usize,
    command: impl Fn(u64) -> Command,
) -> anyhow::Result<Opened> {
    let plan = Plan {
        concurrency: 32,
        count: Some(count as u64),
        rate: None,
        then: Then::Keep,
    };
    let phase = Phase::default();
    phase.measure();
    open(dialer, &plan, &phase, command)
}

/// The same, where none may be missing.
pub(crate) fn all_of(
    dialer: &mut Dialer,
    count: usize,
    command: impl Fn(u64) -> Command,
) -> anyhow::Result<Vec<OwnedFd>> {
    let opened = open_all(dialer, count, command)?;
    match opened.errors.is_empty() {
        true => Ok(opened.in_order()),
        false => anyhow::bail!("of {count} tunnels some did not open: {:?}", opened.errors),
    }
}

/// Opens by plan. Times are recorded while the phase is one that measures.
pub(crate) fn open(
    dialer: &mut Dialer,
    plan: &Plan,
    phase: &Phase,
    command: impl Fn(u64) -> Command,
) -> anyhow::Result<Opened> {
    let mut opener = Opener {
        poll: Poll::new()?,
        slots: (0..plan.concurrency).map(|_| None).collect(),
        free: (0..plan.concurrency).collect(),
        plan: *plan,
        phase,
        opened: Opened {
            tunnels: Vec::new(),
            answered: Histogram::new(),
            whole: Histogram::new(),
            errors: Errors::new(),
        },
        good: 0,
    };
    let began = Instant::now();
    let mut begun = 0;
    let mut looked = began;
    loop {
        let over = plan.count.is_some_and(|count| begun >= count) || phase.is_over();
        let mut due = Duration::from_millis(100);
        while !over && !opener.free.is_empty() && plan.count.is_none_or(|count| begun < count) {
            if let Some(rate) = plan.rate {
                let at = Duration::from_secs_f64(begun as f64 / rate);
                due = at.saturating_sub(began.elapsed());
                if !due.is_zero() {
                    break;
                }
            }
            let command = match plan.then {
                Then::Close(Close::Origin) => Command::Close,
                _ => command(begun),
            };
            opener.begin(begun, dialer.begin(command));
            begun += 1;
            opener.check()?;
        }
        if over && opener.free.len() == plan.concurrency {
            return Ok(opener.opened);
        }
        for at in 0..opener.poll.wait(due.min(Duration::from_millis(100)))? {
            let slot = opener.poll.ready(at).token as usize;
            opener.go_on(slot);
        }
        if looked.elapsed() > Duration::from_millis(100) {
            looked = Instant::now();
            opener.drop_the_late(dialer.patience);
        }
        opener.check()?;
    }
}

struct Opener<'a> {
    poll: Poll,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    plan: Plan,
    phase: &'a Phase,
    opened: Opened,
    good: u64,
}

struct Slot {
    number: u64,
    opening: Opening,
    stage: Stage,
}

impl Opener<'_> {
    fn begin(&mut self, number: u64, opening: io::Result<Opening>) {
        let begun = opening.and_then(|mut opening| {
            let stage = opening.go_on()?;
            Ok(Slot {
                number,
                opening,
                stage,
            })
        });
        let slot = match begun {
            Ok(slot) => slot,
            Err(error) => return self.failed(&error),
        };
        let at = self.free.pop().expect("asked before");
        let wants = match slot.stage {
            Stage::Sending => WRITE,
            _ => READ,
        };
        match self.poll.add(&slot.opening.socket, at as u64, wants) {
            Ok(()) => self.slots[at] = Some(slot),
            Err(error) => {
                self.free.push(at);
                self.failed(&error);
            }
        }
    }

    fn go_on(&mut self, at: usize) {
        let Some(slot) = &mut self.slots[at] else {
            return;
        };
        let before = slot.stage;
        let done = match before {
            Stage::Stands => ended(&slot.opening.socket),
            _ => slot.opening.go_on().and_then(|stage| {
                slot.stage = stage;
                if before == Stage::Sending && stage == Stage::Waiting {
                    let socket = &slot.opening.socket;
                    self.poll.modify(socket, at as u64, READ)?;
                }
                Ok(false)
            }),
        };
        let stands = before != Stage::Stands && slot.stage == Stage::Stands;
        let done = match done {
            Ok(false) if stands => self.stands(at),
            done => done,
        };
        match done {
            Ok(false) => {}
            Ok(true) => self.finish(at),
            Err(error) => {
                self.release(at);
                self.failed(&error);
            }
        }
    }

    /// Whether that was all.
    fn stands(&mut self, at: usize) -> io::Result<bool> {
        let Some(slot) = &self.slots[at] else {
            return Ok(false);
        };
        if self.phase.is_measuring() {
            self.opened.answered.record(slot.opening.began.elapsed());
        }
        match self.plan.then {
            Then::Close(Close::Client) => {
                rustix::net::shutdown(&slot.opening.socket, Shutdown::Write)?;
                Ok(false)
            }
            Then::Close(Close::Origin) => Ok(false),
            Then::Close(Close::Reset) => Ok(true),
            Then::Keep => self.poll.delete(&slot.opening.socket).map(|()| true),
        }
    }

    fn finish(&mut self, at: usize) {
        let Some(slot) = self.release(at) else {
            return;
        };
        self.good += 1;
        let Opening { socket, began, .. } = slot.opening;
        match self.plan.then {
            Then::Keep => self.opened.tunnels.push((slot.number, socket)),
            Then::Close(Close::Reset) => socket::reset(socket),
            Then::Close(_) => drop(socket),
        }
        if self.phase.is_measuring() {
            self.opened.whole.record(began.elapsed());
        }
    }

    fn release(&mut self, at: usize) -> Option<Slot> {
        let slot = self.slots[at].take()?;
        self.free.push(at);
        Some(slot)
    }

    fn drop_the_late(&mut self, patience: Duration) {
        for at in 0..self.slots.len() {
            let late = |slot: &Slot| slot.opening.began.elapsed() > patience;
            if self.slots[at].as_ref().is_some_and(late) {
                self.release(at);
                self.failed(&io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let what = socket::name_of(error);
        *self.opened.errors.entry(what).or_default() += 1;
    }

    /// Nothing but errors is not a measurement.
    fn check(&self) -> anyhow::Result<()> {
        let failed: u64 = self.opened.errors.values().sum();
        if failed >= 1000 && self.good == 0 {
            anyhow::bail!("no tunnel opens: {:?}", self.opened.errors);
        }
        Ok(())
    }
}

/// Whether the other side has ended; it has nothing more to say.
fn ended(socket: &OwnedFd) -> io::Result<bool> {
    match socket::recv_now(socket, &mut [0])? {
        None => Ok(false),
        Some(0) => Ok(true),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}
