//! What the old process does for its successor, until the last of its tunnels has ended.

use super::launch::{self, Process};
use super::succession::Successor;
use super::wire::{Message, Order, Reply, Wire, clock};
use super::{ANSWER_WITHIN, Noticing, SAID_WITHIN};
use crate::server::{Control, Hub, StartError};
use crate::shutdown;
use crate::tunnel::Ended;
use crate::worker::{Group, Question, Undecided};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

/// For the last word.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Who has this process end before its tunnels are closed over `upgrade_drain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody.
    Serving,
    /// The successor, by an order.
    Ordered,
    /// Whoever sends signals.
    Signalled,
    /// Nobody can: the successor is gone, and who restarts the hub waits for this process.
    Orphaned,
}

impl Successor {
    /// Obeys it until every tunnel of this process has ended, and tells it what was counted. `stop`:
    /// the first closes what is left over `drain`, the second at once; the first, too, where the
    /// successor is gone: a service manager that has lost it waits for us before it starts the next.
    /// A service manager that stops the service signals every process of it: what the successor
    /// orders then, before our signal or after it, is no second asking.
    ///
    /// As long as the service manager has not taken the successor for the service's main process, this
    /// one is: its end would be that of the service. So it waits for that, as long as there is a hub: if
    /// the successor is gone before it has handed over itself, nobody else starts another one, and this
    /// process ends with an error, at once.
    ///
    /// # Errors
    /// [`StartError::Orphaned`]: the successor is gone, and who restarts the hub waits for this process.
    pub(crate) async fn outlive(
        self,
        hub: &Hub,
        stop: &mut mpsc::Receiver<()>,
    ) -> Result<(), StartError> {
        let Successor {
            process,
            mut wire,
            noticing,
            mut undecided,
        } = self;
        let control = hub.control();
        let mut questions = Questions::default();
        let mut stage = Stage::Serving;
        let (mut over, mut connected, mut gone) = (false, true, false);
        // Whether the service manager knows the successor; `None`: it has not answered yet.
        let mut noticed = noticing.is_none().then_some(true);
        let process = Rc::new(process);
        // The process that is the hub: later one of the successor's own.
        let mut heir = Rc::clone(&process);
        let mut notice = pin!(lives_to_be_noticed(&process, noticing));
        while !over || (noticed != Some(true) && stage == Stage::Serving) {
            tokio::select! {
                () = hub.ended(), if !over => over = true,
                lived = &mut notice, if noticed.is_none() => noticed = Some(lived),
                heard = wire.hear(), if connected => match heard {
                    // It was told that this process does not answer. Counts are told all the same: by
                    // them the hub hears that it does now.
                    Ok(Some((Message::Order { until: Some(until), order, .. }, _)))
                        if until < clock() && !matches!(order, Order::Count) => {}
                    Ok(Some((Message::Order { id, order, .. }, _))) => {
                        let pid = (id >> 32) as u32;
                        if heir.pid != pid {
                            heir = Rc::new(Process::find(pid).spared());
                        }
                        stage = stage.ordered(&order);
                        let reply = obey(order, hub, &control).await;
                        let reply = Message::Reply { id, reply };
                        let mut saying = pin!(timeout(ANSWER_WITHIN, wire.say(&reply, &[])));
                        // A successor that is stopped reads nothing: this process goes on to hear
                        // whoever sends it signals, and ends when there is nothing left.
                        loop {
                            tokio::select! {
                                biased;
                                // Heard to be lost below.
                                _ = &mut saying => break,
                                Some(()) = stop.recv() => stage = stage.signalled(hub, gone),
                                () = hub.ended(), if !over => break,
                            }
                        }
                    }
                    Ok(Some((Message::Decided { id, lets_in }, _))) => questions.answer(id, lets_in),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => {
                        connected = false;
                        questions = Questions::default();
                    }
                },
                // Nobody is left to ask: dropped, it is decided here.
                Some(client) = undecided.recv() => if connected {
                    questions.ask(&wire, client).await;
                },
                () = heir.ended(), if !connected && !gone => {
                    gone = true;
                    warn!(
                        pid = heir.pid,
                        "the successor has ended: nobody accepts, unless another hub was started"
                    );
                    let waiting = match noticed {
                        Some(true) => launch::is_supervised().then_some("the supervisor"),
                        _ => Some("the service manager, which did not know of it,"),
                    };
                    stage = stage.bereaved(hub, waiting);
                }
                Some(()) = stop.recv() => stage = stage.signalled(hub, gone),
            }
        }
        if connected {
            let last = Message::Last(Box::new(control.image()));
            // It has what was said a second ago.
            drop(timeout(LAST_WORD, wire.say(&last, &[])).await);
        }
        shutdown::tell_totals(hub);
        match stage {
            Stage::Orphaned => Err(StartError::Orphaned),
            Stage::Serving | Stage::Ordered | Stage::Signalled => Ok(()),
        }
    }
}

impl Stage {
    fn ordered(self, order: &Order) -> Stage {
        match (self, order) {
            (Stage::Serving, Order::Stop { .. } | Order::Kill) => Stage::Ordered,
            _ => self,
        }
    }

    /// `alone`: no successor lives.
    fn signalled(self, hub: &Hub, alone: bool) -> Stage {
        if self == Stage::Signalled || alone {
            info!(sessions = hub.sessions(), "ending at once");
            hub.kill();
        } else if self == Stage::Serving {
            hub.drain(hub.control().snapshot().settings.drain);
        }
        Stage::Signalled
    }

    /// The successor has ended. `waiting`: who starts another hub when this process has ended, and not
    /// before.
    fn bereaved(self, hub: &Hub, waiting: Option<&str>) -> Stage {
        let stage = match (self, waiting) {
            // Its tunnels go on.
            (Stage::Serving, None) => return self,
            (Stage::Serving, Some(who)) => {
                let sessions = hub.sessions();
                warn!(sessions, "ending at once, so that {who} starts another hub");
                Stage::Orphaned
            }
            (asked, _) => asked,
        };
        hub.kill();
        stage
    }
}

/// Clients about whom the successor was asked, and who wait for its word.
#[derive(Default)]
struct Questions {
    asked: u64,
    open: HashMap<u64, oneshot::Sender<bool>>,
}

impl Questions {
    async fn ask(&mut self, wire: &Wire, Undecided { client, word }: Undecided) {
        self.open.retain(|_, word| !word.is_closed());
        if word.is_closed() {
            return;
        }
        self.asked += 1;
        let id = self.asked;
        self.open.insert(id, word);
        // One packet: if it is not sent in time, nothing of it is.
        let question = Message::Undecided { id, client };
        drop(timeout(SAID_WITHIN, wire.say(&question, &[])).await);
    }

    fn answer(&mut self, id: u64, lets_in: bool) {
        // It may have waited long enough.
        let _ = self.open.remove(&id).map(|word| word.send(lets_in));
    }
}

/// Waits until the service manager has noticed the process, or that has ended; whether it lived.
async fn lives_to_be_noticed(process: &Process, noticing: Option<Noticing>) -> bool {
    let Some(noticing) = noticing else {
        return true;
    };
    tokio::select! {
        // What it has noticed too late it has not noticed.
        biased;
        () = process.ended() => false,
        // A panic there was told by its own hook.
        _ = noticing => true,
    }
}

async fn obey(order: Order, hub: &Hub, control: &Control) -> Reply {
    match order {
        Order::Count => Reply::Counted {
            image: Box::new(control.image()),
            sessions: hub.sessions(),
        },
        Order::Tunnels => Reply::Tunnels(flat(control.ask(Question::Tunnels).await)),
        Order::Standing => Reply::Standing(flat(control.ask(Question::Standing).await)),
        Order::End { session } => {
            let answers = control.ask(|reply| Question::End(session, reply)).await;
            Reply::Ended(answers.contains(&true))
        }
        Order::Drain {
            group,
            over_ms,
            removed,
        } => {
            let (group, over) = (Group::from(group), Duration::from_millis(over_ms));
            let why = match removed {
                true => Ended::RouteRemoved,
                false => Ended::Drained,
            };
            let drain = |reply| Question::Drain(group.clone(), over, why, reply);
            Reply::Drained(control.ask(drain).await.into_iter().sum())
        }
        Order::Stop { over_ms } => {
            hub.drain(Duration::from_millis(over_ms));
            Reply::Done
        }
        Order::Kill => {
            hub.kill();
            Reply::Done
        }
    }
}

fn flat<T>(answers: Vec<Vec<T>>) -> Vec<T> {
    answers.into_iter().flatten().collect()
}
