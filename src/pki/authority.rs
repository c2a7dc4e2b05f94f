//! A certificate authority and what it signs, in memory.

use super::layout::Uses;
use super::{Moment, Name, PkiError, Serial, pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RevocationReason, RevokedCertParams,
    RsaKeySize, SerialNumber,
};
use std::fmt;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// No certificate is valid longer than this (ten years of 365.25 days).
pub const LONGEST: Duration = Duration::from_secs(3652 * 24 * 60 * 60 + 12 * 60 * 60);

/// How an authority's name ends that nobody named otherwise, but for a successor's day.
pub const USUAL_NAME: &str = "star CA";

/// A certificate begins this long before it is made: a verifier whose clock is behind takes it too.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// RFC 5280 appendix A, ub-common-name and ub-organization-name: 64 characters.
const MAX_ATTRIBUTE: usize = 64;

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on the curve P-256.
    P256,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 4096 bits.
    Rsa4096,
}

impl KeyKind {
    /// All there are.
    pub const ALL: [KeyKind; 3] = [KeyKind::P256, KeyKind::Rsa2048, KeyKind::Rsa4096];

    /// What people call it, on the command line too.
    pub fn name(self) -> &'static str {
        match self {
            KeyKind::P256 => "p256",
            KeyKind::Rsa2048 => "rsa2048",
            KeyKind::Rsa4096 => "rsa4096",
        }
    }

    fn generate(self) -> Result<KeyPair, PkiError> {
        Ok(match self {
            KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyKind::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        }?)
    }
}

/// A self-signed authority with its private key, in memory only. It signs leaves and no further
/// authority (pathLenConstraint 0, RFC 5280 section 4.2.1.9).
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    trusted_pem: String,
    ends: Moment,
}

/// A leaf certificate and its private key, as the files that servers read.
pub struct Issued {
    /// The leaf alone, PEM. The authority's own certificate belongs to the verifiers.
    pub certificate_pem: String,
    /// The private key, PKCS#8 in PEM ("BEGIN PRIVATE KEY").
    pub key_pem: String,
}

/// Whom a leaf is for, and for what.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) common_name: String,
    pub(super) organization: Option<String>,
    pub(super) names: Vec<Name>,
    pub(super) uses: Uses,
}

/// A leaf that was signed.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) not_before: Moment,
    pub(super) not_after: Moment,
    pub(super) certificate_pem: String,
}

/// A certificate that is taken back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Revocation {
    pub(super) serial: Serial,
    pub(super) time: Moment,
    pub(super) reason: Option<RevocationReason>,
}

impl Authority {
    /// Makes an authority with a fresh ECDSA P-256 key, valid from an hour ago until `valid_for`
    /// from now.
    ///
    /// # Errors
    /// [`PkiError::BadCommonName`], [`PkiError::BadLifetime`]; [`PkiError::Crypto`] when no key can
    /// be made.
    pub fn new(common_name: &str, valid_for: Duration) -> Result<Authority, PkiError> {
        Authority::with_key(common_name, KeyKind::P256, valid_for)
    }

    /// As [`Authority::new`], with a key of this kind.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn with_key(
        common_name: &str,
        key: KeyKind,
        valid_for: Duration,
    ) -> Result<Authority, PkiError> {
        let length = common_name.chars().count();
        if length == 0 || length > MAX_ATTRIBUTE || common_name.contains(char::is_control) {
            return Err(PkiError::BadCommonName(common_name.to_owned()));
        }
        let now = Moment::now();
        let ends = end(now, valid_for)?;
        let mut params = params(common_name, now, ends, Serial::random()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = key.generate()?;
        let certificate_pem = pem::encode("CERTIFICATE", params.self_signed(&key)?.der());
        Ok(Authority {
            issuer: Issuer::new(params, key),
            trusted_pem: certificate_pem.clone(),
            certificate_pem,
            ends,
        })
    }

    /// The authority that a certificate and its key (PKCS#8, DER) are.
    ///
    /// # Errors
    /// What is wrong with the two, for people.
    pub(super) fn load(certificate_pem: &str, key: &[u8]) -> Result<Authority, String> {
        let certificate = certificate_der(certificate_pem)?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| format!("not a certificate: {error}"))?;
        if !parsed.is_ca() {
            return Err("not an authority's certificate (no CA:TRUE)".to_owned());
        }
        let key = KeyPair::try_from(key).map_err(|error| format!("key not read: {error}"))?;
        if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err("the certificate is not of the key beside it".to_owned());
        }
        let ends = Moment(parsed.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&certificate.into(), key);
        Ok(Authority {
            issuer: issuer.map_err(|error| error.to_string())?,
            certificate_pem: certificate_pem.to_owned(),
            trusted_pem: certificate_pem.to_owned(),
            ends,
        })
    }

    /// When a certificate ends that is on its way to be loaded.
    pub(super) fn ends_of(certificate_pem: &str) -> Result<Moment, String> {
        let certificate = certificate_der(certificate_pem)?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| format!("not a certificate: {error}"))?;
        Ok(Moment(parsed.validity().not_after.timestamp()))
    }

    /// The authority's certificate, PEM: what verifiers trust.
    pub fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    /// The same authority, whose bundles say that verifiers trust these certificates, PEM: its own and
    /// those of authorities before it.
    pub(super) fn trusting(mut self, pem: &str) -> Authority {
        pem.clone_into(&mut self.trusted_pem);
        self
    }

    /// What bundles say that verifiers trust, PEM.
    pub(super) fn trusted_pem(&self) -> &str {
        &self.trusted_pem
    }

    /// The private key, PKCS#8, DER.
    pub(super) fn key(&self) -> &[u8] {
        self.issuer.key().serialized_der()
    }

    /// When its certificate ends.
    pub fn ends(&self) -> Moment {
        self.ends
    }

    /// Issues a leaf with a fresh ECDSA P-256 key for a party that is both server and client: a
    /// broker is called and calls. The first name is also the subject's common name if it fits in
    /// one. Valid until `valid_for` from now, but never longer than the authority.
    ///
    /// # Errors
    /// [`PkiError::NoName`], [`PkiError::BadName`] for what is no host name, [`PkiError::BadLifetime`],
    /// [`PkiError::AuthorityEnded`]; [`PkiError::Crypto`] when key or signature fail.
    pub fn issue(&self, names: &[&str], valid_for: Duration) -> Result<Issued, PkiError> {
        let names = names.iter().copied().map(Name::dns);
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let leaf = Leaf {
            common_name: names.first().ok_or(PkiError::NoName)?.to_string(),
            organization: None,
            names,
            uses: Uses::Both,
        };
        let (signed, key_pem) =
            self.with_new_key(&leaf, KeyKind::P256, Serial::random()?, valid_for)?;
        Ok(Issued {
            certificate_pem: signed.certificate_pem,
            key_pem,
        })
    }

    /// Signs a leaf with a fresh key; the answer's second part is that key, PKCS#8 in PEM.
    pub(super) fn with_new_key(
        &self,
        leaf: &Leaf,
        key: KeyKind,
        serial: Serial,
        valid_for: Duration,
    ) -> Result<(Signed, String), PkiError> {
        let key = key.generate()?;
        let signed = self.sign(leaf, &key, serial, valid_for)?;
        Ok((signed, pem::encode("PRIVATE KEY", key.serialized_der())))
    }

    /// Signs a leaf for this public key: X.509 v3, `CA:FALSE`, key usage by the key's kind, names in
    /// the subject alternative name alone, key identifiers on both sides.
    pub(super) fn sign(
        &self,
        leaf: &Leaf,
        key: &impl PublicKeyData,
        serial: Serial,
        valid_for: Duration,
    ) -> Result<Signed, PkiError> {
        let now = Moment::now();
        if self.ends <= now {
            return Err(PkiError::AuthorityEnded(self.ends.to_string()));
        }
        // RFC 5280 section 6.1 judges each certificate of a path by itself: a leaf that outlives
        // its authority fails in a way that is hard to see.
        let ends = end(now, valid_for)?.min(self.ends);
        let mut params = params(&leaf.common_name, now, ends, serial);
        if let Some(organization) = &leaf.organization {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationName, organization.as_str());
        }
        // `ExplicitNoCa`: with `NoCa` rcgen leaves out the subject key identifier too.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key.algorithm() == &PKCS_RSA_SHA256 {
            // RFC 5246 section 7.4.2: TLS 1.2's RSA key exchange asks for it.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = extended(leaf.uses);
        let names = leaf.names.iter().map(Name::san);
        params.subject_alt_names = names.collect::<Result<_, _>>()?;
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Signed {
            not_before: now.minus(BACKDATED),
            not_after: ends,
            certificate_pem: pem::encode("CERTIFICATE", certificate.der()),
        })
    }

    /// The list of what is taken back (RFC 5280 section 5), PEM; due to be made again `valid_for`
    /// from now, or when the authority ends.
    pub(super) fn revocation_list(
        &self,
        number: u64,
        revoked: &[Revocation],
        valid_for: Duration,
    ) -> Result<String, PkiError> {
        let now = Moment::now();
        if self.ends <= now {
            return Err(PkiError::AuthorityEnded(self.ends.to_string()));
        }
        let revoked = revoked.iter().map(|revocation| RevokedCertParams {
            serial_number: SerialNumber::from_slice(revocation.serial.bytes()),
            revocation_time: revocation.time.date(),
            reason_code: revocation.reason,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now.minus(BACKDATED).date(),
            next_update: end(now, valid_for)?.min(self.ends).date(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer)?;
        Ok(pem::encode("X509 CRL", list.der()))
    }
}

// Neither shows a private key in a log.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// The DER of a PEM text's first certificate.
pub(super) fn certificate_der(text: &str) -> Result<Vec<u8>, String> {
    let blocks = pem::blocks(text.as_bytes())?;
    let certificate = blocks.into_iter().find(|b| b.label == "CERTIFICATE");
    Ok(certificate.ok_or("holds no certificate")?.der)
}

/// RFC 5280 appendix A: 64 characters; and none that would play tricks on a terminal.
///
/// # Errors
/// [`PkiError::BadOrganization`].
pub(super) fn check_organization(text: &str) -> Result<(), PkiError> {
    let length = text.chars().count();
    if length == 0 || length > MAX_ATTRIBUTE || text.contains(char::is_control) {
        return Err(PkiError::BadOrganization(text.to_owned()));
    }
    Ok(())
}

fn extended(uses: Uses) -> Vec<ExtendedKeyUsagePurpose> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    match uses {
        Uses::Both => vec![ServerAuth, ClientAuth],
        Uses::Server => vec![ServerAuth],
        Uses::Client => vec![ClientAuth],
    }
}

fn params(common_name: &str, now: Moment, ends: Moment, serial: Serial) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.bytes()));
    params.distinguished_name = DistinguishedName::new();
    // RFC 6125 section 6.4.4: nobody verifies by it; it is for people who list certificates.
    let shown: String = common_name.chars().take(MAX_ATTRIBUTE).collect();
    params.distinguished_name.push(DnType::CommonName, shown);
    params.not_before = now.minus(BACKDATED).date();
    params.not_after = ends.date();
    params
}

fn end(now: Moment, valid_for: Duration) -> Result<Moment, PkiError> {
    if valid_for.as_secs() == 0 || valid_for > LONGEST {
        return Err(PkiError::BadLifetime(valid_for));
    }
    Ok(now.plus(valid_for))
}

#[cfg(test)]
mod tests;
