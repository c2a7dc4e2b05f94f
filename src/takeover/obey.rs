//! What the old process does for its successor, until the last of its tunnels has ended.

use super::succession::Successor;
use super::wire::{Message, Order, Reply};
use crate::server::{Control, Hub, StartError};
use crate::shutdown;
use crate::tunnel::Ended;
use crate::worker::{Group, Question};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

/// For the last word.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How long a service manager may take to notice that the successor is gone, and to signal us.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// How late it may read what it is told: a successor that has lived longer was believed in.
const BELIEVED_WITHIN: Duration = Duration::from_secs(30);

impl Successor {
    /// Obeys it until every tunnel of this process has ended, and tells it what was counted. `stop`:
    /// the first closes what is left over `drain`, the second at once; the first, too, where the
    /// successor is gone: a service manager that has lost it waits for us before it starts the next.
    /// A service manager that stops the service signals every process of it: what the successor
    /// orders then, before our signal or after it, is no second asking.
    ///
    /// A service manager does not believe in a MAINPID that has ended already: then a `managed` process
    /// is the service's main one yet, and as long as it goes on no other hub is started. So it ends if
    /// its successor is gone so soon and nobody signals it.
    ///
    /// # Errors
    /// [`StartError::Orphaned`]: it does, and the service has failed.
    pub(crate) async fn outlive(
        mut self,
        hub: &Hub,
        stop: &mut mpsc::Receiver<()>,
        managed: bool,
    ) -> Result<(), StartError> {
        let control = hub.control();
        let (mut ordered, mut signalled, mut connected) = (false, false, true);
        let (began, mut noticed_until) = (Instant::now(), None);
        loop {
            tokio::select! {
                () = hub.ended() => break,
                heard = self.wire.hear(), if connected => match heard {
                    Ok(Some((Message::Order { id, order }, _))) => {
                        ordered |= matches!(order, Order::Stop { .. } | Order::Kill);
                        let reply = obey(order, hub, &control).await;
                        // Heard to be gone below.
                        drop(self.wire.say(&Message::Reply { id, reply }, &[]).await);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => {
                        connected = false;
                        let pid = self.pid;
                        warn!(pid, "the successor has ended: nobody accepts, unless another hub was started");
                        if ordered || signalled {
                            hub.kill();
                        } else if managed && began.elapsed() < BELIEVED_WITHIN {
                            noticed_until = Some(Instant::now() + NOTICED_WITHIN);
                        }
                    }
                },
                Some(()) = at(noticed_until), if !signalled => {
                    warn!(sessions = hub.sessions(), "ending at once, so that the service manager starts another hub");
                    noticed_until = None;
                    hub.kill();
                }
                Some(()) = stop.recv() => {
                    if signalled || !connected {
                        info!(sessions = hub.sessions(), "ending at once");
                        hub.kill();
                    } else if !ordered {
                        hub.drain(control.snapshot().settings.drain);
                    }
                    signalled = true;
                }
            }
        }
        if connected {
            let last = Message::Last(Box::new(control.image()));
            // It has what was said a second ago.
            let said = timeout(LAST_WORD, self.wire.say(&last, &[])).await;
            connected = !matches!(said, Ok(Err(_)));
        }
        shutdown::tell_totals(hub);
        let unnoticed = managed && began.elapsed() < BELIEVED_WITHIN + NOTICED_WITHIN;
        match unnoticed && !connected && !ordered && !signalled {
            true => Err(StartError::Orphaned),
            false => Ok(()),
        }
    }
}

/// Comes back then; of no moment there is no waiting.
async fn at(moment: Option<Instant>) -> Option<()> {
    sleep_until(moment?).await;
    Some(())
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
