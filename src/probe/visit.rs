//! A short call on a server that is asked again and again: no word more than it takes, one deadline
//! for all of it, and an end that leaves no reset in its log.

use super::handshake::{Stream, shake_hands};
use super::{Answer, Prober, Question};
use crate::net::{ProxyHeader, Target};
use crate::tls::ServerName;
use std::io;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// For the other end to close, too, after it was told goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// What it may say meanwhile, in pieces of at most 1 KiB.
const MOST_READS: usize = 64;

/// Whom to visit, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'v> {
    /// Where.
    pub target: &'v Target,
    /// The name to shake hands with; `None`: the connection alone is what is asked for.
    pub name: Option<&'v ServerName>,
    /// What comes before the first byte.
    pub header: Option<ProxyHeader>,
    /// For one address of several; zero: only `within` bounds it.
    pub per_address: Duration,
    /// For all until the handshake is done.
    pub within: Duration,
    /// By which clock the certificate is judged.
    pub now: SystemTime,
}

impl Prober {
    /// Connects and, if there is a name to do so with, shakes hands. Who signed the certificate is not
    /// judged, and no client certificate is shown.
    pub async fn visit(&self, visit: &Visit<'_>) -> Answer {
        let deadline = Instant::now() + visit.within;
        let found = |tcp, tls| Answer {
            tcp,
            tls,
            instead: None,
            pulsar: None,
        };
        let patience = [visit.per_address, visit.within];
        let (socket, tcp) = match self.dial(visit.target, patience, visit.header).await {
            Ok(dialed) => dialed,
            Err(error) => return found(Err(error), None),
        };
        let Some(name) = visit.name else {
            return found(Ok(tcp), None);
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let question = Question {
            now: visit.now,
            ..Question::plain(visit.target, name, patience)
        };
        let tls = match shake_hands(socket, &question).await {
            Ok((stream, tls)) => {
                goodbye(stream).await;
                Ok(tls)
            }
            Err(why) => Err(why),
        };
        found(Ok(tcp), Some(tls))
    }
}

/// Closes, and takes what still comes: tickets for a next time (RFC 8446 section 4.6.1) that are left
/// unread would be answered with a reset.
async fn goodbye(mut stream: Stream) {
    let leaving = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        for _ in 0..MOST_READS {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // How it ends is of no interest any more.
    let _ = timeout(GOODBYE, leaving).await;
}
