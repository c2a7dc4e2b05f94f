//! What speaks where TLS or Pulsar should, and which setting causes it.

use super::finding::Finding;
use super::leg::{Leg, Way};
use crate::tls::LooksLike;

/// What answers where the hub should speaks this to whoever comes.
pub(super) fn no_hub(leg: &Leg<'_>, looks: LooksLike) -> Finding {
    Finding::error(
        "hub.none",
        format!(
            "{} itself speaks no TLS ({looks}): that is no door of a hub",
            leg.target
        ),
    )
    .why("it answers so whatever party is asked for")
    .fix("--via has to say where the hub listens: `snihub status` on its machine shows the port")
}

/// Something else than TLS.
pub(super) fn judge(leg: &Leg<'_>, looks: LooksLike) -> Finding {
    let (reroute, at) = (reroute(leg), at(leg));
    let error = |check, what: &str| Finding::error(check, format!("{at} speaks {what}, not TLS"));
    match looks {
        LooksLike::Pulsar => error("plain.pulsar", "plain Pulsar")
            .why("brokerServicePort (6650) answers there; brokerServicePortTls (6651) is wanted")
            .fix(format!(
                "{reroute}; and `brokerServicePortTls=6651` in its broker.conf"
            )),
        LooksLike::Http => error("plain.http", "plain HTTP")
            .why("webServicePort (8080) answers there, or a web server, or a proxy before the broker")
            .fix(format!(
                "{reroute}; a proxy in between has to pass TCP on, and not speak HTTP"
            )),
        LooksLike::Http2 => error("plain.h2c", "cleartext HTTP/2 (gRPC without TLS)")
            .why("a gRPC server runs there without TLS")
            .fix(format!(
                "rollsite: the secure port; OSX: the port with useSSL; Flower: --ssl-certfile and \
                 --ssl-keyfile. Then {reroute}"
            )),
        LooksLike::Ssh => error("plain.ssh", "SSH")
            .why("that is the machine's port 22, or a forwarding that leads there")
            .fix(reroute),
        other => Finding::error(
            "plain",
            format!("{at} answers with something that is no TLS ({other})"),
        )
        .why("whoever calls this party ends there")
        .fix(reroute),
    }
}

/// How the route is changed, and where.
fn reroute(leg: &Leg<'_>) -> String {
    let line = format!("`snihub party reroute {} --route HOST:6651`", leg.party.id);
    match leg.at_hub {
        true => line,
        false => format!("on the hub's machine: {line}"),
    }
}

/// Who spoke.
pub(super) fn at(leg: &Leg<'_>) -> String {
    match leg.way {
        Way::Direct => format!("port {}", leg.target.port),
        Way::Hub => "what the hub leads to".to_owned(),
    }
}

/// TLS stands, and something else than Pulsar is inside.
pub(super) fn inside_tls(leg: &Leg<'_>, looks: LooksLike) -> Finding {
    let (reroute, at) = (reroute(leg), at(leg));
    let finding = Finding::error(
        "inside.other",
        format!("inside TLS {at} speaks something else than Pulsar ({looks})"),
    );
    match looks {
        LooksLike::Http | LooksLike::Http2 => Finding {
            check: "inside.http",
            ..finding
        }
        .why(
            "webServicePortTls (8081 or 8443) answers there, or a web proxy that ends TLS before the \
             broker",
        )
        .fix(format!(
            "{reroute}, where 6651 is brokerServicePortTls; a \
             proxy in between has to pass TCP on"
        )),
        _ => finding
            .why("brokers would wait there in vain")
            .fix(format!("{reroute}, where 6651 is brokerServicePortTls")),
    }
}
