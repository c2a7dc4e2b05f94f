//! Upgrade without losing anyone: a process hands all that it listens on to its successor, and goes
//! on with the tunnels that stand.
//!
//! ```text
//! the old process                                   the new one
//! an order comes (`snihub upgrade`)
//! starts the intermediate, which ends  ---------->  starts, and judges its files
//!                       <- Hello
//! its listening sockets, by SCM_RIGHTS
//!                       Estate ->
//!                                                   opens what is missing, starts its workers, accepts
//!                       <- Ready
//!                       Go ->
//!                       <- Taken                    is the hub, whatever comes
//! closes its doors, stops accepting,
//! tells the service manager MAINPID
//!                       Legacy ->                   what was counted, the processes before
//!                                                   opens its doors, tells the manager READY
//!                       <- Order, Reply ->          counts, tunnels, kill, drain, route removal
//! has the rest of a client's hello
//!                       Undecided ->                whether its routes let that client in
//!                       <- Decided
//! closes what is left evenly over `upgrade_drain`
//!                       Last ->                     its counts stay
//! ```
//!
//! Both accept from the *same* sockets: a connection is in the queue of one, and there is no moment
//! at which nobody holds it. Taken is the one point without return. Until it has come the old process
//! has given up nothing: it accepts, and whatever goes wrong, and whatever is not said in time, the
//! successor is ended and nothing has changed. Once it has said so the new one never ends over the
//! hand-over: a Legacy that is bad, or does not come, costs counts, and no client; one that comes late
//! is taken all the same.
//!
//! A connection that is lost, and a message that is not understood, are no end of a process: that is told
//! by its pidfd alone. A service manager that does not read its queue is told of the new process for as
//! long as the old one lives, and that does not end before the manager has answered: what it had not
//! heard of it would take for the end of the service. It hears its main process alone: the answer reaches
//! the new one as well, which names no successor of its own, nor says anything else, before.
//!
//! A process may have several before it, each with a connection of its own to the one that is the hub:
//! an upgrade hands those connections on.

mod inheritance;
mod launch;
mod obey;
mod succession;
mod wire;

pub use inheritance::{Farewell, Handed, Links, Predecessor, TakeoverError};
pub use launch::{COMMAND, hear_requests, remember_binary, start_successor};
pub(crate) use succession::candidate;

use crate::net::{Barrier, PassedDoor};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a successor may take until it accepts, at most.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long one that accepts may take until it says that it is the hub.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// How long it waits for what it could do without; for which the old process needs a second if the
/// service manager does not read.
const LEGACY_WITHIN: Duration = Duration::from_secs(10);
/// For the answer to an order; a little more than the old process gives its workers.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// For saying what nobody may hear: that a candidate is none, a question, its answer.
const SAID_WITHIN: Duration = Duration::from_secs(1);

/// Exit code (EX_UNAVAILABLE of sysexits(3)) where a hub cannot be upgraded at all, and a restart
/// would do.
pub const NEEDS_RESTART: u8 = 69;

/// What the admin door asks for.
#[derive(Debug)]
pub enum Asked {
    /// To start a successor.
    Upgrade {
        /// This program; `None`: where the running one was started from.
        binary: Option<PathBuf>,
        /// Whether it may have lost most of the routes, as if hub.yaml said so.
        allow_shrink: bool,
        /// It is ended if it does not accept by then.
        within: Duration,
        /// Where the verdict goes.
        verdict: oneshot::Sender<Result<Upgraded, NotUpgraded>>,
    },
    /// To be succeeded by a process that was started already.
    Takeover {
        /// The abstract name of the socket to which it is to connect.
        verdict: oneshot::Sender<Result<String, NotUpgraded>>,
    },
}

impl Asked {
    fn refuse(self, why: &str) {
        // Who has asked may be gone.
        match self {
            Asked::Upgrade { verdict, .. } => drop(verdict.send(Err(NotUpgraded::of(why)))),
            Asked::Takeover { verdict } => drop(verdict.send(Err(NotUpgraded::of(why)))),
        }
    }
}

/// A successor is the hub now.
#[derive(Debug, Clone)]
pub struct Upgraded {
    /// The process that was it.
    pub old: u32,
    /// The one that is.
    pub new: u32,
    /// Of the new one.
    pub version: String,
    /// How many stay with the old one.
    pub tunnels: u64,
    /// Over which they are closed.
    pub over: Duration,
    /// When the last one is.
    pub until: SystemTime,
}

/// Nothing has changed, but for an outage.
#[derive(Debug, Clone)]
pub struct NotUpgraded {
    /// Why.
    pub why: String,
    /// What the successor said last.
    pub said: Vec<String>,
    /// With which it said it would end.
    pub exit: Option<u8>,
    /// The successor was the hub, and is no more: nobody accepts.
    pub outage: bool,
}

impl NotUpgraded {
    fn of(why: impl Into<String>) -> NotUpgraded {
        NotUpgraded {
            why: why.into(),
            said: Vec::new(),
            exit: None,
            outage: false,
        }
    }
}

/// Ends when the service manager has heard which process is the hub, and has acted on it.
pub type Noticing = JoinHandle<()>;

/// How a service manager tells that it has noticed a process, and its end of that.
pub type Notice = (Barrier, OwnedFd);

/// What becomes of the rest of the process when a successor is the hub: called, nobody is let in any
/// more; what comes back tells the service manager, and waits a little for it to read that.
pub type StepDown =
    Box<dyn FnOnce(u32, bool, Option<Notice>) -> Pin<Box<dyn Future<Output = Option<Noticing>>>>>;

/// What a hub has besides what its [`crate::server::Hub`] knows, and hands on, too.
#[derive(Default)]
pub struct Household {
    /// Copies of the sockets of its doors.
    pub doors: Vec<PassedDoor>,
    /// Whether a service manager runs it: then only it may start the successor.
    pub managed: bool,
    /// Whether that wants a sign of life.
    pub watchdog: bool,
    /// The connections to the processes before this one.
    pub links: Links,
    /// Told the number of the new process, whether it goes on with the admin door's unix socket, and, if
    /// a service manager runs it, by what that is to tell both that it knows the new one.
    pub step_down: Option<StepDown>,
}

impl fmt::Debug for Household {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Household")
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}
