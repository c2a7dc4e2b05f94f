//! Certificate requests (PKCS#10, RFC 2986): what is read of one, and what is not taken from it.

use super::authority::{certificate_der, check_organization};
use super::show::{algorithm, general};
use super::{Fault, KeyKind, Layout, Name, PkiError, pem};
use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use std::fmt::Write;
use std::net::IpAddr;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Longer requests are not looked at: a real one has some kilobytes.
pub const MOST_BYTES: usize = 64 * 1024;

/// RSA keys below this are too weak, and above [`MOST_RSA_BITS`] a burden for whoever verifies.
const LEAST_RSA_BITS: usize = 2048;
const MOST_RSA_BITS: usize = 8192;

/// P-256 and P-384 (RFC 5480 section 2.1.1.1): what the signature check and strict verifiers know.
const CURVES: [&str; 2] = ["1.2.840.10045.3.1.7", "1.3.132.0.34"];

/// A request whose signature is its key's own: whoever made it holds the private key.
#[derive(Debug, Clone)]
pub struct Request {
    file: String,
    key: SubjectPublicKeyInfo,
    rsa: bool,
    common_name: Option<String>,
    organization: Option<String>,
    names: Vec<String>,
    ignored: Vec<String>,
}

impl Request {
    /// Reads PEM or DER; `file` is told in errors.
    ///
    /// # Errors
    /// [`PkiError::Request`]: not one request, a signature that is not its key's, a key that is too
    /// weak or of no kind that TLS servers use; [`PkiError::BadOrganization`].
    pub fn read(bytes: &[u8], file: &str) -> Result<Request, PkiError> {
        let bad = |why: String| PkiError::Request {
            file: file.to_owned(),
            why,
            fault: Fault::Config,
        };
        let der = request_der(bytes).map_err(bad)?;
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|error| bad(format!("no certificate request: {error}")))?;
        if !rest.is_empty() {
            return Err(bad("bytes after the certificate request".to_owned()));
        }
        let info = &request.certification_request_info;
        let rsa = check_key(&info.subject_pki).map_err(bad)?;
        request.verify_signature().map_err(|error| {
            bad(match error {
                X509Error::SignatureUnsupportedAlgorithm => format!(
                    "it is signed with {}, which is not taken here: `openssl req -new -sha256` makes one \
                     that is",
                    algorithm(&request.signature_algorithm.algorithm.to_id_string())
                ),
                _ => "the request's signature is not its own key's: whoever sent it may not hold the \
                      key, or it was changed on its way"
                    .to_owned(),
            })
        })?;
        let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw);
        let key =
            key.map_err(|_| bad("its key is of a kind that is not signed here".to_owned()))?;
        let mut read = Request {
            file: file.to_owned(),
            key,
            rsa,
            common_name: first(info.subject.iter_common_name()).map_err(bad)?,
            organization: first(info.subject.iter_organization()).map_err(bad)?,
            names: Vec::new(),
            ignored: Vec::new(),
        };
        if let Some(organization) = &read.organization {
            check_organization(organization)?;
        }
        for extension in request.requested_extensions().into_iter().flatten() {
            read.take(extension);
        }
        Ok(read)
    }

    /// The subject's `O=`, which its certificate keeps.
    pub fn organization(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// What it asks for and does not get, whoever signs it; for people.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The names it asks for: the subject alternative names, or the common name where there are none.
    pub fn names(&self) -> Vec<String> {
        if self.names.is_empty() {
            self.common_name.iter().cloned().collect()
        } else {
            self.names.clone()
        }
    }

    /// The subject's `CN=`.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The public key.
    pub fn key(&self) -> &impl PublicKeyData {
        &self.key
    }

    /// Whether the certificate is for this request's key.
    pub fn is_for(&self, certificate: &str) -> bool {
        key_of(certificate).is_ok_and(|key| key.der_bytes() == self.key.der_bytes())
    }

    /// The names to certify when nobody says them: those it asks for, if all are one party's and that
    /// party is of `domain`. Its party is the first name's label below the domain. Addresses say nothing
    /// of whose it is, since parties behind NAT share them: they are left out, as where names are said.
    ///
    /// # Errors
    /// [`PkiError::Request`] where the request asks for more than one party may have, or nobody can
    /// say who it is; [`PkiError::BadName`] for wildcards and what is no name.
    pub fn names_by_policy(&self, domain: Option<&str>) -> Result<Vec<String>, PkiError> {
        let refuse = |why: String| Err(self.refused(why));
        let mut asked = self.names();
        asked.retain(|name| name.parse::<IpAddr>().is_err());
        let Some(domain) = domain else {
            return refuse(format!(
                "asks for {}, and this authority has no domain to judge that by: say the names \
                 yourself, as in `snihub pki sign CSR NAME...`",
                listed(&asked)
            ));
        };
        let domain = Name::dns(domain)?;
        let mut party: Option<Name> = None;
        for text in &asked {
            let name = Name::dns(text)?;
            let Some(of) = party_of(&name, &domain) else {
                return refuse(format!("asks for {name}, which is not below {domain}"));
            };
            match &party {
                Some(party) if *party != of => {
                    return refuse(format!("asks for names of two parties, {party} and {of}"));
                }
                _ => party = Some(of),
            }
        }
        let Some(party) = party else {
            return refuse(
                "asks for no name: say it, as in `snihub pki sign CSR NAME...`".to_owned(),
            );
        };
        if let (Some(called), Some(text)) = (self.called(&domain), self.common_name())
            && called != party
        {
            return refuse(format!(
                "says CN={}, and asks for {}: whose is it? If you know, say the names yourself, as in \
                 `snihub pki sign CSR {party}`",
                text.escape_debug(),
                listed(&asked)
            ));
        }
        // The party's own name goes first: the certificate goes by it.
        let own = party.to_string();
        let rest = asked.iter().filter(|name| normal(name) != own);
        if rest.clone().count() == asked.len() {
            return refuse(format!(
                "asks for names below {own}, but not for {own} itself"
            ));
        }
        Ok(std::iter::once(own.clone()).chain(rest.cloned()).collect())
    }

    /// The party of the domain that the common name is of, by its number or a full name; none where it
    /// is a text for people.
    fn called(&self, domain: &Name) -> Option<Name> {
        let text = self.common_name()?;
        let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let name = match number {
            true => Name::dns(&format!("{text}.{domain}")),
            false => Name::dns(text),
        };
        party_of(&name.ok()?, domain)
    }

    /// The `O=` to certify: the request's own. `said` is what it has to be, or what to put in where
    /// it has none.
    ///
    /// # Errors
    /// [`PkiError::Request`] where the two differ.
    pub fn organization_by_policy(&self, said: Option<&str>) -> Result<Option<String>, PkiError> {
        match (self.organization(), said) {
            (Some(own), Some(said)) if own != said => Err(self.refused(format!(
                "says O={}, not O={}",
                own.escape_debug(),
                said.escape_debug()
            ))),
            (own, said) => Ok(own.or(said).map(str::to_owned)),
        }
    }

    /// Whether the layout's readers load this kind of key.
    ///
    /// # Errors
    /// [`PkiError::Request`] with what to do.
    pub fn check_layout(&self, layout: Layout) -> Result<(), PkiError> {
        let spec = layout.spec();
        if !self.rsa && !spec.keys.contains(&KeyKind::P256) {
            return Err(self.refused(format!(
                "has an ECDSA key, and layout {} takes RSA: {}. Make the request with `openssl req \
                 -new -newkey rsa:2048 -nodes`, or choose another layout with --layout",
                spec.name, spec.keys_why
            )));
        }
        Ok(())
    }

    pub(super) fn refused(&self, why: String) -> PkiError {
        PkiError::Request {
            file: self.file.clone(),
            why,
            fault: Fault::Refused,
        }
    }

    fn take(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(name) => self.names.push((*name).to_owned()),
                        GeneralName::IPAddress(bytes) => self.names.push(address(bytes)),
                        other => self
                            .ignored
                            .push(format!("a name of another kind, {}", general(other))),
                    }
                }
            }
            ParsedExtension::BasicConstraints(basic) if basic.ca => {
                self.ignored
                    .push("CA:TRUE, to be an authority itself".to_owned());
            }
            ParsedExtension::BasicConstraints(_) => {}
            ParsedExtension::KeyUsage(usage) => {
                self.ignored
                    .push(format!("key usage ({usage}): the layout says it"));
            }
            ParsedExtension::ExtendedKeyUsage(_) => {
                self.ignored
                    .push("extended key usage: the layout says it".to_owned());
            }
            _ => self
                .ignored
                .push("an extension that no certificate here has".to_owned()),
        }
    }
}

/// A name as certificates have it: in lower case, without the dot at its end. What is none stays.
pub fn normal(name: &str) -> String {
    Name::parse(name).map_or_else(|_| name.to_owned(), |name| name.to_string())
}

/// The party that a name below the domain is of, `<party>.<domain>`.
fn party_of(name: &Name, domain: &Name) -> Option<Name> {
    let name = name.to_string();
    let below = name.strip_suffix(&format!(".{domain}"))?;
    let label = below.rsplit('.').next().unwrap_or(below);
    Name::dns(&format!("{label}.{domain}")).ok()
}

/// The public key of a certificate that was issued here.
pub(super) fn key_of(certificate: &str) -> Result<SubjectPublicKeyInfo, PkiError> {
    let der = certificate_der(certificate).map_err(PkiError::Crypto)?;
    let (_, parsed) = X509Certificate::from_der(&der)
        .map_err(|error| PkiError::Crypto(format!("a certificate of the index: {error}")))?;
    Ok(SubjectPublicKeyInfo::from_der(parsed.public_key().raw)?)
}

/// The kind of a certificate's key, if it is one that is made here.
pub(super) fn kind_of(certificate: &str) -> Option<KeyKind> {
    let der = certificate_der(certificate).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    match parsed.public_key().parsed().ok()? {
        PublicKey::RSA(key) if key.key_size() == 2048 => Some(KeyKind::Rsa2048),
        PublicKey::RSA(key) if key.key_size() == 4096 => Some(KeyKind::Rsa4096),
        PublicKey::EC(key) if key.key_size() == 256 => Some(KeyKind::P256),
        _ => None,
    }
}

/// Names for people, escaped: a request may hold anything.
pub(super) fn listed(names: &[String]) -> String {
    let mut text = String::new();
    for name in names {
        let _ = write!(
            text,
            "{}{}",
            if text.is_empty() { "" } else { ", " },
            name.escape_debug()
        );
    }
    if text.is_empty() {
        "no name".to_owned()
    } else {
        text
    }
}

/// An address in text; what is none is shown as what it is.
pub(super) fn address(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        std::net::Ipv4Addr::from(four).to_string()
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
        std::net::Ipv6Addr::from(sixteen).to_string()
    } else {
        format!("address of {} bytes", bytes.len())
    }
}

fn request_der(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.len() > MOST_BYTES {
        return Err(format!(
            "longer than {MOST_BYTES} bytes: no certificate request"
        ));
    }
    // DER begins with a SEQUENCE; PEM is text.
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let mut blocks = pem::blocks(bytes)?;
    // "NEW" is what keytool and old openssl write (RFC 7468 section 7).
    let is_request = |label: &str| label.trim_start_matches("NEW ") == "CERTIFICATE REQUEST";
    match blocks.iter().position(|block| is_request(&block.label)) {
        Some(at) => Ok(blocks.swap_remove(at).der),
        None if blocks.is_empty() => Err("holds no PEM block: a request begins with -----BEGIN \
                                          CERTIFICATE REQUEST-----"
            .to_owned()),
        None => Err(format!(
            "holds {}, not a certificate request",
            blocks[0].label.escape_debug()
        )),
    }
}

/// Whether it is RSA.
fn check_key(key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Result<bool, String> {
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => {
            // The modulus with its sign byte.
            let bits = key.key_size();
            if (LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
                Ok(true)
            } else {
                Err(format!(
                    "its RSA key has {bits} bits; {LEAST_RSA_BITS} to {MOST_RSA_BITS} are signed"
                ))
            }
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref();
            let curve = curve.and_then(|curve| curve.as_oid().ok());
            let curve = curve.map_or("no named curve".to_owned(), |oid| oid.to_id_string());
            if CURVES.contains(&&*curve) {
                return Ok(false);
            }
            Err(format!(
                "its ECDSA key is on another curve ({curve}) than P-256 or P-384: those two are signed, \
                 and RSA"
            ))
        }
        _ => Err("its key is neither RSA nor ECDSA".to_owned()),
    }
}

/// The first of a kind of the subject's attributes.
fn first<'a>(
    mut attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Result<Option<String>, String> {
    let Some(attribute) = attributes.next() else {
        return Ok(None);
    };
    if attributes.next().is_some() {
        return Err("has two of the same attribute in its subject: which one counts?".to_owned());
    }
    let text = attribute
        .as_str()
        .map_err(|_| "has a subject that is no text".to_owned())?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests;
