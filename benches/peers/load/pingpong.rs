//! Messages there and back, one under way in each tunnel: what a proxy adds to each.

use crate::control::Control;
use crate::histogram::Histogram;
use crate::opener;
use crate::poll::{Poll, READ, WRITE};
use crate::run::{self, Aim, Errors, Interval, Phase, rounded};
use crate::socket;
use crate::talk::{Paper, Talk};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Round trips.
#[derive(Debug, clap::Args)]
pub(crate) struct PingPong {
    #[command(flatten)]
    aim: Aim,
    /// Bytes of a message.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    size: u32,
    /// Tunnels, each with one message under way.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    tunnels: u32,
    /// Measure so long.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = crate::seconds)]
    seconds: Duration,
    /// Before the measured interval.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = crate::seconds)]
    warm_up: Duration,
}

impl PingPong {
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let mut dialer = self.aim.dialer(self.warm_up + self.seconds);
        let mut control = Control::open(&mut dialer)?;
        let size = self.size as usize;
        let tunnels = opener::all_of(&mut dialer, self.tunnels as usize, |_| run::echo(size))?;
        let mut talks = Vec::new();
        for (number, socket) in tunnels.into_iter().enumerate() {
            // The last segment of a large message is not to wait for an acknowledgement.
            socket::nodelay(&socket)?;
            talks.push(Some(Talk::new(socket, number)));
        }
        let phase = Arc::new(Phase::default());
        let players = Arc::clone(&phase);
        let worker = thread::spawn(move || play(talks, Paper::new(size), &players));
        let (interval, ()) = Interval::measure(&phase, &mut control, self.warm_up, || {
            thread::sleep(self.seconds);
        })?;
        let (times, errors) = worker.join().expect("the playing thread")?;
        let mut report = run::report("pingpong", &self.aim, &interval, &errors);
        report["size"] = json!(self.size);
        report["tunnels"] = json!(self.tunnels);
        report["round_trips"] = json!(times.count());
        report["round_trips_per_s"] = json!(interval.per_second(times.count()));
        report["round_trip_us"] = times.report();
        let per_trip = |end: &Value| {
            let cpu = end["cpu_s"].as_f64().unwrap_or(0.0);
            json!(rounded(cpu * 1e6 / times.count().max(1) as f64))
        };
        report["client"]["cpu_us_per_round_trip"] = per_trip(&report["client"]);
        report["origin"]["cpu_us_per_round_trip"] = per_trip(&report["origin"]);
        Ok(report)
    }
}

fn play(
    mut talks: Vec<Option<Talk>>,
    mut paper: Paper,
    phase: &Phase,
) -> io::Result<(Histogram, Errors)> {
    let mut poll = Poll::new()?;
    let mut times = Histogram::new();
    let mut errors = Errors::new();
    let mut began = vec![Instant::now(); talks.len()];
    for (at, talk) in talks.iter_mut().enumerate().filter_map(some) {
        let wants = if talk.say(&mut paper)? { READ } else { WRITE };
        poll.add(&talk.socket, at as u64, wants)?;
    }
    while !phase.is_over() && talks.iter().any(Option::is_some) {
        for nth in 0..poll.wait(Duration::from_millis(100))? {
            let ready = poll.ready(nth);
            let at = ready.token as usize;
            let Some(talk) = &mut talks[at] else {
                continue;
            };
            let went = if ready.write {
                let whole = talk.say_on(&mut paper);
                whole.map(|whole| whole.then_some(READ))
            } else {
                talk.hear(&mut paper).and_then(|whole| {
                    if !whole {
                        return Ok(None);
                    }
                    let now = Instant::now();
                    if phase.is_measuring() {
                        times.record(now - began[at]);
                    }
                    began[at] = now;
                    let whole = talk.say(&mut paper)?;
                    Ok((!whole).then_some(WRITE))
                })
            };
            let modified = went.and_then(|wants| match wants {
                Some(wants) => poll.modify(&talk.socket, ready.token, wants),
                None => Ok(()),
            });
            if let Err(error) = modified {
                *errors.entry(socket::name_of(&error)).or_default() += 1;
                talks[at] = None;
            }
        }
    }
    for talk in talks.into_iter().flatten() {
        socket::reset(talk.socket);
    }
    Ok((times, errors))
}

fn some<T>((at, place): (usize, &mut Option<T>)) -> Option<(usize, &mut T)> {
    place.as_mut().map(|it| (at, it))
}
