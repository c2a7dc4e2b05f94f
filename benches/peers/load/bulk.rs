//! Bulk: as many bytes as go, counted where they arrive.

use crate::command::Command;
use crate::control::Control;
use crate::opener;
use crate::pattern::{self, Moved, Pattern, Stream};
use crate::poll::{Poll, READ, WRITE};
use crate::run::{self, Aim, Errors, Interval, Phase, gbit, rounded};
use crate::socket::{self, now};
use serde_json::{Value, json};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direction {
    /// The client.
    Up,
    /// The origin.
    Down,
}

/// As fast as possible one way.
#[derive(Debug, clap::Args)]
pub(crate) struct Bulk {
    #[command(flatten)]
    aim: Aim,
    /// Who sends.
    #[arg(long, value_enum, default_value = "up")]
    direction: Direction,
    /// Tunnels.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    tunnels: u32,
    /// Gbit/s of all tunnels together at most; 0: as much as goes.
    #[arg(long, default_value_t = 0.0)]
    max_gbit: f64,
    /// Measure so long.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = crate::seconds)]
    seconds: Duration,
    /// Before the measured interval: buffers and windows grow.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = crate::seconds)]
    warm_up: Duration,
}

impl Bulk {
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let mut dialer = self.aim.dialer(self.warm_up + self.seconds);
        let mut control = Control::open(&mut dialer)?;
        let (direction, count) = (self.direction, self.tunnels as usize);
        let tunnels = opener::all_of(&mut dialer, count, |n| direction.command(n))?;
        let phase = Arc::new(Phase::default());
        let fleet = Fleet::start(tunnels, direction, self.max_gbit, &phase);
        let (interval, counts) = Interval::measure(&phase, &mut control, self.warm_up, || {
            let before = fleet.counts();
            thread::sleep(self.seconds);
            (before, fleet.counts())
        })?;
        let (wrong, errors) = fleet.join()?;
        let mut report = run::report("bulk", &self.aim, &interval, &errors);
        report["direction"] = json!(format!("{direction:?}").to_lowercase());
        report["tunnels"] = json!(count);
        direction.tell(&mut report, &interval, &counts);
        report["max_gbit"] = json!(self.max_gbit);
        report["wrong"] = json!(wrong + interval.wrong_at_origin());
        let gigabytes = report["bytes"].as_f64().unwrap_or(0.0) / 1e9;
        for end in ["client", "origin"] {
            let cpu = report[end]["cpu_s"].as_f64().unwrap_or(0.0);
            report[end]["cpu_s_per_gb"] = json!(rounded(cpu / gigabytes));
        }
        Ok(report)
    }
}

/// Bytes of each tunnel at the client's end, at the beginning and the end of the interval.
pub(crate) type Counts = (Vec<u64>, Vec<u64>);

impl Direction {
    /// What the origin is to do in the tunnel with this number.
    pub(crate) fn command(self, number: u64) -> Command {
        match self {
            Direction::Up => Command::Sink(pattern::start_of(number)),
            Direction::Down => Command::Source(pattern::start_of(number)),
        }
    }

    /// Writes how much arrived: at the origin's sinks, or here.
    pub(crate) fn tell(self, report: &mut Value, interval: &Interval, counts: &Counts) {
        let seconds = interval.wall.as_secs_f64();
        let moved: Vec<u64> = counts.1.iter().zip(&counts.0).map(|(b, a)| b - a).collect();
        let total: u64 = moved.iter().sum();
        let (bytes, rate) = match self {
            Direction::Up => (interval.sunk(), interval.sunk_gbit()),
            Direction::Down => (total, gbit(total, seconds)),
        };
        report["bytes"] = json!(bytes);
        report["gbit_per_s"] = json!(rate);
        let each = moved.iter().map(|bytes| gbit(*bytes, seconds));
        let least = each.clone().fold(f64::MAX, f64::min);
        let most = each.clone().fold(0.0, f64::max);
        report["gbit_per_s_each"] = match moved.len() {
            ..=8 => json!(each.collect::<Vec<f64>>()),
            _ => json!({"least": least, "most": most}),
        };
    }
}

/// Bulk tunnels with a thread of their own.
pub(crate) struct Fleet {
    counts: Arc<Vec<AtomicU64>>,
    thread: thread::JoinHandle<io::Result<(u64, Errors)>>,
}

impl Fleet {
    /// The tunnel at place n of `tunnels` has number n. `gbit`: what all of them together move in
    /// a second at most; 0: as much as goes.
    pub(crate) fn start(
        tunnels: Vec<OwnedFd>,
        direction: Direction,
        gbit: f64,
        phase: &Arc<Phase>,
    ) -> Fleet {
        let counts: Arc<Vec<AtomicU64>> = Arc::new(tunnels.iter().map(|_| 0.into()).collect());
        let (counted, phase) = (Arc::clone(&counts), Arc::clone(phase));
        Fleet {
            counts,
            thread: thread::spawn(move || flow(tunnels, direction, gbit, &counted, &phase)),
        }
    }

    pub(crate) fn counts(&self) -> Vec<u64> {
        self.counts
            .iter()
            .map(|count| count.load(Relaxed))
            .collect()
    }

    /// How many samples were wrong, and what else went wrong, when the phase is over.
    pub(crate) fn join(self) -> io::Result<(u64, Errors)> {
        self.thread.join().expect("the bulk thread")
    }
}

fn flow(
    tunnels: Vec<OwnedFd>,
    direction: Direction,
    gbit: f64,
    counts: &[AtomicU64],
    phase: &Phase,
) -> io::Result<(u64, Errors)> {
    let mut poll = Poll::new()?;
    let mut pattern = Pattern::new();
    let mut errors = Errors::new();
    let mut wrong = 0;
    let wants = match direction {
        Direction::Up => WRITE,
        Direction::Down => READ,
    };
    let mut streams = Vec::new();
    let mut pace = Pace::new(gbit);
    for (number, socket) in (0..).zip(tunnels) {
        if direction == Direction::Down {
            pattern::receive_bulk(&socket)?;
        }
        poll.add(&socket, number, wants)?;
        let stream = Stream::starting_at(pattern::start_of(number));
        streams.push(Some((socket, stream)));
    }
    while !phase.is_over() && streams.iter().any(Option::is_some) {
        for nth in 0..poll.wait(Duration::from_millis(100))? {
            let at = poll.ready(nth).token as usize;
            let Some((socket, stream)) = &mut streams[at] else {
                continue;
            };
            let moved = match direction {
                Direction::Up => stream
                    .send(socket, &pattern)
                    .map(|bytes| Moved { bytes, wrong: 0 }),
                Direction::Down => stream.receive(socket, &mut pattern),
            };
            match now(moved) {
                Ok(moved) => {
                    let moved = moved.unwrap_or_default();
                    counts[at].fetch_add(moved.bytes, Relaxed);
                    pace.moved(moved.bytes);
                    wrong += moved.wrong;
                }
                Err(error) => {
                    *errors.entry(socket::name_of(&error)).or_default() += 1;
                    streams[at] = None;
                }
            }
        }
    }
    // What is still under way is nobody's: a proxy is not to carry it into the next run.
    for (socket, _) in streams.into_iter().flatten() {
        socket::reset(socket);
    }
    Ok((wrong, errors))
}

/// Holds a thread back from moving more than it may.
struct Pace {
    began: Instant,
    /// 0: no bound.
    bytes_per_s: f64,
    moved: u64,
}

impl Pace {
    fn new(gbit: f64) -> Pace {
        Pace {
            began: Instant::now(),
            bytes_per_s: gbit.max(0.0) * 1e9 / 8.0,
            moved: 0,
        }
    }

    /// Waits until so many more are due. Time that was lost is not made up for.
    fn moved(&mut self, bytes: u64) {
        if self.bytes_per_s == 0.0 {
            return;
        }
        self.moved += bytes;
        let due = Duration::from_secs_f64(self.moved as f64 / self.bytes_per_s);
        let now = self.began.elapsed();
        thread::sleep(due.saturating_sub(now).min(Duration::from_millis(100)));
        if now.saturating_sub(due) > Duration::from_millis(100) {
            *self = Pace {
                began: Instant::now(),
                moved: 0,
                ..*self
            };
        }
    }
}
