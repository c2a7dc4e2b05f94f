//! TLS that looks at everything and minds nothing: a certificate is recorded, right or wrong, and
//! the handshake goes on.

use super::certificate::{Fault, authority_ends, judge};
use super::noted::Noted;
use super::pulsar::NoPulsar;
use super::{Identity, Question};
use crate::pki::{Certificate, Moment};
use crate::tls::{LooksLike, looks_like};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, ProtocolVersion,
    SignatureScheme, SupportedProtocolVersion,
};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server that requires a certificate says so a round trip after the handshake (RFC 8446 section
/// 4.4.2.4 and 6.2), and one that does not says nothing: no answer for so long is that.
const OBJECTION: Duration = Duration::from_millis(500);

/// A handshake that was completed.
#[derive(Debug)]
pub struct Tls {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// Whether it takes 1.2, too; `None`: not asked.
    pub takes_1_2: Option<bool>,
    /// The protocol that was agreed on, of those that were offered.
    pub alpn: Option<String>,
    /// The server's own certificate, or why it cannot be read.
    pub certificate: Result<Certificate, String>,
    /// The same as it came, DER: to tell one server from another.
    pub der: Vec<u8>,
    /// Certificates that came with it.
    pub others: usize,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// When the trusted authority ends that has signed it; `None`: none has.
    pub authority_ends: Option<Moment>,
    /// What it wants of clients.
    pub client: ClientCertificate,
    /// From the hello to the end of the handshake.
    pub took: Duration,
}

/// What a server wants of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Nothing.
    NotAsked,
    /// It asks for a certificate and does without.
    Asked,
    /// It ends the connection of who has none.
    Required,
    /// It got one, and did not object.
    Taken,
    /// It got one, and ended the connection.
    Declined,
}

impl ClientCertificate {
    /// After the handshake, and what came of the first words said in it.
    pub(super) fn told(&mut self, failed: Option<&NoPulsar>) {
        let objected = matches!(
            failed,
            Some(NoPulsar::Alert(_) | NoPulsar::Closed | NoPulsar::Reset)
        );
        *self = match *self {
            ClientCertificate::Asked if objected => ClientCertificate::Required,
            ClientCertificate::Taken if objected => ClientCertificate::Declined,
            other => other,
        };
    }
}

/// Why there was no TLS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoTls {
    /// What came is no TLS.
    #[error("what answers speaks no TLS ({0})")]
    NotTls(LooksLike),
    /// An alert, its number.
    #[error("it answered with TLS alert {0}")]
    Alert(u8),
    /// It asked for a certificate, got none, and ended the handshake.
    #[error("it requires a client certificate")]
    CertificateRequired,
    /// It asked for a certificate, got one, and ended the handshake.
    #[error("it declines our client certificate")]
    CertificateDeclined,
    /// The end of the connection, after our hello and before a byte.
    #[error("it closed the connection without a byte")]
    Closed,
    /// A reset.
    #[error("it reset the connection")]
    Reset,
    /// Nothing, or not enough.
    #[error("no answer to the hello in time")]
    TimedOut,
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

pub(super) type Stream = TlsStream<Noted>;

/// Shakes hands as `question` says.
pub(super) async fn shake_hands(
    socket: TcpStream,
    question: &Question<'_>,
) -> Result<(Stream, Tls), NoTls> {
    shake(socket, question, &[&TLS13, &TLS12]).await
}

async fn shake(
    socket: TcpStream,
    question: &Question<'_>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<(Stream, Tls), NoTls> {
    let witness = Arc::new(Witness::default());
    let asked = Arc::new(Asked {
        asked: AtomicBool::new(false),
        identity: question.identity.cloned(),
    });
    let config = config(&witness, &asked, question.alpn, versions)?;
    let name = ServerName::try_from(question.name.as_str())
        .map_err(|_| NoTls::Other(format!("{} cannot be a server name", question.name)))?;
    let began = Instant::now();
    let connecting = TlsConnector::from(Arc::new(config))
        .connect(name.to_owned(), Noted::new(socket))
        .into_fallible();
    let stream = match timeout(question.patience, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, noted))) => {
            return Err(match explain(&error, noted.first()) {
                // TLS 1.2 has the client's certificate inside the handshake (RFC 5246 section 7.4.6).
                NoTls::Alert(_) | NoTls::Reset if asked.asked.load(Relaxed) => {
                    match question.identity {
                        None => NoTls::CertificateRequired,
                        Some(_) => NoTls::CertificateDeclined,
                    }
                }
                why => why,
            });
        }
        Err(_) => return Err(NoTls::TimedOut),
    };
    let took = began.elapsed();
    let tls = tells(&stream, &witness, &asked, question, took);
    Ok((stream, tls))
}

fn tells(
    stream: &Stream,
    witness: &Witness,
    asked: &Asked,
    question: &Question<'_>,
    took: Duration,
) -> Tls {
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default();
    let own = chain.first();
    let certificate = own
        .ok_or_else(|| "there is none".to_owned())
        .and_then(|der| Certificate::read(der));
    let mut faults = judge(chain, certificate.as_ref(), question);
    let authority_ends = certificate
        .as_ref()
        .ok()
        .and_then(|read| authority_ends(chain, read, question));
    faults.extend(witness.unproven().map(Fault::KeyNotProven));
    Tls {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        },
        takes_1_2: None,
        alpn: session
            .alpn_protocol()
            .map(|name| name.escape_ascii().to_string()),
        certificate,
        der: own.map(|der| der.to_vec()).unwrap_or_default(),
        others: chain.len().saturating_sub(1),
        faults,
        authority_ends,
        client: match (asked.asked.load(Relaxed), question.identity) {
            (false, _) => ClientCertificate::NotAsked,
            (true, None) => ClientCertificate::Asked,
            (true, Some(_)) => ClientCertificate::Taken,
        },
        took,
    }
}

/// Where nothing is said inside TLS: waits a moment for a server that does not do without a
/// client's certificate.
pub(super) async fn await_objection(stream: &mut Stream, tls: &mut Tls, patience: Duration) {
    if tls.client == ClientCertificate::NotAsked {
        return;
    }
    // What it says, if it says something, is nothing that was asked for.
    if let Ok(Err(error)) = timeout(OBJECTION.min(patience), stream.read(&mut [0])).await
        && let NoTls::Alert(alert) = explain(&error, &[22, 3])
    {
        tls.client.told(Some(&NoPulsar::Alert(alert)));
    }
}

/// Whether the server takes TLS 1.2 as well.
pub(super) async fn takes_1_2(
    tls: &Tls,
    address: SocketAddr,
    question: &Question<'_>,
) -> Option<bool> {
    if tls.version == "TLS 1.2" {
        return Some(true);
    }
    let connected = timeout(question.patience, TcpStream::connect(address)).await;
    match shake(connected.ok()?.ok()?, question, &[&TLS12]).await {
        Ok(_) | Err(NoTls::CertificateRequired | NoTls::CertificateDeclined) => Some(true),
        Err(NoTls::Alert(_) | NoTls::Closed | NoTls::Reset) => Some(false),
        Err(_) => None,
    }
}

/// What an error under or in TLS was. `first`: the first bytes that came.
pub(super) fn explain(error: &io::Error, first: &[u8]) -> NoTls {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(rustls::Error::AlertReceived(alert)) = inner {
        return NoTls::Alert(u8::from(*alert));
    }
    if let Some(rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)) = inner {
        return NoTls::Other(
            "its certificates are longer than 64 KiB together: send its own and those between it \
             and the authority, not a bundle of all authorities"
                .to_owned(),
        );
    }
    // RFC 8446 section 5.1: a record's type is 20 to 24, its version begins with 3.
    let is_tls = matches!(first, [20..=24, 3, ..]);
    match error.kind() {
        _ if !first.is_empty() && !is_tls => NoTls::NotTls(looks_like(first)),
        io::ErrorKind::UnexpectedEof if first.is_empty() => NoTls::Closed,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => NoTls::Reset,
        io::ErrorKind::UnexpectedEof => {
            NoTls::Other("it closed the connection in the middle of the handshake".to_owned())
        }
        _ => NoTls::Other(format!("the handshake failed: {error}")),
    }
}

fn config(
    witness: &Arc<Witness>,
    asked: &Arc<Asked>,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, NoTls> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| NoTls::Other(error.to_string()))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(witness) as _)
        .with_client_cert_resolver(Arc::clone(asked) as _);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes every certificate; remembers a signature that was not right.
#[derive(Debug)]
struct Witness {
    provider: CryptoProvider,
    unproven: Mutex<Option<String>>,
}

impl Default for Witness {
    fn default() -> Witness {
        Witness {
            provider: default_provider(),
            unproven: Mutex::default(),
        }
    }
}

impl Witness {
    fn unproven(&self) -> Option<String> {
        let unproven = self.unproven.lock();
        unproven.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(
        &self,
        verdict: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if let Err(error) = verdict {
            // A certificate that cannot be read at all is told as that.
            let unreadable = matches!(
                error,
                rustls::Error::InvalidCertificate(
                    CertificateError::BadEncoding | CertificateError::Other(_)
                )
            );
            if !unreadable {
                let unproven = self.unproven.lock();
                *unproven.unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note(verify_tls12_signature(
            message,
            certificate,
            signed,
            algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note(verify_tls13_signature(
            message,
            certificate,
            signed,
            algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Notes that a certificate was asked for, and shows the one there is.
#[derive(Debug)]
struct Asked {
    asked: AtomicBool,
    identity: Option<Identity>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Relaxed);
        self.identity
            .as_ref()
            .map(|identity| Arc::clone(&identity.0))
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_is_too_long_is_told_as_that() {
        let error = rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge);
        let why = explain(
            &io::Error::new(io::ErrorKind::InvalidData, error),
            &[22, 3, 3],
        );
        assert!(why.to_string().contains("longer than 64 KiB"), "{why}");
    }
}
