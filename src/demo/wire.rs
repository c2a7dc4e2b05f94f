//! What both ends of a link have agreed on before they speak.

use std::time::Duration;

/// One link's data has passed within this time.
pub(super) const EXCHANGE: Duration = Duration::from_secs(120);
/// Bytes of a ping and of its answer.
pub(super) const PING: usize = 64;
/// One byte from the client after the pings: data may flow. Without it the server's data would be
/// under way while other links are still measured at rest.
pub(super) const GO: u8 = b'>';

/// What a calling party says first: which link this is, how many pings follow, and how much data it
/// wants. 21 bytes, big endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) link: u64,
    pub(super) pings: u32,
    /// Payload bytes each way, at least.
    pub(super) minimum: u64,
    /// Beyond the minimum both ends send for as long as the pace is held; else the minimum is all.
    pub(super) held: bool,
}

impl Opening {
    pub(super) const LENGTH: usize = 21;

    pub(super) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.link.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.pings.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.minimum.to_be_bytes());
        bytes[20] = u8::from(self.held);
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Opening {
        // Takes `n` bytes from `at` as one number.
        let number = |at: usize, n: usize| {
            bytes[at..at + n]
                .iter()
                .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
        };
        Opening {
            link: number(0, 8),
            pings: number(8, 4) as u32,
            minimum: number(12, 8),
            held: bytes[20] != 0,
        }
    }
}

/// Which end of a link sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Client,
    Server,
}

/// No two streams of one demo carry the same data.
pub(super) fn seed(link: u64, side: Side) -> u64 {
    link * 2 + side as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_survives_the_wire() {
        let opening = Opening {
            link: u64::MAX - 1,
            pings: 0x0102_0304,
            minimum: 1 << 40,
            held: true,
        };
        assert_eq!(Opening::from_bytes(opening.to_bytes()), opening);
    }
}
