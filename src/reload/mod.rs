//! Notice, load, validate, swap; or keep what is in force and say why.
//!
//! All files that took part (hub.yaml, the routes, every `"@file"`, link targets) are watched
//! through their directories and directly, and stat-ed every half second besides: a bind-mounted
//! file reports nothing to its directory, and a watch can be lost. They are read again only when
//! the writer is done (close or rename), used only when two hashes agree, and swapped as one
//! snapshot.

mod notice;

use crate::config::{self, Load, Loaded, OnRouteRemoved, Problem, Severity, Sources};
use crate::net::Resolver;
use crate::route::RouteTable;
use crate::server::Hub;
use crate::snapshot::Snapshot;
use crate::telemetry::{self, LastReload, ReloadResult};
use notice::{Watching, Writers};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

/// How often the files are stat-ed.
pub const POLL: Duration = Duration::from_millis(500);
/// Between the two hashes that must agree.
const SETTLE: Duration = Duration::from_millis(30);
/// At most so many names of each kind in the line about a difference.
const NAMED: usize = 20;

/// What became of a reload.
#[derive(Debug)]
pub enum Verdict {
    /// The files say what is in force already. What somebody should look at.
    Unchanged(Vec<Problem>),
    /// A new generation is in force. What somebody should look at.
    Live(Arc<Snapshot>, Vec<Problem>),
    /// Nothing changed; these are the reasons.
    Refused(Vec<Problem>),
    /// The files keep changing under our eyes; tried again at the next look.
    Unsettled,
}

/// A reload that is asked for by somebody who waits for the verdict.
#[derive(Debug)]
pub struct Asked {
    /// Take a table that has lost most of its routes, this once.
    pub allow_shrink: bool,
    /// Where the verdict goes. Dropped: the hub is about to end.
    pub verdict: oneshot::Sender<Told>,
}

/// The verdict as it is told.
#[derive(Debug, Clone)]
pub struct Told {
    /// What came of it.
    pub result: ReloadResult,
    /// What is in force now.
    pub current: Arc<Snapshot>,
    /// Why it was refused; or, of files that were accepted, what somebody should look at, `waits`
    /// among it.
    pub problems: Vec<Problem>,
    /// What the files that were accepted last say, and only an upgrade puts into force.
    pub waits: Vec<Problem>,
}

impl Verdict {
    /// `None`: there is none yet, the files keep changing.
    fn result(&self) -> Option<ReloadResult> {
        match self {
            Verdict::Unchanged(_) => Some(ReloadResult::Unchanged),
            Verdict::Live(..) => Some(ReloadResult::Live),
            Verdict::Refused(_) => Some(ReloadResult::Refused),
            Verdict::Unsettled => None,
        }
    }

    fn into_problems(self) -> Vec<Problem> {
        match self {
            Verdict::Unchanged(problems)
            | Verdict::Live(_, problems)
            | Verdict::Refused(problems) => problems,
            Verdict::Unsettled => Vec::new(),
        }
    }
}

/// Keeps the configuration in force and the files it came from.
#[derive(Debug)]
pub struct Reloader {
    sources: Sources,
    files: config::FileSet,
    current: Arc<Snapshot>,
    /// What those files say, and only an upgrade puts into force.
    waits: Vec<Problem>,
    /// The last attempt found the files changing.
    unsettled: bool,
}

impl Reloader {
    /// Begins with what the hub was started with.
    pub fn new(sources: Sources, files: config::FileSet, current: Arc<Snapshot>) -> Reloader {
        Reloader {
            sources,
            files,
            current,
            waits: Vec::new(),
            unsettled: false,
        }
    }

    /// The generation in force.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// The files that took part in the last load, good or bad.
    pub fn files(&self) -> &config::FileSet {
        &self.files
    }

    /// Whether a file is not what it was when it was last read.
    pub fn changed(&mut self) -> bool {
        self.files.changed()
    }

    /// Reads and judges the files; swaps nothing that is not whole and right. `allow_shrink`: as if
    /// hub.yaml said so.
    pub async fn attempt(&mut self, allow_shrink: bool) -> Verdict {
        let sources = self.sources.clone();
        let load = move || {
            let load = config::load(&sources);
            std::thread::sleep(SETTLE);
            let settled = load.files.hash_now() == load.files.loaded_hash();
            (load, settled)
        };
        let Ok((load, settled)) = tokio::task::spawn_blocking(load).await else {
            error!("loading the configuration panicked: the old one stays in force");
            return Verdict::Unsettled;
        };
        let Load {
            loaded,
            files,
            mut problems,
            ..
        } = load;
        if !settled {
            return Verdict::Unsettled;
        }
        self.files = files;
        let Some(Loaded {
            mut settings,
            mut routes,
            routes_file,
            written,
        }) = loaded
        else {
            return Verdict::Refused(problems);
        };
        let shrunk = config::shrink(&self.current.routes, &routes);
        if let Some(reason) = shrunk.filter(|_| !settings.reload_allow_shrink && !allow_shrink) {
            let file = routes_file.to_string_lossy();
            let text = format!(
                "{reason}; if that is meant, `snihub reload --allow-shrink`, or set reload: \
                 {{allow_shrink: true}} in hub.yaml"
            );
            return Verdict::Refused(vec![Problem::of_file(Severity::Error, &file, "sni", text)]);
        }
        self.waits = config::keep_fixed(&mut settings, &self.current.settings, &written);
        problems.retain(|problem| problem.severity == Severity::Warning);
        problems.extend(self.waits.iter().cloned());
        for warning in &problems {
            warn!("{warning}");
        }
        routes.adopt(&self.current.routes);
        let same_routes = tell_difference(&routes, &self.current.routes);
        let same_file = routes_file == self.current.routes_file;
        if same_routes && same_file && settings == self.current.settings {
            return Verdict::Unchanged(problems);
        }
        let generation = self.current.generation + 1;
        self.current = Arc::new(Snapshot {
            generation,
            settings,
            routes,
            routes_file,
        });
        Verdict::Live(Arc::clone(&self.current), problems)
    }

    /// Reloads once and tells the hub and the log.
    pub async fn reload(&mut self, hub: &Hub, allow_shrink: bool) -> Verdict {
        let began = Instant::now();
        let verdict = self.attempt(allow_shrink).await;
        match &verdict {
            Verdict::Live(snapshot, _) => {
                telemetry::set_log_format(snapshot.settings.access_log.format);
                hub.publish(
                    snapshot,
                    snapshot.settings.on_route_removed == OnRouteRemoved::Close,
                );
                info!(
                    generation = snapshot.generation,
                    routes = snapshot.routes.len(),
                    took_ms = began.elapsed().as_millis() as u64,
                    "reloaded"
                );
            }
            Verdict::Unchanged(_) if self.waits.is_empty() => info!("reload: nothing changed"),
            Verdict::Unchanged(_) => info!("reload: nothing else changed"),
            // Once, however fast they change.
            Verdict::Unsettled if self.unsettled => {}
            Verdict::Unsettled => info!("reload: the files are still being written"),
            Verdict::Refused(problems) => {
                for problem in problems {
                    match problem.severity {
                        Severity::Error => error!("{problem}"),
                        Severity::Warning => warn!("{problem}"),
                        Severity::Note => {}
                    }
                }
                error!(
                    generation = self.current.generation,
                    "reload refused: the old configuration stays in force; `{}` shows the same",
                    self.sources.check_command()
                );
            }
        }
        self.note(&verdict, hub, began.elapsed());
        self.unsettled = matches!(verdict, Verdict::Unsettled);
        verdict
    }
}

impl Reloader {
    /// For the metrics and whoever asks later.
    fn note(&self, verdict: &Verdict, hub: &Hub, took: Duration) {
        let Some(result) = verdict.result() else {
            return;
        };
        let problems = match verdict {
            Verdict::Refused(problems) => {
                let mut problems: Vec<_> = problems.iter().collect();
                // Who shows one of them shows why.
                problems.sort_by_key(|problem| problem.severity as u8);
                let headlines = problems.iter().map(|problem| problem.headline());
                headlines.map(|headline| headline.to_string()).collect()
            }
            _ => Vec::new(),
        };
        let waits = self.waits.iter().map(|wait| wait.headline().to_string());
        let last = LastReload {
            at: SystemTime::now(),
            result,
            took,
            problems,
        };
        hub.reloads()
            .note(last, self.files.loaded_hash(), waits.collect());
    }

    /// Reloads for `waiting` and tells them; they go on waiting while the files keep changing.
    async fn reload_for(&mut self, waiting: &mut Vec<Asked>, hub: &Hub) {
        // An order of somebody who has left is not carried out later.
        waiting.retain(|asked| !asked.verdict.is_closed());
        let allow_shrink = waiting.iter().any(|asked| asked.allow_shrink);
        let verdict = self.reload(hub, allow_shrink).await;
        let Some(result) = verdict.result() else {
            return;
        };
        let told = Told {
            result,
            current: Arc::clone(&self.current),
            problems: verdict.into_problems(),
            waits: self.waits.clone(),
        };
        for asked in waiting.drain(..) {
            drop(asked.verdict.send(told.clone()));
        }
    }
}

/// Reloads whenever a file changed, or `asked` or `awaited` say so; for as long as it is polled.
pub async fn watch(
    reloader: &mut Reloader,
    resolver: &Resolver,
    hub: &Hub,
    asked: &mut mpsc::Receiver<()>,
    awaited: &mut mpsc::Receiver<Asked>,
) {
    let (mut watching, mut seen) = Watching::new();
    watching.follow(reloader.files(), resolver);
    let mut writers = Writers::default();
    let mut wanted = false;
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            Some(seen) = seen.recv() => writers.note(seen, reloader.files()),
            Some(()) = asked.recv() => {
                wanted = true;
                tell_unfinished(&writers, reloader.files());
            }
            Some(asked) = awaited.recv() => {
                waiting.push(asked);
                tell_unfinished(&writers, reloader.files());
            }
            () = tokio::time::sleep(POLL) => {}
        }
        refresh(resolver);
        if !reloader.changed() {
            // What was seen is about a write that is in force already; it vouches for no later one.
            writers.forget();
            if !wanted && waiting.is_empty() {
                continue;
            }
        } else if writers.unfinished(reloader.files()).is_some() {
            continue;
        }
        wanted = false;
        writers.forget();
        reloader.reload_for(&mut waiting, hub).await;
        watching.follow(reloader.files(), resolver);
    }
}

fn tell_unfinished(writers: &Writers, files: &config::FileSet) {
    if let Some(file) = writers.unfinished(files) {
        info!("reload: waits, {} is still being written", file.display());
    }
}

/// Takes over a changed hosts file or resolv.conf, and says so.
fn refresh(resolver: &Resolver) {
    let Some(refreshed) = resolver.refresh_if_changed() else {
        return;
    };
    for problem in &refreshed.problems {
        warn!("{problem}");
    }
    if refreshed.hosts || refreshed.resolv_conf {
        info!(
            hosts = refreshed.hosts,
            resolv_conf = refreshed.resolv_conf,
            "resolver refreshed"
        );
    }
}

/// Logs what differs; true if nothing does.
fn tell_difference(new: &RouteTable, old: &RouteTable) -> bool {
    let diff = new.diff(old);
    for (sign, ids) in [
        ("+", &diff.added),
        ("-", &diff.removed),
        ("~", &diff.changed),
    ] {
        for id in ids.iter().take(NAMED) {
            info!("route {sign} {id}");
        }
        if ids.len() > NAMED {
            info!("route {sign} and {} more", ids.len() - NAMED);
        }
    }
    if diff.reordered {
        info!("routes stand in another order: the first that takes a name wins");
    }
    diff.is_empty()
}
