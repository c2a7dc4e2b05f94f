//! Everything at once: fat tunnels, chatty ones, many that are idle, and new ones all the time.
//! Each kind has a thread of its own, so that the fat ones delay the chatty ones in the proxy and
//! not here; the idle ones have none.

use crate::bulk::{Direction, Fleet};
use crate::chatty;
use crate::control::Control;
use crate::idle::{MESSAGE, talks};
use crate::opener::{self, Close, Plan, Then};
use crate::run::{self, Aim, Interval, Phase, add_errors};
use crate::socket;
use crate::talk::{Paper, check_all};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Fat, chatty, idle and new tunnels at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Mixed {
    #[command(flatten)]
    aim: Aim,
    /// Tunnels with bulk.
    #[arg(long, default_value_t = 4)]
    fat: u16,
    /// Which way the bulk goes.
    #[arg(long, value_enum, default_value = "up")]
    direction: Direction,
    /// Tunnels with a small message at a pace.
    #[arg(long, default_value_t = 200)]
    chatty: u16,
    /// That pace: one message so often.
    #[arg(long, value_name = "SECONDS", default_value = "0.01", value_parser = crate::seconds)]
    every: Duration,
    /// Tunnels that only stand.
    #[arg(long, default_value_t = 5000)]
    idle: u32,
    /// New tunnels per second, each closed when it has answered; 0: none.
    #[arg(long, default_value_t = 500)]
    new_rate: u32,
    /// How new tunnels are closed.
    #[arg(long, value_enum, default_value = "client")]
    close: Close,
    /// Gbit/s of the fat tunnels together at most; 0: as much as goes.
    #[arg(long, default_value_t = 0.0)]
    max_gbit: f64,
    /// Measure so long.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::seconds)]
    seconds: Duration,
    /// Before the measured interval.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = crate::seconds)]
    warm_up: Duration,
}

impl Mixed {
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let mut dialer = self.aim.dialer(self.warm_up + self.seconds);
        let mut control = Control::open(&mut dialer)?;
        let opened = opener::open_all(&mut dialer, self.idle as usize, |_| run::echo(MESSAGE))?;
        let mut errors = opened.errors.clone();
        let mut idle = talks(opened);
        let opened = opener::open_all(&mut dialer, self.chatty.into(), |_| run::echo(MESSAGE))?;
        add_errors(&mut errors, &opened.errors);
        let chatty = talks(opened);
        let direction = self.direction;
        let fat = opener::all_of(&mut dialer, self.fat.into(), |n| direction.command(n))?;

        let phase = Arc::new(Phase::default());
        let chatting = chatty::start(chatty, MESSAGE, self.every, &phase);
        let fleet = Fleet::start(fat, direction, self.max_gbit, &phase);
        let plan = Plan {
            concurrency: 32,
            count: None,
            rate: Some(f64::from(self.new_rate)),
            then: Then::Close(self.close),
        };
        let opening =
            (self.new_rate > 0).then(|| opener::spawn(dialer, plan, &phase, |_| run::echo(1)));
        let (interval, counts) = Interval::measure(&phase, &mut control, self.warm_up, || {
            let before = fleet.counts();
            thread::sleep(self.seconds);
            (before, fleet.counts())
        })?;
        let (wrong, more) = fleet.join()?;
        add_errors(&mut errors, &more);
        let heard = chatting.join().expect("the chatty thread")?;
        add_errors(&mut errors, &heard.errors);
        let new = match opening {
            Some(opening) => Some(opening.join().expect("the opening thread")?),
            None => None,
        };
        if let Some(new) = &new {
            add_errors(&mut errors, &new.errors);
        }
        let last = check_all(&mut idle, &mut Paper::new(MESSAGE))?;
        add_errors(&mut errors, &last);

        let mut report = run::report("mixed", &self.aim, &interval, &errors);
        report["fat"] = json!(self.fat);
        report["direction"] = json!(format!("{direction:?}").to_lowercase());
        direction.tell(&mut report, &interval, &counts);
        report["max_gbit"] = json!(self.max_gbit);
        report["wrong"] = json!(wrong + interval.wrong_at_origin());
        report["chatty"] = json!(self.chatty);
        report["every_ms"] = json!(self.every.as_secs_f64() * 1e3);
        heard.tell(&mut report);
        report["idle"] = json!(self.idle);
        report["idle_at_end"] = json!(idle.len());
        report["new_rate"] = json!(self.new_rate);
        if let Some(new) = new {
            report["new_per_s"] = json!(interval.per_second(new.whole.count()));
            report["open_us"] = new.answered.report();
        }
        idle.into_iter().for_each(|talk| socket::reset(talk.socket));
        Ok(report)
    }
}
