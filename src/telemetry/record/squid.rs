//! A session as a line of Traffic Server's squid.log, for who has parsers of it.
//!
//! ATS 9.2 writes `%<cqtq> %<ttms> %<chi> %<crc>/%<pssc> %<psql> %<cqhm> %<cquc> %<caun> %<phr>/%<shn>
//! %<psct>`, for a tunnel (seen):
//!
//! ```text
//! 1795872989.138 10 127.0.0.1 TCP_MISS/200 6320 CONNECT tunnel://127.0.0.1:15001/ - DIRECT/127.0.0.1 -
//! ```
//!
//! and the same `TCP_MISS/200` for an upstream that refused, for a reset, for a client that was not
//! allowed. Here result and status say how it was, and the last field, a type of content that no
//! tunnel has, is the reason: `ended` of the other formats.

use super::verdict::verdict;
use super::{Facts, Outcome};
use crate::net::dial::DialError;
use crate::refusal::Refusal;
use crate::tunnel::Ended;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One line. `sent`: bytes to the client.
pub(super) fn line(facts: &Facts, outcome: &Outcome, sent: u64) -> String {
    let took = facts.began.elapsed();
    let began = SystemTime::now() - took;
    format_line(facts, outcome, sent, began, took)
}

fn format_line(
    facts: &Facts,
    outcome: &Outcome,
    sent: u64,
    began: SystemTime,
    took: Duration,
) -> String {
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (result, status) = result(outcome);
    let (method, url) = match (&facts.target, &facts.name) {
        (Some(target), _) => ("CONNECT", format!("tunnel://{target}/")),
        (None, Some(name)) => ("CONNECT", format!("tunnel://{name}/")),
        (None, None) => ("-", "-".to_owned()),
    };
    let asked = match outcome {
        Outcome::Ended(_) => facts.upstream.is_some(),
        Outcome::Refused(_) => false,
        Outcome::DialFailed(error) => !matches!(
            error,
            DialError::Resolve(_) | DialError::NotPermitted(_) | DialError::Loop(_)
        ),
    };
    let server = match facts.target.as_ref().filter(|_| asked) {
        Some(target) => format!("DIRECT/{}", target.host),
        None => "NONE/-".to_owned(),
    };
    format!(
        "{}.{:03} {} {} {result}/{status:03} {sent} {method} {url} - {server} {}",
        began.as_secs(),
        began.subsec_millis(),
        took.as_millis(),
        facts.endpoints.client.ip(),
        verdict(outcome, facts.received).ended,
    )
}

/// ATS's words (`SquidLogCode`), and the status that a proxy would have answered.
fn result(outcome: &Outcome) -> (&'static str, u16) {
    match outcome {
        Outcome::Ended(ended) => match ended {
            Ended::BothClosed
            | Ended::Drained
            | Ended::RouteRemoved
            | Ended::Killed
            | Ended::HandedOver => ("TCP_MISS", 200),
            Ended::ClientReset | Ended::ClientLost => ("ERR_CLIENT_ABORT", 200),
            Ended::UpstreamReset | Ended::UpstreamLost => ("ERR_READ_ERROR", 200),
            Ended::Idle | Ended::HalfOpen | Ended::WriteStalled => ("ERR_READ_TIMEOUT", 200),
            Ended::LocalError => ("ERR_NO_FDS", 200),
            Ended::Panicked => ("ERR_UNKNOWN", 200),
        },
        Outcome::Refused(refusal) => match refusal {
            Refusal::NotTls(_) | Refusal::Malformed(_) | Refusal::BadProxyHeader(_) => {
                ("ERR_INVALID_REQ", 400)
            }
            Refusal::TooLarge(_) => ("ERR_INVALID_REQ", 413),
            Refusal::TooSlow => ("ERR_INVALID_REQ", 408),
            Refusal::NoServerName | Refusal::UnknownServerName => ("ERR_INVALID_URL", 404),
            Refusal::NotAllowed | Refusal::PortNotPermitted(_) => ("ERR_PROXY_DENIED", 403),
            Refusal::OverLimit(_) => ("ERR_PROXY_DENIED", 503),
            Refusal::ClientLeft => ("ERR_CLIENT_ABORT", 0),
        },
        Outcome::DialFailed(error) => match error {
            DialError::Resolve(_) => ("ERR_DNS_FAIL", 502),
            DialError::Refused(_)
            | DialError::Unreachable(_)
            | DialError::PrefaceNotSent { .. } => ("ERR_CONNECT_FAIL", 502),
            DialError::TimedOut(_) => ("ERR_CONNECT_FAIL", 504),
            DialError::NotPermitted(_) | DialError::Loop(_) => ("ERR_PROXY_DENIED", 403),
            DialError::LocalLimit(_) => ("ERR_NO_FDS", 503),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Endpoints, Fence, Host, Target};
    use std::net::SocketAddr;
    use std::time::Instant;

    fn facts(name: Option<&str>, upstream: Option<&str>) -> Facts {
        let upstream: Option<SocketAddr> = upstream.map(|upstream| upstream.parse().unwrap());
        Facts {
            id: 1,
            endpoints: Endpoints {
                client: "192.168.0.7:51190".parse().unwrap(),
                local: "192.168.0.1:443".parse().unwrap(),
            },
            began: Instant::now(),
            name: name.map(Into::into),
            party: None,
            route: None,
            target: upstream.map(|upstream| Target {
                host: Host::Ip(upstream.ip()),
                port: upstream.port(),
                fence: Fence::Open,
            }),
            upstream,
            received: 100,
            hello: None,
            dial: None,
            preface: 0,
        }
    }

    fn told(facts: &Facts, outcome: &Outcome, sent: u64) -> String {
        let began = UNIX_EPOCH + Duration::from_millis(1_795_872_989_038);
        format_line(facts, outcome, sent, began, Duration::from_millis(10))
    }

    #[test]
    fn a_line_has_the_ten_fields_of_traffic_server() {
        let tunnel = facts(Some("a.org"), Some("10.0.0.2:6651"));
        assert_eq!(
            told(&tunnel, &Outcome::Ended(Ended::BothClosed), 6320),
            "1795872989.038 10 192.168.0.7 TCP_MISS/200 6320 CONNECT tunnel://10.0.0.2:6651/ - \
             DIRECT/10.0.0.2 both_closed"
        );
        let six = facts(None, Some("[::1]:6651"));
        assert!(told(&six, &Outcome::Ended(Ended::Idle), 0).contains(" DIRECT/::1 idle"));
        let unknown = facts(Some("b.org"), None);
        assert_eq!(
            told(&unknown, &Outcome::Refused(Refusal::UnknownServerName), 0),
            "1795872989.038 10 192.168.0.7 ERR_INVALID_URL/404 0 CONNECT tunnel://b.org/ - NONE/- \
             unknown_server_name"
        );
        let nobody = facts(None, None);
        let left = told(&nobody, &Outcome::Refused(Refusal::ClientLeft), 0);
        assert!(
            left.ends_with(" ERR_CLIENT_ABORT/000 0 - - - NONE/- client_left"),
            "{left}"
        );
        for line in [left, told(&nobody, &Outcome::Refused(Refusal::TooSlow), 0)] {
            assert_eq!(line.split(' ').count(), 10, "{line}");
        }
    }
}
