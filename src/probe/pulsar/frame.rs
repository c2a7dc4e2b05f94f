//! Frames: total size and command size, four bytes each, then a BaseCommand in protobuf.

use crate::terminal::escape;
use crate::tls::{LooksLike, looks_like};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// An answer to what is asked here has some hundred bytes.
const MOST: usize = 64 * 1024;

/// PulsarApi.proto, ProtocolVersion: v21, of Pulsar 2.10 and newer.
const PROTOCOL: u64 = 21;

/// BaseCommand.Type, which is also the number of the field that holds the command itself.
mod kind {
    pub(super) const CONNECT: u64 = 2;
    pub(super) const CONNECTED: u64 = 3;
    pub(super) const ERROR: u64 = 14;
    pub(super) const PING: u64 = 18;
    pub(super) const PONG: u64 = 19;
    pub(super) const LOOKUP: u64 = 23;
    pub(super) const LOOKUP_RESPONSE: u64 = 24;
    pub(super) const AUTH_CHALLENGE: u64 = 36;
}

/// What a broker said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// To what was asked.
    Reply(Reply),
    /// Of its own.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Connected {
        server: String,
        protocol: u64,
        max_message: Option<u64>,
    },
    Error(String),
    AuthChallenge,
    Pong,
    Lookup {
        plain: Option<String>,
        tls: Option<String>,
    },
    LookupFailed(String),
}

/// Why no command came.
#[derive(Debug)]
pub(super) enum FrameFault {
    NotPulsar(LooksLike),
    Broken(&'static str),
    Io(io::Error),
}

impl From<io::Error> for FrameFault {
    fn from(error: io::Error) -> FrameFault {
        FrameFault::Io(error)
    }
}

/// CONNECT, from a client of this version, with no authentication.
pub(in crate::probe) fn connect() -> Vec<u8> {
    let version = concat!("snihub-doctor-", env!("CARGO_PKG_VERSION"));
    let mut command = Vec::new();
    put_text(&mut command, 1, version);
    put_number(&mut command, 4, PROTOCOL);
    frame(kind::CONNECT, &command)
}

pub(super) fn ping() -> Vec<u8> {
    frame(kind::PING, &[])
}

pub(super) fn lookup(topic: &str) -> Vec<u8> {
    let mut command = Vec::new();
    put_text(&mut command, 1, topic);
    // request_id
    put_number(&mut command, 2, 1);
    frame(kind::LOOKUP, &command)
}

fn frame(kind: u64, command: &[u8]) -> Vec<u8> {
    let mut base = Vec::new();
    put_number(&mut base, 1, kind);
    put_bytes(&mut base, kind, command);
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    [&size(base.len() + 4)[..], &size(base.len()), &base].concat()
}

fn put_varint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

fn put_number(to: &mut Vec<u8>, field: u64, n: u64) {
    put_varint(to, field << 3);
    put_varint(to, n);
}

fn put_bytes(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(to, field << 3 | 2);
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_text(to: &mut Vec<u8>, field: u64, text: &str) {
    put_bytes(to, field, text.as_bytes());
}

/// The sizes, and the type's field, which no command is without.
const HEAD: usize = 10;

/// Reads one frame.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Command, FrameFault> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let size = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (total, size) = (size(0) as usize, size(4) as usize);
    // The first letters of another protocol are a size of a billion.
    if total > MOST || size < 2 || size.saturating_add(4) > total {
        return Err(match looks_like(&head) {
            LooksLike::Unknown => FrameFault::Broken("its sizes are none"),
            LooksLike::Pulsar => FrameFault::Broken("it is longer than any answer"),
            other => FrameFault::NotPulsar(other),
        });
    }
    let mut rest = vec![0; total + 4 - HEAD];
    stream.read_exact(&mut rest).await?;
    let base = [&head[8..], &rest[..size - 2]].concat();
    parse(&base).ok_or(FrameFault::Broken("a command that is no protobuf"))
}

/// A BaseCommand; none if it is broken.
fn parse(base: &[u8]) -> Option<Command> {
    let base = Message::read(base)?;
    let kind = base.number(1)?;
    let command = Message::read(base.bytes(kind).unwrap_or_default())?;
    Some(Command::Reply(match kind {
        kind::CONNECTED => Reply::Connected {
            server: command.text(1, VERSION)?,
            protocol: command.number(2).unwrap_or(0),
            max_message: command.number(3),
        },
        kind::ERROR => Reply::Error(command.text(3, WORDS)?),
        kind::AUTH_CHALLENGE => Reply::AuthChallenge,
        kind::PONG => Reply::Pong,
        kind::LOOKUP_RESPONSE if command.number(3) == Some(LOOKUP_FAILED) => {
            Reply::LookupFailed(command.text(7, WORDS).unwrap_or_default())
        }
        kind::LOOKUP_RESPONSE => Reply::Lookup {
            plain: command.text(1, ADDRESS),
            tls: command.text(2, ADDRESS),
        },
        _ => return Some(Command::Other),
    }))
}

/// Characters of a broker's version, which is one word on a line of 80 columns.
const VERSION: usize = 40;
/// Of an address: a name has 253 at most (RFC 1035 section 2.3.4).
const ADDRESS: usize = 300;
/// Of what it says of an error.
const WORDS: usize = 200;

/// CommandLookupTopicResponse.LookupType.
const LOOKUP_FAILED: u64 = 2;

/// A protobuf message's fields, in order.
struct Message<'b>(Vec<(u64, Field<'b>)>);

enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// Eight or four bytes, which nothing here has.
    Fixed,
}

impl<'b> Message<'b> {
    fn read(mut rest: &'b [u8]) -> Option<Message<'b>> {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let tag = varint(&mut rest)?;
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut rest)?),
                1 => take(&mut rest, 8).map(|_| Field::Fixed)?,
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    Field::Bytes(take(&mut rest, length)?)
                }
                5 => take(&mut rest, 4).map(|_| Field::Fixed)?,
                _ => return None,
            };
            fields.push((tag >> 3, field));
        }
        Some(Message(fields))
    }

    /// The last of a field counts (protobuf encoding, "Last One Wins").
    fn last(&self, number: u64) -> Option<&Field<'b>> {
        let mut fields = self.0.iter().rev();
        fields.find(|(n, _)| *n == number).map(|(_, field)| field)
    }

    fn number(&self, number: u64) -> Option<u64> {
        match self.last(number)? {
            Field::Number(n) => Some(*n),
            _ => None,
        }
    }

    fn bytes(&self, number: u64) -> Option<&'b [u8]> {
        match self.last(number)? {
            Field::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A text, escaped: it plays no tricks on a terminal, whoever sent it. So many characters of it
    /// at most, and a sign that there were more.
    fn text(&self, number: u64, most: usize) -> Option<String> {
        let text = String::from_utf8_lossy(self.bytes(number)?);
        let mut shown = text.chars().flat_map(escape);
        let mut first: String = shown.by_ref().take(most).collect();
        first.extend(shown.next().map(|_| '…'));
        Some(first)
    }
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    // Ten bytes hold 64 bits.
    for shift in (0..70).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        n |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs what never has to wait: all its bytes are there.
    fn given(bytes: &[u8]) -> Result<Command, FrameFault> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut bytes = bytes;
        runtime.unwrap().block_on(read(&mut bytes))
    }

    fn connected() -> Vec<u8> {
        let mut command = Vec::new();
        put_text(&mut command, 1, "Pulsar\u{1b}[2J\u{202e} Server");
        put_number(&mut command, 2, 19);
        frame(kind::CONNECTED, &command)
    }

    #[test]
    fn what_is_written_is_told_by_its_own_opening() {
        assert_eq!(looks_like(&connect()), LooksLike::Pulsar);
        assert_eq!(looks_like(&connected()), LooksLike::Pulsar);
    }

    #[test]
    fn a_frame_that_is_too_large_is_still_pulsars() {
        let mut large = connected();
        large[..4].copy_from_slice(&(MOST as u32 + 5).to_be_bytes());
        large[4..8].copy_from_slice(&(MOST as u32 + 1).to_be_bytes());
        assert_eq!(looks_like(&large), LooksLike::Pulsar);
        assert!(matches!(given(&large), Err(FrameFault::Broken(why)) if why.contains("longer")));
    }

    #[test]
    fn answers_are_read_and_move_no_cursor() {
        let Ok(Command::Reply(Reply::Connected {
            server,
            protocol,
            max_message,
        })) = given(&connected())
        else {
            panic!("no CONNECTED");
        };
        let read = (server.as_str(), protocol, max_message);
        assert_eq!(read, ("Pulsar\\u{1b}[2J\\u{202e} Server", 19, None));
        let mut lookup = Vec::new();
        put_text(&mut lookup, 2, "pulsar+ssl://a:6651");
        put_number(&mut lookup, 3, 1);
        let reply = given(&frame(kind::LOOKUP_RESPONSE, &lookup)).unwrap();
        let tls = Some("pulsar+ssl://a:6651".to_owned());
        assert_eq!(reply, Command::Reply(Reply::Lookup { plain: None, tls }));
        put_number(&mut lookup, 3, LOOKUP_FAILED);
        put_text(&mut lookup, 7, "no");
        let reply = given(&frame(kind::LOOKUP_RESPONSE, &lookup)).unwrap();
        assert_eq!(reply, Command::Reply(Reply::LookupFailed("no".to_owned())));
        put_text(&mut lookup, 7, &"é".repeat(WORDS + 1));
        let Command::Reply(Reply::LookupFailed(words)) =
            given(&frame(kind::LOOKUP_RESPONSE, &lookup)).unwrap()
        else {
            panic!("no failure");
        };
        assert_eq!(words, "é".repeat(WORDS) + "…");
        assert_eq!(given(&ping()).unwrap(), Command::Other);
    }

    #[test]
    fn a_frame_that_is_cut_or_changed_anywhere_is_no_panic() {
        let whole = connected();
        for cut in 0..whole.len() {
            assert!(given(&whole[..cut]).is_err(), "{cut}");
        }
        for (at, byte) in (0..whole.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut changed = whole.clone();
            changed[at] = byte;
            let _ = given(&changed);
        }
    }

    #[test]
    fn other_protocols_are_told_and_long_frames_refused() {
        let Err(FrameFault::NotPulsar(looks)) = given(b"HTTP/1.1 400 Bad Request\r\n\r\n") else {
            panic!("HTTP is a frame");
        };
        assert_eq!(looks, LooksLike::Http);
        let Err(FrameFault::NotPulsar(looks)) = given(b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0")
        else {
            panic!("SETTINGS is a frame");
        };
        assert_eq!(looks, LooksLike::Http2);
        let long = [&(MOST as u32 + 1).to_be_bytes()[..], &[0; 20]].concat();
        assert!(matches!(given(&long), Err(FrameFault::Broken(why)) if why.contains("sizes")));
    }
}
