//! Asks, and keeps what was found; for as long as it is polled.

use super::ask::{Found, Patience, ask};
use super::names::{Names, of_hosts};
use super::plan::{Plan, Whom};
use super::{Board, Health, Presented, words};
use crate::pki::Moment;
use crate::probe::Prober;
use crate::snapshot::Snapshot;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch::Receiver;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

/// Probes that go on at once: each has a descriptor, of those that are kept back from tunnels.
const AT_ONCE: usize = 32;
/// Lines about certificates that are good for others, too: they may all be of one wildcard.
const MOST_TOLD: usize = 20;

/// Asks whom each snapshot wants to be asked, and writes on `board` how they do. `ports`: those of the
/// hub's listeners. Comes back when no snapshot can come any more.
pub async fn watch(
    prober: Prober,
    ports: Vec<u16>,
    board: Arc<Board>,
    mut snapshots: Receiver<Arc<Snapshot>>,
) {
    let snapshot = Arc::clone(&snapshots.borrow_and_update());
    let mut asking = Asking {
        plan: Plan::new(snapshot.settings.probe.interval),
        names: Names::default(),
        patience: Patience::of(&snapshot.settings),
        running: JoinSet::new(),
        told: Told::default(),
        prober,
        ports,
        board,
    };
    asking.take(&snapshot);
    drop(snapshot);
    loop {
        let due = asking.plan.due().filter(|_| asking.running.len() < AT_ONCE);
        tokio::select! {
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                asking.take(&snapshot);
            }
            Some(done) = asking.running.join_next() => asking.note(done),
            () = at(due) => asking.begin(),
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

struct Asking {
    plan: Plan,
    names: Names,
    patience: Patience,
    running: JoinSet<(Arc<Whom>, Option<Found>)>,
    told: Told,
    prober: Prober,
    ports: Vec<u16>,
    board: Arc<Board>,
}

/// What the log has said already.
#[derive(Default)]
struct Told {
    /// Ends of certificates, by route.
    due: HashMap<Arc<str>, Moment>,
    /// Routes whose certificate is good for others.
    shared: HashSet<Arc<str>>,
}

impl Asking {
    fn take(&mut self, snapshot: &Snapshot) {
        let (settings, table) = (&snapshot.settings, &snapshot.routes);
        let usual = settings.probe.kind;
        let routes = table.entries();
        let all = routes.filter_map(|(_, route)| Whom::of(route, table, usual, &self.ports));
        // Whose question is another now is not known any more.
        let before: HashMap<Arc<str>, Arc<Whom>> = self
            .plan
            .all()
            .map(|whom| (Arc::clone(&whom.id), Arc::clone(whom)))
            .collect();
        self.plan.take(all, settings.probe.interval, Instant::now());
        self.patience = Patience::of(settings);
        self.names = match self.plan.len() {
            0 => Names::default(),
            _ => Names::of(table, &self.ports),
        };
        let plan = &self.plan;
        self.told.due.retain(|id, _| plan.has(id));
        self.told.shared.retain(|id| plan.has(id));
        let mut known = self.board.lock();
        known.asked = plan.len();
        known.routes.retain(|id, health| {
            let Some(whom) = before.get(id).filter(|whom| plan.asks(whom)) else {
                return false;
            };
            // Other routes may have come or gone.
            let own = health.certificate.as_ref();
            if let Some(own) = own {
                let also = self.names.also(whom, &own.names);
                if also != own.also {
                    let mut changed = Health::clone(health);
                    changed.certificate = Some(Presented {
                        also,
                        ..own.clone()
                    });
                    *health = Arc::new(changed);
                }
            }
            true
        });
    }

    fn begin(&mut self) {
        let Some(whom) = self.plan.begin(Instant::now()) else {
            return;
        };
        let (prober, patience) = (self.prober.clone(), self.patience);
        self.running.spawn(async move {
            let found = ask(&prober, &whom, patience).await;
            (whom, found)
        });
    }

    fn note(&mut self, done: Result<(Arc<Whom>, Option<Found>), JoinError>) {
        let (whom, found) = match done {
            Ok((whom, Some(found))) => (whom, found),
            Ok((_, None)) => return,
            Err(error) => {
                error!(%error, "a probe of an upstream ended: a bug in the hub");
                return;
            }
        };
        // A reload may have come in between.
        if !self.plan.asks(&whom) {
            return;
        }
        let before = self.board.lock().routes.get(&whom.id).cloned();
        let health = self.health(&whom, found, before.as_deref());
        self.tell(&whom, &health, before.as_deref());
        let id = Arc::clone(&whom.id);
        self.board.lock().routes.insert(id, Arc::new(health));
    }

    fn health(&self, whom: &Whom, found: Found, before: Option<&Health>) -> Health {
        let now = SystemTime::now();
        let fails = |failing: &Option<String>| failing.is_some();
        let same = before.filter(|before| fails(&before.failing) == fails(&found.failing));
        let shown = found.certificate.map(|own| {
            let names = of_hosts(&own.names);
            Presented {
                not_after: own.not_after,
                also: self.names.also(whom, &names),
                names,
            }
        });
        Health {
            kind: whom.kind,
            failing: found.failing,
            since: same.map_or(now, |before| before.since),
            asked: now,
            took: found.took,
            certificate: shown.or_else(|| before?.certificate.clone()),
        }
    }

    /// Each thing once.
    fn tell(&mut self, whom: &Whom, health: &Health, before: Option<&Health>) {
        let id = &*whom.id;
        let failed = before.is_some_and(|before| before.failing.is_some());
        match &health.failing {
            Some(why) if !failed => {
                warn!(route = id, target = %whom.target, why, "an upstream fails its probe");
            }
            None if failed => info!(route = id, "an upstream is well again"),
            _ => {}
        }
        let now = Moment::now();
        let due = health.due(now);
        if let Some(end) = due
            && self.told.due.insert(Arc::clone(&whom.id), end) != Some(end)
        {
            warn!("{}", words::due(id, end, now));
        }
        let also = health
            .certificate
            .as_ref()
            .and_then(|own| own.also.as_ref());
        let Some(also) = also else {
            self.told.shared.remove(&whom.id);
            return;
        };
        let told = &mut self.told.shared;
        if told.len() < MOST_TOLD && told.insert(Arc::clone(&whom.id)) {
            warn!("{}", words::shared(id, also));
            if told.len() == MOST_TOLD {
                warn!(
                    "more certificates may be good for others: `snihub routes --format json` has all"
                );
            }
        }
    }
}
