//! The process that is the hub now, as the sessions of the one before it know it: it has the say about
//! whom they let in yet.

use super::asked::Standing;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long its word is waited for. One that does not give it (stopped, of a version that does not know
/// the question) would else cost a client that came before it did.
const WORD_WITHIN: Duration = Duration::from_secs(1);

/// A client that this process would let in.
#[derive(Debug)]
pub struct Undecided {
    /// What for.
    pub client: Standing,
    /// Whether the hub would, too. Dropped: it cannot be asked.
    pub word: oneshot::Sender<bool>,
}

/// The way to ask it. What is on the way is bounded by the hellos and dials that are pending.
#[derive(Debug, Clone)]
pub struct Heir(mpsc::UnboundedSender<Undecided>);

impl Heir {
    /// It, and what it is asked.
    pub fn new() -> (Heir, mpsc::UnboundedReceiver<Undecided>) {
        let (asking, asked) = mpsc::unbounded_channel();
        (Heir(asking), asked)
    }

    /// Whether it would send this client to the same place; `None`: it does not say.
    pub(super) async fn agrees(&self, client: Standing) -> Option<bool> {
        let (word, given) = oneshot::channel();
        // Nobody may be there to ask it any more.
        drop(self.0.send(Undecided { client, word }));
        timeout(WORD_WITHIN, given).await.ok()?.ok()
    }
}
