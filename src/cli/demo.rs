//! `snihub demo`: see it work, with nothing to install or configure.

use super::exit::{self, Exit};
use crate::demo::{self, Finish};

/// Shows the hub at work: throwaway certificates, TLS parties and the real hub on loopback.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Two parties send hashed data to each other by name through the hub, a third
joins by an edit of sni.yaml, clients that are to be refused are refused. It
takes some seconds, needs no privilege and no free port in particular, and
leaves nothing on disk. Steps go to stderr, the report to stdout.

Exit codes: 0 all right; 1 something was not as it should be, and the report
says what; 71 it could not be run at all; 130 Ctrl-C before the report.")]
pub(super) struct Args {
    /// Keep the star up afterwards, until Ctrl-C, with commands to try on it
    #[arg(long)]
    hold: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    match demo::run(args.hold) {
        Ok(Finish::Right) => Exit::Ok,
        Ok(Finish::Wrong) => Exit::No,
        Ok(Finish::Interrupted) => {
            exit::complain("snihub demo: interrupted; nothing is left behind\n");
            Exit::Interrupted
        }
        Err(error) => {
            exit::complain(&format!("snihub demo: {error:#}\n"));
            Exit::System
        }
    }
}
