//! Pulsar's binary protocol as far as a doctor speaks it: CONNECT, PING, LOOKUP
//! (PulsarApi.proto of apache/pulsar, protocol version 21; fields are numbered as there).

mod frame;

pub(super) use frame::connect as connect_frame;
use frame::{Command, FrameFault, Reply, lookup, ping, read};

use super::Question;
use super::handshake::{NoTls, explain};
use crate::tls::LooksLike;
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// A topic that is not made by being looked up, since nothing of it is kept.
const TOPIC: &str = "non-persistent://public/default/snihub-doctor";

/// PINGs: the quickest answer is the round trip.
const PINGS: usize = 3;

/// A broker says things of its own between (PING); one that says more than so many of them before it
/// answers is not answering.
const OTHERS: usize = 16;

/// A broker that answered CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulsar {
    /// As it calls itself: `Pulsar Server` or its version, escaped.
    pub server: String,
    /// The protocol it speaks with us.
    pub protocol: u64,
    /// The largest message it takes, bytes; `None`: it does not say.
    pub max_message: Option<u64>,
    /// From CONNECT to its answer.
    pub took: Duration,
    /// The quickest of three PINGs; `None`: it did not answer them.
    pub round_trip: Option<Duration>,
    /// Where it sends clients of a topic, or why it does not say.
    pub advertised: Result<Advertised, String>,
}

/// What a lookup tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// `pulsar://HOST:PORT`, escaped.
    pub plain: Option<String>,
    /// `pulsar+ssl://HOST:PORT`, escaped.
    pub tls: Option<String>,
}

/// Why a broker did not answer CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoPulsar {
    /// Something else lives there.
    #[error("what answers speaks no Pulsar ({0})")]
    NotPulsar(LooksLike),
    /// It said no; its words.
    #[error("the broker says no: {0}")]
    Refused(String),
    /// It wants to know who we are, in a way of more than one step.
    #[error("the broker asks who we are")]
    Challenged,
    /// A TLS alert instead of an answer, its number.
    #[error("TLS alert {0} instead of an answer")]
    Alert(u8),
    /// The end of the connection.
    #[error("it closed the connection instead of an answer")]
    Closed,
    /// A reset.
    #[error("it reset the connection instead of an answer")]
    Reset,
    /// Nothing.
    #[error("no answer to CONNECT in time")]
    TimedOut,
    /// What came breaks the protocol.
    #[error("the answer is no Pulsar frame: {0}")]
    Broken(&'static str),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// CONNECT; then, if that was answered, PING and a lookup, each for as long as the question says.
pub(super) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    question: &Question<'_>,
) -> Result<Pulsar, NoPulsar> {
    let began = Instant::now();
    let mut pulsar = match say(stream, &frame::connect(), question.patience).await? {
        Reply::Connected {
            server,
            protocol,
            max_message,
        } => Pulsar {
            server,
            protocol,
            max_message,
            took: began.elapsed(),
            round_trip: None,
            advertised: Err("not asked".to_owned()),
        },
        Reply::Error(why) => return Err(NoPulsar::Refused(why)),
        Reply::AuthChallenge => return Err(NoPulsar::Challenged),
        _ => return Err(NoPulsar::Broken("another command than CONNECTED")),
    };
    for _ in 0..PINGS {
        let began = Instant::now();
        let Ok(Reply::Pong) = say(stream, &ping(), question.patience).await else {
            break;
        };
        let took = began.elapsed();
        pulsar.round_trip = Some(pulsar.round_trip.map_or(took, |best| best.min(took)));
    }
    pulsar.advertised = match say(stream, &lookup(TOPIC), question.patience).await {
        Ok(Reply::Lookup { plain, tls }) => Ok(Advertised { plain, tls }),
        Ok(Reply::LookupFailed(why) | Reply::Error(why)) => Err(why),
        Ok(_) => Err("it answers with another command".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Ok(pulsar)
}

/// Sends a command and gives the first thing that answers it.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    command: &[u8],
    patience: Duration,
) -> Result<Reply, NoPulsar> {
    let saying = async {
        stream.write_all(command).await?;
        stream.flush().await?;
        for _ in 0..OTHERS {
            match read(stream).await? {
                Command::Reply(reply) => return Ok(reply),
                Command::Other => {}
            }
        }
        Err(FrameFault::Broken("it talks of other things"))
    };
    match timeout_at(Instant::now() + patience, saying).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(FrameFault::NotPulsar(looks))) => Err(NoPulsar::NotPulsar(looks)),
        Ok(Err(FrameFault::Broken(why))) => Err(NoPulsar::Broken(why)),
        Ok(Err(FrameFault::Io(error))) => Err(of(&error)),
        Err(_) => Err(NoPulsar::TimedOut),
    }
}

fn of(error: &io::Error) -> NoPulsar {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return NoPulsar::Closed;
    }
    match explain(error, &[]) {
        NoTls::Alert(alert) => NoPulsar::Alert(alert),
        NoTls::Reset => NoPulsar::Reset,
        _ => NoPulsar::Other(error.to_string()),
    }
}
