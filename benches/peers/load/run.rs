//! What every measurement shares: its flags, its phases, its report.

use crate::command::Command;
use crate::control::{Control, Snapshot};
use crate::dial::Dialer;
use crate::hello::Shape;
use crate::machine;
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How often what went wrong.
pub(crate) type Errors = BTreeMap<&'static str, u64>;

pub(crate) fn add_errors(to: &mut Errors, more: &Errors) {
    for (what, count) in more {
        *to.entry(what).or_default() += count;
    }
}

/// Where the tunnels go.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Aim {
    /// The proxy, or the origin itself.
    #[arg(long, value_name = "ADDR")]
    pub(crate) via: SocketAddr,
    /// The server name; several with commas take turns.
    #[arg(long, value_name = "SNI", required = true, value_delimiter = ',')]
    pub(crate) name: Vec<String>,
    /// The hello's shape.
    #[arg(long, value_enum, default_value = "usual")]
    pub(crate) hello: Shape,
    /// Source addresses in 127.0.1.0/24 that take turns, if the proxy is on loopback; 1: none is
    /// chosen.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=254))]
    pub(crate) sources: u8,
    /// How long one tunnel may take to open.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = crate::seconds)]
    pub(crate) open_timeout: Duration,
    /// How long the run may take in all; by default a minute more than planned.
    #[arg(long, value_name = "SECONDS", value_parser = crate::seconds)]
    pub(crate) deadline: Option<Duration>,
}

impl Aim {
    /// Starts the clock that ends a hanging run, and raises the limit of open files.
    pub(crate) fn dialer(&self, planned: Duration) -> Dialer {
        machine::raise_open_files();
        let patience = self.deadline.unwrap_or(planned + Duration::from_secs(60));
        machine::end_after(patience, "the run");
        let (names, timeout) = (&self.name, self.open_timeout);
        Dialer::new(self.via, names, self.hello, self.sources, timeout)
    }
}

/// What the threads of a run do now.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

const MEASURING: u8 = 1;
const OVER: u8 = 2;

impl Phase {
    pub(crate) fn is_measuring(&self) -> bool {
        self.0.load(Relaxed) == MEASURING
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Relaxed) == OVER
    }

    pub(crate) fn measure(&self) {
        self.0.store(MEASURING, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.0.store(OVER, Relaxed);
    }
}

/// The measured interval: what it took of both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval {
    pub(crate) wall: Duration,
    client_cpu: Duration,
    before: Snapshot,
    after: Snapshot,
}

impl Interval {
    /// Warms up, measures while `during` runs, ends the phase. Says `measuring` and `measured` on
    /// stderr, for whoever watches the proxy over the same time.
    pub(crate) fn measure<T>(
        phase: &Phase,
        control: &mut Control,
        warm_up: Duration,
        during: impl FnOnce() -> T,
    ) -> anyhow::Result<(Interval, T)> {
        thread::sleep(warm_up);
        let before = control.ask().context("the origin's counts")?;
        let (cpu, began) = (machine::cpu(), Instant::now());
        phase.measure();
        eprintln!("measuring");
        let done = during();
        let (wall, client_cpu) = (began.elapsed(), machine::cpu() - cpu);
        eprintln!("measured");
        let after = control.ask().context("the origin's counts");
        phase.end();
        let interval = Interval {
            wall,
            client_cpu,
            before,
            after: after?,
        };
        Ok((interval, done))
    }

    pub(crate) fn per_second(&self, count: u64) -> f64 {
        rounded(count as f64 / self.wall.as_secs_f64())
    }

    /// Gbit/s that arrived at the origin's sinks, by the origin's own clock.
    pub(crate) fn sunk_gbit(&self) -> f64 {
        let seconds = (self.after.at - self.before.at).as_secs_f64();
        gbit(self.after.sunk - self.before.sunk, seconds)
    }

    pub(crate) fn sunk(&self) -> u64 {
        self.after.sunk - self.before.sunk
    }

    /// Samples that the origin found wrong, also before the interval: none is ever right.
    pub(crate) fn wrong_at_origin(&self) -> u64 {
        self.after.wrong
    }

    /// Client and origin: CPU seconds, and the share of the wall clock that is. A share near the
    /// number of their threads says that they were the bottleneck, not the proxy.
    pub(crate) fn ends(&self) -> (Value, Value) {
        let busy = |cpu: Duration, wall: Duration| {
            json!({
                "cpu_s": rounded(cpu.as_secs_f64()),
                "busy": rounded(cpu.as_secs_f64() / wall.as_secs_f64()),
            })
        };
        let mut origin = busy(
            self.after.cpu.saturating_sub(self.before.cpu),
            self.after.at.saturating_sub(self.before.at),
        );
        origin["accepted"] = json!(self.after.accepted - self.before.accepted);
        origin["strangers"] = json!(self.after.strangers - self.before.strangers);
        (busy(self.client_cpu, self.wall), origin)
    }
}

/// A run's object: what was asked for, what both ends took, the limits that were met.
pub(crate) fn report(what: &str, aim: &Aim, interval: &Interval, errors: &Errors) -> Value {
    let (client, origin) = interval.ends();
    json!({
        "run": what,
        "via": aim.via.to_string(),
        "names": aim.name,
        "wall_s": rounded(interval.wall.as_secs_f64()),
        "client": client,
        "origin": origin,
        "errors": errors,
        "error_count": errors.values().sum::<u64>(),
        "limits": limits(errors),
    })
}

/// The machine's limits: how many descriptors there may be, and which limits errors speak of.
pub(crate) fn limits(errors: &Errors) -> Value {
    let met: Vec<_> = errors
        .keys()
        .filter(|what| what.contains("left (E"))
        .collect();
    json!({"open_files": machine::open_files(), "met": met})
}

pub(crate) fn gbit(bytes: u64, seconds: f64) -> f64 {
    rounded(bytes as f64 * 8.0 / 1e9 / seconds)
}

/// To three places: more would be noise.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A message of this size is echoed by the origin.
pub(crate) fn echo(size: usize) -> Command {
    Command::Echo(size as u64)
}
