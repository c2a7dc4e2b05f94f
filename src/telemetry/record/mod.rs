//! The record of one session: gathered on the way, told exactly once, also when the session
//! panics or is aborted.
//!
//! `opened` when a tunnel stands, `alive` once a day while it does, `closed` at the end: all with
//! the same session id. A session that never sent a byte and left is only counted (a balancer's
//! health check), and logged at debug level.

mod squid;
mod verdict;

use super::links::{Ledger, Link};
use super::log::{ACCESS, SQUID, is_squid};
use super::recent::Declined;
use super::tunnel::Tunnel;
use crate::net::dial::{DialError, Dialed};
use crate::net::{Endpoints, Target};
use crate::refusal::Refusal;
use crate::tunnel::{Ended, Handle, Pools, Relay};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tracing::{Level, debug, info, warn};
use verdict::{Verdict, verdict};

/// An event of a [`Record`]: who, by which name, whereto; then what is particular to it.
macro_rules! tell {
    ($event:ident, $record:ident, $($particular:tt)*) => {
        $event!(
            target: ACCESS,
            session = %Hex($record.facts.id),
            source = %$record.facts.endpoints.client,
            party = $record.facts.party.as_deref(),
            inbound = %$record.facts.endpoints.local,
            name = $record.facts.name.as_deref(),
            route = $record.facts.route.as_deref(),
            target = $record.facts.target.as_ref().map(in_words).as_deref(),
            upstream = $record.facts.upstream.map(display),
            $($particular)*
        )
    };
}

/// Names a session in every line about it; unique within the process.
pub type SessionId = u64;

/// The id as every line has it: hexadecimal digits, and nothing else.
pub fn session_id(text: &str) -> Option<SessionId> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| SessionId::from_str_radix(text, 16).ok())?
}

/// How a session ended.
#[derive(Debug)]
pub enum Outcome {
    /// A tunnel stood and ended.
    Ended(Ended),
    /// We declined.
    Refused(Refusal),
    /// The upstream could not be had.
    DialFailed(DialError),
}

/// What is known of a session so far. Dropping it tells the rest.
#[derive(Debug)]
pub struct Record {
    facts: Facts,
    ledger: Rc<Ledger>,
    /// Of its party and route, once there is one.
    link: Option<Arc<Link>>,
    tunnel: Option<Rc<Handle>>,
    /// Why the session is being aborted, if it is.
    aborted_for: Option<Ended>,
    told: bool,
}

/// What a record has gathered; goes with the tunnel from one worker to another.
#[derive(Debug, Clone)]
pub struct Facts {
    id: SessionId,
    endpoints: Endpoints,
    began: Instant,
    name: Option<Arc<str>>,
    party: Option<Arc<str>>,
    route: Option<Arc<str>>,
    target: Option<Target>,
    upstream: Option<SocketAddr>,
    received: u64,
    hello: Option<Duration>,
    dial: Option<Duration>,
    preface: u64,
}

impl Facts {
    /// The session's.
    pub fn id(&self) -> SessionId {
        self.id
    }
}

impl Record {
    /// Begins with the accepted connection.
    pub fn begin(id: SessionId, endpoints: Endpoints, ledger: Rc<Ledger>) -> Record {
        ledger.counters.accepted.add(1);
        let facts = Facts {
            id,
            endpoints,
            began: Instant::now(),
            name: None,
            party: None,
            route: None,
            target: None,
            upstream: None,
            received: 0,
            hello: None,
            dial: None,
            preface: 0,
        };
        Record::of(facts, ledger)
    }

    /// Goes on with what another worker's record gathered. `ledger` is this worker's.
    pub fn of(facts: Facts, ledger: Rc<Ledger>) -> Record {
        let link = facts
            .route
            .as_ref()
            .map(|route| ledger.link(facts.party.as_ref(), route));
        Record {
            facts,
            ledger,
            link,
            tunnel: None,
            aborted_for: None,
            told: false,
        }
    }

    /// The tunnel leaves this worker: another record tells the rest.
    pub fn leave(&mut self) -> Facts {
        self.told = true;
        self.facts.clone()
    }

    /// The tunnel stands here now; its handle knows the bytes.
    pub fn moved(&mut self, tunnel: Rc<Handle>) {
        self.tunnel = Some(tunnel);
        self.ledger.counters.moved.add(1);
        tell!(debug, self, "moved to a worker with less traffic");
    }

    /// No hello came: who called, and how many bytes it sent.
    pub fn no_hello(&mut self, endpoints: Endpoints, received: u64) {
        self.facts.endpoints = endpoints;
        self.facts.received = received;
    }

    /// The hello is whole: who called (a PROXY header may have changed it), which name it asked
    /// for, and how many bytes came.
    pub fn hello(&mut self, endpoints: Endpoints, name: Option<&Arc<str>>, received: u64) {
        self.facts.endpoints = endpoints;
        self.facts.received = received;
        self.facts.name = name.cloned();
        let took = self.facts.began.elapsed();
        self.facts.hello = Some(took);
        self.ledger.counters.hello.observe(took);
    }

    /// The party that dials out from the source address, by its route's id.
    pub fn party(&mut self, id: &Arc<str>) {
        self.facts.party = Some(Arc::clone(id));
    }

    /// The entry that took the name; after the party.
    pub fn route(&mut self, id: &Arc<str>) {
        self.facts.route = Some(Arc::clone(id));
        self.link = Some(self.ledger.link(self.facts.party.as_ref(), id));
    }

    /// A handle for its tunnel, which counts the bytes for its party and route as well.
    pub fn handle(&self) -> Rc<Handle> {
        match &self.link {
            Some(link) => Handle::counted_by(Arc::clone(&link.flow)),
            None => Handle::new(),
        }
    }

    /// The destination, before it is resolved.
    pub fn target(&mut self, target: &Target) {
        self.facts.target = Some(target.clone());
    }

    /// The upstream answered, and has taken the client's first bytes.
    pub fn dialed(&mut self, dialed: &Dialed) {
        self.facts.upstream = Some(dialed.address);
        let took = dialed.resolve_time + dialed.connect_time;
        self.facts.dial = Some(took);
        self.facts.preface = dialed.sent;
        let counters = &self.ledger.counters;
        counters.dial.observe(took);
        counters.tunnels.flow.client_to_upstream.add(dialed.sent);
        counters.tunnels.copied.add(dialed.sent);
        if let Some(link) = &self.link {
            link.flow.client_to_upstream.add(dialed.sent);
        }
    }

    /// The tunnel stands; from now on its handle knows the bytes.
    pub fn opened(&mut self, tunnel: Rc<Handle>) {
        self.tunnel = Some(tunnel);
        self.ledger.counters.opened.add(1);
        if let Some(link) = &self.link {
            link.count_opened();
        }
        tell!(
            info,
            self,
            hello_ms = self.facts.hello.map(millis),
            dial_ms = self.facts.dial.map(millis),
            "opened"
        );
    }

    /// Says that a long-lived tunnel still stands.
    pub fn alive(&self) {
        let [up, down] = self.bytes();
        info!(
            target: ACCESS,
            session = %Hex(self.facts.id),
            source = %self.facts.endpoints.client,
            party = self.facts.party.as_deref(),
            name = self.facts.name.as_deref(),
            route = self.facts.route.as_deref(),
            upstream = self.facts.upstream.map(display),
            client_to_upstream = up,
            upstream_to_client = down,
            total_s = self.facts.began.elapsed().as_secs(),
            "alive"
        );
    }

    /// Ends the record with what happened.
    pub fn close(&mut self, outcome: &Outcome) {
        if !self.told {
            self.tell(outcome);
        }
    }

    /// The session is about to be aborted, for this reason.
    pub fn abort_for(&mut self, why: Ended) {
        self.aborted_for = Some(why);
    }

    /// Ends the record of a session that did not come to its end: it panicked or was aborted.
    pub fn abandoned(&mut self) {
        let ended = if std::thread::panicking() {
            Ended::Panicked
        } else {
            self.aborted_for.unwrap_or(Ended::Killed)
        };
        self.close(&Outcome::Ended(ended));
    }

    fn bytes(&self) -> [u64; 2] {
        self.tunnel
            .as_ref()
            .map_or([self.facts.preface, 0], |tunnel| {
                [
                    self.facts.preface + tunnel.client_to_upstream(),
                    tunnel.upstream_to_client(),
                ]
            })
    }

    fn tell(&mut self, outcome: &Outcome) {
        self.told = true;
        self.count(outcome);
        let [up, down] = self.bytes();
        if is_squid() {
            self.tell_squid(outcome, down);
        }
        let Verdict {
            ended,
            by,
            why,
            level,
        } = verdict(outcome, self.facts.received);
        let relay = self.tunnel.as_ref().map(|tunnel| tunnel.relay());
        macro_rules! closed {
            ($event:ident) => {
                tell!(
                    $event,
                    self,
                    client_to_upstream = up,
                    upstream_to_client = down,
                    hello_ms = self.facts.hello.map(millis),
                    dial_ms = self.facts.dial.map(millis),
                    total_ms = millis(self.facts.began.elapsed()),
                    relay = relay.map(Relay::label),
                    spliced = relay.map(Relay::spliced),
                    ended,
                    by,
                    why = &*why,
                    "closed"
                )
            };
        }
        match level {
            Level::WARN => closed!(warn),
            Level::DEBUG => closed!(debug),
            _ => closed!(info),
        }
        // A balancer's check is nothing to look at.
        if !matches!(outcome, Outcome::Ended(_)) && level != Level::DEBUG {
            self.remember(ended, by, why.into_owned());
        }
    }

    fn tell_squid(&self, outcome: &Outcome, sent: u64) {
        let line = squid::line(&self.facts, outcome, sent);
        match verdict(outcome, self.facts.received).level {
            Level::WARN => warn!(target: SQUID, "{line}"),
            Level::DEBUG => debug!(target: SQUID, "{line}"),
            _ => info!(target: SQUID, "{line}"),
        }
    }

    /// By party and route first: see `Counters::count_ended`.
    fn count(&self, outcome: &Outcome) {
        if let Some(link) = &self.link {
            match (outcome, &self.tunnel) {
                (Outcome::Ended(_), Some(_)) => link.ended.add(1),
                (Outcome::Ended(_), None) => {}
                (Outcome::Refused(refusal), _) => link.count_refused(refusal),
                (Outcome::DialFailed(_), _) => link.count_dial_failed(),
            }
        }
        let counters = &self.ledger.counters;
        match (outcome, &self.tunnel) {
            (Outcome::Ended(ended), Some(tunnel)) => counters.count_ended(*ended, tunnel.relay()),
            (Outcome::Ended(_), None) => counters.aborted.add(1),
            (Outcome::Refused(refusal), _) => counters.count_refused(refusal),
            (Outcome::DialFailed(error), _) => counters.count_dial_failed(error),
        }
    }

    fn remember(&self, reason: &'static str, by: &'static str, why: String) {
        let Facts {
            id,
            endpoints,
            name,
            party,
            route,
            target,
            ..
        } = &self.facts;
        self.ledger.counters.recent.note(Declined {
            at: SystemTime::now(),
            session: Hex(*id).to_string(),
            source: endpoints.client,
            party: party.clone(),
            name: name.clone(),
            route: route.clone(),
            target: target.as_ref().map(in_words),
            reason: reason.into(),
            by: by.into(),
            why,
        });
    }

    /// Whether the client's address is this party's.
    pub fn is_from(&self, party: &str) -> bool {
        self.facts.party.as_deref() == Some(party)
    }

    /// The session's.
    pub fn id(&self) -> SessionId {
        self.facts.id
    }

    /// The tunnel as it stands now; `None` where there is none (yet). `pools` are its worker's.
    pub fn standing(&self, pools: &Pools) -> Option<Tunnel> {
        let tunnel = self.tunnel.as_ref()?;
        let [client_to_upstream, upstream_to_client] = self.bytes();
        let now = pools.now_ms();
        let [rate_up, rate_down] = tunnel.rates(now);
        Some(Tunnel {
            id: Hex(self.facts.id).to_string(),
            source: self.facts.endpoints.client,
            party: self.facts.party.clone(),
            inbound: self.facts.endpoints.local,
            name: self.facts.name.clone(),
            route: self.facts.route.clone(),
            target: self.facts.target.as_ref().map(in_words),
            upstream: self.facts.upstream,
            age_ms: self.facts.began.elapsed().as_millis() as u64,
            idle_ms: now.saturating_sub(tunnel.last_active_ms()),
            client_to_upstream,
            upstream_to_client,
            client_to_upstream_per_second: rate_up,
            upstream_to_client_per_second: rate_down,
            relay: tunnel.relay().label().into(),
            spliced: tunnel.relay().spliced(),
            draining: false,
            half_open: tunnel.is_half_open(),
            stalled: tunnel.is_stalled(),
            tcp: None,
        })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.abandoned();
    }
}

/// A session id as it is printed.
struct Hex(u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// As it is shown to an operator.
fn in_words(target: &Target) -> Box<str> {
    target.to_string().into()
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
