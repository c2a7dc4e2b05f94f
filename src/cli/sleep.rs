//! `snihub sleep`: for a container's preStop hook; its image has no shell.

use super::exit::Exit;
use std::time::Duration;

/// Does nothing for some seconds: while an orchestrator takes this container out of its service.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long
    #[arg(value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=3600))]
    seconds: u64,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    std::thread::sleep(Duration::from_secs(args.seconds));
    Exit::Ok
}
