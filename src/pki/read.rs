//! What a certificate that came from anybody says, as values.

use super::Moment;
use super::show::{general, moment, name, public_key};
use crate::terminal::escaped;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

/// More names than a certificate of a party has: the rest is not kept.
const MOST_NAMES: usize = 100;

/// A certificate. No text of it moves a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Of X.509: 3, or 1 and then it has no names.
    pub version: u32,
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its names and addresses (subjectAltName), the first 100.
    pub names: Vec<String>,
    /// When it begins.
    pub not_before: Moment,
    /// When it ends.
    pub not_after: Moment,
    /// `RSA, 2048 bits`.
    pub key: String,
    /// Whether it is an authority's.
    pub authority: bool,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn read(der: &[u8]) -> Result<Certificate, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut names = Vec::new();
        for extension in parsed.extensions() {
            if let ParsedExtension::SubjectAlternativeName(listed) = extension.parsed_extension() {
                let listed = listed.general_names.iter().take(MOST_NAMES);
                names.extend(listed.map(|name| escaped(&general(name))));
            }
        }
        Ok(Certificate {
            version: parsed.version().0.saturating_add(1),
            subject: escaped(&name(parsed.subject())),
            issuer: escaped(&name(parsed.issuer())),
            names,
            not_before: moment(parsed.validity().not_before),
            not_after: moment(parsed.validity().not_after),
            key: public_key(parsed.public_key()),
            authority: parsed.is_ca(),
        })
    }

    /// Reads the first certificate of a text in PEM.
    ///
    /// # Errors
    /// As [`Certificate::read`]; there is none.
    pub fn read_pem(pem: &[u8]) -> Result<Certificate, String> {
        Certificate::read(&first_der(pem)?)
    }
}

/// The first certificate of a text in PEM, as DER.
///
/// # Errors
/// It is broken, or there is none.
pub fn first_der(pem: &[u8]) -> Result<Vec<u8>, String> {
    let mut blocks = super::pem::blocks(pem)?.into_iter();
    let block = blocks.find(|block| block.label == "CERTIFICATE");
    Ok(block.ok_or("holds no certificate in PEM")?.der)
}
