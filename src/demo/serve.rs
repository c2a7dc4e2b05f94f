//! A party as a server. A caller that shows a certificate of the demo's authority is another party
//! and speaks [`super::wire`]; anybody else (`openssl s_client`) is greeted and gets back what it
//! types.

use super::counted::{Counted, Counts};
use super::exchange::{End, Pace, exchange};
use super::wire::{EXCHANGE, GO, Opening, PING, Side, seed};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A caller's handshake is whole within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A guest that types nothing for so long is sent away.
const GUEST_IDLE: Duration = Duration::from_secs(10 * 60);

/// What a party saw of a link as its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) link: u64,
    /// The name in the hello that arrived.
    pub(super) server_name: Option<String>,
    /// The exchange, or why it failed.
    pub(super) end: Result<End, String>,
    /// Bytes under TLS.
    pub(super) raw_sent: u64,
    pub(super) raw_received: u64,
}

/// What all parties served, in the order of finishing.
pub(super) type ServedList = Arc<Mutex<Vec<Served>>>;

/// What every connection of a party's server needs.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) pace: Arc<Pace>,
    pub(super) served: ServedList,
}

pub(super) async fn serve(listener: std::net::TcpListener, config: ServerConfig, host: Host) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    // A listener of std's that is non-blocking; only an exhausted process cannot register it.
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((socket, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, host) = (acceptor.clone(), host.clone());
        tokio::spawn(async move {
            drop(socket.set_nodelay(true));
            // Whoever does not get through the handshake tells it from its own side.
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, accept(acceptor, socket)).await {
                host.receive(stream, peer).await;
            }
        });
    }
}

async fn accept(acceptor: TlsAcceptor, socket: TcpStream) -> std::io::Result<TlsStream<Counted>> {
    acceptor.accept(Counted::new(socket, None)).await
}

impl Host {
    async fn receive(self, mut stream: TlsStream<Counted>, peer: SocketAddr) {
        let (socket, session) = stream.get_ref();
        let counts = socket.counts();
        if session.peer_certificates().is_none() {
            // A guest may leave at any time.
            drop(self.echo(stream, peer).await);
            return;
        }
        let server_name = session.server_name().map(str::to_owned);
        let mut opening = [0; Opening::LENGTH];
        let Ok(Ok(_)) = timeout(HANDSHAKE, stream.read_exact(&mut opening)).await else {
            return;
        };
        let opening = Opening::from_bytes(opening);
        let end = match timeout(EXCHANGE, self.link(&mut stream, opening)).await {
            Ok(end) => end.map_err(|error| error.to_string()),
            Err(_) => Err(format!("not finished after {} s", EXCHANGE.as_secs())),
        };
        self.tell(opening.link, server_name, end, &counts);
    }

    async fn link(
        &self,
        stream: &mut TlsStream<Counted>,
        opening: Opening,
    ) -> std::io::Result<End> {
        let mut ping = [0; PING];
        for _ in 0..opening.pings {
            stream.read_exact(&mut ping).await?;
            stream.write_all(&ping).await?;
            stream.flush().await?;
        }
        if stream.read_u8().await? != GO {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let Opening {
            link,
            minimum,
            held,
            ..
        } = opening;
        exchange(stream, seed(link, Side::Server), minimum, held, &self.pace).await
    }

    fn tell(&self, link: u64, name: Option<String>, end: Result<End, String>, counts: &Counts) {
        let raw_sent = counts.sent.load(Relaxed);
        let raw_received = counts.received.load(Relaxed);
        let served = Served {
            link,
            server_name: name,
            end,
            raw_sent,
            raw_received,
        };
        self.served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(served);
    }

    async fn echo(self, mut stream: TlsStream<Counted>, peer: SocketAddr) -> std::io::Result<()> {
        let asked = stream
            .get_ref()
            .1
            .server_name()
            .unwrap_or("no name")
            .to_owned();
        let greeting = format!(
            "This is {}. You asked for {asked} and came through the hub (from {peer}).\n\
             What you type comes back.\n",
            self.name
        );
        stream.write_all(greeting.as_bytes()).await?;
        stream.flush().await?;
        let mut buffer = [0; 4096];
        loop {
            let n = timeout(GUEST_IDLE, stream.read(&mut buffer)).await??;
            if n == 0 {
                return stream.shutdown().await;
            }
            stream.write_all(&buffer[..n]).await?;
            stream.flush().await?;
        }
    }
}
