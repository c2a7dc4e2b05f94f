//! What is wrong with a party's certificate, and what renews it.

use super::finding::Finding;
use super::issued::Has;
use super::leg::Leg;
use crate::pki::{Certificate, DUE_DAYS, Layout, Moment, Reason, SUCCESSION, USUAL_NAME, days_of};
use crate::probe::{Fault, Tls};

/// Other parties that are named; who shares with more shares with all.
const MOST_NAMED: usize = 5;

/// One finding where all is well, else one for each fault.
pub(super) fn judge(leg: &Leg<'_>, tls: &Tls) -> Vec<Finding> {
    let now = Moment::now();
    let mut findings: Vec<Finding> = tls
        .faults
        .iter()
        .map(|fault| of(leg, fault, tls.certificate.as_ref().ok(), now))
        .collect();
    if let Some(since) = leg.issued.and_then(|issued| issued.revoked(&tls.der)) {
        findings.push(revoked(leg, since));
    }
    let authority = authority(leg, tls, now);
    findings.extend(authority);
    if let Ok(own) = &tls.certificate
        && findings
            .iter()
            .all(|finding| finding.check == "authority.due")
    {
        findings.push(well(leg, own, now));
    }
    if let Ok(own) = &tls.certificate
        && !tls.faults.contains(&Fault::OtherNames)
    {
        findings.extend(several(leg, &own.names));
    }
    findings
}

/// Of an authority that ends before what it has signed: the probe's verifier does not look at that;
/// OpenSSL, and with it the C++ and Python clients, takes no certificate of it then.
fn authority(leg: &Leg<'_>, tls: &Tls, now: Moment) -> Option<Finding> {
    let own = tls.certificate.as_ref().ok()?;
    let ends = tls.authority_ends.filter(|ends| *ends < own.not_after)?;
    let days = ends.days_after(now);
    let place = match leg.at_hub {
        true => "",
        false => "on the hub's machine: ",
    };
    let finding = if ends < now {
        let seen = format!("the authority that signed its certificate is over since {ends}");
        Finding::error("authority.over", seen)
            .why("C++ and Python clients refuse every certificate of it, whatever that says itself")
    } else if days < DUE_DAYS {
        let seen = format!(
            "the authority that signed its certificate ends {ends}, in {}",
            days_of(days)
        );
        Finding::warning("authority.due", seen)
            .why("C++ and Python clients refuse every certificate of it from then on")
    } else {
        return None;
    };
    Some(finding.fix(format!("{place}{SUCCESSION}")))
}

/// A certificate that is good for other parties, too: those that the hub leads elsewhere. What is below
/// a party's own name is the party's.
fn several(leg: &Leg<'_>, names: &[String]) -> Option<Finding> {
    let (own, routed) = (&*leg.party.name, leg.routed?);
    let carries = |other: &str| {
        let (_, parent) = other.split_once('.').unwrap_or_default();
        names.iter().any(|name| match name.strip_prefix("*.") {
            Some(above) => above.eq_ignore_ascii_case(parent),
            None => name.eq_ignore_ascii_case(other),
        })
    };
    let is_within = |one: &str, other: &str| {
        let rest = one.strip_suffix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let elsewhere = |other: &str| routed.leads(other) != routed.leads(own);
    let others = leg.others.iter().map(String::as_str).filter(|other| {
        carries(other) && !is_within(other, own) && !is_within(own, other) && elsewhere(other)
    });
    let others: Vec<&str> = others.collect();
    let (first, more) = others.split_at(others.len().min(MOST_NAMED));
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let seen = format!(
        "its certificate is good for {}{more}, too",
        first.join(", ")
    );
    (!others.is_empty()).then(|| {
        Finding::warning("certificate.several", seen)
            .why(
                "whoever has its key can pose as each of them, and an HTTP/2 client that is connected to \
                 one sends there what is for the others (RFC 9113 section 9.1.1)",
            )
            .fix("a certificate for each party, with its own names alone: `snihub party add` issues one")
    })
}

fn well(leg: &Leg<'_>, own: &Certificate, now: Moment) -> Finding {
    let days = own.not_after.days_after(now);
    let signed = match leg.trusted {
        true => "of our authority",
        false => "signed by nobody knows whom (--trust or --ca says whose count)",
    };
    let seen = format!(
        "certificate for {}, {signed}, {} left",
        own.names.join(", "),
        days_of(days)
    );
    match days < DUE_DAYS {
        false => Finding::ok("certificate", seen),
        true => Finding::warning("certificate.due", seen)
            .why(format!(
                "every call to this party fails from {} on",
                own.not_after
            ))
            .fix(renew(leg, own.not_after)),
    }
}

fn revoked(leg: &Leg<'_>, (since, reason): (Moment, Reason)) -> Finding {
    let seen = format!("its certificate was revoked on {since} ({})", reason.name());
    Finding::error("certificate.revoked", seen)
        .why(
            "whoever reads the revocation list refuses it, and who has its key can still pass for this \
             party with the rest",
        )
        .fix(right(leg))
}

/// The line that makes a right certificate, or where one is.
fn right(leg: &Leg<'_>) -> String {
    let (id, name, layout) = (&leg.party.id, &leg.party.name, leg.layout.spec().name);
    let renew = format!("`snihub pki renew {name} --layout {layout}`");
    let issue = format!("`snihub pki issue {layout} {name}`");
    let to_it = "its files to the party's machine";
    // Whatever would be issued now is refused.
    if leg
        .issued
        .is_some_and(|issued| issued.bounds(Moment::now()))
    {
        return format!("our authority is over: {SUCCESSION}");
    }
    match leg.issued.map(|issued| issued.has(leg.party, leg.layout)) {
        Some(Has::Standing) => format!(
            "our authority has one that stands (`snihub party show {id}`): {to_it}; or a new one: {renew}"
        ),
        Some(Has::Before) => format!("{renew}, and {to_it}"),
        Some(Has::Nothing) => format!("{issue}, and {to_it}"),
        None => {
            let place = if leg.at_hub {
                ""
            } else {
                "on the hub's machine: "
            };
            format!(
                "{place}{renew}, or, where `snihub pki list` has none of it, {issue}; and {to_it}"
            )
        }
    }
}

/// As [`right`], of one that will be over soon: it is the one that stands.
fn renew(leg: &Leg<'_>, ends: Moment) -> String {
    if leg.issued.is_some_and(|issued| issued.bounds(ends)) {
        return format!(
            "our authority ends then, and a renewal gives nothing beyond it: {SUCCESSION}"
        );
    }
    match leg.issued.map(|issued| issued.has(leg.party, leg.layout)) {
        Some(Has::Standing) => format!(
            "`snihub pki renew {} --layout {}`, and its files to the party's machine",
            leg.party.name,
            leg.layout.spec().name
        ),
        _ => right(leg),
    }
}

fn of(leg: &Leg<'_>, fault: &Fault, own: Option<&Certificate>, now: Moment) -> Finding {
    let refused = "brokers refuse it";
    let (check, seen, why) = match fault {
        Fault::Ended(end) => return ended(leg, *end, now),
        Fault::NotYet(begin) => return not_yet(*begin, now),
        Fault::OtherNames => return other_names(leg, own),
        Fault::ChainEnded => return chain_ended(),
        Fault::KeyNotProven(why) => return key_not_proven(leg, why),
        // What a right certificate mends.
        Fault::UnknownIssuer => {
            let issuer = own.map_or("?", |own| &own.issuer);
            (
                "certificate.issuer",
                format!("its certificate is signed by {issuer}, not by our authority"),
                match issuer.contains(USUAL_NAME) {
                    true => {
                        "brokers refuse it; by its name that is the authority before ours, or \
                         another star's"
                    }
                    false => {
                        "brokers refuse it; perhaps a firewall between here and there opens TLS"
                    }
                },
            )
        }
        Fault::OtherKey => (
            "certificate.issuer",
            format!(
                "its certificate is signed by an earlier or a later authority of the same name, {}",
                own.map_or("?", |own| &own.issuer)
            ),
            "whoever trusts ours alone refuses it",
        ),
        Fault::SelfSigned => (
            "certificate.issuer",
            "its certificate is signed by itself, not by our authority".to_owned(),
            "brokers refuse it: it was made on the spot, by the server or by `openssl req -x509`",
        ),
        Fault::OfAuthority => (
            "certificate.use",
            "its certificate is an authority's (basicConstraints CA:TRUE), not a server's"
                .to_owned(),
            refused,
        ),
        Fault::OldVersion(version) => (
            "certificate.version",
            format!("its certificate is X.509 v{version}, which has no names in it"),
            "`openssl x509 -req` and `openssl ca` make such ones where no extensions are asked for",
        ),
        Fault::NotForServers => (
            "certificate.use",
            "its certificate is not for servers (extendedKeyUsage without serverAuth)".to_owned(),
            refused,
        ),
        Fault::Unreadable(why) | Fault::Other(why) => (
            "certificate",
            format!("its certificate is no good for {}: {why}", leg.party.name),
            refused,
        ),
    };
    Finding::error(check, seen).why(why).fix(right(leg))
}

fn ended(leg: &Leg<'_>, end: Moment, now: Moment) -> Finding {
    let since = match now.days_after(end) {
        ..=1 => "since a day or less".to_owned(),
        days => format!("since {}", days_of(days)),
    };
    let seen = format!("its certificate is over {since} ({end})");
    Finding::error("certificate.ended", seen)
        .why("whoever calls this party refuses it")
        .fix(format!(
            "{}; if it is not over, this machine's clock is wrong: it says {now}",
            right(leg)
        ))
}

fn not_yet(begin: Moment, now: Moment) -> Finding {
    let seen = format!("its certificate begins only at {begin}, and here it is {now}");
    Finding::error("certificate.not_yet", seen)
        .why("a clock is wrong: here, or where the certificate was made. Callers refuse it till then")
        .fix("compare `date -u` on both machines; `timedatectl set-ntp true` sets them right")
}

fn chain_ended() -> Finding {
    let seen = "a certificate above its own is over, or begins later";
    Finding::error("certificate.chain", seen)
        .why("brokers refuse it")
        .fix("the authority in between has to be renewed, and all that it signed")
}

fn key_not_proven(leg: &Leg<'_>, why: &str) -> Finding {
    let seen = format!("it does not prove that the certificate is its own: {why}");
    Finding::error("certificate.key", seen)
        .why("brokers refuse it")
        .fix(match leg.layout {
            Layout::Pulsar => {
                "tlsKeyFilePath and tlsCertificateFilePath of its broker.conf have to be a pair"
            }
            _ => "the key and the certificate of its settings have to be a pair",
        })
}

fn other_names(leg: &Leg<'_>, own: Option<&Certificate>) -> Finding {
    let (name, id, target) = (&leg.party.name, &leg.party.id, leg.target);
    let names = own.map(|own| own.names.as_slice()).unwrap_or_default();
    let other = names.iter().find(|has| leg.others.contains(has));
    if let Some(other) = other {
        return Finding::error(
            "route.wrong_party",
            format!("{other} answers where {name} should: its certificate says so"),
        )
        .why("callers refuse it, and if they did not, they would give one party's data to another")
        .fix(match leg.at_hub {
            true => format!("`snihub party reroute {id} --route HOST:PORT`: {target} is {other}"),
            false => format!("on the hub's machine: `snihub party reroute {id} --route HOST:PORT`"),
        });
    }
    let listed = match (names, own) {
        ([], Some(own)) => format!("no name at all (its subject is {})", own.subject),
        _ => names.join(", "),
    };
    let local = names.iter().any(|name| name == "localhost");
    Finding::error(
        "certificate.names",
        format!("its certificate is for {listed}, not for {name}"),
    )
    .why(match local {
        true => {
            "brokers check the name they asked for; `localhost` comes from the openssl.cnf of the \
                 usual recipes"
        }
        false => "brokers check the name they asked for (tlsHostnameVerificationEnabled)",
    })
    .fix(format!(
        "subjectAltName has to hold DNS:{name}. {}",
        right(leg)
    ))
}
