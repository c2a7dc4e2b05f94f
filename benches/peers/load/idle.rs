//! Tunnels that stand and say nothing: what they cost a proxy.

use crate::control::Control;
use crate::opener::{self, Opened};
use crate::run::{self, Aim, Interval, Phase, add_errors, rounded};
use crate::socket;
use crate::talk::{Paper, Talk, check_all};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};

/// Idle tunnels. Says `standing: ...` on stderr when all are up, then waits for a line on stdin,
/// but not longer than it may, and then looks whether each still echoes.
#[derive(Debug, clap::Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    aim: Aim,
    /// Tunnels, opened 32 at a time.
    #[arg(long, default_value_t = 9500, value_parser = clap::value_parser!(u32).range(1..))]
    tunnels: u32,
    /// The longest time to hold them; a closed stdin or one without lines does not end it.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::seconds)]
    hold: Duration,
}

/// Bytes of the messages that see whether a tunnel stands.
pub(crate) const MESSAGE: usize = 128;

impl Idle {
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let mut dialer = self.aim.dialer(self.hold);
        let mut control = Control::open(&mut dialer)?;
        let count = self.tunnels as usize;
        let began = Instant::now();
        let mut opened = opener::open_all(&mut dialer, count, |_| run::echo(MESSAGE))?;
        let opening = began.elapsed();
        let mut errors = std::mem::take(&mut opened.errors);
        let times = opened.answered.report();
        let mut paper = Paper::new(MESSAGE);
        let mut talks = talks(opened);
        let first = check_all(&mut talks, &mut paper)?;
        eprintln!(
            "standing: {} of {count} after {:.3} s",
            talks.len(),
            opening.as_secs_f64()
        );
        let phase = Phase::default();
        let (interval, waited) = Interval::measure(&phase, &mut control, Duration::ZERO, || {
            wait_for_line(self.hold)
        })?;
        waited?;
        let stood = talks.len();
        let last = check_all(&mut talks, &mut paper)?;
        add_errors(&mut errors, &first);
        add_errors(&mut errors, &last);
        let mut report = run::report("idle", &self.aim, &interval, &errors);
        report["tunnels"] = json!(count);
        report["standing"] = json!(stood);
        report["standing_at_end"] = json!(talks.len());
        report["open_all_s"] = json!(rounded(opening.as_secs_f64()));
        report["open_us"] = times;
        // By RST: thousands of TIME_WAITs would be in the next run's way.
        talks
            .into_iter()
            .for_each(|talk| socket::reset(talk.socket));
        Ok(report)
    }
}

/// All that are open, to be talked through.
pub(crate) fn talks(opened: Opened) -> Vec<Talk> {
    let sockets = opened.in_order().into_iter().enumerate();
    sockets
        .map(|(number, socket)| Talk::new(socket, number))
        .collect()
}

/// Waits for a whole line, at most so long. At the end of stdin there will be none: the time is
/// waited out.
fn wait_for_line(patience: Duration) -> io::Result<()> {
    let end = Instant::now() + patience;
    let stdin = io::stdin();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) => {
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
                return Ok(());
            }
            Ok(n) if bytes[..n].contains(&b'\n') => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
