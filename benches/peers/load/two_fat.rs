//! Two tunnels that open quiet among others and turn fat later, as FATE's links do: whatever core
//! each was dealt when nothing told them apart, both should get one of their own.

use crate::bulk::{Direction, Fleet};
use crate::chatty;
use crate::command::Command;
use crate::control::Control;
use crate::idle::{MESSAGE, talks};
use crate::opener;
use crate::run::{self, Aim, Interval, Phase, add_errors};
use crate::socket;
use crate::talk::{Paper, check_all};
use anyhow::ensure;
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Two tunnels turn fat beside idle and chatty ones. Says `fat` on stderr when they do.
#[derive(Debug, clap::Args)]
pub(crate) struct TwoFat {
    #[command(flatten)]
    aim: Aim,
    /// Tunnels that only stand.
    #[arg(long, default_value_t = 200)]
    idle: u32,
    /// Tunnels with a small message at a pace.
    #[arg(long, default_value_t = 50)]
    chatty: u16,
    /// That pace: one message so often.
    #[arg(long, value_name = "SECONDS", default_value = "0.01", value_parser = crate::seconds)]
    every: Duration,
    /// Tunnels that turn fat.
    #[arg(long, default_value_t = 2)]
    fat: u16,
    /// How long they stay quiet.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = crate::seconds)]
    quiet: Duration,
    /// Which way the bulk goes.
    #[arg(long, value_enum, default_value = "up")]
    direction: Direction,
    /// Gbit/s of the fat tunnels together at most; 0: as much as goes.
    #[arg(long, default_value_t = 0.0)]
    max_gbit: f64,
    /// Measure so long, when they are fat.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::seconds)]
    seconds: Duration,
    /// Between turning fat and the measured interval.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = crate::seconds)]
    warm_up: Duration,
}

impl TwoFat {
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let planned = self.quiet + self.warm_up + self.seconds;
        let mut dialer = self.aim.dialer(planned);
        let mut control = Control::open(&mut dialer)?;
        let opened = opener::open_all(&mut dialer, self.idle as usize, |_| run::echo(MESSAGE))?;
        let mut errors = opened.errors.clone();
        let mut idle = talks(opened);
        let fat = opener::all_of(&mut dialer, self.fat.into(), |_| Command::Await)?;
        let opened = opener::open_all(&mut dialer, self.chatty.into(), |_| run::echo(MESSAGE))?;
        add_errors(&mut errors, &opened.errors);
        let chatty = talks(opened);

        let phase = Arc::new(Phase::default());
        let chatting = chatty::start(chatty, MESSAGE, self.every, &phase);
        thread::sleep(self.quiet);
        for (number, socket) in (0..).zip(&fat) {
            let command = self.direction.command(number).encode();
            let sent = socket::send(socket, &command)?;
            ensure!(sent == command.len(), "a quiet tunnel takes no command");
        }
        eprintln!("fat: {} tunnels", fat.len());
        let fleet = Fleet::start(fat, self.direction, self.max_gbit, &phase);
        let (interval, counts) = Interval::measure(&phase, &mut control, self.warm_up, || {
            let before = fleet.counts();
            thread::sleep(self.seconds);
            (before, fleet.counts())
        })?;
        let (wrong, more) = fleet.join()?;
        add_errors(&mut errors, &more);
        let heard = chatting.join().expect("the chatty thread")?;
        add_errors(&mut errors, &heard.errors);
        let last = check_all(&mut idle, &mut Paper::new(MESSAGE))?;
        add_errors(&mut errors, &last);

        let mut report = run::report("two-fat", &self.aim, &interval, &errors);
        report["direction"] = json!(format!("{:?}", self.direction).to_lowercase());
        self.direction.tell(&mut report, &interval, &counts);
        report["max_gbit"] = json!(self.max_gbit);
        report["wrong"] = json!(wrong + interval.wrong_at_origin());
        report["idle"] = json!(self.idle);
        report["idle_at_end"] = json!(idle.len());
        report["chatty"] = json!(self.chatty);
        heard.tell(&mut report);
        idle.into_iter().for_each(|talk| socket::reset(talk.socket));
        Ok(report)
    }
}
