//! How a worker asks.

use super::name::{self, HostName};
use super::{Addresses, Answer, ResolveError};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// One question.
pub(super) struct Ask {
    pub(super) name: Arc<str>,
    pub(super) host: HostName,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// Asks the resolver from any thread; cheap to clone. No DNS work runs on the asking thread.
#[derive(Debug, Clone)]
pub struct ResolveClient {
    asks: mpsc::Sender<Ask>,
}

impl ResolveClient {
    pub(super) fn new(asks: mpsc::Sender<Ask>) -> ResolveClient {
        ResolveClient { asks }
    }

    /// The addresses of `name`, until `deadline`. A literal address is its own answer.
    ///
    /// # Errors
    /// [`ResolveError`]. A name that is no host name is refused here, without a question.
    pub async fn resolve(&self, name: &Arc<str>, deadline: Instant) -> Answer {
        if let Some(ip) = name::literal(name) {
            return Ok(Addresses::from([ip]));
        }
        let host = name::parse(name).map_err(|why| ResolveError::NotAName(name.clone(), why))?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            name: name.clone(),
            host,
            reply,
        };
        self.asks.try_send(ask).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => ResolveError::Busy(name.clone()),
            mpsc::error::TrySendError::Closed(_) => ResolveError::Stopped(name.clone()),
        })?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ResolveError::Stopped(name.clone())),
            Err(_) => Err(ResolveError::TimedOut(name.clone())),
        }
    }
}
