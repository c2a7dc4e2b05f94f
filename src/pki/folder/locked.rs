//! A CA folder that is being worked on, by nobody else.

use super::super::bundle::{Order, Wish};
use super::super::layout::Subject;
use super::super::request::{self, Request};
use super::super::{Authority, Layout, Name, PkiError, Serial};
use super::deliver::ByWord;
use super::index::{Event, Issue, State, append};
use super::policy::{self, Waived};
use super::{Delivery, Folder, INDEX, LOCK, Receipt};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Another command is done in this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// A CA folder under its lock; what a crash left undone is done.
#[derive(Debug)]
pub struct Locked {
    pub(super) folder: Folder,
    pub(super) index: File,
    // Unlocked when dropped, or when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Takes the folder's lock, waiting for it up to 30 s, reads it anew, and finishes what a crash
    /// left undone.
    ///
    /// # Errors
    /// [`PkiError::Locked`], [`PkiError::Io`], and as [`Folder::open`].
    pub fn lock(&self) -> Result<Locked, PkiError> {
        let path = self.path().join(LOCK);
        let open = |path: &PathBuf, create| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .truncate(false)
                .open(path);
            file.map_err(PkiError::io("open it for writing", path))
        };
        let lock = open(&path, true)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => {
                    return Err(PkiError::io("lock it", &path)(error));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(PkiError::Locked { path, seconds });
                }
            }
        }
        let mut locked = Locked {
            folder: Folder::open(self.path())?,
            index: open(&self.path().join(INDEX), false)?,
            _lock: lock,
        };
        locked.recover()?;
        Ok(locked)
    }
}

impl Locked {
    /// The folder as it is now.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Issues what is ordered; `hub` is the hub's name that a party's certificate may carry though it
    /// gives away that the party can pose as the hub. `writer` is for [`super::To::Writer`].
    ///
    /// # Errors
    /// [`PkiError::AlreadyIssued`], [`PkiError::Taken`], [`PkiError::Above`], [`PkiError::HubName`],
    /// [`PkiError::Exists`],
    /// [`PkiError::Io`], and of [`Order::make`].
    pub fn issue(
        &mut self,
        authority: &Authority,
        order: &Order,
        hub: Option<&Name>,
        delivery: &Delivery,
        writer: &mut dyn Write,
    ) -> Result<Receipt, PkiError> {
        let waived = Waived::issuing(hub);
        policy::check(&self.folder.state, order, waived)?;
        let bundle = order.make(authority, self.numbers())?;
        let said = ByWord {
            hubs: waived.hubs,
            organization: order.organization().is_some(),
        };
        self.deliver(order, &bundle, said, delivery, writer)
    }

    /// Signs a request's key. `said` is whether the operator said the order's names, and its `O=`; else
    /// they are the request's own, and must be nobody's in any layout.
    ///
    /// # Errors
    /// As [`Locked::issue`]; [`PkiError::Request`] for a key that the layout's readers do not load.
    pub fn sign(
        &mut self,
        authority: &Authority,
        order: &Order,
        request: &Request,
        (said, organization): (bool, bool),
        delivery: &Delivery,
        writer: &mut dyn Write,
    ) -> Result<Receipt, PkiError> {
        request.check_layout(order.layout())?;
        let waived = Waived::signing((said, organization));
        policy::check(&self.folder.state, order, waived)?;
        let serial = self.numbers()()?;
        let bundle = order.sign(authority, request.key(), serial)?;
        let said = ByWord {
            organization,
            ..ByWord::default()
        };
        self.deliver(order, &bundle, said, delivery, writer)
    }

    /// Makes a new certificate with the old one's names, organisation and layout: with a new key, or
    /// for the same key where that is elsewhere. The old one stays valid until it ends or is revoked;
    /// what of it has ended is judged as if it was never issued.
    ///
    /// # Errors
    /// As [`Locked::issue`]; [`PkiError::Revoked`].
    pub fn renew(
        &mut self,
        authority: &Authority,
        old: &Issue,
        valid_for: Duration,
        delivery: &Delivery,
        writer: &mut dyn Write,
    ) -> Result<Receipt, PkiError> {
        let order = renewal(old, valid_for)?;
        let mut own = old.certificates.iter().map(|certified| certified.serial);
        if own.any(|serial| self.folder.state.is_revoked(serial)) {
            return Err(PkiError::Revoked(old.primary.clone()));
        }
        // It was allowed when the old one was issued, and nobody was given any of it as long as that
        // counts.
        let renews = self.folder.state.live().any(|live| live.id() == old.id());
        let hubs = match renews {
            true => self.hub_names(old),
            false => dns(&old.hub_names),
        };
        let waived = Waived {
            renews,
            // Of a request nobody knows whether its names were said.
            said: renews || !old.by_request,
            organization: old.organization_said || !old.by_request,
            lends: false,
            hubs: &hubs,
        };
        policy::check(&self.folder.state, &order, waived)?;
        let bundle = if old.by_request {
            let key = request::key_of(&old.certificates[0].pem)?;
            let serial = self.numbers()()?;
            order.sign(authority, &key, serial)?
        } else {
            order.make(authority, self.numbers())?
        };
        let said = ByWord {
            hubs: &hubs,
            organization: old.organization_said,
        };
        self.deliver(&order, &bundle, said, delivery, writer)
    }

    /// The hub's names in a certificate that is not the hub's.
    fn hub_names(&self, old: &Issue) -> Vec<Name> {
        if old.layout == Layout::Hub {
            return Vec::new();
        }
        let hubs = self.folder.state.live();
        let hubs = hubs.filter(|issue| issue.layout == Layout::Hub);
        let names = hubs.flat_map(|issue| issue.certificates[0].names.clone());
        let names = names.chain(old.hub_names.clone()).chain(self.folder.hub());
        let names: Vec<String> = names.collect();
        let own = old
            .certificates
            .iter()
            .flat_map(|certified| &certified.names);
        dns(own.filter(|name| names.contains(name)))
    }

    /// Gives numbers that were never given, here or to what the same order makes.
    fn numbers(&self) -> impl FnMut() -> Result<Serial, PkiError> + use<'_> {
        let mut given = Vec::new();
        move || loop {
            let serial = Serial::random()?;
            if !self.folder.state.used(serial) && !given.contains(&serial) {
                given.push(serial);
                return Ok(serial);
            }
        }
    }

    pub(super) fn append(&mut self, event: Event) -> Result<(), PkiError> {
        let path = self.folder.path.join(INDEX);
        let state: &mut State = &mut self.folder.state;
        append(&mut self.index, state, event).map_err(PkiError::io("write it", &path))
    }
}

fn dns<'n>(names: impl IntoIterator<Item = &'n String>) -> Vec<Name> {
    let names = names.into_iter().map(|name| Name::dns(name));
    names.filter_map(Result::ok).collect()
}

fn renewal(old: &Issue, valid_for: Duration) -> Result<Order, PkiError> {
    let first = &old.certificates[0];
    let fixed = matches!(old.layout.spec().leaves[0].subject, Subject::Fixed(_));
    let wish = Wish {
        names: if fixed { &[] } else { &first.names },
        organization: first.organization.as_deref(),
        key: request::kind_of(&first.pem),
        domain: None,
    };
    Order::new(old.layout, &wish, valid_for)
}
