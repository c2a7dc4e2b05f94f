//! What a tunnel is for. The client says so in the hello's random, where no proxy looks, so that a
//! proxy sees what a real client does: a hello, then silence until the server speaks.

/// Bytes of a command.
pub(crate) const LEN: usize = 16;

/// The origin's one byte when it has read the command. No TLS record begins with it, so that an
/// alert of the proxy's is never taken for it.
pub(crate) const ANSWER: u8 = b'+';

const MAGIC: &[u8; 7] = b"sniload";

/// What the origin is to do after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Send back each message of so many bytes, once it is whole.
    Echo(u64),
    /// Read and discard a stream that begins at this position of the pattern.
    Sink(u64),
    /// Send as fast as possible, from this position of the pattern on, until the client closes.
    Source(u64),
    /// Close.
    Close,
    /// Answer each byte with the origin's counts.
    Stats,
    /// Wait for another command.
    Await,
}

impl Command {
    pub(crate) fn encode(self) -> [u8; LEN] {
        let (kind, argument) = match self {
            Command::Echo(size) => (b'e', size),
            Command::Sink(position) => (b'k', position),
            Command::Source(position) => (b's', position),
            Command::Close => (b'c', 0),
            Command::Stats => (b't', 0),
            Command::Await => (b'a', 0),
        };
        let mut bytes = [0; LEN];
        bytes[..7].copy_from_slice(MAGIC);
        bytes[7] = kind;
        bytes[8..].copy_from_slice(&argument.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; LEN]) -> Option<Command> {
        let (head, argument) = bytes.split_first_chunk::<8>()?;
        let argument = u64::from_be_bytes(*argument.first_chunk()?);
        let kind = head.strip_prefix(MAGIC)?.first()?;
        Some(match kind {
            b'e' => Command::Echo(argument),
            b'k' => Command::Sink(argument),
            b's' => Command::Source(argument),
            b'c' => Command::Close,
            b't' => Command::Stats,
            b'a' => Command::Await,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_the_wire_and_other_bytes_are_none() {
        for command in [
            Command::Echo(128),
            Command::Sink(1 << 40),
            Command::Source(7),
            Command::Close,
            Command::Stats,
            Command::Await,
        ] {
            assert_eq!(Command::decode(&command.encode()), Some(command));
        }
        assert_eq!(Command::decode(&[0; LEN]), None);
        let mut unknown = Command::Close.encode();
        unknown[7] = b'?';
        assert_eq!(Command::decode(&unknown), None);
    }
}
