//! A certificate authority and what it issues.

use crate::tls::{NameError, ServerName};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// No certificate is valid longer than this (ten years of 365.25 days).
pub const LONGEST: Duration = Duration::from_secs(3652 * 24 * 60 * 60 + 12 * 60 * 60);

/// A certificate begins this long before it is made: a verifier whose clock is behind takes it too.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// RFC 5280 appendix A, ub-common-name: 64 characters.
const MAX_COMMON_NAME: usize = 64;

/// Why a certificate was not made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A leaf was asked for without any name: nobody could verify it.
    #[error("a certificate needs at least one name")]
    NoName,
    /// The name could never be a server name.
    #[error("{name:?} cannot be the name of a party: {reason}")]
    BadName {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// The authority's name is empty or longer than 64 characters (RFC 5280 appendix A).
    #[error("an authority's name has 1 to 64 characters, not {0}")]
    BadCommonName(usize),
    /// Valid for no time at all, or longer than [`LONGEST`].
    #[error("a certificate is valid for 1 second to 10 years, not {} s", .0.as_secs())]
    BadLifetime(Duration),
    /// Key generation, signing or encoding failed.
    #[error("cannot make a certificate: {0}")]
    Crypto(#[from] rcgen::Error),
}

/// A self-signed authority with its private key, in memory only. It signs leaves and no further
/// authority (pathLenConstraint 0, RFC 5280 section 4.2.1.9).
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    ends: SystemTime,
}

/// A leaf certificate and its private key, as the files that servers read.
pub struct Issued {
    /// The leaf alone, PEM. The authority's own certificate belongs to the verifiers.
    pub certificate_pem: String,
    /// The private key, PKCS#8 in PEM ("BEGIN PRIVATE KEY").
    pub key_pem: String,
}

impl Authority {
    /// Makes an authority with a fresh key, valid from an hour ago until `valid_for` from now.
    ///
    /// # Errors
    /// [`PkiError::BadCommonName`], [`PkiError::BadLifetime`]; [`PkiError::Crypto`] when no key can
    /// be made.
    pub fn new(common_name: &str, valid_for: Duration) -> Result<Authority, PkiError> {
        let length = common_name.chars().count();
        if length == 0 || length > MAX_COMMON_NAME {
            return Err(PkiError::BadCommonName(length));
        }
        let now = SystemTime::now();
        let ends = end(now, valid_for)?;
        let mut params = params(common_name, now, ends);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issuer = CertifiedIssuer::self_signed(params, key)?;
        Ok(Authority { issuer, ends })
    }

    /// The authority's certificate, PEM: what verifiers trust.
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a leaf with a fresh key for a party that is both server and client: a broker is
    /// called and calls. The first name is also the subject's common name if it fits in one.
    /// Valid until `valid_for` from now, but never longer than the authority.
    ///
    /// # Errors
    /// [`PkiError::NoName`], [`PkiError::BadName`] for what [`ServerName::parse`] does not take,
    /// [`PkiError::BadLifetime`]; [`PkiError::Crypto`] when key or signature fail.
    pub fn issue(&self, names: &[&str], valid_for: Duration) -> Result<Issued, PkiError> {
        let names = names
            .iter()
            .copied()
            .map(server_name)
            .collect::<Result<Vec<_>, _>>()?;
        let first = names.first().ok_or(PkiError::NoName)?;
        let now = SystemTime::now();
        // RFC 5280 section 6.1 judges each certificate of a path by itself: a leaf that outlives
        // its authority fails in a way that is hard to see.
        let ends = end(now, valid_for)?.min(self.ends);
        let mut params = params(first.as_str(), now, ends);
        // `ExplicitNoCa`: with `NoCa` rcgen leaves out the subject key identifier too.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        for name in &names {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.as_str().try_into()?));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

// Neither shows a private key in a log.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

fn params(common_name: &str, now: SystemTime, ends: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // RFC 6125 section 6.4.4: nobody verifies by it; it is for people who list certificates.
    let shown: String = common_name.chars().take(MAX_COMMON_NAME).collect();
    params.distinguished_name.push(DnType::CommonName, shown);
    params.not_before = (now - BACKDATED).into();
    params.not_after = ends.into();
    params
}

fn end(now: SystemTime, valid_for: Duration) -> Result<SystemTime, PkiError> {
    if valid_for.as_secs() == 0 || valid_for > LONGEST {
        return Err(PkiError::BadLifetime(valid_for));
    }
    Ok(now + valid_for)
}

fn server_name(name: &str) -> Result<ServerName, PkiError> {
    ServerName::parse(name.as_bytes()).map_err(|reason| PkiError::BadName {
        name: name.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests;
