//! Whom to trust, and what to show: read from PEM.

use crate::pki::{Certificate, Moment};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt::Display;
use std::sync::Arc;

/// The authorities that count.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(super) roots: Arc<RootCertStore>,
    /// Each by itself, and when it ends: the verifier does not look at that (RFC 5280 section 6.1.1 has
    /// an anchor's name and key alone), and OpenSSL does.
    pub(super) each: Arc<[(Arc<RootCertStore>, Moment)]>,
}

impl Trust {
    /// Every certificate of a text in PEM.
    ///
    /// # Errors
    /// Why none can be had, in words.
    pub fn read(pem: &[u8]) -> Result<Trust, String> {
        let (mut roots, mut each) = (RootCertStore::empty(), Vec::new());
        for certificate in certificates(pem)? {
            let bad =
                |error: &dyn Display| format!("holds a certificate that no authority has: {error}");
            let ends = Certificate::read(&certificate)
                .map_err(|why| bad(&why))?
                .not_after;
            let mut one = RootCertStore::empty();
            one.add(certificate).map_err(|error| bad(&error))?;
            roots.extend(one.roots.iter().cloned());
            each.push((Arc::new(one), ends));
        }
        Ok(Trust {
            roots: Arc::new(roots),
            each: each.into(),
        })
    }
}

/// A client's certificate and key.
#[derive(Debug, Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

impl Identity {
    /// A chain and its key, each in PEM.
    ///
    /// # Errors
    /// Why they are none, or do not belong together, in words.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Identity, String> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the key cannot be read: {error}"))?;
        CertifiedKey::from_der(chain, key, &default_provider())
            .map(|certified| Identity(Arc::new(certified)))
            .map_err(|error| format!("certificate and key are no pair: {error}"))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("is broken: {error}")),
    }
}
