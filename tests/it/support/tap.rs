//! A recording hop: passes bytes on both ways and keeps every one of them.

use super::hub::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum segment size at an MTU of 1500, with timestamps.
const SEGMENT: usize = 1448;
/// Between the two parts of a hello: long past any coalescing in the kernel.
const APART: Duration = Duration::from_millis(300);

/// How the client's first record is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As it comes.
    AsItComes,
    /// As one segment of 1448 bytes and the rest 300 ms later; a shorter hello is cut in half.
    TwoSegments,
}

/// What went through one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    /// Bytes of the one who called.
    pub(crate) to_server: Vec<u8>,
    /// Bytes of the one who was called.
    pub(crate) to_client: Vec<u8>,
    /// Directions that have ended.
    ended: u8,
}

impl Tape {
    /// The first TLS record of the one who called, header included.
    pub(crate) fn first_record(&self) -> &[u8] {
        let bytes = &self.to_server;
        assert!(bytes.len() >= 5, "not even a record header: {bytes:02x?}");
        let len = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        assert!(
            bytes.len() >= len,
            "{} bytes of a first record of {len}",
            bytes.len()
        );
        &bytes[..len]
    }
}

#[derive(Debug, Default)]
struct Shelf {
    tapes: Mutex<Vec<Tape>>,
    changed: Condvar,
}

/// The hop; it listens for as long as the test process runs.
#[derive(Debug)]
pub(crate) struct Tap {
    addr: SocketAddr,
    shelf: Arc<Shelf>,
}

impl Tap {
    /// Listens on loopback and passes every connection on to `server`.
    pub(crate) fn start(server: SocketAddr, delivery: Delivery) -> Tap {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let shelf = Arc::<Shelf>::default();
        let tap = Tap {
            addr,
            shelf: Arc::clone(&shelf),
        };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = shelf.begin();
                let shelf = Arc::clone(&shelf);
                thread::spawn(move || pass(client, server, delivery, &shelf, number));
            }
        });
        tap
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The tape of the only connection there was, once it has ended both ways.
    pub(crate) fn only_tape(&self) -> Tape {
        let deadline = Instant::now() + PATIENCE;
        let mut tapes = self.shelf.tapes.lock().unwrap();
        loop {
            assert!(tapes.len() < 2, "{} connections, one wanted", tapes.len());
            if let Some(tape) = tapes.first().filter(|tape| tape.ended == 2) {
                return tape.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} connections; the first has ended in {} of 2 directions",
                tapes.len(),
                tapes.first().map_or(0, |tape| tape.ended)
            );
            tapes = self.shelf.changed.wait_timeout(tapes, left).unwrap().0;
        }
    }
}

impl Shelf {
    fn begin(&self) -> usize {
        let mut tapes = self.tapes.lock().unwrap();
        tapes.push(Tape::default());
        tapes.len() - 1
    }

    fn update(&self, number: usize, change: impl FnOnce(&mut Tape)) {
        change(&mut self.tapes.lock().unwrap()[number]);
        self.changed.notify_all();
    }
}

fn pass(client: TcpStream, server: SocketAddr, delivery: Delivery, shelf: &Shelf, number: usize) {
    let Ok(server) = TcpStream::connect_timeout(&server, PATIENCE) else {
        return shelf.update(number, |tape| tape.ended = 2);
    };
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        socket.set_write_timeout(Some(2 * PATIENCE)).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            if delivery == Delivery::TwoSegments {
                let keep = |bytes: &[u8]| {
                    shelf.update(number, |tape| tape.to_server.extend_from_slice(bytes));
                };
                // A client that leaves is the pump's to notice.
                drop(in_two_segments(&client, &server, keep));
            }
            pump(&client, &server, |bytes| {
                shelf.update(number, |tape| tape.to_server.extend_from_slice(bytes));
            });
            shelf.update(number, |tape| tape.ended += 1);
        });
        pump(&server, &client, |bytes| {
            shelf.update(number, |tape| tape.to_client.extend_from_slice(bytes));
        });
        shelf.update(number, |tape| tape.ended += 1);
    });
}

/// Reads until the end, whatever becomes of the other side: what was sent is on the tape.
fn pump(mut from: &TcpStream, mut to: &TcpStream, keep: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        keep(&buffer[..n]);
        drop(to.write_all(&buffer[..n]));
    }
    drop(to.shutdown(Shutdown::Write));
}

fn in_two_segments(
    mut client: &TcpStream,
    mut server: &TcpStream,
    keep: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut record = vec![0; 5];
    client.read_exact(&mut record)?;
    record.resize(
        5 + usize::from(u16::from_be_bytes([record[3], record[4]])),
        0,
    );
    client.read_exact(&mut record[5..])?;
    keep(&record);
    let cut = if record.len() > SEGMENT {
        SEGMENT
    } else {
        record.len() / 2
    };
    server.write_all(&record[..cut])?;
    thread::sleep(APART);
    server.write_all(&record[cut..])
}
