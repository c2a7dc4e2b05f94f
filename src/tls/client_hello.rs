//! The ClientHello, from the client's first byte on: records, handshake header, message.

use super::ServerName;
use super::message;
use super::record;
use thiserror::Error;

/// Bytes of a handshake header: type and a 24-bit length (RFC 8446 section 4).
const HANDSHAKE_HEADER: usize = 4;

/// `HandshakeType::client_hello`.
const CLIENT_HELLO: u8 = 1;

/// Parses the first flight of a client, resumed as bytes come in. The work is O(bytes + records)
/// whatever the segmentation: no byte is judged again once the stage that needed it is over.
#[derive(Debug)]
pub struct HelloParser {
    /// Bound of the handshake message's length field, in bytes.
    max_message: usize,
    /// Bound of the raw bytes, record headers included.
    max_raw: usize,
    stage: Stage,
    /// Where in the raw bytes the current record begins, and its payload's length.
    record: usize,
    payload: usize,
    /// Handshake bytes in the records before the current one (they are in `joined`).
    taken: usize,
    /// The first of those, until the handshake header is known.
    head: [u8; HANDSHAKE_HEADER],
    /// Handshake header and message, once the header is known.
    total: usize,
}

/// What the parser waits for.
#[derive(Debug, Clone, Copy)]
enum Stage {
    RecordHeader,
    HandshakeHeader,
    Payload,
    /// The last record is in `joined`, too.
    Joined,
}

/// What the bytes so far amount to.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a name is stored inline: a Box would allocate"
)]
pub enum Step {
    /// Incomplete: call again when this many bytes *in total* (from the client's first byte) are in.
    More(usize),
    /// A whole hello.
    Hello(ClientHello),
}

/// What the hub needs of a hello.
#[derive(Debug, Clone)]
pub struct ClientHello {
    /// The name, if there is one (rules 11 and 16 give none).
    pub server_name: Option<ServerName>,
    /// Raw bytes up to the end of the record that ends the hello; what follows is early data.
    pub wire_len: usize,
}

/// The hello is refused. The texts are for an operator and name what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HelloError {
    /// Rules 1 and 2: the first byte is not 22 or the first record's major version is not 3.
    #[error("not TLS")]
    NotTls,
    /// Rules 3 (above 16,384) and 7.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// Every other broken rule.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

impl HelloParser {
    /// `max_client_hello`: bound of the handshake message in bytes; the raw bytes (record headers
    /// included) are bounded by twice that.
    pub fn new(max_client_hello: usize) -> HelloParser {
        HelloParser {
            max_message: max_client_hello,
            max_raw: max_client_hello.saturating_mul(2),
            stage: Stage::RecordHeader,
            record: 0,
            payload: 0,
            taken: 0,
            head: [0; HANDSHAKE_HEADER],
            total: 0,
        }
    }

    /// `raw`: all bytes received so far, from the client's first byte on (and only ever more of
    /// them). `joined`: scratch of the caller's for a hello that is spread over several records,
    /// the same one in each call; untouched when one record holds it.
    ///
    /// `More(n)` is never more than `2 * max_client_hello` (of at least 1), and is the end of what the
    /// next decision needs: the first byte, a record header, the handshake header, a record. Calling
    /// with less is cheap and gives the same `More`. After a hello or an error the parser is
    /// done: the same call repeated gives the same answer.
    ///
    /// # Errors
    /// The client is to be refused; the conformance rule is named in [`HelloError`].
    pub fn advance(&mut self, raw: &[u8], joined: &mut Vec<u8>) -> Result<Step, HelloError> {
        loop {
            let begin = self.record + record::HEADER;
            let end = begin + self.payload;
            let need = match self.stage {
                Stage::RecordHeader => self.record_header(raw)?,
                Stage::HandshakeHeader => self.handshake_header(raw)?,
                Stage::Payload => match raw.get(begin..end) {
                    None => Some(end),
                    Some(payload) if payload.len() == self.total => return hello(payload, end),
                    Some(payload) => {
                        self.join(payload, joined);
                        None
                    }
                },
                Stage::Joined => return hello(joined, end),
            };
            if let Some(need) = need {
                return Ok(Step::More(need));
            }
        }
    }

    /// Rules 1, 2, 3, 5, 7 (raw bytes) and 8. `Some`: bytes needed; `None`: go on.
    fn record_header(&mut self, raw: &[u8]) -> Result<Option<usize>, HelloError> {
        // What is not TLS may be shorter than a header, and then wait for our answer.
        if self.record == 0 {
            match raw.first() {
                None => return Ok(Some(1)),
                Some(&byte) => record::first_byte(byte)?,
            }
        }
        let begin = self.record + record::HEADER;
        // Not even a record of one byte would fit: nothing that comes can make it right.
        if begin >= self.max_raw {
            return Err(TOO_MANY_RAW_BYTES);
        }
        let Some(header) = raw.get(self.record..).and_then(<[u8]>::first_chunk) else {
            return Ok(Some(begin));
        };
        let payload = record::payload_len(*header, self.record == 0)?;
        if payload > self.max_raw - begin {
            return Err(TOO_MANY_RAW_BYTES);
        }
        let header_known = self.total != 0;
        if header_known {
            check_remainder(self.total, self.taken + payload)?;
        }
        self.payload = payload;
        self.stage = if header_known {
            Stage::Payload
        } else {
            Stage::HandshakeHeader
        };
        Ok(None)
    }

    /// Rules 6, 7 and 8, as soon as the header's four bytes are in: they may be spread over up to
    /// four records, so never more of them is read from this record than it holds.
    fn handshake_header(&mut self, raw: &[u8]) -> Result<Option<usize>, HelloError> {
        let begin = self.record + record::HEADER;
        let known = HANDSHAKE_HEADER.min(self.taken + self.payload);
        let need = begin + known - self.taken;
        let Some(bytes) = raw.get(begin..need) else {
            return Ok(Some(need));
        };
        for (to, from) in self.head[self.taken..].iter_mut().zip(bytes) {
            *to = *from;
        }
        let [kind, high, middle, low] = self.head;
        // RFC 8446 section 4.1.2: the client's first message is a ClientHello.
        if kind != CLIENT_HELLO {
            return Err(HelloError::Malformed(
                "the first handshake message is no ClientHello",
            ));
        }
        if known == HANDSHAKE_HEADER {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > self.max_message {
                return Err(HelloError::TooLarge("hello longer than max_client_hello"));
            }
            check_remainder(HANDSHAKE_HEADER + length, self.taken + self.payload)?;
            self.total = HANDSHAKE_HEADER + length;
        }
        self.stage = Stage::Payload;
        Ok(None)
    }

    /// Rule 4: takes a record's payload over, and goes on to the next record unless it was the
    /// last one.
    fn join(&mut self, payload: &[u8], joined: &mut Vec<u8>) {
        if self.taken == 0 {
            joined.clear();
        }
        joined.extend_from_slice(payload);
        self.taken += payload.len();
        if self.taken == self.total {
            self.stage = Stage::Joined;
            return;
        }
        self.record += record::HEADER + payload.len();
        self.payload = 0;
        self.stage = Stage::RecordHeader;
    }
}

const TOO_MANY_RAW_BYTES: HelloError =
    HelloError::TooLarge("hello and record headers longer than twice max_client_hello");

/// Rule 8. RFC 8446 section 5.1: nothing may follow the ClientHello in its record, since keys may
/// change after it.
fn check_remainder(total: usize, with_record: usize) -> Result<(), HelloError> {
    if with_record > total {
        return Err(HelloError::Malformed(
            "bytes after the hello inside its record",
        ));
    }
    Ok(())
}

/// `handshake`: header and message, whole; `wire_len`: the raw bytes they came in.
fn hello(handshake: &[u8], wire_len: usize) -> Result<Step, HelloError> {
    let body = handshake.get(HANDSHAKE_HEADER..).unwrap_or_default();
    let server_name = message::server_name(body)?;
    Ok(Step::Hello(ClientHello {
        server_name,
        wire_len,
    }))
}
