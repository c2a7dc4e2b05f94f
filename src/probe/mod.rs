//! Ask a party: TCP, TLS, Pulsar CONNECT. Values in, findings out: nothing is judged here but
//! certificates, nothing is printed, and no stage takes longer than it is given.
//!
//! ```text
//! dial       -> Tcp      | DialError
//! handshake  -> Tls      | NoTls       certificates are recorded, right or wrong, and never end it
//! CONNECT    -> Pulsar   | NoPulsar    then PING for the round trip, and a lookup
//! ```
//! Where no TLS comes from the other end, and it may be asked without (a hub would refuse that), two
//! more connections find out what it speaks instead.

mod certificate;
mod handshake;
mod noted;
mod plain;
mod pulsar;
mod trust;
mod visit;

pub use certificate::Fault;
pub use handshake::{ClientCertificate, NoTls, Tls};
pub use pulsar::{Advertised, NoPulsar, Pulsar};
pub use trust::{Identity, Trust};
pub use visit::Visit;

use crate::net::{
    DialError, DialOptions, HelloMemory, Preface, ProxyHeader, ResolveClient, Resolver,
    ResolverFiles, Target, dial,
};
use crate::tls::{LooksLike, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;

/// Whom to ask, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// Where to.
    pub target: &'q Target,
    /// The name in the hello, which the certificate has to carry.
    pub name: &'q ServerName,
    /// Whose certificates count; `None`: nobody said, so who signed is not judged.
    pub trust: Option<&'q Trust>,
    /// What is shown to a server that asks for a client certificate.
    pub identity: Option<&'q Identity>,
    /// Protocols to offer (RFC 7301), none for Pulsar.
    pub alpn: &'q [&'q str],
    /// Whether to speak Pulsar inside TLS.
    pub pulsar: bool,
    /// Whether the other end may be asked more: without TLS what it speaks instead, and with TLS
    /// 1.2 alone. Not through a hub.
    pub thorough: bool,
    /// By which clock certificates are judged.
    pub now: SystemTime,
    /// For each stage.
    pub patience: Duration,
}

impl<'q> Question<'q> {
    /// A handshake with a name, as any client makes one: who signed is not judged, nothing is shown or
    /// offered, and nothing is said inside.
    pub fn plain(target: &'q Target, name: &'q ServerName, patience: Duration) -> Question<'q> {
        Question {
            target,
            name,
            trust: None,
            identity: None,
            alpn: &[],
            pulsar: false,
            thorough: false,
            now: SystemTime::now(),
            patience,
        }
    }
}

/// What came of it, as far as it went.
#[derive(Debug)]
pub struct Answer {
    /// The connection.
    pub tcp: Result<Tcp, DialError>,
    /// TLS; `None`: there was no connection.
    pub tls: Option<Result<Tls, NoTls>>,
    /// What it speaks instead of TLS, if that was found out.
    pub instead: Option<LooksLike>,
    /// Pulsar; `None`: there was no TLS, or it was not asked.
    pub pulsar: Option<Result<Pulsar, NoPulsar>>,
}

/// A connection that stood.
#[derive(Debug, Clone, Copy)]
pub struct Tcp {
    /// Where it went.
    pub address: SocketAddr,
    /// From where.
    pub local: Option<SocketAddr>,
    /// For the name; zero for an address.
    pub resolve_time: Duration,
    /// From the first attempt to the connection: a round trip, where only one address was tried.
    pub connect_time: Duration,
}

/// Asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prober {
    resolver: ResolveClient,
    /// Never dialled.
    own: Arc<[SocketAddr]>,
}

impl Prober {
    /// With names from a resolver that runs already.
    pub fn new(resolver: ResolveClient) -> Prober {
        Prober::apart_from([].into(), resolver)
    }

    /// The same, never dialling what the asking hub itself listens on, `own`, as bound.
    pub fn apart_from(own: Arc<[SocketAddr]>, resolver: ResolveClient) -> Prober {
        Prober { resolver, own }
    }

    /// With a resolver of its own, which reads what the hub's reads: a task on the current runtime,
    /// until the last clone is gone.
    pub fn open() -> Prober {
        // What is wrong with the files shows in the names that are not found.
        let (resolver, _) = Resolver::open(ResolverFiles::default());
        let (client, serving) = resolver.serve();
        tokio::spawn(serving);
        Prober::new(client)
    }

    /// Dials, shakes hands and, if asked to, speaks Pulsar. Each stage has `patience`.
    pub async fn ask(&self, question: &Question<'_>) -> Answer {
        let nothing = |tcp| Answer {
            tcp,
            tls: None,
            instead: None,
            pulsar: None,
        };
        let dialed = self.connect(question.target, question.patience).await;
        let (stream, tcp) = match dialed {
            Ok(dialed) => dialed,
            Err(error) => return nothing(Err(error)),
        };
        let (mut stream, mut tls) = match handshake::shake_hands(stream, question).await {
            Ok(done) => done,
            Err(why) => {
                let instead = self.what_instead(question, &tcp, &why).await;
                return Answer {
                    tls: Some(Err(why)),
                    instead,
                    ..nothing(Ok(tcp))
                };
            }
        };
        let mut pulsar = None;
        if question.pulsar {
            let said = pulsar::talk(&mut stream, question).await;
            tls.client.told(said.as_ref().err());
            pulsar = Some(said);
        } else {
            handshake::await_objection(&mut stream, &mut tls, question.patience).await;
        }
        if question.thorough {
            tls.takes_1_2 = handshake::takes_1_2(&tls, tcp.address, question).await;
        }
        Answer {
            tls: Some(Ok(tls)),
            pulsar,
            ..nothing(Ok(tcp))
        }
    }

    /// What it speaks, where it does not speak TLS.
    async fn what_instead(
        &self,
        question: &Question<'_>,
        tcp: &Tcp,
        why: &NoTls,
    ) -> Option<LooksLike> {
        match why {
            NoTls::NotTls(looks) if *looks != LooksLike::Unknown => Some(*looks),
            NoTls::NotTls(_) | NoTls::Closed | NoTls::Reset | NoTls::TimedOut
                if question.thorough =>
            {
                plain::what_speaks(tcp.address, question.patience).await
            }
            _ => None,
        }
    }

    /// Resolves and connects, within `patience`, and says nothing.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn reach(&self, target: &Target, patience: Duration) -> Result<Tcp, DialError> {
        self.connect(target, patience).await.map(|(_, tcp)| tcp)
    }

    async fn connect(
        &self,
        target: &Target,
        patience: Duration,
    ) -> Result<(TcpStream, Tcp), DialError> {
        self.dial(target, [patience; 2], None).await
    }

    /// `patience`: for each address, and for all of them.
    async fn dial(
        &self,
        target: &Target,
        patience: [Duration; 2],
        header: Option<ProxyHeader>,
    ) -> Result<(TcpStream, Tcp), DialError> {
        let [per_address, total] = patience;
        let options = DialOptions {
            per_address,
            total,
            own: Arc::clone(&self.own),
        };
        let nothing = Preface::new(Vec::new(), HelloMemory::new(0).permit());
        let dialed = dial(target, &self.resolver, &options, header, nothing).await?;
        let tcp = Tcp {
            address: dialed.address,
            local: dialed.stream.local_addr().ok(),
            resolve_time: dialed.resolve_time,
            connect_time: dialed.connect_time,
        };
        Ok((dialed.stream, tcp))
    }
}
