//! A broker's own settings: what makes it go past the hub, or a correct hub look broken.

use super::finding::Finding;
use super::properties::Properties;
use crate::party::Party;
use crate::pki::{Certificate, DUE_DAYS, Moment};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// What Pulsar has where nobody set it (broker.conf of 2.10 to 4.0).
const REPLICATOR_PREFIX: &str = "pulsar.repl";

/// What the file says of the party: `advertisedAddress`, and where its TLS port is.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    /// Its name, if it is one.
    pub name: Option<String>,
    /// Where its own broker listens with TLS, `host:port`.
    pub listens: Option<String>,
    /// The certificates that it trusts, if they can be read here.
    pub trust: Option<Vec<u8>>,
    /// The certificate that it shows, DER.
    pub certificate: Option<Vec<u8>>,
}

/// A broker.conf, read.
#[derive(Debug)]
pub(super) struct Settings<'s>(Properties<'s>);

impl<'s> Settings<'s> {
    pub(super) fn parse(file: &'s Path, text: &str) -> Settings<'s> {
        Settings(Properties::parse(file, text))
    }

    /// What it says of its party.
    pub(super) fn own(&self) -> Own {
        let get = |key| self.0.get(key);
        let name = get("advertisedAddress").filter(|name| is_name(name));
        let bound = get("bindAddress").filter(|bound| *bound != "0.0.0.0" && *bound != "::");
        let port = get("brokerServicePortTls");
        let read = |key| get(key).and_then(|path| fs::read(path).ok());
        Own {
            name: name.map(str::to_ascii_lowercase),
            listens: port.map(|port| format!("{}:{port}", bound.unwrap_or("127.0.0.1"))),
            trust: read("brokerClientTrustCertsFilePath"),
            certificate: read("tlsCertificateFilePath")
                .and_then(|pem| crate::pki::first_der(&pem).ok()),
        }
    }

    /// What is wrong with it; `party`: whose it is, if that is known.
    pub(super) fn judge(&self, party: Option<&Party>) -> Vec<Finding> {
        let mut findings = self.client();
        findings.extend(self.listener());
        findings.extend(self.advertised(party));
        findings.extend(self.checks());
        findings.extend(self.prefix(party));
        findings.extend(self.certificate(party));
        if findings.is_empty() {
            findings.push(Finding::ok("settings", "nothing in it goes past the hub"));
        }
        findings
    }

    fn is(&self, key: &str, value: &str) -> bool {
        let own = self.0.get(key);
        own.is_some_and(|own| own.eq_ignore_ascii_case(value))
    }

    fn client(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let key = "brokerClientTlsEnabled";
        if !self.is(key, "true") {
            findings.push(
                Finding::error("settings.bypass", self.0.at(key))
                    .why(
                        "replication then goes to the other party's plain port, past the hub, and \
                          everything seems to work",
                    )
                    .fix("brokerClientTlsEnabled=true"),
            );
        }
        let key = "brokerClientTrustCertsFilePath";
        if self.0.get(key).is_none() && !self.is("brokerClientTlsEnabledWithKeyStore", "true") {
            findings.push(
                Finding::error("settings.trust", self.0.at(key))
                    .why("this broker then trusts none of the other parties' certificates")
                    .fix("brokerClientTrustCertsFilePath=/pulsar/certs/ca.cert.pem"),
            );
        }
        findings
    }

    fn listener(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let key = "brokerServicePortTls";
        if self.0.get(key).is_none() {
            findings.push(
                Finding::error("settings.no_tls", self.0.at(key))
                    .why("nobody can call this broker with TLS, and the hub passes nothing else")
                    .fix("brokerServicePortTls=6651"),
            );
        }
        let key = "webServicePortTls";
        if self.0.get(key).is_none() && self.is("brokerClientTlsEnabled", "true") {
            findings.push(
                Finding::error("settings.web", self.0.at(key))
                    .why("with brokerClientTlsEnabled the broker's own admin client asks that address")
                    .fix("webServicePortTls=8081"),
            );
        }
        findings
    }

    fn advertised(&self, party: Option<&Party>) -> Option<Finding> {
        let key = "advertisedAddress";
        let name = party.map_or("PARTY.DOMAIN", |party| &party.name);
        let line = format!("advertisedAddress={name}");
        match (self.0.get(key), party) {
            (Some(own), Some(party)) if own.eq_ignore_ascii_case(&party.name) => None,
            (Some(own), None) if is_name(own) => None,
            (Some(own), Some(_)) if is_name(own) => Some(
                Finding::warning("settings.advertised", self.0.at(key))
                    .why(format!(
                        "callers ask the hub for {own} next: it needs a route of its own"
                    ))
                    .fix(line),
            ),
            _ => Some(
                Finding::error("settings.advertised", self.0.at(key))
                    .why(
                        "callers ask the hub for that name next; without it the broker takes its \
                         machine's, and an address is no server name",
                    )
                    .fix(line),
            ),
        }
    }

    fn checks(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let key = "tlsHostnameVerificationEnabled";
        if !self.is(key, "true") {
            findings.push(
                Finding::warning("settings.unchecked", self.0.at(key))
                    .why("this broker gives its data to any party that answers, whatever its name")
                    .fix("tlsHostnameVerificationEnabled=true"),
            );
        }
        let key = "tlsAllowInsecureConnection";
        if self.is(key, "true") {
            findings.push(
                Finding::warning("settings.unchecked", self.0.at(key))
                    .why("this broker takes any certificate, of any authority")
                    .fix("tlsAllowInsecureConnection=false"),
            );
        }
        findings
    }

    fn prefix(&self, party: Option<&Party>) -> Option<Finding> {
        let key = "replicatorPrefix";
        let own = self.0.get(key).unwrap_or(REPLICATOR_PREFIX);
        let same = own == REPLICATOR_PREFIX
            && self.0.get("clusterName").unwrap_or("standalone") == "standalone";
        let id = party.map_or("PARTY", |party| &party.id);
        same.then(|| {
            Finding::warning("settings.prefix", self.0.at(key))
                .why(
                    "every FATE broker calls its cluster \"standalone\": from three parties on their \
                     producers collide, and jobs hang",
                )
                .fix(format!("replicatorPrefix={REPLICATOR_PREFIX}.{id}"))
        })
    }

    fn certificate(&self, party: Option<&Party>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut read = |key: &'static str| {
            let path = self.0.get(key)?;
            match fs::read(path) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    findings.push(
                        Finding::note("settings.file", format!("{}: {error}", self.0.at(key)))
                            .why("not looked at; in a container the path is another one here"),
                    );
                    None
                }
            }
        };
        let (certificate, key) = (read("tlsCertificateFilePath"), read("tlsKeyFilePath"));
        if let Some(pem) = certificate {
            findings.extend(self.own_certificate(&pem, party));
        }
        if let Some(pem) = key {
            findings.extend(self.own_key(&pem));
        }
        findings
    }

    fn own_certificate(&self, pem: &[u8], party: Option<&Party>) -> Option<Finding> {
        let at = self.0.at("tlsCertificateFilePath");
        let own = match Certificate::read_pem(pem) {
            Ok(own) => own,
            Err(why) => {
                return Some(Finding::error(
                    "settings.certificate",
                    format!("{at}: {why}"),
                ));
            }
        };
        let days = own.not_after.days_after(Moment::now());
        let renew = "ask the hub's operator for `snihub pki renew`, and restart the broker";
        if days < DUE_DAYS {
            let seen = format!("{at}: {days} days left ({})", own.not_after);
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

    fn own_key(&self, pem: &[u8]) -> Option<Finding> {
        let text = String::from_utf8_lossy(pem);
        let old = [
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----",
        ];
        old.iter().any(|label| text.contains(label)).then(|| {
            Finding::error("settings.key", self.0.at("tlsKeyFilePath"))
                .why("the key is in the old form, and the broker (netty) reads PKCS#8 only")
                .fix("openssl pkcs8 -topk8 -nocrypt -in OLD -out broker.key-pk8.pem")
        })
    }
}

fn is_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_err() && text.contains('.')
}
