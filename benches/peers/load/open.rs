//! How many tunnels a second can be opened and closed, and how long each takes.

use crate::control::Control;
use crate::opener::{Close, Plan, Then, open, spawn};
use crate::run::{self, Aim, Interval, Phase};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// New tunnels: each sends its hello, gets one byte from the origin, and is closed.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    #[command(flatten)]
    aim: Aim,
    /// Tunnels at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Stop after so many tunnels.
    #[arg(long, conflicts_with = "seconds")]
    count: Option<u64>,
    /// Measure so long.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = crate::seconds)]
    seconds: Duration,
    /// Before the measured interval.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = crate::seconds)]
    warm_up: Duration,
    /// Who closes, and how.
    #[arg(long, value_enum, default_value = "client")]
    close: Close,
}

impl Open {
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let planned = match self.count {
            Some(_) => Duration::from_secs(60),
            None => self.warm_up + self.seconds,
        };
        let mut dialer = self.aim.dialer(planned);
        let mut control = Control::open(&mut dialer)?;
        let plan = Plan {
            concurrency: self.concurrency.into(),
            count: self.count,
            rate: None,
            then: Then::Close(self.close),
        };
        let phase = Arc::new(Phase::default());
        let worker = match self.count {
            Some(_) => None,
            None => Some(spawn(dialer.clone(), plan, &phase, |_| run::echo(1))),
        };
        let warm_up = match worker {
            Some(_) => self.warm_up,
            None => Duration::ZERO,
        };
        let (interval, counted) = Interval::measure(&phase, &mut control, warm_up, || {
            if worker.is_none() {
                return Some(open(&mut dialer, &plan, &phase, |_| run::echo(1)));
            }
            thread::sleep(self.seconds);
            None
        })?;
        let opened = match worker {
            Some(worker) => worker.join().expect("the opening thread")?,
            None => counted.expect("it was waited for")?,
        };
        let mut report = run::report("open", &self.aim, &interval, &opened.errors);
        report["concurrency"] = json!(self.concurrency);
        report["hello"] = json!(format!("{:?}", self.aim.hello));
        report["close"] = json!(format!("{:?}", self.close));
        report["tunnels"] = json!(opened.whole.count());
        report["tunnels_per_s"] = json!(interval.per_second(opened.whole.count()));
        report["open_us"] = opened.answered.report();
        report["open_and_close_us"] = opened.whole.report();
        Ok(report)
    }
}
