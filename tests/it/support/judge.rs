//! What the hello parser says of given bytes, cut in given ways.

use super::hello::{MAX_RECORD, record};
use snihub::tls::{HelloError, HelloParser, Step};

/// house.md's default of `max_client_hello`.
pub(crate) const MAX_HELLO: usize = 65536;

/// The outcome once every byte is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The name and the raw length of the hello.
    Name(String, usize),
    NoName(usize),
    Refused(HelloError),
    /// Incomplete; so many bytes in total are needed.
    Wait(usize),
}

impl Verdict {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Verdict::Name(name, _) => Some(name),
            _ => None,
        }
    }

    /// Without lengths: what a re-split must not change.
    pub(crate) fn outcome(&self) -> (Option<&str>, Option<HelloError>, bool) {
        match self {
            Verdict::Name(name, _) => (Some(name), None, false),
            Verdict::NoName(_) => (None, None, false),
            Verdict::Refused(error) => (None, Some(*error), false),
            Verdict::Wait(_) => (None, None, true),
        }
    }
}

/// All bytes in one write.
pub(crate) fn judge(bytes: &[u8]) -> Verdict {
    judge_at(bytes, [bytes.len()], MAX_HELLO)
}

/// One write, with a bound.
pub(crate) fn judge_within(bytes: &[u8], max: usize) -> Verdict {
    judge_at(bytes, [bytes.len()], max)
}

/// Byte by byte, from none on.
pub(crate) fn judge_bytewise(bytes: &[u8]) -> Verdict {
    judge_at(bytes, 0..=bytes.len(), MAX_HELLO)
}

/// Called at each of `ends` (rising): a caller that knows nothing of need. Asserts on the way that
/// every `More` is more than what is in, that it does not change before it is met, and that an
/// answer, once given, stays.
pub(crate) fn judge_at(bytes: &[u8], ends: impl IntoIterator<Item = usize>, max: usize) -> Verdict {
    let (mut parser, mut joined) = (HelloParser::new(max), Vec::new());
    let mut last = Verdict::Wait(0);
    for end in ends {
        let now = advance(&mut parser, &bytes[..end], &mut joined);
        if let Verdict::Wait(need) = now {
            assert!(need > end, "{end} bytes are in and {need} are asked for");
            assert!(
                need <= max * 2,
                "{need} bytes asked for with max_client_hello {max}"
            );
        }
        match last {
            Verdict::Wait(need) if need <= end => {}
            ref settled => assert_eq!(*settled, now, "at {end} bytes"),
        }
        last = now;
    }
    last
}

/// Called only when what was asked for is in: the caller the parser is made for. Also gives the
/// needs it met on its way.
pub(crate) fn judge_by_need(bytes: &[u8], max: usize) -> (Verdict, Vec<usize>) {
    let (mut parser, mut joined) = (HelloParser::new(max), Vec::new());
    let (mut needs, mut end) = (Vec::new(), 0);
    loop {
        match advance(&mut parser, &bytes[..end], &mut joined) {
            Verdict::Wait(need) if need <= bytes.len() => {
                needs.push(need);
                end = need;
            }
            verdict => return (verdict, needs),
        }
    }
}

fn advance(parser: &mut HelloParser, raw: &[u8], joined: &mut Vec<u8>) -> Verdict {
    match parser.advance(raw, joined) {
        Ok(Step::More(need)) => Verdict::Wait(need),
        Ok(Step::Hello(hello)) => match hello.server_name {
            Some(name) => Verdict::Name(name.as_str().to_owned(), hello.wire_len),
            None => Verdict::NoName(hello.wire_len),
        },
        Err(error) => Verdict::Refused(error),
    }
}

/// The hello's records (the first `wire_len` bytes) spread anew over records of `payload` bytes,
/// and what followed them as it was. `None` where rule 7's raw bound forbids it.
pub(crate) fn resplit(bytes: &[u8], wire_len: usize, payload: usize) -> Option<Vec<u8>> {
    assert!(payload <= MAX_RECORD);
    let (mut hello, tail) = bytes.split_at(wire_len);
    let mut message = Vec::new();
    while let [22, 3, _, high, low, rest @ ..] = hello {
        let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend(body);
        hello = rest;
    }
    assert!(hello.is_empty(), "no whole records");
    let mut out: Vec<u8> = message
        .chunks(payload)
        .flat_map(|c| record(22, 0x0303, c))
        .collect();
    if out.len() > MAX_HELLO * 2 {
        return None;
    }
    out.extend(tail);
    Some(out)
}
