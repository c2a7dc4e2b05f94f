//! A client that says exactly what it is told to.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// An answer: status and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// What came over the wire.
    pub(crate) fn of(text: &str) -> Answer {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?}"));
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// The samples of a page of metrics, by name and labels as written.
    pub(crate) fn samples(&self) -> BTreeMap<String, f64> {
        let lines = self.body.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        lines.map(sample).collect()
    }
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}\r\n");
    // Who is turned away may find the socket closed.
    drop(stream.write_all(request.as_bytes()));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::of(&String::from_utf8(answer).unwrap())
}

/// By the unix socket.
pub(crate) fn unix(socket: &Path, method: &str, path: &str) -> Answer {
    unix_with(socket, method, path, "Host: localhost\r\n")
}

/// The same, with these header lines.
pub(super) fn unix_with(socket: &Path, method: &str, path: &str, headers: &str) -> Answer {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, method, path, headers)
}

/// A request by the unix socket that is not whole yet.
pub(crate) struct Half(UnixStream);

impl Half {
    /// Sends its first line.
    pub(crate) fn begin(socket: &Path, line: &str) -> Half {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{line} HTTP/1.1\r\n").unwrap();
        Half(stream)
    }

    /// Sends the rest.
    pub(crate) fn end(mut self) -> Answer {
        self.0.write_all(b"Host: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).unwrap();
        Answer::of(&answer)
    }
}

/// By TCP, with these header lines.
pub(crate) fn tcp(addr: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, method, path, headers)
}

/// Asks again and again until the answer is as wanted.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "{what}: still {seen}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
