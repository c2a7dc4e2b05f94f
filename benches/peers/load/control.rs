//! The origin's own counts, asked for through a tunnel like any other. Counts, CPU and the time
//! they were taken at come in one answer, so that a slow proxy delays it but falsifies nothing.

use crate::command::Command;
use crate::dial::Dialer;
use crate::machine;
use crate::socket::name_of;
use anyhow::anyhow;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer.
pub(crate) const LEN: usize = 6 * 8;

/// What the origin counts, over all its threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections accepted.
    pub(crate) accepted: AtomicU64,
    /// Bytes received by sinks.
    pub(crate) sunk: AtomicU64,
    /// Samples that were not what they should be.
    pub(crate) wrong: AtomicU64,
    /// Connections that began with something else than a hello of ours.
    pub(crate) strangers: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// CLOCK_MONOTONIC.
    pub(crate) at: Duration,
    pub(crate) cpu: Duration,
    pub(crate) accepted: u64,
    pub(crate) sunk: u64,
    pub(crate) wrong: u64,
    pub(crate) strangers: u64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            at: machine::now(),
            cpu: machine::cpu(),
            accepted: self.accepted.load(Relaxed),
            sunk: self.sunk.load(Relaxed),
            wrong: self.wrong.load(Relaxed),
            strangers: self.strangers.load(Relaxed),
        }
    }
}

impl Snapshot {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let fields = [
            self.at.as_nanos() as u64,
            self.cpu.as_nanos() as u64,
            self.accepted,
            self.sunk,
            self.wrong,
            self.strangers,
        ];
        let mut bytes = [0; LEN];
        for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; LEN]) -> Snapshot {
        let field = |n: usize| {
            let field = bytes[n * 8..].first_chunk().copied();
            u64::from_be_bytes(field.unwrap_or_default())
        };
        Snapshot {
            at: Duration::from_nanos(field(0)),
            cpu: Duration::from_nanos(field(1)),
            accepted: field(2),
            sunk: field(3),
            wrong: field(4),
            strangers: field(5),
        }
    }
}

/// The tunnel to ask through.
#[derive(Debug)]
pub(crate) struct Control {
    stream: TcpStream,
}

impl Control {
    pub(crate) fn open(dialer: &mut Dialer) -> anyhow::Result<Control> {
        let opened = dialer.one(Command::Stats);
        let opened = opened.map_err(|e| anyhow!("the first tunnel: {}", name_of(&e)))?;
        let stream = TcpStream::from(opened);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Control { stream })
    }

    pub(crate) fn ask(&mut self) -> io::Result<Snapshot> {
        self.stream.write_all(b"?")?;
        let mut bytes = [0; LEN];
        self.stream.read_exact(&mut bytes)?;
        Ok(Snapshot::decode(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_survives_the_wire() {
        let snapshot = Snapshot {
            at: Duration::from_nanos(1),
            cpu: Duration::from_nanos(2),
            accepted: 3,
            sunk: 4,
            wrong: 5,
            strangers: 6,
        };
        assert_eq!(Snapshot::decode(&snapshot.encode()), snapshot);
    }
}
