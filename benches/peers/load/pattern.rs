//! The bytes of bulk: each position of the stream has its own, and the receiver looks at a sample
//! of them. What was lost, doubled, swapped or another tunnel's shifts every later position, so a
//! sample sees it; a byte that was changed in place between two samples goes unseen.

use crate::socket::{recv, send};
use rustix::net::RecvFlags;
use snihub::net::sockopt::set_receive_low_water;
use std::io;
use std::os::fd::OwnedFd;

/// A product of two primes, so that no power of two is a multiple of it: a lost page or pipe shifts
/// the pattern.
const PERIOD: usize = 31 * 1021;
/// Bytes of one write. The sender is the dearest part of the load: 1 MiB costs it a sixth less than
/// 256 KiB, and those a third less than 64 KiB.
const WRITE: usize = 1024 * 1024;
/// Bytes looked at, and how far apart.
const SAMPLE: usize = 64;
const STRIDE: u64 = 511 * 1024;
/// Bytes of one turn of reading.
const READ: usize = 512 * 1024;
/// A receiver of bulk is woken only when so much is there: a third of the CPU of one that is woken
/// for every segment, and less for whoever sends to it. It would hold up the tail of a stream, but
/// bulk here has none.
const LOW_WATER: usize = 256 * 1024;

/// The pattern, once around and a write more, and room to read into.
pub(crate) struct Pattern {
    bytes: Vec<u8>,
    /// Named in reads that copy nothing, so never touched and never in memory.
    nowhere: Vec<u8>,
}

/// One end of a bulk stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    position: u64,
    sample: u64,
}

/// What one call moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    /// Samples that were not what they should be.
    pub(crate) wrong: u64,
}

impl Pattern {
    pub(crate) fn new() -> Pattern {
        let once: Vec<u8> = (0..PERIOD as u64).map(scramble).collect();
        let bytes = once.iter().cycle().take(PERIOD + WRITE).copied().collect();
        Pattern {
            bytes,
            nowhere: vec![0; READ],
        }
    }

    fn from(&self, position: u64, len: usize) -> &[u8] {
        let at = (position % PERIOD as u64) as usize;
        &self.bytes[at..at + len]
    }
}

/// Where tunnel number `number` begins in the pattern.
pub(crate) fn start_of(number: u64) -> u64 {
    number * 7919
}

/// Makes a socket one that receives bulk.
pub(crate) fn receive_bulk(socket: &OwnedFd) -> io::Result<()> {
    set_receive_low_water(socket, LOW_WATER)
}

impl Stream {
    pub(crate) fn starting_at(position: u64) -> Stream {
        Stream {
            position,
            sample: position,
        }
    }

    /// One write.
    pub(crate) fn send(&mut self, socket: &OwnedFd, pattern: &Pattern) -> io::Result<u64> {
        let n = send(socket, pattern.from(self.position, WRITE))? as u64;
        self.position += n;
        Ok(n)
    }

    /// Reads one turn's worth; `UnexpectedEof` at the end of the stream.
    ///
    /// MSG_TRUNC makes TCP drop the bytes instead of copying them (tcp(7)): a receiver that is
    /// much cheaper than any proxy, while sender and proxy see an ordinary one.
    pub(crate) fn receive(&mut self, socket: &OwnedFd, pattern: &mut Pattern) -> io::Result<Moved> {
        let mut moved = Moved::default();
        while moved.bytes < READ as u64 {
            let looking = self.position == self.sample;
            let got = if looking {
                let mut sample = [0; SAMPLE];
                let n = recv(socket, &mut sample, RecvFlags::empty());
                if let Ok(n) = n {
                    moved.wrong += u64::from(sample[..n] != *pattern.from(self.position, n));
                    self.sample += STRIDE;
                }
                n.map(|n| (n, SAMPLE))
            } else {
                let most = (self.sample - self.position).min(READ as u64) as usize;
                let room = &mut pattern.nowhere[..most];
                recv(socket, room, RecvFlags::TRUNC).map(|n| (n, most))
            };
            match got {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((n, asked)) => {
                    self.position += n as u64;
                    moved.bytes += n as u64;
                    if n < asked {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && moved.bytes > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }
}

/// The byte at this place of the stream (splitmix64's finalizer).
fn scramble(place: u64) -> u8 {
    let mut x = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    /// Sends `bytes` of the pattern less `lost` of them in the middle; what the receiver saw.
    fn carried(bytes: usize, lost: usize) -> Moved {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let receiver = OwnedFd::from(listener.accept().unwrap().0);
        let sending = std::thread::spawn(move || {
            let pattern = Pattern::new();
            let whole: Vec<u8> = (0..bytes as u64)
                .map(|n| pattern.from(start_of(3) + n, 1)[0])
                .collect();
            sender.write_all(&whole[..bytes / 2]).unwrap();
            sender.write_all(&whole[bytes / 2 + lost..]).unwrap();
        });
        let mut pattern = Pattern::new();
        let mut stream = Stream::starting_at(start_of(3));
        let mut all = Moved::default();
        loop {
            match stream.receive(&receiver, &mut pattern) {
                Ok(moved) => {
                    all.bytes += moved.bytes;
                    all.wrong += moved.wrong;
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    break;
                }
            }
        }
        sending.join().unwrap();
        socket::reset(receiver);
        all
    }

    #[test]
    fn a_whole_stream_is_right_and_one_that_lost_a_page_is_seen() {
        let (bytes, wrong) = (4_000_000, 0);
        let whole = Moved {
            bytes: bytes as u64,
            wrong,
        };
        assert_eq!(carried(bytes, 0), whole);
        for lost in [1, 4096, 65536, 262_144] {
            let seen = carried(bytes, lost);
            assert_eq!(seen.bytes, (bytes - lost) as u64);
            assert!(seen.wrong > 1, "{lost}: {seen:?}");
        }
    }
}
