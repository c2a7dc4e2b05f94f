//! A link: one party calls another by name through the hub, measures, and exchanges data.

use super::counted::{Counted, Counts, Cut};
use super::exchange::{End, Pace, exchange};
use super::wire::{EXCHANGE, GO, Opening, PING, Side, seed};
use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// From connecting to the end of the handshake, and for all pings.
const OPEN: Duration = Duration::from_secs(10);

/// Whom to call, and through which hub.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The caller's certificate and trust.
    pub(super) config: Arc<ClientConfig>,
    pub(super) hub: SocketAddr,
    /// The server name asked for; the certificate must carry it.
    pub(super) name: String,
    pub(super) cut: Option<Cut>,
}

/// A link whose handshake is done.
#[derive(Debug)]
pub(super) struct Connected {
    stream: TlsStream<Counted>,
    counts: Arc<Counts>,
    /// The caller's address, by which the hub's record is found.
    pub(super) source: SocketAddr,
    /// From connecting to the hub until TLS stood, the certificate verified.
    pub(super) handshake: Duration,
}

/// No link.
#[derive(Debug)]
pub(super) struct NotConnected {
    /// The caller's address, if it came so far.
    pub(super) source: Option<SocketAddr>,
    pub(super) why: Why,
}

/// What a caller saw instead of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// A fatal TLS alert.
    Alert(AlertDescription),
    /// Anything else.
    Other(String),
}

/// What a finished link measured, seen from its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) source: SocketAddr,
    pub(super) handshake: Duration,
    /// Median of the pings.
    pub(super) round_trip: Duration,
    /// From the first byte of data to the last, both directions.
    pub(super) took: Duration,
    pub(super) end: End,
    /// Bytes under TLS.
    pub(super) raw_sent: u64,
    pub(super) raw_received: u64,
    /// Bytes of the hello.
    pub(super) hello: u64,
}

impl Call {
    /// Connects to the hub and does the handshake with whoever answers behind it.
    pub(super) async fn connect(self) -> Result<Connected, NotConnected> {
        let mut source = None;
        match timeout(OPEN, self.handshake(&mut source)).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(NotConnected {
                source,
                why: Why::of(&error),
            }),
            Err(_) => {
                let why = Why::Other(format!("no handshake within {} s", OPEN.as_secs()));
                Err(NotConnected { source, why })
            }
        }
    }

    async fn handshake(self, source: &mut Option<SocketAddr>) -> io::Result<Connected> {
        let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
        let began = Instant::now();
        let socket = TcpStream::connect(self.hub).await?;
        socket.set_nodelay(true)?;
        let own = socket.local_addr()?;
        *source = Some(own);
        let counted = Counted::new(socket, self.cut);
        let counts = counted.counts();
        let stream = TlsConnector::from(self.config)
            .connect(name, counted)
            .await?;
        Ok(Connected {
            stream,
            counts,
            source: own,
            handshake: began.elapsed(),
        })
    }
}

impl Connected {
    /// Says which link this is and sends pings; gives their median.
    ///
    /// # Errors
    /// When the other side does not answer within ten seconds, or with other bytes.
    pub(super) async fn ping(&mut self, opening: Opening) -> anyhow::Result<Duration> {
        let pings = async {
            self.stream.write_all(&opening.to_bytes()).await?;
            let mut took = Vec::new();
            for n in 0..opening.pings {
                let ping = [n as u8; PING];
                let began = Instant::now();
                self.stream.write_all(&ping).await?;
                self.stream.flush().await?;
                let mut pong = [0; PING];
                self.stream.read_exact(&mut pong).await?;
                if pong != ping {
                    bail!("another answer than was sent");
                }
                took.push(began.elapsed());
            }
            took.sort_unstable();
            Ok(took.get(took.len() / 2).copied().unwrap_or_default())
        };
        timeout(OPEN, pings)
            .await
            .context("no answer within 10 s")?
            .context("ping")
    }

    /// Sends `opening.minimum` bytes at least, if held on while the pace is; receives as
    /// much as the other side sends.
    ///
    /// # Errors
    /// When the stream breaks, or two minutes are not enough.
    pub(super) async fn exchange(
        mut self,
        opening: Opening,
        round_trip: Duration,
        pace: &Pace,
    ) -> anyhow::Result<Link> {
        let began = Instant::now();
        let Opening {
            link,
            minimum,
            held,
            ..
        } = opening;
        let data = async {
            self.stream.write_u8(GO).await?;
            exchange(
                &mut self.stream,
                seed(link, Side::Client),
                minimum,
                held,
                pace,
            )
            .await
        };
        let end = timeout(EXCHANGE, data)
            .await
            .context("data not through in 2 minutes")??;
        Ok(Link {
            source: self.source,
            handshake: self.handshake,
            round_trip,
            took: began.elapsed(),
            end,
            raw_sent: self.counts.sent.load(Relaxed),
            raw_received: self.counts.received.load(Relaxed),
            hello: self.counts.hello.load(Relaxed),
        })
    }
}

impl Why {
    /// RFC 6066 section 3: what a hub says of a name it has no route for.
    pub(super) const UNKNOWN_NAME: Why = Why::Alert(AlertDescription::UnrecognisedName);

    fn of(error: &io::Error) -> Why {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => Why::Alert(*alert),
            _ => Why::Other(error.to_string()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Alert(AlertDescription::UnrecognisedName) => {
                f.write_str("TLS alert 112, unrecognized_name")
            }
            Why::Alert(alert) => write!(f, "TLS alert {}, {alert:?}", u8::from(*alert)),
            Why::Other(text) => f.write_str(text),
        }
    }
}
