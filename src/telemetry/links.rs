//! Counts by party and route. A star of 50 has 2,450 such pairs, and a table may have 100,000
//! routes: so they come to be when something is counted, and their number is bounded.

use super::metrics::LinkSum;
use super::{Counters, unix_ms};
use crate::meter::Counter;
use crate::refusal::Refusal;
use crate::tunnel::Flow;
use foldhash::quality::RandomState;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The label of what is beyond the bound.
pub const OTHER: &str = "other";
/// Pairs are bounded to this many times the routes: enough for a full star of 89 parties.
const PAIRS_PER_ROUTE: usize = 8;

/// Who goes where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The party that dials out from the source address; `None`: of no party, or of several.
    pub party: Option<Arc<str>>,
    /// The route's id, or [`OTHER`].
    pub route: Arc<str>,
}

/// One worker's counts of one pair.
#[derive(Debug)]
pub struct Link {
    /// Of whom.
    pub pair: Pair,
    /// Tunnels that stood. Those that moved here from another worker were counted there.
    pub opened: Counter,
    /// Tunnels that ended.
    pub ended: Counter,
    /// Clients that the route refused.
    pub refused: Counter,
    /// Upstreams that could not be had.
    pub dial_failed: Counter,
    /// Bytes of its tunnels, as they go, hellos included.
    pub flow: Arc<Flow>,
    /// When a tunnel stood for the last time, in milliseconds since 1970; 0: never.
    pub opened_at: Counter,
    /// The same of a client that was refused; one that left was not.
    pub refused_at: Counter,
    /// The same of an upstream that could not be had.
    pub dial_failed_at: Counter,
}

impl Link {
    /// Nothing counted so far.
    pub(super) fn new(pair: Pair) -> Arc<Link> {
        Arc::new(Link {
            pair,
            opened: Counter::default(),
            ended: Counter::default(),
            refused: Counter::default(),
            dial_failed: Counter::default(),
            flow: Arc::default(),
            opened_at: Counter::default(),
            refused_at: Counter::default(),
            dial_failed_at: Counter::default(),
        })
    }

    /// Replaces all counts; the openings first, since readers begin with the ends.
    pub(super) fn set(&self, sum: &LinkSum) {
        self.opened.set(sum.opened);
        self.ended.set(sum.ended);
        self.refused.set(sum.refused);
        self.dial_failed.set(sum.dial_failed);
        self.flow.client_to_upstream.set(sum.client_to_upstream);
        self.flow.upstream_to_client.set(sum.upstream_to_client);
        self.opened_at.set(sum.opened_at);
        self.refused_at.set(sum.refused_at);
        self.dial_failed_at.set(sum.dial_failed_at);
    }

    pub(super) fn count_opened(&self) {
        self.opened.add(1);
        self.opened_at.set(unix_ms(SystemTime::now()));
    }

    pub(super) fn count_refused(&self, refusal: &Refusal) {
        self.refused.add(1);
        if *refusal != Refusal::ClientLeft {
            self.refused_at.set(unix_ms(SystemTime::now()));
        }
    }

    pub(super) fn count_dial_failed(&self) {
        self.dial_failed.add(1);
        self.dial_failed_at.set(unix_ms(SystemTime::now()));
    }
}

/// Which pairs have counts of their own: the same for all workers, or sums would be of nobody.
#[derive(Debug)]
pub struct Pairs {
    most_routes: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    routes: HashSet<Arc<str>>,
    pairs: HashSet<Pair>,
}

impl Pairs {
    /// For so many routes (`metrics.max_routes`).
    pub fn new(most_routes: usize) -> Pairs {
        Pairs {
            most_routes: AtomicUsize::new(most_routes),
            known: Mutex::default(),
        }
    }

    /// Another bound. What has counts of its own keeps them.
    pub fn set_most_routes(&self, most: usize) {
        self.most_routes.store(most, Relaxed);
    }

    /// The pair that counts for this one.
    pub(super) fn admit(&self, pair: Pair) -> Pair {
        let most = self.most_routes.load(Relaxed);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Pair {
            mut party,
            mut route,
        } = pair;
        if !known.routes.contains(&route) {
            if known.routes.len() < most {
                known.routes.insert(Arc::clone(&route));
            } else {
                route = Arc::from(OTHER);
            }
        }
        let pair = Pair {
            party: party.clone(),
            route: Arc::clone(&route),
        };
        if party.is_some() && !known.pairs.contains(&pair) {
            if known.pairs.len() < most.saturating_mul(PAIRS_PER_ROUTE) {
                known.pairs.insert(pair);
            } else {
                party = Some(Arc::from(OTHER));
            }
        }
        Pair { party, route }
    }
}

/// What one worker's records write to. Never leaves its thread.
#[derive(Debug)]
pub struct Ledger {
    pub(super) counters: Arc<Counters>,
    pairs: Arc<Pairs>,
    /// By what was asked for; several may lead to one link.
    links: RefCell<HashMap<Pair, Arc<Link>, RandomState>>,
}

/// Pairs that one worker remembers the link of: beyond, a session costs a look at the shared ones.
const REMEMBERED: usize = 64 * 1024;

impl Ledger {
    /// Of a worker with these counters.
    pub fn new(counters: Arc<Counters>, pairs: Arc<Pairs>) -> Rc<Ledger> {
        Rc::new(Ledger {
            counters,
            pairs,
            links: RefCell::default(),
        })
    }

    /// The worker's counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The counts of a pair; locks only for a pair that this worker has not met.
    pub(super) fn link(&self, party: Option<&Arc<str>>, route: &Arc<str>) -> Arc<Link> {
        let asked = Pair {
            party: party.cloned(),
            route: Arc::clone(route),
        };
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get(&asked) {
            return Arc::clone(link);
        }
        let pair = self.pairs.admit(asked.clone());
        let link = match links.get(&pair) {
            Some(link) => Arc::clone(link),
            None => self.begin(pair.clone()),
        };
        if links.len() >= REMEMBERED {
            // The links themselves stay with the counters; those few are found again below.
            links.retain(|asked, link| *asked == link.pair);
        }
        links.insert(pair, Arc::clone(&link));
        links.insert(asked, Arc::clone(&link));
        link
    }

    fn begin(&self, pair: Pair) -> Arc<Link> {
        let link = Link::new(pair);
        self.counters.add_link(Arc::clone(&link));
        link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_routes_are_summed_and_every_worker_agrees() {
        let pairs = Arc::new(Pairs::new(2));
        let workers = [0, 1].map(|_| Ledger::new(Arc::default(), Arc::clone(&pairs)));
        let routes = ["a", "b", "c", "d"].map(Arc::<str>::from);
        for (n, route) in routes.iter().chain(routes.iter().rev()).enumerate() {
            workers[n / 4].link(None, route).opened.add(1);
        }
        for worker in &workers {
            let mut seen: Vec<_> = worker
                .counters
                .links()
                .iter()
                .map(|link| (link.pair.route.to_string(), link.opened.get()))
                .collect();
            seen.sort();
            let want = [("a", 1), ("b", 1), (OTHER, 2)];
            assert_eq!(seen, want.map(|(route, n)| (route.to_owned(), n)));
        }
    }

    #[test]
    fn pairs_have_a_bound_of_their_own() {
        let ledger = Ledger::new(Arc::default(), Arc::new(Pairs::new(1)));
        let route = Arc::from("a");
        for n in 0..20 {
            let party = Arc::from(n.to_string());
            ledger.link(Some(&party), &route).opened.add(1);
        }
        let links = ledger.counters.links();
        assert_eq!(links.len(), PAIRS_PER_ROUTE + 1);
        let other = links.last().unwrap();
        assert_eq!(other.pair.party.as_deref(), Some(OTHER));
        assert_eq!(other.opened.get(), 20 - PAIRS_PER_ROUTE as u64);
    }
}
