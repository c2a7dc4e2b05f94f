//! The star: parties around a hub, and what can be done with it.

use super::counted::Cut;
use super::exchange::Pace;
use super::hub::{DemoHub, Files};
use super::link::{Call, Connected, NotConnected, Why};
use super::measured::{Ends, Joined, LinkRow};
use super::party::{Party, VALID};
use super::serve::{Served, ServedList};
use super::wire::Opening;
use super::witness::Witness;
use crate::pki::Authority;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The two that are there from the beginning, and the one that joins.
pub(super) const NAMES: [&str; 3] = ["9999.fate.test", "10000.fate.test", "10001.fate.test"];

/// A name that no route takes.
pub(super) const NOBODY: &str = "nobody.fate.test";

/// Pings of a link.
const PINGS: u32 = 50;

/// For a newcomer's route to be in force.
const JOIN: Duration = Duration::from_secs(10);

/// For the hub's record, and the far end's report, once a link is over.
const SETTLE: Duration = Duration::from_secs(5);

/// See the module. Fields are dropped in their order: the directory goes when the hub has ended.
pub(super) struct Star {
    pub(super) parties: [Party; 3],
    pub(super) hub: DemoHub,
    pub(super) files: Files,
    pub(super) witness: Witness,
    pub(super) pace: Arc<Pace>,
    served: ServedList,
    links: AtomicU64,
}

/// A link that stands and has answered pings.
pub(super) struct Open {
    from: usize,
    to: usize,
    opening: Opening,
    connected: Connected,
    round_trip: Duration,
    busy: bool,
}

impl Star {
    /// Starts three parties, and a hub that knows the first two.
    ///
    /// # Errors
    /// When something cannot be had: a port, a thread, a directory.
    pub(super) async fn start() -> anyhow::Result<Star> {
        let authority = Authority::new("snihub demo: trust nobody with this", VALID)?;
        let (pace, served) = (Arc::<Pace>::default(), ServedList::default());
        let party = |name| Party::start(name, &authority, &pace, &served);
        let parties = [party(NAMES[0])?, party(NAMES[1])?, party(NAMES[2])?];
        let files = Files::new(&authority.certificate_pem())?;
        files.route(&addresses(&parties[..2]))?;
        let witness = Witness::default();
        let hub = DemoHub::start(&files, &witness).await?;
        Ok(Star {
            parties,
            hub,
            files,
            witness,
            pace,
            served,
            links: AtomicU64::new(1),
        })
    }

    /// Calls `name` through the hub as the party `from`.
    pub(super) async fn connect(
        &self,
        from: usize,
        name: &str,
        cut: Option<Cut>,
    ) -> Result<Connected, NotConnected> {
        let party = &self.parties[from];
        let config = Arc::clone(&party.client);
        let call = Call {
            config,
            hub: self.hub.address,
            name: name.to_owned(),
            cut,
        };
        let ended = party.runtime().spawn(call.connect()).await;
        ended.unwrap_or_else(|error| {
            Err(NotConnected {
                source: None,
                why: Why::Other(error.to_string()),
            })
        })
    }

    /// Opens a link between two parties and measures it at rest (or not: `busy`).
    pub(super) async fn open(
        &self,
        [from, to]: [usize; 2],
        minimum: u64,
        busy: bool,
    ) -> Result<Open, LinkRow> {
        match self.connect(from, NAMES[to], None).await {
            Ok(connected) => self.greet(connected, [from, to], minimum, busy).await,
            Err(error) => Err(failed([from, to], minimum, busy, error.why.to_string())),
        }
    }

    /// Says what a fresh link is for and pings over it.
    pub(super) async fn greet(
        &self,
        mut connected: Connected,
        [from, to]: [usize; 2],
        minimum: u64,
        busy: bool,
    ) -> Result<Open, LinkRow> {
        let link = self.links.fetch_add(1, Relaxed);
        // Those that were there before the others stand until the others are done.
        let opening = Opening {
            link,
            pings: PINGS,
            minimum,
            held: !busy,
        };
        let pinged = self.parties[from].runtime().spawn(async move {
            let round_trip = connected.ping(opening).await?;
            anyhow::Ok((connected, round_trip))
        });
        match pinged.await {
            Ok(Ok((connected, round_trip))) => Ok(Open {
                from,
                to,
                opening,
                connected,
                round_trip,
                busy,
            }),
            Ok(Err(error)) => Err(failed([from, to], minimum, busy, format!("{error:#}"))),
            Err(error) => Err(failed([from, to], minimum, busy, error.to_string())),
        }
    }

    /// Has data flow both ways over an open link, on the caller's thread.
    pub(super) fn exchange(&self, open: Open) -> Exchanging {
        let Open {
            from,
            to,
            opening,
            connected,
            round_trip,
            busy,
        } = open;
        let pace = Arc::clone(&self.pace);
        let data = async move { connected.exchange(opening, round_trip, &pace).await };
        let task = self.parties[from].runtime().spawn(data);
        Exchanging {
            from,
            to,
            opening,
            busy,
            task,
        }
    }

    /// Waits for the end of an exchange, and for what server and hub say of it.
    pub(super) async fn settle(&self, exchanging: Exchanging, splice: bool) -> LinkRow {
        let Exchanging {
            from,
            to,
            opening,
            busy,
            task,
        } = exchanging;
        let link = match task.await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                return failed([from, to], opening.minimum, busy, format!("{error:#}"));
            }
            Err(error) => return failed([from, to], opening.minimum, busy, error.to_string()),
        };
        let served = self.served(opening.link).await;
        let closed = self.witness.closed(link.source, SETTLE).await;
        let wants_splice = splice && !self.witness.said("bytes are copied");
        let seen = Ok(Ends {
            link,
            served,
            closed,
            wants_splice,
        });
        LinkRow {
            from: NAMES[from],
            to: NAMES[to],
            minimum: opening.minimum,
            busy,
            seen,
        }
    }

    /// Adds the third party to sni.yaml and has `caller` call it until it is reached.
    pub(super) async fn join(&self, caller: usize) -> Result<(Connected, Joined), String> {
        let moved_before = self.pace.moved.load(Relaxed);
        self.files
            .route(&addresses(&self.parties))
            .map_err(|error| format!("{error:#}"))?;
        let began = Instant::now();
        loop {
            match self.connect(caller, NAMES[2], None).await {
                Ok(connected) => {
                    let routed_after = began.elapsed();
                    let moved_meanwhile = self.pace.moved.load(Relaxed) - moved_before;
                    let joined = Joined {
                        name: NAMES[2],
                        routed_after,
                        moved_meanwhile,
                    };
                    return Ok((connected, joined));
                }
                Err(NotConnected {
                    why: Why::UNKNOWN_NAME,
                    ..
                }) if began.elapsed() < JOIN => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => {
                    let waited = began.elapsed().as_secs_f64();
                    return Err(format!(
                        "{waited:.1} s after the edit of sni.yaml: {}",
                        error.why
                    ));
                }
            }
        }
    }

    async fn served(&self, link: u64) -> Option<Served> {
        let until = Instant::now() + SETTLE;
        loop {
            // Nothing in there can be half done.
            let all = self
                .served
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let served = all.into_iter().find(|served| served.link == link);
            if served.is_some() || Instant::now() > until {
                return served;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A link over which data flows.
pub(super) struct Exchanging {
    from: usize,
    to: usize,
    opening: Opening,
    busy: bool,
    task: JoinHandle<anyhow::Result<super::link::Link>>,
}

impl Exchanging {
    /// Whether its data has passed, or failed to.
    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

/// The row of a link that came to nothing.
pub(super) fn failed([from, to]: [usize; 2], minimum: u64, busy: bool, why: String) -> LinkRow {
    LinkRow {
        from: NAMES[from],
        to: NAMES[to],
        minimum,
        busy,
        seen: Err(why),
    }
}

fn addresses(parties: &[Party]) -> Vec<(&str, SocketAddr)> {
    parties
        .iter()
        .map(|party| (party.name, party.address))
        .collect()
}
