//! Whether a broker answers inside TLS.

use super::advertised;
use super::finding::{Finding, ms};
use super::instead;
use super::leg::{Leg, Way};
use crate::probe::{ClientCertificate, NoPulsar, Pulsar};

pub(super) fn connect(leg: &Leg<'_>, pulsar: &Pulsar, names: &[String]) -> Vec<Finding> {
    let round = match pulsar.round_trip {
        Some(time) => format!("round trip {}", ms(time)),
        None => "no answer to PING".to_owned(),
    };
    let extra = leg
        .direct
        .and_then(|answer| answer.pulsar.as_ref()?.as_ref().ok()?.round_trip)
        .zip(pulsar.round_trip)
        .map(|(direct, through)| match through.checked_sub(direct) {
            Some(more) => format!(", {} more than directly", ms(more)),
            None => ", no more than directly".to_owned(),
        })
        .unwrap_or_default();
    let mut findings = vec![Finding::ok(
        "pulsar",
        format!(
            "Pulsar CONNECT: {}, protocol {}, {round}{extra}",
            pulsar.server, pulsar.protocol
        ),
    )];
    if leg.direct.is_none() {
        findings.push(advertised::judge(leg, pulsar, names));
    }
    findings
}

pub(super) fn no_pulsar(
    leg: &Leg<'_>,
    why: &NoPulsar,
    client: Option<ClientCertificate>,
) -> Option<Finding> {
    let port = match leg.way {
        Way::Direct => format!("port {}", leg.target.port),
        Way::Hub => "the port of the route".to_owned(),
    };
    Some(match why {
        // Told with the handshake.
        _ if matches!(
            client,
            Some(ClientCertificate::Required | ClientCertificate::Declined)
        ) =>
        {
            return None;
        }
        NoPulsar::NotPulsar(looks) => instead::inside_tls(leg, *looks),
        NoPulsar::Refused(words) => Finding::note(
            "pulsar.refused",
            format!("Pulsar answers, and does not let us in: {words}"),
        )
        .why("it wants authentication, which a doctor has not; the way to it is free"),
        NoPulsar::Challenged => Finding::note(
            "pulsar.refused",
            "Pulsar answers, and asks who we are (AUTH_CHALLENGE)",
        )
        .why("it wants authentication, which a doctor has not; the way to it is free"),
        other => Finding::error("pulsar.silent", format!("TLS stands, but: {other}"))
            .why("brokers would wait there in vain")
            .fix(format!(
                "is {port} the broker's brokerServicePortTls? If so, its log says why; a party \
                 without Pulsar is asked with --layout"
            )),
    })
}
