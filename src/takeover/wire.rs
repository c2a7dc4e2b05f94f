//! What the two processes say to each other: JSON, in as many packets as it takes.
//!
//! A packet begins with one byte that tells whether a message begins and ends with it: a successor
//! goes on with the connections of the process before it, and lets go of the rest of a message that
//! it has not seen the beginning of.

use crate::net::packets::{MAX_DESCRIPTORS, MAX_PACKET, Packet};
use crate::net::{PacketSocket, PacketStream};
use crate::telemetry::{Declined, Image, SessionId, Tunnel};
use crate::worker::{Group, Standing};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Changes when the hand-over itself does; not when a count or a field is added.
pub(super) const PROTOCOL: u32 = 2;
/// Bytes of a message: 100,000 tunnels are some 50 MB.
const MOST: usize = 256 << 20;
/// Descriptors with a message: 1,024 workers on four addresses.
const MOST_DESCRIPTORS: usize = 4096;

const FIRST: u8 = 1;
const LAST: u8 = 2;

/// All that is said, in the order of a hand-over that succeeds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// By the intermediate: a process runs; its pidfd comes with it.
    Started { pid: u32 },
    /// By the intermediate: it does not.
    NotStarted { why: String },
    /// By the successor: its files are right.
    Hello {
        protocol: u32,
        version: String,
        /// Its number as it knows it.
        #[serde(default)]
        pid: Option<u32>,
        /// See [`time_namespace`].
        #[serde(default)]
        time: Option<String>,
    },
    /// What it is to have; the descriptors come with it.
    Estate(Estate),
    /// By the successor: it will not come up, and ends with this exit code.
    Failing { exit: u8 },
    /// By the successor: it accepts. Whether it goes on with the admin door's unix socket, and its file.
    Ready { version: String, adopted: bool },
    /// It is to be the hub.
    Go,
    /// By the successor: it is. From here on there is no way back, for either.
    Taken,
    /// All that the old process has besides. Connections to those of `predecessors` come with it.
    Legacy(Box<Legacy>),
    /// It is not the hub, and ends. Never after `Taken` was heard.
    Refused { why: String },
    /// From now on by whoever is the hub: its number is the upper half of `id`. The first is given in
    /// its name, by the hub before it.
    /// Who waits for it waits no longer when `until` has passed, and it is not to be done then: a
    /// number of [`clock`].
    Order {
        id: u64,
        order: Order,
        #[serde(default)]
        until: Option<u64>,
    },
    /// The answer, with the same id.
    Reply { id: u64, reply: Reply },
    /// By the old process: whether the hub, too, would let this client in, which was in the middle of
    /// its hello.
    Undecided { id: u64, client: Standing },
    /// The answer, with the same id.
    Decided { id: u64, lets_in: bool },
    /// The old process ends, and has counted this.
    Last(Box<Image>),
    /// What another version says, and this one does not know.
    #[serde(skip)]
    Unknown,
}

/// What a successor is handed before it accepts. Descriptors come in this order: `sockets`, `doors`,
/// stderr if `stderr`, a [`crate::net::Barrier`] if `notice`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Estate {
    pub(super) pid: u32,
    pub(super) first_session: SessionId,
    pub(super) sockets: Vec<Socket>,
    pub(super) doors: Vec<Door>,
    pub(super) stderr: bool,
    /// Passed when the service manager knows the successor.
    pub(super) notice: bool,
    /// Ids of the routes in force.
    pub(super) routes: Vec<Arc<str>>,
    /// Whether most of them may be gone.
    pub(super) allow_shrink: bool,
}

/// A listening socket, see [`crate::net::Passed`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Socket {
    pub(super) name: String,
    pub(super) listed: Option<SocketAddr>,
}

/// A door's socket: its key in hub.yaml and what stands there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Door {
    pub(super) key: String,
    pub(super) at: String,
    /// Of a unix socket's file; 0 of another.
    pub(super) inode: u64,
}

/// What a successor is handed when it is the hub, and could be without.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Legacy {
    /// What the old process and those before it that are gone have counted.
    pub(super) image: Image,
    pub(super) reloads: Vec<u64>,
    /// Of late, oldest first.
    pub(super) declined: Vec<Declined>,
    pub(super) until_unix_ms: u64,
    /// As an operator has chosen it while the process ran.
    pub(super) log_level: Option<String>,
    /// Those before it that still hold tunnels.
    pub(super) predecessors: Vec<Forefather>,
}

/// A process that holds tunnels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Forefather {
    pub(super) pid: u32,
    pub(super) until_unix_ms: u64,
    pub(super) image: Image,
}

/// What a successor has done by a process before it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Count,
    Tunnels,
    Standing,
    End {
        session: SessionId,
    },
    Drain {
        group: WireGroup,
        over_ms: u64,
        removed: bool,
    },
    Stop {
        over_ms: u64,
    },
    Kill,
}

/// [`Group`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireGroup {
    Route(Arc<str>),
    Party(Arc<str>),
    These(HashSet<SessionId>),
}

/// The answer to an [`Order`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Counted { image: Box<Image>, sessions: usize },
    Tunnels(Vec<Tunnel>),
    Standing(Vec<Standing>),
    Ended(bool),
    Drained(usize),
    Done,
}

impl From<Group> for WireGroup {
    fn from(group: Group) -> WireGroup {
        match group {
            Group::Route(id) => WireGroup::Route(id),
            Group::Party(id) => WireGroup::Party(id),
            Group::These(ids) => WireGroup::These(Arc::unwrap_or_clone(ids)),
        }
    }
}

impl From<WireGroup> for Group {
    fn from(group: WireGroup) -> Group {
        match group {
            WireGroup::Route(id) => Group::Route(id),
            WireGroup::Party(id) => Group::Party(id),
            WireGroup::These(ids) => Group::These(Arc::new(ids)),
        }
    }
}

/// A message, and what came with it.
pub(super) type Got = Option<(Message, Vec<OwnedFd>)>;

/// Puts packets together.
#[derive(Debug, Default)]
struct Inbox {
    begun: bool,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Inbox {
    /// The message, if this was its last packet.
    fn take(&mut self, packet: Packet) -> io::Result<Got> {
        let Some((head, body)) = packet.bytes.split_first() else {
            return Ok(None);
        };
        if head & FIRST != 0 {
            *self = Inbox {
                begun: true,
                ..Inbox::default()
            };
        }
        if !self.begun {
            return Ok(None);
        }
        self.bytes.extend_from_slice(body);
        self.descriptors.extend(packet.descriptors);
        if self.bytes.len() > MOST || self.descriptors.len() > MOST_DESCRIPTORS {
            return Err(ErrorKind::InvalidData.into());
        }
        if head & LAST == 0 {
            return Ok(None);
        }
        let whole = std::mem::take(self);
        let message = serde_json::from_slice(&whole.bytes).unwrap_or(Message::Unknown);
        Ok(Some((message, whole.descriptors)))
    }
}

/// Milliseconds that every process of a [`time_namespace`] counts alike, and that no one sets
/// (CLOCK_MONOTONIC, clock_gettime(2)).
pub(super) fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// What tells whose [`clock`] this process has (time_namespaces(7)); `None`: the kernel knows of none
/// (before Linux 5.6).
pub(super) fn time_namespace() -> Option<String> {
    let namespace = std::fs::read_link("/proc/self/ns/time").ok()?;
    namespace.into_os_string().into_string().ok()
}

/// The packets of a message: the first byte, some bytes, some descriptors.
struct Packets<'a> {
    bytes: &'a [u8],
    descriptors: &'a [BorrowedFd<'a>],
    first: bool,
    over: bool,
}

impl<'a> Packets<'a> {
    fn of(bytes: &'a [u8], descriptors: &'a [BorrowedFd<'a>]) -> Packets<'a> {
        Packets {
            bytes,
            descriptors,
            first: true,
            over: false,
        }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = (u8, &'a [u8], &'a [BorrowedFd<'a>]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let (body, later) = self.bytes.split_at(self.bytes.len().min(MAX_PACKET - 1));
        let with = self.descriptors.len().min(MAX_DESCRIPTORS);
        let (with, others) = self.descriptors.split_at(with);
        self.over = later.is_empty() && others.is_empty();
        let head = u8::from(self.first) * FIRST + u8::from(self.over) * LAST;
        (self.bytes, self.descriptors, self.first) = (later, others, false);
        Some((head, body, with))
    }
}

/// Says something, and waits until it is sent.
pub(super) fn say(
    socket: &PacketSocket,
    message: &Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut packets = Packets::of(&bytes, descriptors);
    packets.try_for_each(|(head, body, with)| socket.send(head, body, with))
}

/// Waits for the next message; `None`: nobody is left there.
pub(super) fn hear(socket: &PacketSocket) -> io::Result<Got> {
    let mut inbox = Inbox::default();
    loop {
        let Some(packet) = socket.recv()? else {
            return Ok(None);
        };
        if let Some(message) = inbox.take(packet)? {
            return Ok(Some(message));
        }
    }
}

/// The half of a connection that says something.
#[derive(Debug, Clone)]
pub(super) struct Mouth(Arc<PacketStream>);

impl Mouth {
    /// Says something. A message that is given up halfway, or that another one comes into, is let go by
    /// who hears the next one.
    pub(super) async fn say(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        for (head, body, with) in Packets::of(&bytes, descriptors) {
            self.0.send(head, body, with).await?;
        }
        Ok(())
    }
}

/// A connection in a runtime.
#[derive(Debug)]
pub(super) struct Wire {
    mouth: Mouth,
    inbox: Inbox,
    /// Has come, and is heard next.
    next: Got,
}

impl Wire {
    /// In the current runtime.
    pub(super) fn new(socket: PacketSocket) -> io::Result<Wire> {
        Ok(Wire {
            mouth: Mouth(Arc::new(PacketStream::new(socket)?)),
            inbox: Inbox::default(),
            next: None,
        })
    }

    /// The connection, for somebody who goes on with it.
    pub(super) fn copy(&self) -> io::Result<PacketSocket> {
        self.mouth.0.try_clone()
    }

    /// For who says something while an answer is waited for.
    pub(super) fn mouth(&self) -> Mouth {
        self.mouth.clone()
    }

    /// As [`Mouth::say`].
    pub(super) async fn say(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.mouth.say(message, descriptors).await
    }

    /// Waits for the next message, which is heard later; whether there is one. Cancel safe.
    pub(super) async fn expect(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.hear().await.unwrap_or(None);
        }
        self.next.is_some()
    }

    /// The next message; `None`: nobody is left there. Cancel safe.
    pub(super) async fn hear(&mut self) -> io::Result<Got> {
        if self.next.is_some() {
            return Ok(self.next.take());
        }
        loop {
            let Some(packet) = self.mouth.0.recv().await? else {
                return Ok(None);
            };
            if let Some(message) = self.inbox.take(packet)? {
                return Ok(Some(message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    fn large() -> Message {
        let why = "x".repeat(5 * MAX_PACKET + 1);
        Message::Refused { why }
    }

    #[test]
    fn a_large_message_comes_whole_with_all_that_came_with_it() {
        let [one, other] = PacketSocket::pair().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let with = vec![socket.as_fd(); 10 * MAX_DESCRIPTORS + 3];
        let sending = std::thread::spawn(move || hear(&other).unwrap().unwrap());
        say(&one, &large(), &with).unwrap();
        let (message, descriptors) = sending.join().unwrap();
        assert_eq!(descriptors.len(), with.len());
        let Message::Refused { why } = message else {
            panic!("{message:?}")
        };
        assert_eq!(why.len(), 5 * MAX_PACKET + 1);
    }

    #[test]
    fn the_rest_of_a_message_that_began_elsewhere_is_let_go() {
        let [one, other] = PacketSocket::pair().unwrap();
        say(&one, &large(), &[]).unwrap();
        say(&one, &Message::Started { pid: 7 }, &[]).unwrap();
        drop(other.recv().unwrap());
        let (message, _) = hear(&other).unwrap().unwrap();
        assert!(
            matches!(message, Message::Started { pid: 7 }),
            "{message:?}"
        );
    }

    #[test]
    fn what_is_not_understood_is_a_message_too() {
        let [one, other] = PacketSocket::pair().unwrap();
        for text in [&br#"{"hint":{"x":1}}"#[..], b"\xff", b""] {
            one.send(FIRST | LAST, text, &[]).unwrap();
        }
        say(&one, &Message::Taken, &[]).unwrap();
        for _ in 0..3 {
            assert!(matches!(hear(&other), Ok(Some((Message::Unknown, _)))));
        }
        assert!(matches!(hear(&other), Ok(Some((Message::Taken, _)))));
    }

    #[tokio::test]
    async fn a_slow_reader_gets_everything_and_the_end() {
        let [one, other] = PacketSocket::pair().unwrap();
        let (one, mut other) = (Wire::new(one).unwrap(), Wire::new(other).unwrap());
        let telling = async move {
            for _ in 0..20 {
                one.say(&large(), &[]).await.unwrap();
            }
        };
        let hearing = async move {
            let mut heard = 0;
            while other.hear().await.unwrap().is_some() {
                heard += 1;
            }
            heard
        };
        assert_eq!(tokio::join!(telling, hearing).1, 20);
    }
}
