//! `snihub doctor`: asks a party, directly and through the hub, and says what is wrong.

mod text;

use super::Format;
use super::exit::{Exit, complain};
use super::party::{Star, Stop};
use super::pki::layouts;
use crate::admin::client::ClientError;
use crate::config::{self, Settings};
use crate::party::doctor::{
    Doctor, Finding, Heard, HubSide, Issued, MOST_SETTINGS_BYTES, PartySide, Report, Unheard,
    hub_target, written_door,
};
use crate::party::{LAYOUTS, Party, PartyError, Routes};
use crate::pki::{Folder, Layout};
use crate::probe::{Identity, Prober, Trust};
use crate::regular;
use std::io;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime;

/// For each step where a party is one line of many.
const GLANCE: Duration = Duration::from_secs(2);
/// Parties that are asked at once.
const AT_ONCE: usize = 64;

/// Asks parties, directly and through the hub, and says what is wrong and which line to change.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub doctor         on the hub's machine: the hub and all its parties
  snihub doctor 9998    the same for one party
  snihub doctor --via proxy.fate.org:443 --broker-conf standalone.conf
                        on a party's machine: the hub, this broker's settings,
                        and whether the hub leads to this broker
  snihub doctor 10000 9999 --via proxy.fate.org --broker-conf standalone.conf \\
                --route-table pulsar_route_table.yaml
                        and whether it leads to these parties, and FATE to it

With --via and neither --routes nor --config it looks as a party does, and reads
no sni.yaml. A party's certificate is judged by --trust, else by the authority
of --ca, else by the file that broker.conf trusts.

Exit codes say the worst that was found: 0 well, or notes; 1 warnings: it
works, and not for long or not for everybody; 2 errors: something does not
work. Else 64 wrong usage; 71 the system would not; 77 permission denied; 78 a
file is wrong.")]
pub(super) struct Args {
    /// Which parties, by number or full name [default: all of sni.yaml]
    #[arg(value_name = "PARTY")]
    names: Vec<String>,
    /// The hub as parties reach it [default: the first door of the hub that runs here]
    #[arg(long, value_name = "HOST:PORT")]
    via: Option<String>,
    /// This party's broker.conf or standalone.conf
    #[arg(long, value_name = "FILE", requires = "via", conflicts_with_all = ["config", "routes"])]
    broker_conf: Option<PathBuf>,
    /// This party's route table for FATE, pulsar_route_table.yaml
    #[arg(long, value_name = "FILE", requires = "broker_conf")]
    route_table: Option<PathBuf>,
    /// The authority whose certificates count, PEM
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A certificate to show to who asks for one, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// What the parties run [default: what their certificates were issued for, else pulsar]
    #[arg(long, value_name = "LAYOUT", value_parser = layouts())]
    layout: Option<Layout>,
    /// For each step: name and connection, TLS, CONNECT; 0.05 to 60
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = patience)]
    timeout: Duration,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    star: Star,
}

fn patience(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s| (0.05..=60.0).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "seconds from 0.05 to 60 are wanted".to_owned())
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    examine(args).unwrap_or_else(|stop| stop.told("doctor"))
}

fn examine(args: &Args) -> Result<Exit, Stop> {
    if let Some(layout) = args.layout
        && !LAYOUTS.contains(&layout)
    {
        let text = format!("--layout {}: no party of a star has it", layout.spec().name);
        return Err(PartyError::Usage(text).into());
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ok(super::exit::system("cannot start", &error)),
    };
    let reports = match args.is_partys() {
        true => runtime.block_on(at_party(args))?,
        false => runtime.block_on(at_hub(args))?,
    };
    Ok(text::tell(&reports, args.format))
}

impl Args {
    /// Asked as a party, from its machine.
    pub(super) fn is_partys(&self) -> bool {
        self.via.is_some() && !self.star.is_named()
    }

    /// `trust`: whose certificates count where nobody says.
    fn doctor(&self, trust: Option<Trust>) -> Result<Doctor, Stop> {
        let trust = match &self.trust {
            None => trust,
            Some(file) => {
                let read = Trust::read(&read(file)?);
                Some(read.map_err(|why| wrong(&format!("{} {why}", file.display())))?)
            }
        };
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let made = Identity::read(&read(cert)?, &read(key)?);
                Some(made.map_err(|why| {
                    wrong(&format!("{} and {}: {why}", cert.display(), key.display()))
                })?)
            }
            _ => None,
        };
        Ok(Doctor {
            prober: Prober::open(),
            trust,
            identity,
            patience: self.timeout,
        })
    }
}

async fn at_hub(args: &Args) -> Result<Vec<Report>, Stop> {
    let routes = Routes::read(&args.star.sources())?;
    let (folder, unread) = match args.star.folder() {
        Ok(folder) => (folder, None),
        Err(why) => (None, Some(why)),
    };
    let ours = folder.as_ref().and_then(authority);
    let heard = heard(&args.star, args.timeout)?;
    let door = match &heard {
        Ok(heard) => heard.door(),
        Err(Unheard::NotRunning(_)) => None,
        // Whatever keeps it from saying where: it should be where the file says. One that hangs and has
        // no such line may have had --listen: that nobody answers at a guess says nothing of it.
        Err(unheard @ (Unheard::Hangs(_) | Unheard::Silent(_))) => {
            let hangs = matches!(unheard, Unheard::Hangs(_));
            let settings = config::load(&args.star.sources()).loaded;
            let settings = settings.map(|loaded| loaded.settings);
            let said = |one: &Settings| !hangs || one.listen != Settings::default().listen;
            settings.filter(said).as_ref().and_then(written_door)
        }
    };
    let via = match (&args.via, door) {
        (Some(text), _) => Some(hub_target(text)?),
        (None, Some(door)) => Some(hub_target(&door.to_string())?),
        (None, None) => None,
    };
    let side = HubSide {
        routes: &routes,
        issued: folder.as_ref().map(Issued::of),
        unread,
        heard,
        via,
        named: args.via.is_some(),
        layout: args.layout,
    };
    let doctor = args.doctor(ours)?;
    let mut parties: Vec<Party> = Vec::new();
    for text in &args.names {
        let party = args.star.party(text, &routes)?;
        if !parties.contains(&party) {
            parties.push(party);
        }
    }
    if parties.is_empty() {
        parties = side.parties();
    }
    let names: Vec<String> = side.parties().into_iter().map(|party| party.name).collect();
    let mut reports = vec![side.hub()];
    let asked = parties
        .iter()
        .map(|party| side.party(&doctor, party, &names));
    reports.extend(together(asked).await);
    Ok(reports)
}

/// [`AT_ONCE`] of them on this thread, the next as soon as one is done; their answers in the order of
/// asking.
async fn together<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting = asked.enumerate();
    let (mut running, mut answers) = (Vec::new(), Vec::new());
    std::future::poll_fn(|context| {
        loop {
            let free = AT_ONCE - running.len();
            let next = waiting.by_ref().take(free);
            running.extend(next.map(|(at, future)| (at, Box::pin(future))));
            let before = running.len();
            running.retain_mut(|(at, future)| match future.as_mut().poll(context) {
                Poll::Ready(answer) => {
                    answers.push((*at, answer));
                    false
                }
                Poll::Pending => true,
            });
            match (before, running.len()) {
                (0, _) => return Poll::Ready(()),
                (before, after) if before == after => return Poll::Pending,
                _ => {}
            }
        }
    })
    .await;
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn heard(star: &Star, patience: Duration) -> Result<Result<Heard, Unheard>, Stop> {
    let Some(socket) = star.socket()? else {
        return Ok(Err(Unheard::Silent(
            "hub.yaml says `admin: off`".to_owned(),
        )));
    };
    Ok(Heard::ask(&socket, patience).map_err(|error| match error {
        ClientError::NotRunning(_) => {
            Unheard::NotRunning(format!("no hub runs behind {}", socket.display()))
        }
        ClientError::Silent(_) => Unheard::Hangs(error.to_string()),
        error => Unheard::Silent(error.to_string()),
    }))
}

async fn at_party(args: &Args) -> Result<Vec<Report>, Stop> {
    let via = args.via.as_deref().unwrap_or_default();
    let text = |file: &Option<PathBuf>| match file {
        None => Ok::<_, Stop>(None),
        Some(file) => Ok(Some(String::from_utf8_lossy(&read(file)?).into_owned())),
    };
    let (settings, table) = (text(&args.broker_conf)?, text(&args.route_table)?);
    let settings = args.broker_conf.as_deref().zip(settings.as_deref());
    let layout = args.layout.unwrap_or(Layout::Pulsar);
    let mut side = PartySide::new(hub_target(via)?, layout, settings);
    if let Some((file, table)) = args.route_table.as_deref().zip(table.as_deref()) {
        side = side.with_route_table(file, table);
    }
    let folder = args.star.folder().unwrap_or_else(|why| {
        complain(&format!(
            "snihub doctor: its certificates do not count here: {why}\n"
        ));
        None
    });
    let ours = folder.as_ref().and_then(authority);
    let doctor = args.doctor(ours.or_else(|| side.trust()))?;
    let domain = side.domain().or(folder.as_ref().and_then(Folder::domain));
    let mut others: Vec<Party> = Vec::new();
    for text in &args.names {
        if domain.is_none() && !text.contains('.') {
            let say = format!("{text} is no full name: say {text}.DOMAIN, or --broker-conf");
            return Err(PartyError::Usage(say).into());
        }
        let party = Party::new(text, domain)?;
        if !others.contains(&party) {
            others.push(party);
        }
    }
    Ok(side.examine(&doctor, &others).await)
}

/// Those of the folder: the star's own, and while parties trust it the one before.
fn authority(folder: &Folder) -> Option<Trust> {
    Trust::read(folder.trusted_pem().as_bytes()).ok()
}

/// A file that is not what it should be.
fn wrong(text: &str) -> Stop {
    complain(&format!("snihub doctor: {text}\n"));
    Stop::Told(Exit::Config)
}

/// How each party does that has an entry of its own, asked directly.
pub(super) fn health(
    routes: &Routes,
    folder: Option<&Folder>,
) -> Result<Vec<(String, Finding)>, io::Error> {
    let side = HubSide {
        routes,
        issued: folder.map(Issued::of),
        unread: None,
        heard: Err(Unheard::Silent("not asked".to_owned())),
        via: None,
        named: false,
        layout: None,
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async {
        let doctor = Doctor {
            prober: Prober::open(),
            trust: folder.and_then(authority),
            identity: None,
            patience: GLANCE,
        };
        let parties = side.parties();
        let names: Vec<String> = parties.iter().map(|party| party.name.clone()).collect();
        let asked = parties
            .iter()
            .map(|party| side.health(&doctor, party, &names));
        let named = names.iter().cloned().zip(together(asked).await);
        named
            .filter_map(|(name, finding)| Some((name, finding?)))
            .collect()
    }))
}

/// A file that an argument names.
fn read(file: &Path) -> Result<Vec<u8>, Stop> {
    regular::read_file(file, MOST_SETTINGS_BYTES).map_err(|error| {
        complain(&format!("snihub doctor: {}: {error}\n", file.display()));
        Stop::Told(match error.is_denied() {
            true => Exit::Permission,
            false => Exit::Config,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn who_is_slow_keeps_nobody_waiting_and_not_too_many_are_asked_at_once() {
        let (last, open) = (Semaphore::new(0), std::cell::Cell::new(0));
        let count = 3 * AT_ONCE;
        let one = |at: usize| {
            let (last, open) = (&last, &open);
            async move {
                open.set(open.get() + 1);
                assert!(open.get() <= AT_ONCE);
                tokio::task::yield_now().await;
                // The first of all is done when all others are.
                match at {
                    0 => drop(last.acquire_many(count as u32 - 1).await),
                    _ => last.add_permits(1),
                }
                open.set(open.get() - 1);
                at
            }
        };
        let asked = together((0..count).map(one));
        let answers = tokio::time::timeout(Duration::from_secs(30), asked).await;
        assert_eq!(answers.unwrap(), (0..count).collect::<Vec<_>>());
    }
}
