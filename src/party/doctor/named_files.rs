//! The files that a broker's settings name.

use super::finding::Finding;
use super::properties::{MOST_BYTES, Properties};
use crate::party::Party;
use crate::pki::{Certificate, DUE_DAYS, Moment, days_of};
use crate::regular::read_file;
use std::path::Path;

/// What is wrong with the broker's own certificate and key.
pub(super) fn judge(settings: &Properties<'_>, party: Option<&Party>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut named = |key: &'static str| {
        let path = settings.get(key)?;
        match read_file(Path::new(path), MOST_BYTES) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                findings.push(
                    Finding::note("settings.file", format!("{}: it {error}", settings.at(key)))
                        .why("not looked at; in a container the path is another one here"),
                );
                None
            }
        }
    };
    let (certificate, key) = (named("tlsCertificateFilePath"), named("tlsKeyFilePath"));
    if let Some(pem) = certificate {
        findings.extend(own_certificate(settings, &pem, party));
    }
    if let Some(pem) = key {
        findings.extend(own_key(settings, &pem));
    }
    findings
}

fn own_certificate(
    settings: &Properties<'_>,
    pem: &[u8],
    party: Option<&Party>,
) -> Option<Finding> {
    let at = settings.at("tlsCertificateFilePath");
    let own = match Certificate::read_pem(pem) {
        Ok(own) => own,
        Err(why) => {
            return Some(
                Finding::error("settings.certificate", format!("{at}: {why}"))
                    .why("the broker has nothing to show to its callers")
                    .fix("broker.cert.pem of this party's bundle belongs there"),
            );
        }
    };
    let days = own.not_after.days_after(Moment::now());
    let renew = "ask the hub's operator for `snihub pki renew`, and restart the broker";
    if days < DUE_DAYS {
        let seen = format!("{at}: {} left ({})", days_of(days), own.not_after);
        let finding = match days < 0 {
            true => Finding::error("settings.certificate", seen),
            false => Finding::warning("settings.certificate", seen),
        };
        return Some(finding.why("callers refuse it when it is over").fix(renew));
    }
    let party = party?;
    let carries = own
        .names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(&party.name));
    (!carries).then(|| {
        let seen = format!("{at}: it is for {}", own.names.join(", "));
        Finding::error("settings.certificate", seen)
            .why(format!(
                "callers ask for {} and check that name",
                party.name
            ))
            .fix(renew)
    })
}

fn own_key(settings: &Properties<'_>, pem: &[u8]) -> Option<Finding> {
    let text = String::from_utf8_lossy(pem);
    let old = [
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----",
    ];
    old.iter().any(|label| text.contains(label)).then(|| {
        Finding::error("settings.key", settings.at("tlsKeyFilePath"))
            .why("the key is in the old form, and the broker (netty) reads PKCS#8 only")
            .fix("openssl pkcs8 -topk8 -nocrypt -in OLD -out broker.key-pk8.pem")
    })
}
