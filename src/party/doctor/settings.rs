//! A broker's own settings: what makes it go past the hub, or a correct hub look broken.

use super::finding::Finding;
use super::named_files;
use super::properties::{MOST_BYTES, Properties};
use crate::party::Party;
use crate::regular::read_file;
use std::net::IpAddr;
use std::path::Path;

/// What Pulsar has where nobody set it (broker.conf of 2.10 to 4.0).
const REPLICATOR_PREFIX: &str = "pulsar.repl";

const ADDRESS: &str = "advertisedAddress";

/// Several addresses, each by a name: before [`ADDRESS`].
const LISTENERS: &str = "advertisedListeners";

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
        let name = self
            .told()
            .map(|(_, name)| name)
            .filter(|name| is_name(name));
        let bound = get("bindAddress").filter(|bound| *bound != "0.0.0.0" && *bound != "::");
        let port = get("brokerServicePortTls").filter(|port| is_port(port));
        let read = |key| get(key).and_then(|path| read_file(Path::new(path), MOST_BYTES).ok());
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
        findings.extend(named_files::judge(&self.0, party));
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
        let (key, line) = ("brokerServicePortTls", "brokerServicePortTls=6651");
        findings.extend(match self.0.get(key) {
            Some(port) => self.no_port("settings.no_tls", key, port, line),
            None => Some(
                Finding::error("settings.no_tls", self.0.at(key))
                    .why("nobody can call this broker with TLS, and the hub passes nothing else")
                    .fix(line),
            ),
        });
        let (key, line) = ("webServicePortTls", "webServicePortTls=8081");
        findings.extend(match self.0.get(key) {
            Some(port) => self.no_port("settings.web", key, port, line),
            None => self.is("brokerClientTlsEnabled", "true").then(|| {
                Finding::error("settings.web", self.0.at(key))
                    .why("with brokerClientTlsEnabled the broker's own admin client asks that address")
                    .fix(line)
            }),
        });
        findings
    }

    /// A port that nobody could be told.
    fn no_port(&self, check: &'static str, key: &str, value: &str, line: &str) -> Option<Finding> {
        (!is_port(value)).then(|| {
            Finding::error(check, self.0.at(key))
                .why("that is no port that anybody can be told: 1 to 65535 are")
                .fix(line)
        })
    }

    /// The host that callers are told to ask for next, and by which key: as getInternalListener of
    /// Pulsar 2.10 to 4.0 (ServiceConfigurationUtils) has it.
    fn told(&self) -> Option<(&'static str, &str)> {
        let listeners = self.0.get(LISTENERS);
        let listed = listeners.and_then(|all| tls_host(all, self.0.get("internalListenerName")));
        let address = || self.0.get(ADDRESS).map(|host| (ADDRESS, host));
        listed.map(|host| (LISTENERS, host)).or_else(address)
    }

    /// `party`: whose name that is; none where it is no name.
    fn advertised(&self, party: Option<&Party>) -> Option<Finding> {
        if party.is_some() {
            return None;
        }
        let (key, host) = match self.told() {
            Some((key, host)) => (key, host),
            None => (ADDRESS, ""),
        };
        let finding = Finding::error("settings.advertised", self.0.at(key));
        // What could be a name, were it not for a character of it.
        let finding = match host.contains('.') && host.parse::<IpAddr>().is_err() {
            true => finding.why(
                "callers ask the hub for that next, and it is no name that a certificate may have",
            ),
            false => finding.why(
                "callers ask the hub for that name next; without it the broker takes its machine's, and \
                 an address is no server name (RFC 6066)",
            ),
        };
        Some(finding.fix(match key {
            ADDRESS => "advertisedAddress=PARTY.DOMAIN",
            _ => {
                "advertisedListeners=hub:pulsar://PARTY.DOMAIN:6650,hub:pulsar+ssl://PARTY.DOMAIN:6651"
            }
        }))
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
}

/// The host of a listener with TLS (`NAME:pulsar+ssl://HOST:PORT`, separated by commas): that of the
/// internal name, which is the first one's if nobody says, else of any.
fn tls_host<'t>(listeners: &'t str, internal: Option<&str>) -> Option<&'t str> {
    let all = || {
        let each = listeners.split(',').filter_map(|one| one.split_once(':'));
        each.map(|(name, url)| (name.trim(), url.trim()))
    };
    let host = |(_, url): (&str, &'t str)| {
        let (scheme, authority) = url.split_once("://")?;
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        scheme.eq_ignore_ascii_case("pulsar+ssl").then_some(host)
    };
    let internal = internal.or_else(|| all().next().map(|(name, _)| name))?;
    let mut own = all().filter(|(name, _)| *name == internal);
    own.find_map(host).or_else(|| all().find_map(host))
}

/// The full name of a party, as callers can ask for it.
fn is_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_err()
        && text.contains('.')
        && !text.contains('*')
        && Party::new(text, None).is_ok()
}

/// A port as the file has it: Java reads a decimal number, and 0 is any that is free.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port != 0)
}
