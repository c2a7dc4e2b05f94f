//! Certificates, requests, revocation lists and keys, for people to read. Nothing that a file says is
//! printed as it is: it may come from anybody.

use super::request::address;
use super::serial::hex;
use super::{Moment, days_of, pem, sealed};
use crate::terminal::escaped;
use std::collections::BTreeSet;
use std::fmt::Write;
use x509_parser::asn1_rs::Oid;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

/// Longer files are not looked at, bytes.
pub const MOST_BYTES: usize = pem::MOST_BYTES;

/// Lines of a name, a colon's place and a value.
struct Lines(String);

impl Lines {
    fn head(&mut self, what: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{what}");
    }

    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        let clean: String = escaped(value);
        let _ = writeln!(self.0, "  {name:<12}{clean}");
    }
}

/// Every block of a file in PEM, or a DER certificate, request or list.
///
/// # Errors
/// Why nothing in it can be shown.
pub fn describe(bytes: &[u8]) -> Result<String, String> {
    if bytes.len() > MOST_BYTES {
        return Err(format!("longer than {MOST_BYTES} bytes: no certificate"));
    }
    let mut lines = Lines(String::new());
    if bytes.first() == Some(&0x30) {
        return describe_der(bytes, &mut lines).map(|()| lines.0);
    }
    let blocks = pem::blocks(bytes)?;
    if blocks.is_empty() {
        return Err("holds no PEM block (-----BEGIN ...-----) and is no DER".to_owned());
    }
    for (number, block) in (1..).zip(&blocks) {
        let shown = match block.label.as_str() {
            "CERTIFICATE" => certificate(&block.der, &mut lines),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => request(&block.der, &mut lines),
            "X509 CRL" => list(&block.der, &mut lines),
            label => {
                key(label, &mut lines);
                Ok(())
            }
        };
        shown.map_err(|error| {
            let label = block.label.escape_debug();
            format!("block {number} ({label}) cannot be read: {error}")
        })?;
    }
    Ok(lines.0)
}

fn describe_der(bytes: &[u8], lines: &mut Lines) -> Result<(), String> {
    for show in [certificate, request, list] {
        if show(bytes, lines).is_ok() {
            return Ok(());
        }
        lines.0.clear();
    }
    Err("DER of something else than a certificate, a request or a revocation list".to_owned())
}

fn certificate(der: &[u8], lines: &mut Lines) -> Result<(), String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let of = if parsed.is_ca() {
        "certificate of an authority"
    } else {
        "certificate"
    };
    lines.head(&format!("{of} (X.509 v{})", parsed.version().0 + 1));
    lines.line("subject", name(parsed.subject()));
    let own = parsed.issuer() == parsed.subject();
    lines.line(
        "issuer",
        if own {
            "itself".to_owned()
        } else {
            name(parsed.issuer())
        },
    );
    lines.line("serial", hex(parsed.raw_serial()));
    validity(
        parsed.validity().not_before,
        parsed.validity().not_after,
        lines,
    );
    lines.line("key", public_key(parsed.public_key()));
    lines.line(
        "signed with",
        algorithm(&parsed.signature_algorithm.algorithm.to_id_string()),
    );
    let mut names = false;
    for extension in parsed.extensions() {
        names |= matches!(
            extension.parsed_extension(),
            ParsedExtension::SubjectAlternativeName(_)
        );
        show_extension(extension.parsed_extension(), lines);
    }
    if !names && !parsed.is_ca() {
        lines.line("names", "none: no verifier takes it for any host");
    }
    Ok(())
}

fn request(der: &[u8], lines: &mut Lines) -> Result<(), String> {
    let (_, parsed) = X509CertificationRequest::from_der(der).map_err(|error| error.to_string())?;
    let info = &parsed.certification_request_info;
    lines.head("certificate request (PKCS#10)");
    lines.line("subject", name(&info.subject));
    lines.line("key", public_key(&info.subject_pki));
    let genuine = match parsed.verify_signature() {
        Ok(()) => "by its own key",
        Err(_) => "NOT by its own key: it was changed, or is not its sender's",
    };
    lines.line("signed", genuine);
    for extension in parsed.requested_extensions().into_iter().flatten() {
        show_extension(extension, lines);
    }
    Ok(())
}

fn list(der: &[u8], lines: &mut Lines) -> Result<(), String> {
    let (_, parsed) =
        CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
    lines.head("revocation list");
    lines.line("issuer", name(parsed.issuer()));
    if let Some(number) = parsed.crl_number() {
        lines.line("number", number.to_string());
    }
    lines.line("made", moment(parsed.last_update()).to_string());
    match parsed.next_update() {
        Some(next) => lines.line("good until", until(next)),
        None => lines.line("good until", "it does not say"),
    }
    let count = parsed.iter_revoked_certificates().count();
    lines.line(
        "revoked",
        if count == 0 {
            "none".to_owned()
        } else {
            count.to_string()
        },
    );
    for revoked in parsed.iter_revoked_certificates() {
        let reason = revoked
            .reason_code()
            .map_or(String::new(), |(_, reason)| format!(", {reason}"));
        let time = moment(revoked.revocation_date);
        lines.line(
            "",
            format!("{} since {time}{reason}", hex(revoked.raw_serial())),
        );
    }
    Ok(())
}

fn key(label: &str, lines: &mut Lines) {
    let what = match label {
        "PRIVATE KEY" => "private key (PKCS#8), not encrypted: keep it to whoever uses it",
        sealed::LABEL => "private key (PKCS#8), encrypted by a passphrase",
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            "private key in the old form: netty takes PKCS#8 only, `openssl pkcs8 -topk8 -nocrypt`"
        }
        "PUBLIC KEY" => "public key",
        _ => "",
    };
    match what {
        "" => lines.head(&format!("{}: not shown", label.escape_debug())),
        what => lines.head(what),
    }
}

fn show_extension(extension: &ParsedExtension<'_>, lines: &mut Lines) {
    match extension {
        ParsedExtension::SubjectAlternativeName(names) => {
            for (at, name) in names.general_names.iter().enumerate() {
                lines.line(if at == 0 { "names" } else { "" }, general(name));
            }
        }
        ParsedExtension::BasicConstraints(basic) => {
            let depth = basic.path_len_constraint.map_or_else(
                || "any depth".to_owned(),
                |depth| format!("{depth} authorities below it"),
            );
            let says = if basic.ca {
                format!("yes, {depth}")
            } else {
                "no".to_owned()
            };
            lines.line("authority", says);
        }
        ParsedExtension::KeyUsage(usage) => lines.line("key usage", usage.to_string()),
        ParsedExtension::ExtendedKeyUsage(usage) => lines.line("for", extended(usage)),
        ParsedExtension::SubjectKeyIdentifier(id) => lines.line("key id", hex(id.0)),
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            let id = id.key_identifier.as_ref().map(|id| hex(id.0));
            lines.line("issuer's id", id.unwrap_or_default());
        }
        _ => {}
    }
}

fn extended(usage: &ExtendedKeyUsage<'_>) -> String {
    let known = [
        (usage.server_auth, "server"),
        (usage.client_auth, "client"),
        (usage.any, "anything"),
        (usage.code_signing, "signing code"),
        (usage.email_protection, "e-mail"),
        (usage.time_stamping, "time stamps"),
        (usage.ocsp_signing, "OCSP"),
    ];
    let known = known
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, what)| (*what).to_owned());
    let all: Vec<String> = known
        .chain(usage.other.iter().map(Oid::to_id_string))
        .collect();
    all.join(", ")
}

pub(super) fn general(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => address(bytes),
        GeneralName::URI(uri) => format!("URI {uri}"),
        GeneralName::RFC822Name(mail) => format!("e-mail {mail}"),
        GeneralName::DirectoryName(subject) => format!("directory name {}", self::name(subject)),
        GeneralName::RegisteredID(oid) => format!("registered ID {}", oid.to_id_string()),
        GeneralName::OtherName(oid, _) => format!("other name {}", oid.to_id_string()),
        GeneralName::X400Address(_) => "X.400 address".to_owned(),
        GeneralName::EDIPartyName(_) => "EDI party name".to_owned(),
        GeneralName::Invalid(..) => "what cannot be read".to_owned(),
    }
}

pub(super) fn name(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

pub(super) fn public_key(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA, {} bits", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA, {} bits", point.key_size()),
        _ => format!(
            "of kind {}",
            algorithm(&key.algorithm.algorithm.to_id_string())
        ),
    }
}

pub(super) fn algorithm(oid: &str) -> String {
    let known = match oid {
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.2.840.10045.4.3.2" => "ECDSA with SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.113549.1.1.5" => "RSA with SHA-1: verifiers refuse it today",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.3.101.112" => "Ed25519",
        other => other,
    };
    known.to_owned()
}

pub(super) fn moment(time: ASN1Time) -> Moment {
    Moment(time.timestamp())
}

fn validity(from: ASN1Time, to: ASN1Time, lines: &mut Lines) {
    let from = moment(from);
    let ahead = if from > Moment::now() {
        " (NOT YET)"
    } else {
        ""
    };
    lines.line("valid from", format!("{from}{ahead}"));
    lines.line("valid until", until(to));
}

fn until(time: ASN1Time) -> String {
    let time = moment(time);
    let days = time.days_after(Moment::now());
    if days < 0 {
        format!("{time} (OVER since {})", days_of(-days))
    } else {
        format!("{time} ({} left)", days_of(days))
    }
}

/// What a revocation list holds.
pub(super) struct ReadList {
    pub(super) number: u64,
    pub(super) next_update: Moment,
    pub(super) serials: BTreeSet<Vec<u8>>,
}

/// Reads a list in PEM; none if it is none.
pub(super) fn read_list(bytes: &[u8]) -> Option<ReadList> {
    let block = pem::blocks(bytes)
        .ok()?
        .into_iter()
        .find(|b| b.label == "X509 CRL")?;
    let (_, parsed) = CertificateRevocationList::from_der(&block.der).ok()?;
    let digits = parsed.crl_number()?.to_u64_digits();
    let serials = parsed
        .iter_revoked_certificates()
        .map(|revoked| revoked.raw_serial().to_vec());
    Some(ReadList {
        number: digits.first().copied().unwrap_or(0),
        next_update: moment(parsed.next_update()?),
        serials: serials.collect(),
    })
}

#[cfg(test)]
mod tests;
