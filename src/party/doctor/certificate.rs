//! What is wrong with a party's certificate, and what renews it.

use super::finding::Finding;
use super::leg::Leg;
use crate::pki::{Certificate, DUE_DAYS, Moment, Reason};
use crate::probe::{Fault, Tls};

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
    if let Ok(own) = &tls.certificate
        && findings.is_empty()
    {
        findings.push(well(leg, own, now));
    }
    findings
}

fn well(leg: &Leg<'_>, own: &Certificate, now: Moment) -> Finding {
    let days = own.not_after.days_after(now);
    let signed = match leg.trusted {
        true => "of our authority",
        false => "signed by nobody knows whom (--trust or --ca says whose count)",
    };
    let seen = format!(
        "certificate for {}, {signed}, {days} days left",
        own.names.join(", ")
    );
    match days < DUE_DAYS {
        false => Finding::ok("certificate", seen),
        true => Finding::warning("certificate.due", seen)
            .why(format!(
                "every call to this party fails from {} on",
                own.not_after
            ))
            .fix(renew(leg)),
    }
}

fn revoked(leg: &Leg<'_>, (since, reason): (Moment, Reason)) -> Finding {
    let (name, layout) = (&leg.party.name, leg.layout.spec().name);
    let seen = format!("its certificate was revoked on {since} ({})", reason.name());
    Finding::error("certificate.revoked", seen)
        .why(
            "whoever reads the revocation list refuses it, and who has its key can still pass for this \
             party with the rest",
        )
        .fix(format!(
            "`snihub pki issue {layout} {name}` if there is no newer one, and its files to the party's \
             machine"
        ))
}

fn renew(leg: &Leg<'_>) -> String {
    format!(
        "`snihub pki renew {}`, and its files to the party's machine",
        leg.party.name
    )
}

fn of(leg: &Leg<'_>, fault: &Fault, own: Option<&Certificate>, now: Moment) -> Finding {
    let name = &leg.party.name;
    match fault {
        Fault::Ended(end) => {
            let days = now.days_after(*end);
            let since = match days {
                ..=1 => "since a day or less".to_owned(),
                days => format!("since {days} days"),
            };
            Finding::error(
                "certificate.ended",
                format!("its certificate is over {since} ({end})"),
            )
            .why("whoever calls this party refuses it")
            .fix(format!(
                "{}; if it is not over, this machine's clock is wrong: it says {now}",
                renew(leg)
            ))
        }
        Fault::NotYet(begin) => Finding::error(
            "certificate.not_yet",
            format!("its certificate begins only at {begin}, and here it is {now}"),
        )
        .why("a clock is wrong: here, or where the certificate was made. Callers refuse it till then")
        .fix("compare `date -u` on both machines; `timedatectl set-ntp true` sets them right"),
        Fault::OtherNames => other_names(leg, own),
        Fault::UnknownIssuer => {
            let issuer = own.map_or("?", |own| &own.issuer);
            Finding::error(
                "certificate.issuer",
                format!("its certificate is signed by {issuer}, not by our authority"),
            )
            .why("brokers refuse it; perhaps a firewall between here and there opens TLS")
            .fix(format!(
                "`snihub party add {}` makes one of our authority, for tlsCertificateFilePath in its \
                 broker.conf",
                leg.party.id
            ))
        }
        Fault::OldVersion(version) => Finding::error(
            "certificate.version",
            format!("its certificate is X.509 v{version}, which has no names in it"),
        )
        .why("`openssl x509 -req` and `openssl ca` make such ones where no extensions are asked for")
        .fix(renew_anew(leg)),
        Fault::NotForServers => Finding::error(
            "certificate.use",
            "its certificate is not for servers (extendedKeyUsage without serverAuth)",
        )
        .why("brokers refuse it")
        .fix(renew_anew(leg)),
        Fault::ChainEnded => Finding::error(
            "certificate.chain",
            "a certificate above its own is over, or begins later",
        )
        .why("brokers refuse it")
        .fix("the authority in between has to be renewed, and all that it signed"),
        Fault::KeyNotProven(why) => Finding::error(
            "certificate.key",
            format!("it does not prove that the certificate is its own: {why}"),
        )
        .why("brokers refuse it")
        .fix("tlsKeyFilePath and tlsCertificateFilePath of its broker.conf have to be a pair"),
        Fault::Unreadable(why) | Fault::Other(why) => Finding::error(
            "certificate",
            format!("its certificate is no good for {name}: {why}"),
        )
        .why("brokers refuse it")
        .fix(renew_anew(leg)),
    }
}

fn renew_anew(leg: &Leg<'_>) -> String {
    format!(
        "`snihub pki issue pulsar {}` makes a right one",
        leg.party.name
    )
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
        "{}: subjectAltName has to hold DNS:{name}",
        renew_anew(leg)
    ))
}
