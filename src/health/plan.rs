//! Whom to ask, and when: each route has a moment of its own in every interval.

use crate::net::{ProxyVersion, Target};
use crate::route::{ProbeKind, Route, RouteTable};
use crate::tls::ServerName;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Between the beginnings of two probes, at least. At this pace handshakes take a fifth of a CPU in a
/// debug build: the control thread is free for names and reloads in between.
pub(super) const PACE: Duration = Duration::from_millis(10);

/// One upstream to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whom {
    /// Of the route.
    pub(super) id: Arc<str>,
    /// To ask for.
    pub(super) name: ServerName,
    /// Where its clients are sent.
    pub(super) target: Target,
    /// Never off.
    pub(super) kind: ProbeKind,
    /// What it wants to have first.
    pub(super) send_proxy: Option<ProxyVersion>,
    /// For one address, where the entry says it.
    pub(super) dial: Option<Duration>,
}

impl Whom {
    /// `None`: it is not to be asked, or cannot be. `usual`: where the entry says nothing. `ports`:
    /// those of the hub's listeners.
    pub(super) fn of(
        route: &Arc<Route>,
        table: &RouteTable,
        usual: ProbeKind,
        ports: &[u16],
    ) -> Option<Whom> {
        let kind = route.probe.unwrap_or(usual);
        if kind == ProbeKind::Off {
            return None;
        }
        let (name, target) = table.sole_client(route, ports)?;
        Some(Whom {
            id: Arc::clone(&route.id),
            name,
            target,
            kind,
            send_proxy: route.send_proxy,
            dial: route.timeouts.dial,
        })
    }
}

/// Whom to ask when.
#[derive(Debug)]
pub(super) struct Plan {
    interval: Duration,
    entries: HashMap<Arc<str>, Entry>,
    queue: BTreeSet<(Instant, Arc<str>)>,
    /// When the latest probe began.
    latest: Option<Instant>,
    /// Where the first interval begins.
    began: Instant,
    /// Of the moments: two hubs do not ask the same party at the same time.
    seed: RandomState,
}

#[derive(Debug)]
struct Entry {
    /// Held by its probe, too, while that goes on.
    whom: Arc<Whom>,
    due: Instant,
}

impl Plan {
    /// Nobody, every so often.
    pub(super) fn new(interval: Duration) -> Plan {
        Plan {
            interval,
            entries: HashMap::new(),
            queue: BTreeSet::new(),
            latest: None,
            began: Instant::now(),
            seed: RandomState::new(),
        }
    }

    /// These from now on. Who is new is asked soon; who is not keeps the turn.
    pub(super) fn take(
        &mut self,
        all: impl Iterator<Item = Whom>,
        interval: Duration,
        now: Instant,
    ) {
        let changed = interval != self.interval;
        self.interval = interval;
        let mut before = std::mem::take(&mut self.entries);
        self.queue.clear();
        for whom in all {
            let id = Arc::clone(&whom.id);
            let entry = match before.remove(&id) {
                Some(old) if *old.whom == whom => Entry {
                    due: match changed {
                        true => old.due.min(self.next(&id, now)),
                        false => old.due,
                    },
                    ..old
                },
                _ => Entry {
                    whom: Arc::new(whom),
                    due: now,
                },
            };
            self.queue.insert((entry.due, Arc::clone(&id)));
            self.entries.insert(id, entry);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether this very one is among them.
    pub(super) fn asks(&self, whom: &Arc<Whom>) -> bool {
        let entry = self.entries.get(&whom.id);
        entry.is_some_and(|entry| Arc::ptr_eq(&entry.whom, whom))
    }

    /// Whether the route of this id is asked.
    pub(super) fn has(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Whom>> {
        self.entries.values().map(|entry| &entry.whom)
    }

    /// When the next one's turn is.
    pub(super) fn due(&self) -> Option<Instant> {
        let (due, _) = self.queue.first()?;
        let pace = self.latest.map(|latest| latest + PACE);
        Some(pace.map_or(*due, |pace| pace.max(*due)))
    }

    /// The one whose turn is now. `None`: nobody's, or the last time that it was is not over yet.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Arc<Whom>> {
        if self.queue.first()?.0 > now {
            return None;
        }
        let (_, id) = self.queue.pop_first()?;
        let next = self.next(&id, now);
        let entry = self.entries.get_mut(&id)?;
        entry.due = next;
        self.queue.insert((next, id));
        if Arc::strong_count(&entry.whom) > 1 {
            return None;
        }
        self.latest = Some(now);
        Some(Arc::clone(&entry.whom))
    }

    /// A route's first moment after this one.
    fn next(&self, id: &str, after: Instant) -> Instant {
        // An hour of nanoseconds at most, and centuries of them, fit.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let interval = nanos(self.interval).max(1);
        let moment = self.seed.hash_one(id) % interval;
        let since = nanos(after.saturating_duration_since(self.began));
        let rounds = match since.checked_sub(moment) {
            Some(since) => since / interval + 1,
            None => 0,
        };
        self.began + Duration::from_nanos(moment + rounds * interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Fence, Host};

    const SECOND: Duration = Duration::from_secs(1);

    fn whom(n: usize, port: u16) -> Whom {
        let name = format!("p{n}.org");
        Whom {
            id: name.as_str().into(),
            name: ServerName::parse(name.as_bytes()).unwrap(),
            target: Target {
                host: Host::Ip([127, 0, 0, 1].into()),
                port,
                fence: Fence::Open,
            },
            kind: ProbeKind::Tls,
            send_proxy: None,
            dial: None,
        }
    }

    /// When whom, in ms, as one that never waits for an answer.
    fn turns(plan: &mut Plan, from: Instant, until: Duration) -> Vec<(u64, Arc<str>)> {
        let mut turns = Vec::new();
        while let Some(due) = plan.due().filter(|due| *due < from + until) {
            if let Some(whom) = plan.begin(due) {
                let at = due.saturating_duration_since(from).as_millis() as u64;
                turns.push((at, Arc::clone(&whom.id)));
            }
        }
        turns
    }

    #[test]
    fn a_thousand_routes_are_spread_over_the_interval() {
        let mut plan = Plan::new(30 * SECOND);
        let now = plan.began;
        plan.take((0..1_000).map(|n| whom(n, 1)), 30 * SECOND, now);
        let turns = turns(&mut plan, now, 120 * SECOND);
        let within = |from: u64, to: u64| {
            turns
                .iter()
                .filter(|(at, _)| (from..to).contains(at))
                .count()
        };
        // First as fast as the pace allows, all of them; then each once in every interval.
        assert_eq!(within(0, 1_000), 100);
        assert!(within(0, 30_000) >= 1_000);
        // One or two may have waited for the pace at either end.
        assert!((995..=1_005).contains(&within(60_000, 90_000)));
        for second in 60..90 {
            let many = within(second * 1_000, second * 1_000 + 1_000);
            assert!((5..=80).contains(&many), "{many} in second {second}");
        }
        assert!(turns.windows(2).all(|two| two[1].0 >= two[0].0 + 9));
    }

    #[test]
    fn more_than_the_pace_allows_take_turns() {
        let mut plan = Plan::new(SECOND);
        let now = plan.began;
        plan.take((0..500).map(|n| whom(n, 1)), SECOND, now);
        let turns = turns(&mut plan, now, 30 * SECOND);
        let mut each: HashMap<Arc<str>, usize> = HashMap::new();
        turns
            .iter()
            .for_each(|(_, id)| *each.entry(Arc::clone(id)).or_default() += 1);
        assert_eq!(each.len(), 500);
        let (least, most) = (each.values().min().unwrap(), each.values().max().unwrap());
        assert!(*least >= 5 && *most <= 7, "{least} to {most} times");
    }

    #[test]
    fn who_is_still_being_asked_is_not_asked_again() {
        let mut plan = Plan::new(SECOND);
        let now = plan.began;
        plan.take([whom(0, 1)].into_iter(), SECOND, now);
        let asked = plan.begin(now).unwrap();
        let next = plan.due().unwrap();
        assert!(next <= now + SECOND && plan.begin(next).is_none());
        assert!(plan.asks(&asked));
        drop(asked);
        let next = plan.due().unwrap();
        assert!(plan.begin(next).is_some());
    }

    #[test]
    fn a_reload_keeps_turns_and_asks_soon_who_is_new() {
        let mut plan = Plan::new(3_600 * SECOND);
        let now = plan.began;
        plan.take(
            [whom(0, 1), whom(1, 1), whom(2, 1)].into_iter(),
            plan.interval,
            now,
        );
        assert!(turns(&mut plan, now, SECOND).len() >= 3);
        let (due, later) = (plan.entries["p0.org"].due, now + 2 * SECOND);
        let held = Arc::clone(plan.all().find(|one| &*one.id == "p0.org").unwrap());
        plan.take(
            [whom(0, 1), whom(1, 2), whom(3, 1)].into_iter(),
            plan.interval,
            later,
        );
        assert_eq!(plan.entries["p0.org"].due, due);
        for new in ["p1.org", "p3.org"] {
            assert_eq!(plan.entries[new].due, later, "{new}");
        }
        assert!(plan.asks(&held) && !plan.has("p2.org") && plan.len() == 3);
        // A shorter interval is in force at once.
        plan.take([whom(0, 1)].into_iter(), SECOND, later);
        assert!(plan.due().unwrap() <= later + SECOND);
    }
}
