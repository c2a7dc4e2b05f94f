//! What is wrong with the certificates that a server showed: all of it, not the first thing.

use super::{Question, Trust};
use crate::pki::{Certificate, Moment};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use std::time::Duration;

/// One thing that is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read.
    Unreadable(String),
    /// X.509 v1 (or 2), which has no room for names and key identifiers.
    OldVersion(u32),
    /// It is over, since then.
    Ended(Moment),
    /// It begins then: one of two clocks is wrong, or it was made ahead.
    NotYet(Moment),
    /// It is for other names than the one that was asked for.
    OtherNames,
    /// Nobody who is trusted has signed it, nor a certificate that came with it.
    UnknownIssuer,
    /// An authority that is called as one that is trusted, with another key.
    OtherKey,
    /// By itself, as far as its names say, and it is not trusted.
    SelfSigned,
    /// It is an authority's (basicConstraints), and clients take no such one for a server's.
    OfAuthority,
    /// It is not for servers (extended key usage).
    NotForServers,
    /// A certificate above it is over.
    ChainEnded,
    /// The server does not prove that it has the key: what it signed is not right.
    KeyNotProven(String),
    /// Something else, in words.
    Other(String),
}

/// Judges a chain, the server's own certificate first. `read`: what that says; none if it cannot
/// be read.
pub(super) fn judge(
    chain: &[CertificateDer<'_>],
    read: Result<&Certificate, &String>,
    question: &Question<'_>,
) -> Vec<Fault> {
    let own = match read {
        Ok(own) => own,
        Err(why) => return vec![Fault::Unreadable(why.clone())],
    };
    let mut faults = Vec::new();
    let now = Moment::of(question.now);
    if own.version < 3 {
        faults.push(Fault::OldVersion(own.version));
    }
    if own.not_after < now {
        faults.push(Fault::Ended(own.not_after));
    } else if own.not_before > now {
        faults.push(Fault::NotYet(own.not_before));
    }
    let Some((leaf, others)) = chain.split_first() else {
        return faults;
    };
    let parsed = match ParsedCertificate::try_from(leaf) {
        Ok(parsed) => parsed,
        Err(_) if own.version < 3 => {
            // Java falls back on the subject there; nobody else does.
            faults.push(Fault::OtherNames);
            return faults;
        }
        Err(error) => {
            faults.push(Fault::Unreadable(error.to_string()));
            return faults;
        }
    };
    match ServerName::try_from(question.name.as_str()) {
        Ok(name) if verify_server_name(&parsed, &name).is_ok() => {}
        _ => faults.push(Fault::OtherNames),
    }
    if let Some(trust) = question.trust {
        let at = within(own, now);
        // RFC 5280 section 4.2.1.9: the verifier takes none for a server's, whoever signed it.
        let fault = match own.authority {
            true => Some(Fault::OfAuthority),
            false => signed(&parsed, others, trust, at),
        };
        let own_issuer = own.issuer == own.subject;
        faults.extend(fault.map(|fault| match fault {
            Fault::UnknownIssuer | Fault::OtherKey | Fault::OfAuthority if own_issuer => {
                Fault::SelfSigned
            }
            other => other,
        }));
    }
    faults
}

fn signed(
    parsed: &ParsedCertificate<'_>,
    others: &[CertificateDer<'_>],
    trust: &Trust,
    at: UnixTime,
) -> Option<Fault> {
    let error = match verify(parsed, others, &trust.roots, at) {
        Ok(()) => return None,
        Err(rustls::Error::InvalidCertificate(error)) => error,
        Err(error) => return Some(Fault::Other(error.to_string())),
    };
    Some(match error {
        CertificateError::UnknownIssuer => Fault::UnknownIssuer,
        // A trusted name with another key is another authority.
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Fault::OtherKey
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Fault::ChainEnded,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Fault::NotForServers
        }
        CertificateError::Other(error) => Fault::Other(in_words(&error.0.to_string())),
        error => Fault::Other(in_words(&error.to_string())),
    })
}

/// When the trusted authority ends that has signed a chain; of several, which may all be asked, the
/// last. `None`: none has.
pub(super) fn authority_ends(
    chain: &[CertificateDer<'_>],
    own: &Certificate,
    question: &Question<'_>,
) -> Option<Moment> {
    let (leaf, others) = chain.split_first()?;
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let at = within(own, Moment::of(question.now));
    let each = question.trust?.each.iter();
    let signers = each.filter(|(root, _)| verify(&parsed, others, root, at).is_ok());
    signers.map(|(_, ends)| *ends).max()
}

/// A time when the certificate itself is good: its own time is judged by itself.
fn within(own: &Certificate, now: Moment) -> UnixTime {
    let at = now.0.min(own.not_after.0).max(own.not_before.0);
    UnixTime::since_unix_epoch(Duration::from_secs(at.max(0).unsigned_abs()))
}

fn verify(
    parsed: &ParsedCertificate<'_>,
    others: &[CertificateDer<'_>],
    roots: &RootCertStore,
    at: UnixTime,
) -> Result<(), rustls::Error> {
    let algorithms = default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(parsed, roots, others, at, algorithms.all)
}

/// The verifier's errors have names for programs, not texts: `PathLenConstraintViolated` becomes
/// `path len constraint violated`.
fn in_words(name: &str) -> String {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn a_name_for_programs_becomes_words() {
        assert_eq!(
            in_words("PathLenConstraintViolated"),
            "path len constraint violated"
        );
        assert_eq!(
            in_words("it is over: since 3 days"),
            "it is over: since 3 days"
        );
    }
}
