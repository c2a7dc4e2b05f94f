//! Where a broker sends its clients: through the hub that is a server name again.

use super::finding::Finding;
use super::leg::Leg;
use crate::probe::Pulsar;
use std::net::IpAddr;

/// `names`: those of its certificate.
pub(super) fn judge(leg: &Leg<'_>, pulsar: &Pulsar, names: &[String]) -> Finding {
    let own = &leg.party.name;
    let url = match &pulsar.advertised {
        Ok(advertised) => advertised.tls.as_deref().unwrap_or_default(),
        Err(why) => {
            return Finding::note(
                "pulsar.advertised",
                format!("it does not tell its advertised name: {why}"),
            );
        }
    };
    let Some(host) = host_of(url) else {
        return Finding::error("pulsar.advertised", "it advertises no TLS address")
            .why("callers are sent to its plain port, past the hub")
            .fix("`brokerServicePortTls=6651` in its broker.conf");
    };
    if host.eq_ignore_ascii_case(own) {
        return Finding::ok("pulsar.advertised", format!("advertises {url}"));
    }
    let line = format!("`advertisedAddress={own}` in its broker.conf");
    let wrong = Finding::error(
        "pulsar.advertised",
        format!("it advertises {url}, not {own}"),
    );
    if host.parse::<IpAddr>().is_ok() || host == "localhost" {
        return wrong
            .why("callers ask the hub for that next: an address is no server name (RFC 6066)")
            .fix(line);
    }
    // A wildcard says nothing of whose a name is.
    let listed = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(host));
    if listed(leg.others) && !listed(names) {
        return wrong
            .why("callers ask the hub for that name next, and it leads them to the other party")
            .fix(line);
    }
    match leg.routed.map(|routed| routed.leads(host).is_some()) {
        Some(true) if !carries(names, host) => wrong
            .why(
                "callers ask the hub for that name next, and refuse a certificate that does not carry \
                 it",
            )
            .fix(format!("{line}; or {host} into the certificate, too")),
        Some(true) => Finding::note(
            "pulsar.advertised",
            format!("advertises {url}, which has a route, and which its certificate carries"),
        )
        .why("callers ask the hub for that name next"),
        Some(false) => wrong
            .why("callers ask the hub for that name next, and no route takes it")
            .fix(line),
        None => Finding::warning(
            "pulsar.advertised",
            format!("it advertises {url}, not {own}"),
        )
        .why(
            "callers ask the hub for that name next: it needs a route and a certificate of its own",
        )
        .fix(line),
    }
}

/// Whether a certificate with these names is one for `host` (RFC 6125 section 6.4.3).
fn carries(names: &[String], host: &str) -> bool {
    let is = |name: &String| match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
    };
    names.iter().any(is)
}

/// The host of `pulsar+ssl://HOST:PORT`.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.trim_end_matches('/');
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then_some(host)
}
