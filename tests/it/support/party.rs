//! A blind party: what the hub sends it comes back, after a word that says which party it is. No
//! TLS: the hub reads nothing but the hello, and neither does a promise about routes.

use super::hello::Hello;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A listener of its own that lives as long as the test process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party {
    pub(crate) addr: SocketAddr,
    mark: u8,
}

impl Party {
    /// A party that says `mark` before it echoes.
    pub(crate) fn start(mark: u8) -> Party {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || drop(echo(stream, mark)));
            }
        });
        Party { addr, mark }
    }

    /// Its entry in sni.yaml.
    pub(crate) fn entry(&self, name: &str) -> String {
        format!("- fqdn: {name}\n  tunnel_route: {}\n", self.addr)
    }
}

fn echo(mut stream: TcpStream, mark: u8) -> std::io::Result<()> {
    stream.write_all(&[mark])?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

/// A client whose hello has come back from a party.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    sent: u64,
}

impl Link {
    /// Asks the hub for `name`; the party that answers must be `party`.
    ///
    /// # Errors
    /// What came instead: an alert's bytes, FIN (empty) or a reset.
    pub(crate) fn open(hub: SocketAddr, name: &str, party: Party) -> Result<Link, Vec<u8>> {
        let mut stream = TcpStream::connect(hub).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let hello = Hello::named(name).wire();
        stream.write_all(&hello).unwrap();
        let mut first = [0];
        if stream.read(&mut first).unwrap_or(0) == 0 {
            return Err(Vec::new());
        }
        if first == [21] {
            let mut alert = vec![21];
            drop(stream.read_to_end(&mut alert));
            return Err(alert);
        }
        assert_eq!(first, [party.mark], "{name} led to another party");
        let mut echoed = vec![0; hello.len()];
        stream.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, hello, "the party got another hello than was sent");
        Ok(Link {
            stream,
            sent: hello.len() as u64,
        })
    }

    /// The same, again and again until the hub routes the name; how long that took.
    pub(crate) fn open_soon(hub: SocketAddr, name: &str, party: Party) -> (Link, Duration) {
        let began = Instant::now();
        loop {
            match Link::open(hub, name, party) {
                Ok(link) => return (link, began.elapsed()),
                Err(_) if began.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(20)),
                Err(got) => panic!("{name} is not routed after {PATIENCE:?}: {got:?}"),
            }
        }
    }

    /// Sends `bytes` of a stream that never repeats and checks that they come back.
    pub(crate) fn exchange(&mut self, bytes: usize) -> std::io::Result<()> {
        let data: Vec<u8> = (0..bytes).map(|n| scramble(self.sent + n as u64)).collect();
        let mut writer = self.stream.try_clone()?;
        let sending = data.clone();
        let sender = thread::spawn(move || writer.write_all(&sending));
        let mut back = vec![0; bytes];
        self.stream.read_exact(&mut back)?;
        sender.join().unwrap()?;
        assert!(
            back == data,
            "bytes {}..{} came back damaged",
            self.sent,
            self.sent + bytes as u64
        );
        self.sent += bytes as u64;
        Ok(())
    }

    /// The socket; what is sent on it is the caller's to count.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The hub has cut it, and not by a FIN, which would pass for a whole stream.
    pub(crate) fn was_reset(&mut self) {
        let end = self.stream.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    }
}

/// The byte at this place of the stream (splitmix64's finalizer).
fn scramble(place: u64) -> u8 {
    let mut x = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as u8
}
