//! One way to a party, directly or through the hub: what an answer means.

use super::certificate;
use super::finding::{Finding, ms};
use super::instead;
use super::issued::Issued;
use super::pulsar::{connect, no_pulsar};
use super::reach::{connected, not_connected};
use crate::net::Target;
use crate::party::Party;
use crate::pki::Layout;
use crate::probe::{Answer, ClientCertificate, NoTls, Tls};
use crate::tls::LooksLike;
use std::time::Duration;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From here, to where the hub dials.
    Direct,
    /// As another party goes.
    Hub,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg<'l> {
    pub(super) way: Way,
    pub(super) party: &'l Party,
    /// Where the question went.
    pub(super) target: &'l Target,
    pub(super) patience: Duration,
    /// What came of the other way, if that was asked before.
    pub(super) direct: Option<&'l Answer>,
    /// Names of other parties: whose certificate may it be?
    pub(super) others: &'l [String],
    /// Where the hub leads names; `None`: not known here.
    pub(super) routed: Option<&'l dyn Routed>,
    /// Whether it is the operator of the hub who reads this.
    pub(super) at_hub: bool,
    /// For certificates: whether somebody said whose count.
    pub(super) trusted: bool,
    /// What the party runs.
    pub(super) layout: Layout,
    /// What our authority has issued, if it is here.
    pub(super) issued: Option<&'l Issued<'l>>,
}

/// Where the hub leads a name.
pub(super) trait Routed: std::fmt::Debug {
    /// As its route says; `None`: nowhere.
    fn leads(&self, name: &str) -> Option<&str>;
}

impl Leg<'_> {
    /// What the port of its TLS is called in its own settings.
    pub(super) fn tls_port(&self) -> &'static str {
        match self.layout {
            Layout::Pulsar => "brokerServicePortTls",
            _ => "its port with TLS",
        }
    }

    /// Whether the party did, when it was asked directly.
    pub(super) fn speaks_tls_directly(&self) -> bool {
        let direct = self.direct.and_then(|answer| answer.tls.as_ref());
        direct.is_some_and(Result::is_ok)
    }
}

/// All that an answer by way of the hub tells. `no_hub`: what speaks where the hub should.
pub(super) fn judge_by(leg: &Leg<'_>, answer: &Answer, no_hub: Option<LooksLike>) -> Vec<Finding> {
    match no_hub {
        Some(looks) => vec![instead::no_hub(leg, looks)],
        None => judge(leg, answer),
    }
}

/// All that an answer tells.
pub(super) fn judge(leg: &Leg<'_>, answer: &Answer) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &answer.tcp {
        Ok(tcp) => findings.push(connected(leg, tcp)),
        Err(error) => return vec![not_connected(leg, error)],
    }
    match &answer.tls {
        Some(Ok(tls)) => findings.extend(handshake(leg, tls)),
        Some(Err(why)) => findings.push(no_tls(leg, why, answer.instead)),
        None => {}
    }
    match &answer.pulsar {
        Some(Ok(pulsar)) => findings.extend(connect(leg, pulsar, names(answer))),
        Some(Err(why)) => {
            let client = answer.tls.as_ref().and_then(|tls| tls.as_ref().ok());
            findings.extend(no_pulsar(leg, why, client.map(|tls| tls.client)));
        }
        None => {}
    }
    findings
}

/// Of the certificate that was shown.
fn names(answer: &Answer) -> &[String] {
    let tls = answer.tls.as_ref().and_then(|tls| tls.as_ref().ok());
    let own = tls.and_then(|tls| tls.certificate.as_ref().ok());
    own.map(|own| own.names.as_slice()).unwrap_or_default()
}

fn handshake(leg: &Leg<'_>, tls: &Tls) -> Vec<Finding> {
    let also = match tls.takes_1_2 {
        Some(true) if tls.version == "TLS 1.3" => ", also 1.2",
        Some(false) => ", not 1.2",
        _ => "",
    };
    let alpn = tls
        .alpn
        .as_ref()
        .map(|name| format!(", speaks {name}"))
        .unwrap_or_default();
    let mut findings = vec![Finding::ok(
        "tls",
        format!("{}{also}{alpn}, handshake in {}", tls.version, ms(tls.took)),
    )];
    let direct = leg.direct.and_then(|answer| match &answer.tls {
        Some(Ok(direct)) => Some(direct),
        _ => None,
    });
    match direct {
        Some(direct) if direct.der == tls.der => {
            let seen = "the same certificate as directly";
            findings.push(Finding::ok("certificate", seen));
        }
        Some(_) => {
            findings.push(elsewhere(tls));
            findings.extend(certificate::judge(leg, tls));
        }
        None => findings.extend(certificate::judge(leg, tls)),
    }
    findings.extend(client_certificate(leg, tls));
    findings
}

/// Another certificate than directly: several brokers may have one each, if it is good.
fn elsewhere(tls: &Tls) -> Finding {
    let names = tls.certificate.as_ref().map(|own| own.names.join(", "));
    let names = names.unwrap_or_default();
    let (check, reload) = (
        "hub.elsewhere",
        "`snihub reload` on the hub's machine says whether it takes the file",
    );
    match tls.faults.is_empty() {
        true => Finding::warning(
            check,
            format!("another certificate than directly, for {names}"),
        )
        .why("several brokers are behind the route, or the hub that runs leads to another one")
        .fix(reload),
        false => Finding::error(
            check,
            format!("another server than directly answers: its certificate is for {names}"),
        )
        .why("the hub that runs leads somewhere else than sni.yaml says")
        .fix(reload),
    }
}

fn client_certificate(leg: &Leg<'_>, tls: &Tls) -> Option<Finding> {
    Some(match tls.client {
        ClientCertificate::NotAsked => return None,
        ClientCertificate::Asked => Finding::note(
            "client_certificate",
            "it asks for a client certificate, and does without",
        ),
        ClientCertificate::Taken => {
            Finding::ok("client_certificate", "it takes our client certificate")
        }
        ClientCertificate::Required => client_required(leg),
        ClientCertificate::Declined => client_declined(leg),
    })
}

fn client_declined(leg: &Leg<'_>) -> Finding {
    Finding::error(
        "client_certificate.declined",
        "it ends the connection of who shows our client certificate",
    )
    .why("whoever calls this party shows one of the same authority")
    .fix(match leg.layout {
        Layout::Pulsar => {
            "tlsTrustCertsFilePath of its broker.conf has to hold the authority's certificate"
        }
        _ => "the file of the authorities that it trusts has to hold the authority's certificate",
    })
}

fn client_required(leg: &Leg<'_>) -> Finding {
    Finding::warning(
        "client_certificate.required",
        "it requires a client certificate, and there is none to show: not asked further",
    )
    .why(match leg.layout {
        Layout::Pulsar => {
            "brokers that replicate to it have to show one: brokerClientAuthenticationPlugin=\
             org.apache.pulsar.client.impl.auth.AuthenticationTls, with its tlsCertFile and tlsKeyFile"
        }
        _ => "whoever calls this party has to show one",
    })
    .fix(match leg.layout {
        Layout::Pulsar => {
            "run this again with --cert and --key of a party; if nobody is to show one: \
             tlsRequireTrustedClientCertOnConnect=false in its broker.conf"
        }
        _ => "run this again with --cert and --key of a party",
    })
}

fn no_tls(leg: &Leg<'_>, why: &NoTls, found: Option<LooksLike>) -> Finding {
    let found = found.or(match why {
        NoTls::NotTls(looks) => Some(*looks),
        _ => None,
    });
    if let Some(looks) = found {
        return instead::judge(leg, looks);
    }
    let (id, name) = (&leg.party.id, &leg.party.name);
    match (why, leg.way) {
        (NoTls::CertificateRequired, _) => client_required(leg),
        (NoTls::CertificateDeclined, _) => client_declined(leg),
        (NoTls::Alert(112), Way::Hub) => unknown(leg),
        (NoTls::Alert(49), Way::Hub) if leg.at_hub => Finding::note(
            "hub.not_allowed",
            "the hub does not let this machine call it: ip_allow of its entry lists others",
        ),
        (NoTls::Alert(49), Way::Hub) => Finding::error(
            "hub.not_allowed",
            "the hub does not let this machine call it (TLS alert 49)",
        )
        .why(format!(
            "{name} takes calls from listed addresses, and this machine's is not one"
        ))
        .fix("the hub's operator adds the address the hub sees to ip_allow of the entry"),
        (NoTls::Alert(80), Way::Hub) => unreached(leg),
        (NoTls::TimedOut, Way::Hub) => silent(leg),
        (NoTls::Closed | NoTls::Reset, Way::Hub) => Finding::error(
            "hub.no_answer",
            format!("the hub takes the hello, and then: {why}"),
        )
        .why(match leg.speaks_tls_directly() {
            true => "directly the party speaks TLS: the hub hangs, or another one answers there",
            false => "that is what a plain Pulsar port does, and anything else that speaks no TLS",
        })
        .fix(match leg.at_hub {
            true if leg.speaks_tls_directly() => {
                "`snihub status`, and the hub's log: `journalctl -u snihub`".to_owned()
            }
            true => "see what answers directly, above".to_owned(),
            false => format!("on the hub's machine, `snihub doctor {id}` says what answers there"),
        }),
        (NoTls::Alert(70), _) => Finding::error(
            "tls.version",
            "it takes neither TLS 1.3 nor TLS 1.2 (alert 70)",
        )
        .why("nobody should speak an older one, and brokers do not")
        .fix("tlsProtocols=TLSv1.3,TLSv1.2 in its broker.conf"),
        _ => Finding::error("tls", format!("{}: {why}", instead::at(leg)))
            .why("brokers reach it as far as this, and no further")
            .fix(match (leg.way, leg.at_hub) {
                (Way::Direct, _) => format!(
                    "its own log says why; {} has to be the port of the route",
                    leg.tls_port()
                ),
                (Way::Hub, true) => "see what answers directly, above".to_owned(),
                (Way::Hub, false) => {
                    format!("on the hub's machine, `snihub doctor {id}` says what answers there")
                }
            }),
    }
}

/// Nothing came at all: a hub would have declined what it does not take.
fn silent(leg: &Leg<'_>) -> Finding {
    let (target, id, seconds) = (leg.target, &leg.party.id, leg.patience.as_secs_f64());
    let seen =
        format!("{target} takes connections, and no answer to the hello came in {seconds} s");
    Finding::error("hub.no_answer", seen)
        .why(match leg.speaks_tls_directly() {
            true => "directly the party speaks TLS: the hub hangs, or another one answers there",
            false => {
                "the hub hangs, or waits for a party that does not answer; or that is no door of a hub"
            }
        })
        .fix(match (leg.at_hub, leg.speaks_tls_directly()) {
            (true, true) => {
                "`snihub status`, and the hub's log: `journalctl -u snihub`".to_owned()
            }
            (true, false) => {
                "`snihub status` says whether the hub answers; see what answers directly, above".to_owned()
            }
            (false, _) => format!(
                "on the hub's machine, `snihub status` shows its port, and `snihub doctor {id}` says what \
                 answers behind it"
            ),
        })
}

fn unknown(leg: &Leg<'_>) -> Finding {
    let (id, name) = (&leg.party.id, &leg.party.name);
    Finding::error(
        "hub.unknown_name",
        format!("the hub does not know {name} (TLS alert 112)"),
    )
    .why("every call to this party ends there")
    .fix(match leg.at_hub {
        true => "`snihub reload` says why the hub that runs does not have the route".to_owned(),
        false => format!("on the hub's machine: `snihub party add {id} --route HOST:6651`"),
    })
}

fn unreached(leg: &Leg<'_>) -> Finding {
    let id = &leg.party.id;
    Finding::error(
        "hub.not_reached",
        "the hub knows the name and cannot reach the party (TLS alert 80)",
    )
    .why("every call to this party ends there")
    .fix(match leg.at_hub {
        true => "see why directly, above; `snihub refusals` has the hub's own words".to_owned(),
        false => format!("on the hub's machine, `snihub doctor {id}` says why"),
    })
}
