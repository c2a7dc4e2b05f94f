//! Messages that the origin sends back, each with a stamp of its own, and every byte of the echo
//! compared: one that is another tunnel's or another message's is seen.

use crate::poll::{Poll, READ, WRITE};
use crate::run::Errors;
use crate::socket::{self, recv_now, send_now};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const STAMP: usize = 8;
/// How long one echo may take when only its coming is asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One tunnel and the message under way in it.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) socket: OwnedFd,
    stamp: u64,
    sent: usize,
    got: usize,
}

/// What the talks of one thread share: the message without its stamp, and room for an echo.
#[derive(Debug)]
pub(crate) struct Paper {
    message: Vec<u8>,
    echo: Vec<u8>,
}

impl Paper {
    /// `size`: of each message, at least 8.
    pub(crate) fn new(size: usize) -> Paper {
        Paper {
            message: (0..size).map(|n| (n % 251) as u8).collect(),
            echo: vec![0; size],
        }
    }

    fn stamped(&mut self, stamp: u64) -> (&[u8], &mut [u8]) {
        self.message[..STAMP].copy_from_slice(&stamp.to_be_bytes());
        (&self.message, &mut self.echo)
    }
}

impl Talk {
    /// `number`: the tunnel's.
    pub(crate) fn new(socket: OwnedFd, number: usize) -> Talk {
        Talk {
            socket,
            stamp: (number as u64) << 40,
            sent: 0,
            got: 0,
        }
    }

    /// Begins the next message. True: it is on its way, as a whole.
    pub(crate) fn say(&mut self, paper: &mut Paper) -> io::Result<bool> {
        self.stamp += 1;
        self.sent = 0;
        self.got = 0;
        self.say_on(paper)
    }

    /// Sends what is left of it.
    pub(crate) fn say_on(&mut self, paper: &mut Paper) -> io::Result<bool> {
        let (message, _) = paper.stamped(self.stamp);
        let rest = &message[self.sent..];
        if !rest.is_empty() {
            self.sent += send_now(&self.socket, rest)?.unwrap_or(0);
        }
        Ok(self.sent == message.len())
    }

    /// Reads on. True: the echo is whole and right.
    ///
    /// # Errors
    /// `UnexpectedEof` at the end of the stream, `InvalidData` for other bytes than were sent.
    pub(crate) fn hear(&mut self, paper: &mut Paper) -> io::Result<bool> {
        let (message, echo) = paper.stamped(self.stamp);
        let want = &message[self.got..];
        // With nothing under way whatever comes is wrong.
        let room = &mut echo[..want.len().max(1)];
        match recv_now(&self.socket, room)? {
            None => return Ok(false),
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(n) if want.get(..n) == Some(&room[..n]) => self.got += n,
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(self.got == message.len())
    }
}

/// One echo through each, 64 at a time; those that gave none are counted and dropped.
pub(crate) fn check_all(talks: &mut Vec<Talk>, paper: &mut Paper) -> io::Result<Errors> {
    let mut errors = Errors::new();
    let mut good = Vec::with_capacity(talks.len());
    while !talks.is_empty() {
        let rest = talks.split_off(talks.len().min(64));
        let some = std::mem::replace(talks, rest);
        check(some, paper, &mut good, &mut errors)?;
    }
    *talks = good;
    Ok(errors)
}

fn check(
    some: Vec<Talk>,
    paper: &mut Paper,
    good: &mut Vec<Talk>,
    errors: &mut Errors,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut fail = |error: io::Error| *errors.entry(socket::name_of(&error)).or_default() += 1;
    let mut waiting: Vec<Option<Talk>> = some.into_iter().map(Some).collect();
    let mut left = waiting.len();
    for (at, place) in waiting.iter_mut().enumerate() {
        let Some(mut talk) = place.take() else {
            continue;
        };
        let begun = talk.say(paper).and_then(|whole| {
            let wants = if whole { READ } else { WRITE };
            poll.add(&talk.socket, at as u64, wants)
        });
        match begun {
            Ok(()) => *place = Some(talk),
            Err(error) => {
                fail(error);
                left -= 1;
            }
        }
    }
    let end = Instant::now() + PATIENCE;
    while left > 0 && Instant::now() < end {
        for at in 0..poll.wait(Duration::from_millis(100))? {
            let ready = poll.ready(at);
            let place = &mut waiting[ready.token as usize];
            let Some(mut talk) = place.take() else {
                continue;
            };
            let heard = if ready.write && talk.say_on(paper)? {
                poll.modify(&talk.socket, ready.token, READ)?;
                Ok(false)
            } else {
                talk.hear(paper)
            };
            match heard {
                Ok(false) => *place = Some(talk),
                Ok(true) => {
                    poll.delete(&talk.socket)?;
                    good.push(talk);
                    left -= 1;
                }
                Err(error) => {
                    fail(error);
                    left -= 1;
                }
            }
        }
    }
    (0..left).for_each(|_| fail(io::ErrorKind::TimedOut.into()));
    Ok(())
}
