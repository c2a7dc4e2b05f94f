//! A party: a TLS server and client with a certificate of its own, on a thread of its own.

use super::exchange::Pace;
use super::serve::{Host, ServedList, serve};
use crate::pki::Authority;
use anyhow::Context;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long certificates are valid; `--hold` may stay up for a while.
pub(super) const VALID: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A running party. Dropping it cuts its connections and ends its thread.
pub(super) struct Party {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) client: Arc<ClientConfig>,
    runtime: Handle,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Party {
    /// Gets a certificate for `name` and serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the certificate, the port or the thread cannot be had.
    pub(super) fn start(
        name: &'static str,
        authority: &Authority,
        pace: &Arc<Pace>,
        served: &ServedList,
    ) -> anyhow::Result<Party> {
        let (server, client) = tls(name, authority)?;
        // Looks at its sockets often: a busy link is not to hide behind another one's data.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(4)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let host = Host {
            name,
            pace: Arc::clone(pace),
            served: Arc::clone(served),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name(format!("party-{}", label(name)))
            .spawn(move || {
                runtime.block_on(stopped.run_until_cancelled(serve(listener, server, host)));
            })
            .context("cannot start a thread")?;
        Ok(Party {
            name,
            address,
            client,
            runtime: handle,
            stop,
            thread: Some(thread),
        })
    }

    /// The runtime that this party's own calls are to run on.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed.
            drop(thread.join());
        }
    }
}

/// The first label, as FATE's people call a party.
pub(super) fn label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Post-quantum first, as OpenSSL 3.5 and the browsers have it: such a hello is above 1448 bytes and
/// comes in two segments over an Ethernet.
fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![
        kx_group::X25519MLKEM768,
        kx_group::X25519,
        kx_group::SECP256R1,
    ];
    Arc::new(CryptoProvider {
        kx_groups,
        ..default_provider()
    })
}

fn tls(name: &str, authority: &Authority) -> anyhow::Result<(ServerConfig, Arc<ClientConfig>)> {
    let issued = authority.issue(&[name], VALID)?;
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes());
    let chain = vec![certificate(&issued.certificate_pem)?];
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.certificate_pem())?)?;
    let roots = Arc::new(roots);
    let callers = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .allow_unauthenticated()
        .build()?;
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain.clone(), key.clone_key())?;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    // Every handshake that is measured is a whole one.
    client.resumption = rustls::client::Resumption::disabled();
    Ok((server, Arc::new(client)))
}
