//! The sessions of a worker, as it and its orders know them.

use super::{Standing as Described, Worker};
use crate::net::Target;
use crate::route::{Decision, Denied, Query, Route, RouteTable};
use crate::telemetry::{Outcome, Record, SessionId};
use crate::tls::ServerName;
use crate::tunnel::{Ended, Handle};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// A session as its worker knows it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: RefCell<Record>,
    pub(super) standing: RefCell<Option<Standing>>,
    /// Set as soon as it is spawned.
    pub(super) task: OnceCell<AbortHandle>,
    /// Days of its life that were told.
    pub(super) alive_told: Cell<u64>,
    pub(super) began: Instant,
}

/// What a tunnel was decided by.
#[derive(Debug)]
pub struct Decided {
    /// What was asked.
    pub place: Place,
    /// The entry that took it.
    pub route: Arc<Route>,
    /// Where it led.
    pub target: Target,
    /// When.
    pub at: Instant,
}

/// A tunnel as its worker knows it.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) why: Decided,
    handle: Rc<Handle>,
}

/// A [`Query`] that can be asked again, in little memory: links live for months.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// The server name.
    pub name: Option<Arc<str>>,
    /// Canonical.
    pub source: IpAddr,
    /// The hub's port.
    pub inbound_port: u16,
    /// Of the PROXY header.
    pub proxy_port: Option<u16>,
}

impl Place {
    /// What `routes` say today.
    pub fn decide<'t>(&self, routes: &'t RouteTable) -> Result<Decision<'t>, Denied<'t>> {
        // It was one once, and is to this day.
        let name = self
            .name
            .as_ref()
            .and_then(|name| ServerName::parse(name.as_bytes()).ok());
        routes.decide(&Query {
            name: name.as_ref(),
            source: self.source,
            inbound_port: self.inbound_port,
            proxy_port: self.proxy_port,
        })
    }
}

impl Entry {
    /// What another worker or this one accepted, or a tunnel that has come.
    pub(super) fn new(record: Record, began: Instant, alive_told: u64) -> Rc<Entry> {
        Rc::new(Entry {
            record: RefCell::new(record),
            standing: RefCell::default(),
            task: OnceCell::new(),
            alive_told: Cell::new(alive_told),
            began,
        })
    }

    /// The tunnel stands.
    pub(super) fn stands(&self, why: Decided, handle: Rc<Handle>) {
        self.standing.replace(Some(Standing { why, handle }));
    }

    /// It leaves this worker: what it was decided by.
    pub(super) fn no_longer_stands(&self) -> Option<Decided> {
        self.standing.take().map(|standing| standing.why)
    }

    /// The route of a tunnel that stands.
    pub(super) fn route(&self) -> Option<Arc<Route>> {
        let standing = self.standing.borrow();
        Some(Arc::clone(&standing.as_ref()?.why.route))
    }

    /// Has a look at the sockets of a tunnel that stands.
    pub(super) fn look<R>(&self, look: impl FnOnce(&[TcpStream; 2]) -> Option<R>) -> Option<R> {
        let standing = self.standing.borrow();
        standing.as_ref()?.handle.with_sockets(look)?
    }

    /// Ends a tunnel by its handle; what has not come so far is dropped where it stands.
    pub(super) fn end(&self, why: Ended) {
        if let Some(standing) = &*self.standing.borrow() {
            standing.handle.end(why);
            return;
        }
        self.record.borrow_mut().abort_for(why);
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// A session's own grip on its entry: while it lives the worker knows the session; when it goes,
/// however it goes, the record is told.
pub struct Live {
    pub(super) worker: Rc<Worker>,
    pub(super) id: SessionId,
    pub(super) entry: Rc<Entry>,
    heir_is_silent: Cell<bool>,
}

impl Live {
    /// From now on the worker knows the session.
    pub(super) fn enter(worker: &Rc<Worker>, id: SessionId, entry: &Rc<Entry>) -> Live {
        worker.sessions.borrow_mut().insert(id, Rc::clone(entry));
        worker.publish_load();
        Live {
            worker: Rc::clone(worker),
            id,
            entry: Rc::clone(entry),
            heir_is_silent: Cell::new(false),
        }
    }

    /// The record, to add to.
    pub fn record(&self) -> RefMut<'_, Record> {
        self.entry.record.borrow_mut()
    }

    /// Whether another process that is the hub by now would send this client to the same place; so it is
    /// where that does not say, and then it is not asked again: a client waits for it once.
    pub async fn heir_agrees(&self, why: &Decided) -> bool {
        let heir = self.worker.heir.borrow().clone();
        let Some(heir) = heir.filter(|_| !self.heir_is_silent.get()) else {
            return true;
        };
        let word = heir.agrees(Described::of(self.id, why)).await;
        self.heir_is_silent.set(word.is_none());
        word != Some(false)
    }

    /// The tunnel stands.
    pub fn stand(&self, why: Decided, handle: Rc<Handle>) {
        self.record().opened(Rc::clone(&handle));
        self.entry.stands(why, handle);
    }

    /// The session ended this way.
    pub fn close(self, outcome: Outcome) {
        self.record().close(&outcome);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.worker.sessions.borrow_mut().remove(&self.id);
        self.worker.publish_load();
        self.entry.record.borrow_mut().abandoned();
    }
}
