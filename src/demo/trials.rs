//! What is tried besides: an awkward hello, and clients that are to be refused.

use super::counted::Cut;
use super::link::Why;
use super::measured::Trial;
use super::star::{NAMES, NOBODY, Star};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// TCP payload of a full Ethernet segment with timestamps (1500 - 20 - 20 - 12).
const SEGMENT: usize = 1448;
/// Between the two segments.
const PAUSE: Duration = Duration::from_millis(300);
/// For the hub to answer, and to write its record.
const PATIENCE: Duration = Duration::from_secs(5);

/// A hello above one segment, cut as an Ethernet would: must be routed like any other. (Apache
/// Traffic Server 9.2 hangs on it.)
pub(super) async fn two_segments(star: &Star) -> Trial {
    const WHAT: &str = "hello in two segments";
    const MINIMUM: u64 = 1 << 20;
    let cut = Cut {
        at: SEGMENT,
        pause: PAUSE,
    };
    let wrong = |why: String| Trial {
        what: WHAT,
        client: why.clone(),
        hub: String::new(),
        faults: vec![why],
    };
    let connected = match star.connect(0, NAMES[1], Some(cut)).await {
        Ok(connected) => connected,
        Err(error) => return wrong(error.why.to_string()),
    };
    let row = match star.greet(connected, [0, 1], MINIMUM, false).await {
        Ok(open) => star.settle(star.exchange(open), false).await,
        Err(row) => row,
    };
    let mut faults = row.faults();
    let ends = match row.seen {
        Ok(ends) => ends,
        Err(why) => return wrong(why),
    };
    let hello = ends.link.hello;
    let rest = hello.saturating_sub(SEGMENT as u64);
    if rest == 0 || ends.link.handshake < PAUSE {
        faults.push(format!(
            "a hello of {hello} bytes was not sent in two segments"
        ));
    }
    let client = format!(
        "{SEGMENT} + {rest} bytes, hashes {} of 2",
        ends.right_hashes()
    );
    let hub = ends.closed.map_or_else(
        || "nothing".to_owned(),
        |closed| {
            format!(
                "routed; {}, {}",
                closed.relay.unwrap_or_default(),
                closed.ended
            )
        },
    );
    Trial {
        what: WHAT,
        client,
        hub,
        faults,
    }
}

/// A name without a route.
pub(super) async fn unknown_name(star: &Star) -> Trial {
    refused_name(star, "name without a route", NOBODY).await
}

/// The third party, before sni.yaml has it.
pub(super) async fn not_yet(star: &Star) -> Trial {
    refused_name(star, "10001, before it joined", NAMES[2]).await
}

async fn refused_name(star: &Star, what: &'static str, name: &str) -> Trial {
    let (source, client, mut faults) = match star.connect(0, name, None).await {
        Ok(connected) => {
            let fault = format!("{name} has no route, and somebody answered");
            (
                Some(connected.source),
                "a TLS handshake".to_owned(),
                vec![fault],
            )
        }
        Err(error) if error.why == Why::UNKNOWN_NAME => {
            (error.source, error.why.to_string(), Vec::new())
        }
        Err(error) => {
            let fault = format!("wanted {}, not: {}", Why::UNKNOWN_NAME, error.why);
            (error.source, error.why.to_string(), vec![fault])
        }
    };
    let hub = recorded(star, source, "unknown_server_name", Some(name), &mut faults).await;
    Trial {
        what,
        client,
        hub,
        faults,
    }
}

/// A client that speaks no TLS at all.
pub(super) async fn plain_http(star: &Star) -> Trial {
    let (source, answer) = match timeout(PATIENCE, ask_in_http(star.hub.address)).await {
        Ok(Ok((source, answer))) => (Some(source), answer),
        Ok(Err(error)) => (None, Answer::Failed(error.to_string())),
        Err(_) => (None, Answer::Failed("no answer, no end".to_owned())),
    };
    let (client, mut faults) = match answer {
        Answer::Closed => ("closed, not one byte".to_owned(), Vec::new()),
        Answer::Bytes(n) => (
            format!("{n} bytes"),
            vec![format!("it got {n} bytes in answer")],
        ),
        Answer::Failed(why) => (
            why.clone(),
            vec![format!("wanted a clean close, not: {why}")],
        ),
    };
    let hub = recorded(star, source, "not_tls", None, &mut faults).await;
    Trial {
        what: "plain HTTP",
        client,
        hub,
        faults,
    }
}

enum Answer {
    Closed,
    Bytes(usize),
    Failed(String),
}

async fn ask_in_http(hub: SocketAddr) -> std::io::Result<(SocketAddr, Answer)> {
    let mut socket = TcpStream::connect(hub).await?;
    let source = socket.local_addr()?;
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: 9999.fate.test\r\n\r\n")
        .await?;
    let mut bytes = Vec::new();
    let answer = match (&mut socket).take(64 * 1024).read_to_end(&mut bytes).await {
        Ok(0) => Answer::Closed,
        Ok(n) => Answer::Bytes(n),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            Answer::Failed("a connection reset".to_owned())
        }
        Err(error) => Answer::Failed(error.to_string()),
    };
    Ok((source, answer))
}

/// What the hub wrote of this client, compared with what it should have.
async fn recorded(
    star: &Star,
    source: Option<SocketAddr>,
    wanted: &str,
    name: Option<&str>,
    faults: &mut Vec<String>,
) -> String {
    let closed = match source {
        Some(source) => star.witness.closed(source, PATIENCE).await,
        None => None,
    };
    let Some(closed) = closed else {
        faults.push("the hub has no record of it".to_owned());
        return "nothing".to_owned();
    };
    if closed.ended != wanted {
        faults.push(format!("the hub recorded {}, not {wanted}", closed.ended));
    }
    if closed.name.as_deref() != name {
        let seen = closed.name.as_deref().unwrap_or("none");
        faults.push(format!("the hub recorded the name {seen}"));
    }
    if (closed.opened_lines, closed.closed_lines) != (0, 1) {
        let (opened, ended) = (closed.opened_lines, closed.closed_lines);
        faults.push(format!("{opened} opened and {ended} closed records"));
    }
    match name {
        Some(_) => closed.ended,
        None => closed.why,
    }
}
