//! The ClientHello that opens each tunnel, in the shapes of today's clients, and the origin's way
//! to its end.

#[allow(
    dead_code,
    reason = "the tests' builder, of which little is needed here"
)]
#[path = "../../../tests/it/support/hello.rs"]
mod builder;

use crate::command::{self, Command};
use builder::Hello;

/// Where the random begins: record header (5), handshake header (4), client_version (2).
const RANDOM: usize = 11;
/// What a client at MTU 1500 puts into its first segment (timestamps on).
const FIRST_SEGMENT: usize = 1448;
/// As OpenSSL and the browsers pad: the message to 512 bytes.
const USUAL: usize = 512;
/// 1.8 KB on the wire.
const LARGE: usize = 1795;
/// X25519MLKEM768 and the bytes of a client's share of it (draft-ietf-tls-ecdhe-mlkem).
const X25519MLKEM768: (u16, usize) = (0x11ec, 1216);
const X25519: (u16, usize) = (0x001d, 32);
/// A value that a server has to ignore (RFC 8701).
const GREASE: u16 = 0x2a2a;

/// How a hello looks and leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 517 bytes.
    Usual,
    /// 1,800 bytes with a post-quantum key share, in one write.
    Large,
    /// The same in two segments: 1,448 bytes, then the rest.
    LargeSplit,
}

/// A hello for one name, to be filled with commands.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    wire: Vec<u8>,
    /// Bytes of the first write.
    pub(crate) first: usize,
}

impl Template {
    pub(crate) fn new(name: &str, shape: Shape) -> Template {
        let wire = match shape {
            Shape::Usual => usual(name).wire(),
            Shape::Large | Shape::LargeSplit => large(name).wire(),
        };
        let first = match shape {
            Shape::LargeSplit => FIRST_SEGMENT,
            _ => wire.len(),
        };
        Template { wire, first }
    }

    /// The hello with this command; `number` makes its random another one each time.
    pub(crate) fn with(&self, command: Command, number: u64) -> Vec<u8> {
        let mut wire = self.wire.clone();
        let random = &mut wire[RANDOM..RANDOM + 32];
        random[..command::LEN].copy_from_slice(&command.encode());
        random[24..].copy_from_slice(&number.to_be_bytes());
        wire
    }
}

fn usual(name: &str) -> Hello {
    Hello::named(name).padded_to(USUAL)
}

/// As Chrome's: GREASE in front, both key shares, ALPN.
fn large(name: &str) -> Hello {
    const APPLICATION_LAYER_PROTOCOLS: u16 = 16;
    Hello::named(name)
        .ciphers(&[
            GREASE, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
        ])
        .groups(&[GREASE, X25519MLKEM768.0, X25519.0, 0x0017, 0x0018])
        .extension(
            APPLICATION_LAYER_PROTOCOLS,
            builder::vec16(&builder::vec8(b"h2")),
        )
        .versions(&[GREASE, 0x0304, 0x0303])
        .key_shares(&[(GREASE, 1), X25519MLKEM768, X25519])
        .padded_to(LARGE)
}

/// What came is no hello of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOurs;

/// The command of a hello and the hello's length on the wire, over as many records as it takes;
/// `None` while some of it is missing.
pub(crate) fn read(raw: &[u8]) -> Result<Option<(Command, usize)>, NotOurs> {
    let mut end = 0;
    let mut held = 0;
    loop {
        let Some(header) = raw.get(end..).and_then(|rest| rest.first_chunk::<5>()) else {
            return Ok(None);
        };
        let [22, 3, _, high, low] = *header else {
            return Err(NotOurs);
        };
        let payload = usize::from(u16::from_be_bytes([high, low]));
        end += 5 + payload;
        held += payload;
        // The builder's records hold the handshake header whole.
        let Some(&[kind, a, b, c]) = raw.get(5..9).and_then(|head| head.first_chunk()) else {
            return Ok(None);
        };
        if kind != 1 || payload < 4 {
            return Err(NotOurs);
        }
        if held >= 4 + u32::from_be_bytes([0, a, b, c]) as usize {
            break;
        }
    }
    if raw.len() < end {
        return Ok(None);
    }
    let bytes = raw.get(RANDOM..).and_then(|rest| rest.first_chunk());
    let command = bytes.and_then(Command::decode).ok_or(NotOurs)?;
    Ok(Some((command, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use snihub::tls::{HelloParser, Step};

    const SHAPES: [(Shape, usize, usize); 3] = [
        (Shape::Usual, 517, 517),
        (Shape::Large, 1800, 1800),
        (Shape::LargeSplit, 1800, 1448),
    ];

    #[test]
    fn the_hub_reads_the_name_in_every_shape() {
        for name in ["9999.fate.org", "a.very-long-label-for-a-party.example.net"] {
            for (shape, len, first) in SHAPES {
                let template = Template::new(name, shape);
                let wire = template.with(Command::Echo(128), 7);
                assert_eq!((wire.len(), template.first), (len, first), "{shape:?}");
                let step = HelloParser::new(65536).advance(&wire, &mut Vec::new());
                let Ok(Step::Hello(hello)) = step else {
                    panic!("{shape:?}: {step:?}");
                };
                assert_eq!(hello.wire_len, len);
                assert_eq!(hello.server_name.unwrap().as_str(), name);
            }
        }
    }

    #[test]
    fn rustls_takes_it_for_a_hello() {
        for (shape, ..) in SHAPES {
            let wire = Template::new("9999.fate.org", shape).with(Command::Await, 1);
            let mut acceptor = rustls::server::Acceptor::default();
            acceptor.read_tls(&mut &wire[..]).unwrap();
            let accepted = acceptor.accept().expect("a hello").expect("a whole one");
            assert_eq!(accepted.client_hello().server_name(), Some("9999.fate.org"));
        }
    }

    #[test]
    fn the_origin_finds_command_and_end_and_nothing_before_the_end() {
        for (shape, len, _) in SHAPES {
            let mut wire = Template::new("a.example", shape).with(Command::Sink(9), 3);
            for part in 0..len {
                assert_eq!(read(&wire[..part]), Ok(None), "{shape:?} {part}");
            }
            wire.extend(b"more");
            assert_eq!(read(&wire), Ok(Some((Command::Sink(9), len))));
        }
        assert_eq!(read(b"GET / HTTP/1.1"), Err(NotOurs));
    }

    #[test]
    fn several_records_are_read_to_the_last() {
        let wire = large("a.example").wire_in_records_of(500);
        assert_eq!(read(&wire[..wire.len() - 1]), Ok(None));
        // Its random carries no command.
        assert_eq!(read(&wire), Err(NotOurs));
    }
}
