//! A throwaway authority and what it signs, as PEM texts.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate_pem: String,
}

/// A server's certificate and key.
pub(crate) struct Identity {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

impl Authority {
    /// A new one, with a key of its own.
    pub(crate) fn new(common_name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate_pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            certificate_pem,
        }
    }

    /// Signs a server certificate for these names.
    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        self.signed(names, |_| {})
    }

    /// The same of one that begins and ends so many days from now.
    pub(crate) fn lasting(&self, names: &[&str], [from, to]: [i64; 2]) -> Identity {
        let now = OffsetDateTime::now_utc();
        self.signed(names, |params| {
            params.not_before = now + time::Duration::days(from);
            params.not_after = now + time::Duration::days(to);
        })
    }

    fn signed(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, names[0].as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python 3.13 and newer refuse a chain without it (RFC 5280 4.2.1.1).
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate_pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            certificate_pem,
            key_pem: key.serialize_pem(),
        }
    }
}
