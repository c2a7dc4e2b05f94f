//! The command line: one file per subcommand; decides nothing.

mod advice;
mod check;
mod columns;
mod compare;
mod demo;
mod doctor;
mod exit;
mod explain;
mod hub;
mod import;
mod manual;
mod party;
mod pki;
mod refusals;
mod routes;
mod run;
mod sleep;
mod status;
mod steer;
mod top;
mod tunnels;
mod upgrade;

use crate::takeover;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::Exit;
use std::process::ExitCode;

/// A hub for stars of TLS brokers: reads the server name, picks the route, passes the bytes on.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "\
Exit codes: 0 well; 1 the answer is no; 2 broken, says the doctor; 64 wrong
usage; 69 the hub that runs needs a restart for that; 71 the system would not;
77 permission denied; 78 a file is wrong; 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Explain(explain::Args),
    Import(import::Args),
    Compare(compare::Args),
    Demo(demo::Args),
    Pki(pki::Args),
    Party(party::Args),
    Doctor(doctor::Args),
    Status(status::Args),
    Top(top::Args),
    Routes(routes::Args),
    Tunnels(tunnels::Args),
    Refusals(refusals::Args),
    Reload(steer::ReloadArgs),
    Drain(steer::DrainArgs),
    Kill(steer::KillArgs),
    LogLevel(steer::LogLevelArgs),
    Completions(manual::CompletionsArgs),
    #[command(hide = true)]
    Man(manual::ManArgs),
    #[command(hide = true)]
    Sleep(sleep::Args),
    Upgrade(upgrade::Args),
    #[command(name = takeover::COMMAND, hide = true)]
    StartSuccessor(upgrade::StartArgs),
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let exit = match parsed() {
        Ok(cli) => match cli.command {
            Command::Run(args) => run::run(args),
            Command::Check(args) => check::run(args),
            Command::Explain(args) => explain::run(args),
            Command::Import(args) => import::run(args),
            Command::Compare(args) => compare::run(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Pki(args) => pki::run(args),
            Command::Party(args) => party::run(args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Top(args) => top::run(&args),
            Command::Routes(args) => routes::run(&args),
            Command::Tunnels(args) => tunnels::run(&args),
            Command::Refusals(args) => refusals::run(&args),
            Command::Reload(args) => steer::reload(&args),
            Command::Drain(args) => steer::drain(&args),
            Command::Kill(args) => steer::kill(&args),
            Command::LogLevel(args) => steer::log_level(&args),
            Command::Completions(args) => manual::completions(&args),
            Command::Man(args) => manual::man(&args),
            Command::Sleep(args) => sleep::run(&args),
            Command::Upgrade(args) => upgrade::run(&args),
            Command::StartSuccessor(args) => upgrade::start_successor(&args),
        },
        Err(error) => usage(&error),
    };
    exit.into()
}

fn parsed() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let cli = Cli::from_arg_matches(&matches)?;
    // On a party's machine what is advised is for the hub's.
    if !matches!(&cli.command, Command::Doctor(args) if args.is_partys()) {
        advice::keep(&command, &matches);
    }
    Ok(cli)
}

/// clap's own code for wrong usage is 2; sysexits has 64 for it.
fn usage(error: &clap::Error) -> Exit {
    // A closed pipe is nobody to tell.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
        _ => Exit::Usage,
    }
}

/// Which files.
#[derive(Debug, Clone, clap::Args)]
struct Files {
    /// hub.yaml [default: /etc/snihub/hub.yaml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// sni.yaml, or the directory with sni.yaml or sni.config in it [default: `routes` of hub.yaml,
    /// else /etc/snihub]
    #[arg(long, value_name = "PATH")]
    routes: Option<std::path::PathBuf>,
    /// A folder of Apache Traffic Server: records.config, sni.yaml or sni.config, in the place of
    /// --routes and of `listen`, `connect_ports` and `routes` in hub.yaml, which is read only if
    /// --config names it. Given several times, a file is looked for in each in turn
    #[arg(long, value_name = "DIR", conflicts_with = "routes")]
    ats: Vec<std::path::PathBuf>,
}

impl Files {
    fn sources(self) -> crate::config::Sources {
        let Files {
            config,
            routes,
            ats,
        } = self;
        crate::config::Sources {
            config,
            routes,
            ats,
            listen: Vec::new(),
            admin: None,
        }
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// What is wrapped here already and wider than the terminal is wrapped once more, after a word.
    #[test]
    fn what_stands_after_the_options_fits_80_columns_as_it_is_written() {
        fn look(command: &clap::Command) -> usize {
            let name = command.get_name();
            let mut looked = 0;
            if let Some(written) = command.get_after_help() {
                let written = written.to_string();
                let shown = command
                    .clone()
                    .term_width(80)
                    .render_long_help()
                    .to_string();
                assert!(shown.contains(&written), "{name}:\n{shown}");
                let wide = shown.lines().find(|line| line.chars().count() > 80);
                assert_eq!(wide, None, "{name}");
                looked += 1;
            }
            looked + command.get_subcommands().map(look).sum::<usize>()
        }
        assert!(look(&Cli::command()) >= 15);
    }

    #[test]
    fn wrong_usage_is_64_and_help_is_0() {
        let exit = |args: &[&str]| {
            Cli::try_parse_from(args)
                .map_err(|error| usage(&error))
                .err()
        };
        assert_eq!(exit(&["snihub", "--help"]), Some(Exit::Ok));
        assert_eq!(exit(&["snihub", "check", "--help"]), Some(Exit::Ok));
        for wrong in [
            &["snihub"][..],
            &["snihub", "chek"],
            &["snihub", "check", "--format", "xml"],
            &["snihub", "explain"],
            &["snihub", "explain", "a.org", "--no-sni"],
            &["snihub", "explain", "a.org", "--port", "0"],
        ] {
            assert_eq!(exit(wrong), Some(Exit::Usage), "{wrong:?}");
        }
    }
}
