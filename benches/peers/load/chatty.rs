//! Tunnels with a small message at a fixed pace each, as brokers send them: how late its echo
//! comes, counted from when the message was *due*. Where one echo is late, the messages behind it
//! are late as well and count as such (no coordinated omission).

use crate::histogram::Histogram;
use crate::poll::{Poll, READ, WRITE};
use crate::run::{Errors, Phase};
use crate::socket;
use crate::talk::{Paper, Talk};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// More than so many messages behind, a tunnel has stalled: no more are added to its account, and
/// the rest is counted as skipped.
const MOST_BEHIND: usize = 10_000;

/// The tunnels of one thread.
pub(crate) struct Chatter {
    poll: Poll,
    paper: Paper,
    places: Vec<Option<Place>>,
    heard: Heard,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Heard {
    /// From when a message was due to its echo.
    pub(crate) late: Histogram,
    /// From when it was sent.
    pub(crate) served: Histogram,
    pub(crate) errors: Errors,
    skipped: u64,
}

impl Heard {
    pub(crate) fn tell(&self, report: &mut Value) {
        report["chatty_us"] = self.late.report();
        report["chatty_from_sending_us"] = self.served.report();
        report["chatty_skipped"] = json!(self.skipped);
    }
}

struct Place {
    talk: Talk,
    /// When the messages were due that are not echoed yet, oldest first; the first is under way if
    /// `sent` says since when.
    due: VecDeque<Instant>,
    sent: Option<Instant>,
}

pub(crate) type Chatting = thread::JoinHandle<io::Result<Heard>>;

/// Starts them: one message an `interval` in each, staggered evenly, until the phase is over.
pub(crate) fn start(
    talks: Vec<Talk>,
    size: usize,
    interval: Duration,
    phase: &Arc<Phase>,
) -> Chatting {
    let phase = Arc::clone(phase);
    thread::spawn(move || {
        let mut chatter = Chatter {
            poll: Poll::new()?,
            paper: Paper::new(size),
            places: Vec::new(),
            heard: Heard {
                late: Histogram::new(),
                served: Histogram::new(),
                errors: Errors::new(),
                skipped: 0,
            },
        };
        for (at, talk) in (0..).zip(talks) {
            socket::nodelay(&talk.socket)?;
            chatter.poll.add(&talk.socket, at, READ)?;
            chatter.places.push(Some(Place {
                talk,
                due: VecDeque::new(),
                sent: None,
            }));
        }
        chatter.run(interval, &phase)
    })
}

impl Chatter {
    fn run(mut self, interval: Duration, phase: &Phase) -> io::Result<Heard> {
        if self.places.is_empty() {
            return Ok(self.heard);
        }
        let began = Instant::now();
        let step = interval / self.places.len() as u32;
        let mut nth = 0;
        let mut next = began;
        while !phase.is_over() {
            let now = Instant::now();
            while next <= now {
                self.owe(nth % self.places.len(), next, phase);
                nth += 1;
                next += step;
            }
            let pause = next.saturating_duration_since(now);
            for at in 0..self.poll.wait(pause.min(Duration::from_millis(100)))? {
                let ready = self.poll.ready(at);
                self.go_on(ready.token as usize, ready.write, phase);
            }
        }
        for place in self.places.into_iter().flatten() {
            socket::reset(place.talk.socket);
        }
        Ok(self.heard)
    }

    /// A message is due in this place.
    fn owe(&mut self, at: usize, due: Instant, phase: &Phase) {
        let Some(place) = &mut self.places[at] else {
            return;
        };
        if place.due.len() >= MOST_BEHIND {
            self.heard.skipped += u64::from(phase.is_measuring());
            return;
        }
        place.due.push_back(due);
        if place.sent.is_none() {
            self.say(at);
        }
    }

    fn say(&mut self, at: usize) {
        let Some(place) = &mut self.places[at] else {
            return;
        };
        place.sent = Some(Instant::now());
        let said = place.talk.say(&mut self.paper).and_then(|whole| {
            if whole {
                return Ok(());
            }
            self.poll.modify(&place.talk.socket, at as u64, WRITE)
        });
        self.unless(at, said);
    }

    fn go_on(&mut self, at: usize, write: bool, phase: &Phase) {
        let Some(place) = &mut self.places[at] else {
            return;
        };
        if write && place.sent.is_some() {
            let said = place.talk.say_on(&mut self.paper).and_then(|whole| {
                if whole {
                    self.poll.modify(&place.talk.socket, at as u64, READ)?;
                }
                Ok(())
            });
            return self.unless(at, said);
        }
        match place.talk.hear(&mut self.paper) {
            Ok(false) => {}
            Ok(true) => {
                let now = Instant::now();
                let (due, sent) = (place.due.pop_front(), place.sent.take());
                let more = !place.due.is_empty();
                if let (Some(due), Some(sent), true) = (due, sent, phase.is_measuring()) {
                    self.heard.late.record(now.saturating_duration_since(due));
                    self.heard.served.record(now - sent);
                }
                if more {
                    self.say(at);
                }
            }
            Err(error) => self.unless(at, Err(error)),
        }
    }

    fn unless(&mut self, at: usize, done: io::Result<()>) {
        if let Err(error) = done {
            let errors = &mut self.heard.errors;
            *errors.entry(socket::name_of(&error)).or_default() += 1;
            self.places[at] = None;
        }
    }
}
