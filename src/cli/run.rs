//! `snihub run`: the daemon.

use super::Files;
use super::exit::{self, Exit};
use crate::admin::client::{self, ClientError};
use crate::admin::{AdminError, Doors, Serving};
use crate::config::{self, Load, Loaded, Severity, Sources};
use crate::net::{ListenError, PassedDoor, passed};
use crate::server::{self, ActivationError, Hub, Inherited, StartError};
use crate::service::Manager;
use crate::shutdown::Requests;
use crate::takeover::{self, Farewell, Household, Links, Predecessor, TakeoverError};
use crate::telemetry;
use std::cell::OnceCell;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

/// Runs the hub until SIGTERM (drains), a second SIGTERM (ends at once). SIGHUP reloads.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub run                        hub.yaml, sni.yaml of /etc/snihub; port 443
  snihub run --routes sni.yaml --listen :8443
                                    a table alone, nothing to configure
  snihub run --ats /opt/ts/etc/trafficserver
                                    in the place of Apache Traffic Server
  snihub check --routes sni.yaml    what `run` would say of these files
  snihub run --takeover             in the place of the hub that runs, without
                                    losing anyone

A changed file is taken within a second; a broken one changes nothing and
is reported.")]
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
    /// Take the place of the hub that runs behind the admin door's socket, if there is one; under
    /// systemd use `snihub upgrade`
    #[arg(long)]
    takeover: bool,
    /// Take the place of the hub that has started this process: its own way, `snihub upgrade`
    #[arg(long, hide = true, conflicts_with = "takeover")]
    successor: bool,
    /// Least severe lines to log
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug"])]
    log_level: String,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    takeover::remember_binary();
    let predecessor = match args.successor.then(Predecessor::of_stdin).transpose() {
        Ok(predecessor) => predecessor,
        Err(error) => return not_started(&error.into()),
    };
    let mut farewell = predecessor.as_ref().map(Predecessor::farewell);
    let exit = start(args, predecessor, &mut farewell);
    // Last: who hears it may end this process.
    if let Some(farewell) = farewell
        && exit != Exit::Ok
    {
        farewell.tell(exit.code());
    }
    exit
}

/// `farewell`: where that of a process goes which is found on the way.
fn start(args: Args, predecessor: Option<Predecessor>, farewell: &mut Option<Farewell>) -> Exit {
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
    let found = match predecessor {
        None if args.takeover => find(&loaded).inspect(|found| {
            *farewell = found.as_ref().map(Predecessor::farewell);
        }),
        started => Ok(started),
    };
    let before = match found.and_then(before) {
        Ok(before) => before,
        Err(exit) => return exit,
    };
    let Before {
        predecessor,
        mut inherited,
        doors,
        routes,
    } = before;
    let shrunk = config::shrink_since(&routes, &loaded.routes);
    if let Some(reason) = shrunk.filter(|_| !loaded.settings.reload_allow_shrink) {
        let upgrade = match args.takeover {
            true => "",
            false => "`snihub upgrade --allow-shrink`, or ",
        };
        exit::complain(&format!(
            "snihub: {}: {reason}; if that is meant, {upgrade}set reload: {{allow_shrink: true}} in \
             hub.yaml\n",
            loaded.routes_file.display()
        ));
        return Exit::Config;
    }
    inherited.sockets.extend(passed);
    let doors = match Doors::open(&loaded.settings, doors) {
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
        if let Err(error) = telemetry::reopen_at_sigusr1().and_then(|()| takeover::hear_requests())
        {
            return exit::system("cannot install signal handlers", &error);
        }
        let manager = Manager::from_env();
        if let Some(manager) = &manager {
            requests.stop = manager.before_stopping(requests.stop);
        }
        let start = server::Start {
            sources,
            loaded,
            files,
            requests,
            inherited,
        };
        // Open until the hub has ended: how it drains is asked, too.
        let serving = OnceCell::new();
        let ready =
            async |hub: &mut Hub| open_house(hub, predecessor, doors, manager, &serving).await;
        match server::run(start, ready).await {
            Ok(()) => Exit::Ok,
            Err(error) => not_started(&error),
        }
    })
}

/// The process before this one, and what it has handed over.
#[derive(Default)]
struct Before {
    predecessor: Option<Predecessor>,
    inherited: Inherited,
    doors: Vec<PassedDoor>,
    /// Ids of those of which not most may be gone.
    routes: Vec<Arc<str>>,
}

fn before(predecessor: Option<Predecessor>) -> Result<Before, Exit> {
    let Some(mut predecessor) = predecessor else {
        return Ok(Before::default());
    };
    match predecessor.estate() {
        Ok(handed) => Ok(Before {
            predecessor: Some(predecessor),
            inherited: handed.inherited,
            doors: handed.doors,
            routes: match handed.allow_shrink {
                true => Vec::new(),
                false => handed.routes,
            },
        }),
        Err(error) => Err(not_started(&error.into())),
    }
}

/// The hub that runs behind the admin door's socket; none is no mistake.
fn find(loaded: &Loaded) -> Result<Option<Predecessor>, Exit> {
    let Some(socket) = &loaded.settings.admin else {
        exit::complain("snihub: --takeover: `admin` is off: the hub that runs cannot be found\n");
        return Err(Exit::Config);
    };
    let ask = || client::ask(socket, "POST", "/api/takeover", &[]);
    // At a door that was closed meanwhile: there is another one now, or none.
    let asked = match ask() {
        Err(ClientError::Broken { error, .. }) if is_an_end(&error) => ask(),
        asked => asked,
    };
    let reply = match asked {
        Ok(reply) => reply,
        Err(ClientError::NotRunning(socket)) => {
            info!("--takeover: no hub runs behind {}", socket.display());
            return Ok(None);
        }
        Err(error) => {
            exit::complain(&format!("snihub: --takeover: {error}\n"));
            return Err(super::hub::exit_of(&error));
        }
    };
    let name = reply.body["socket"].as_str();
    let found = match (name, reply.body["error"].as_str()) {
        (Some(name), _) => Predecessor::at(name),
        (None, Some(why)) => Err(TakeoverError::Refused(why.to_owned())),
        (None, None) => Err(TakeoverError::Foreign),
    };
    found.map(Some).map_err(|error| not_started(&error.into()))
}

fn is_an_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}

/// The hub accepts: the process before it steps back, the doors open, the service manager is told.
/// What of it goes to a successor.
async fn open_house(
    hub: &mut Hub,
    predecessor: Option<Predecessor>,
    doors: Doors,
    manager: Option<Arc<Manager>>,
    serving: &OnceCell<Rc<Serving>>,
) -> Result<Household, StartError> {
    let (links, known) = match predecessor {
        Some(mut predecessor) => {
            let known = predecessor.notice();
            let settling = predecessor.settle(hub, doors.has_adopted_socket());
            (settling.await?, known)
        }
        None => (Links::default(), None),
    };
    // Without them a successor opens its own.
    let copies = doors.copies().unwrap_or_default();
    match doors.serve(hub.control()) {
        // Once, right here.
        Ok(served) => drop(serving.set(Rc::new(served))),
        Err(error) => error!("the hub runs without its doors: {error}"),
    }
    let serving = serving.get().cloned();
    if let Some(manager) = &manager {
        manager.serve(hub.control(), hub.own_sockets(), known);
    }
    Ok(Household {
        doors: copies,
        managed: manager.is_some(),
        watchdog: manager
            .as_ref()
            .is_some_and(|manager| manager.wants_signs_of_life()),
        links,
        step_down: Some(Box::new(move |successor, adopted, notice| {
            if let Some(serving) = &serving {
                serving.shut(adopted);
            }
            Box::pin(async move { Some(manager?.resign(successor, notice?).await) })
        })),
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
        StartError::Takeover(TakeoverError::NotStartedByHub) => Exit::Usage,
        StartError::Takeover(TakeoverError::Foreign) | StartError::Overlap { .. } => Exit::Restart,
        StartError::Listen(_)
        | StartError::Thread(_)
        | StartError::Worker
        | StartError::Takeover(_)
        | StartError::Orphaned
        | StartError::WorkersGone => Exit::System,
    };
    exit::complain(&format!("snihub: {error}\n"));
    exit
}
