//! `snihub run`: the daemon.

use super::Files;
use super::exit::{self, Exit};
use crate::admin::{AdminError, Doors};
use crate::config::{self, Load, Severity, Sources};
use crate::net::{ListenError, passed};
use crate::server::{self, ActivationError, StartError};
use crate::service::Manager;
use crate::shutdown::Requests;
use crate::telemetry;
use std::io::ErrorKind;
use std::path::Path;
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

/// Runs the hub until SIGTERM (drains), a second SIGTERM (ends at once). SIGHUP reloads.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub run                                    /etc/snihub/hub.yaml, /etc/snihub/sni.yaml, port 443
  snihub run --routes sni.yaml --listen :8443   a table alone, nothing to configure
  snihub run --ats /opt/ts/etc/trafficserver    in the place of Apache Traffic Server
  snihub check --routes sni.yaml                what `run` would say of these files

A changed file is taken within a second; a broken one changes nothing and is reported.")]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Address to listen on, in place of the file's list; may be given several times: `0.0.0.0:443`,
    /// `[::]:443`, `:443`
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// The admin door's unix socket, in place of the file's: a path, or off
    #[arg(long, value_name = "PATH")]
    admin: Option<String>,
    /// Least severe lines to log
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug"])]
    log_level: String,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    let passed = match passed::take() {
        Ok(passed) => passed,
        Err(error) => return not_started(&ActivationError::from(error).into()),
    };
    let sources = Sources {
        listen: args.listen,
        admin: args.admin,
        ..args.files.sources()
    };
    let Load {
        loaded,
        files,
        problems,
        ..
    } = config::load(&sources);
    let Some(loaded) = loaded else {
        return exit::problems(&problems);
    };
    let level = args.log_level.parse().unwrap_or(LevelFilter::INFO);
    let log = &loaded.settings.access_log;
    let _log = match telemetry::init_log(log.format, log.to.as_deref(), level) {
        Ok(guard) => guard,
        Err(error) => {
            let path = log.to.as_deref().unwrap_or(Path::new(""));
            return exit::system(&format!("access_log: {}", path.display()), &error);
        }
    };
    for problem in &problems {
        match problem.severity {
            // There are none: it has been loaded.
            Severity::Error => error!("{problem}"),
            Severity::Warning => warn!("{problem}"),
            Severity::Note => info!("{}", problem.headline()),
        }
    }
    let doors = match Doors::open(&loaded.settings) {
        Ok(doors) => doors,
        Err(error) => return no_door(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return exit::system("cannot start", &error),
    };
    runtime.block_on(async {
        let mut requests = match Requests::from_signals() {
            Ok(requests) => requests,
            Err(error) => return exit::system("cannot install signal handlers", &error),
        };
        if let Err(error) = telemetry::reopen_at_sigusr1() {
            return exit::system("cannot install signal handlers", &error);
        }
        let manager = Manager::from_env();
        if let Some(manager) = &manager {
            requests.stop = manager.before_stopping(requests.stop);
        }
        // Open until the hub has ended: how it drains is asked, too.
        let mut serving = None;
        let serve = |hub: &mut server::Hub| {
            match doors.serve(hub.control()) {
                Ok(served) => serving = Some(served),
                Err(error) => error!("the hub runs without its doors: {error}"),
            }
            if let Some(manager) = &manager {
                manager.serve(hub.control(), hub.take_own_sockets());
            }
        };
        let outcome = server::run(sources, loaded, files, requests, passed, serve).await;
        drop(serving);
        match outcome {
            Ok(()) => Exit::Ok,
            Err(error) => not_started(&error),
        }
    })
}

/// Why a door does not open, which somebody has asked for.
fn no_door(error: &AdminError) -> Exit {
    exit::complain(&format!("snihub: {error}\n"));
    match error {
        AdminError::Token { .. } => Exit::Config,
        AdminError::Listen {
            error: ListenError::NotPermitted(_),
            ..
        } => Exit::Permission,
        AdminError::Socket { error, .. } if error.kind() == ErrorKind::PermissionDenied => {
            Exit::Permission
        }
        AdminError::Socket { .. } | AdminError::Listen { .. } | AdminError::Thread(_) => {
            Exit::System
        }
    }
}

/// Why the hub did not start, where the operator looks: stderr, beside the log.
fn not_started(error: &StartError) -> Exit {
    let exit = match error {
        StartError::Listen(ListenError::NotPermitted(_)) => Exit::Permission,
        StartError::Activation(_) => Exit::Config,
        StartError::Listen(_)
        | StartError::Thread(_)
        | StartError::Worker
        | StartError::WorkersGone => Exit::System,
    };
    eprintln!("snihub: {error}");
    exit
}
