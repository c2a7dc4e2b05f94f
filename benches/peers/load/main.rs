//! The load of the peer benchmark: clients, the parties' servers behind the proxy, and the bare
//! proxy that every other one is compared with.
//!
//! ```sh
//! cargo build --profile bench --example load
//! load origin --listen 127.0.0.1:9000 &
//! load bulk --via 127.0.0.1:9000 --name 9999.fate.org --tunnels 8     # direct
//! load floor --listen 127.0.0.1:9001 --to 127.0.0.1:9000 &
//! load open --via 127.0.0.1:9001 --name 9999.fate.org                 # through the floor
//! ```
//!
//! Each run prints one JSON object on stdout, and ends by itself: exit code 0 when it measured (what
//! went wrong with single tunnels is counted in `errors`), 1 when it could not or when bytes arrived
//! that were not those sent, 2 for wrong usage, 3 when it ran out of time.
//!
//! A tunnel begins with a ClientHello ([`hello`]) whose random says what the origin is to do
//! ([`command`]); the origin answers one byte, and the rest is opaque bytes, as hub and peers see
//! them. All I/O is level-triggered epoll ([`poll`]).

mod bulk;
mod chatty;
mod command;
mod control;
mod conversation;
mod dial;
mod floor;
mod hello;
mod histogram;
mod idle;
mod machine;
mod mixed;
mod open;
mod opener;
mod origin;
mod pair;
mod pattern;
mod pingpong;
mod poll;
mod run;
mod socket;
mod talk;
mod two_fat;

use clap::Parser;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// Load generator, origin and floor of the peer benchmark.
#[derive(Debug, clap::Parser)]
#[command(name = "load")]
enum Load {
    Origin(origin::Origin),
    Floor(floor::Floor),
    Bulk(bulk::Bulk),
    Open(open::Open),
    #[command(name = "pingpong")]
    PingPong(pingpong::PingPong),
    Idle(idle::Idle),
    Mixed(mixed::Mixed),
    TwoFat(two_fat::TwoFat),
}

fn main() -> ExitCode {
    let done = match Load::parse() {
        Load::Origin(origin) => origin.run().map(|()| None),
        Load::Floor(floor) => floor.run().map(|()| None),
        Load::Bulk(run) => run.run().map(Some),
        Load::Open(run) => run.run().map(Some),
        Load::PingPong(run) => run.run().map(Some),
        Load::Idle(run) => run.run().map(Some),
        Load::Mixed(run) => run.run().map(Some),
        Load::TwoFat(run) => run.run().map(Some),
    };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(report)) => tell(&report),
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Bytes that are wrong make every number beside them worthless.
fn tell(report: &Value) -> ExitCode {
    println!("{report}");
    let samples = report["wrong"].as_u64().unwrap_or(0);
    let echoes = report["errors"]["wrong bytes"].as_u64().unwrap_or(0);
    if samples + echoes == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("load: bytes arrived that are not those that were sent");
    ExitCode::FAILURE
}

/// A duration on the command line: seconds, as a decimal number.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| "not a number of seconds")?;
    let time = Duration::try_from_secs_f64(number).map_err(|error| error.to_string())?;
    if time > Duration::from_secs(86_400) {
        return Err("more than a day".to_owned());
    }
    Ok(time)
}
