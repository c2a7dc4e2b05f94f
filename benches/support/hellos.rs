//! ClientHellos of a wanted size, and the way from their bytes to a name. Shared by benches.

#[allow(
    dead_code,
    reason = "the tests' builder, of which little is needed here"
)]
#[path = "../../tests/it/support/hello.rs"]
mod hello;

use hello::Hello;
use snihub::tls::{HelloParser, ServerName, Step};

const MAX_HELLO: usize = 65536;

/// One of `size` bytes on the wire: 160 is a bare one, from 344 on it has a session id and a key
/// share.
pub(crate) fn built(name: &str, size: usize) -> Vec<u8> {
    let hello = match size {
        ..344 => Hello::named(name).session_id(&[]).key_shares(&[]),
        _ => Hello::named(name),
    };
    let wire = hello.padded_to(size - 5).wire();
    assert_eq!(wire.len(), size);
    wire
}

/// Parses, and checks the name.
pub(crate) fn parse(wire: &[u8], joined: &mut Vec<u8>) -> Option<ServerName> {
    match HelloParser::new(MAX_HELLO).advance(wire, joined) {
        Ok(Step::Hello(hello)) => hello.server_name,
        _ => None,
    }
}
