//! Why the hub declines a client, and what that client is told.
//!
//! One enum, one exhaustive `match` for the bytes on the wire and one for the metric label: a new
//! refusal does not compile until it has both.

use crate::tls::Alert;
use thiserror::Error;

pub use crate::tls::LooksLike;

/// The hub's "no" to a client. What it says to an operator is its `Display`; it never carries
/// bytes from the wire (a server name is logged beside it, validated).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The first bytes are no TLS handshake record (conformance rules 1 and 2).
    #[error("not TLS: {0}")]
    NotTls(LooksLike),
    /// TLS, but the ClientHello breaks the protocol; the text names the rule.
    #[error("malformed ClientHello: {0}")]
    Malformed(&'static str),
    /// A record or hello above its bound (`max_client_hello`); the text names the bound.
    #[error("ClientHello too large: {0}")]
    TooLarge(&'static str),
    /// The hello (and PROXY header) was not whole at its absolute deadline (`hello_timeout`).
    #[error("no whole ClientHello within hello_timeout")]
    TooSlow,
    /// A hello without a server name, and no route takes such a hello.
    #[error("no server name in the ClientHello")]
    NoServerName,
    /// No route takes this server name.
    #[error("no route for this server name")]
    UnknownServerName,
    /// The route's `ip_allow` does not list the source.
    #[error("source address is not in the route's ip_allow")]
    NotAllowed,
    /// The destination port is outside `connect_ports`; 0: there is none, since what it would be
    /// made of did not come (`{proxy_protocol_port}` without a PROXY header) or is no port (`$1`).
    #[error("{}", port_not_permitted(*.0))]
    PortNotPermitted(u16),
    /// A cap was reached; the text names its key.
    #[error("over the limit {0}")]
    OverLimit(&'static str),
    /// PROXY header missing, malformed, or from a source that is not `trusted`.
    #[error("PROXY header: {0}")]
    BadProxyHeader(&'static str),
    /// FIN or RST before the hello was whole, or RST while its upstream was dialled.
    #[error("client left before its tunnel stood")]
    ClientLeft,
}

fn port_not_permitted(port: u16) -> String {
    match port {
        0 => "no destination port can be formed: $N took no number in 1..=65535, or no PROXY \
              header gave {proxy_protocol_port}"
            .to_owned(),
        port => format!("destination port {port} is not in connect_ports"),
    }
}

impl Refusal {
    /// The alert that tells the client why; `None`: FIN without a byte (or nothing, if it left).
    pub fn alert(&self) -> Option<Alert> {
        match self {
            Refusal::NotTls(_)
            | Refusal::TooSlow
            | Refusal::BadProxyHeader(_)
            | Refusal::ClientLeft => None,
            Refusal::Malformed(_) => Some(Alert::DecodeError),
            Refusal::TooLarge(_) => Some(Alert::RecordOverflow),
            Refusal::NoServerName | Refusal::UnknownServerName => Some(Alert::UnrecognizedName),
            Refusal::NotAllowed => Some(Alert::AccessDenied),
            Refusal::PortNotPermitted(_) | Refusal::OverLimit(_) => Some(Alert::InternalError),
        }
    }

    /// All labels.
    pub const LABELS: [&str; 11] = [
        "not_tls",
        "malformed",
        "too_large",
        "too_slow",
        "no_server_name",
        "unknown_server_name",
        "not_allowed",
        "port_not_permitted",
        "over_limit",
        "bad_proxy_header",
        "client_left",
    ];

    /// The metric label: one of [`Refusal::LABELS`].
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::NotTls(_) => "not_tls",
            Refusal::Malformed(_) => "malformed",
            Refusal::TooLarge(_) => "too_large",
            Refusal::TooSlow => "too_slow",
            Refusal::NoServerName => "no_server_name",
            Refusal::UnknownServerName => "unknown_server_name",
            Refusal::NotAllowed => "not_allowed",
            Refusal::PortNotPermitted(_) => "port_not_permitted",
            Refusal::OverLimit(_) => "over_limit",
            Refusal::BadProxyHeader(_) => "bad_proxy_header",
            Refusal::ClientLeft => "client_left",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_formed_is_not_called_port_0() {
        let [formed, unformed] = [443, 0].map(Refusal::PortNotPermitted);
        assert_eq!(
            formed.to_string(),
            "destination port 443 is not in connect_ports"
        );
        let text = unformed.to_string();
        assert!(text.starts_with("no destination port can be formed"));
        assert!(!text.contains("port 0") && !text.contains("connect_ports"));
        assert_eq!(formed.label(), unformed.label());
    }
}
