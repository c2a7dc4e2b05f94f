//! What the records of ATS are to the hub. Names and defaults: ATS 9.2's RecordsConfig.cc.

use super::super::problem::Severity;

/// What a record is to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Where clients are accepted.
    ServerPorts,
    /// Who may send a PROXY header.
    Trusted,
    /// Which ports a route may lead to.
    ConnectPorts,
    /// Which file has the routes.
    RoutesFile,
    /// Which file has ATS's certificates.
    CertificatesFile,
    /// Nothing; the hub differs, or does without.
    Told(Severity, &'static str),
}

use Meaning as M;

const NO_TLS: M = M::Told(
    Severity::Note,
    "not needed: TLS ends at the parties, the hub has no certificate",
);
const IDLE: M = M::Told(
    Severity::Note,
    "not taken: the hub cuts no tunnel for being idle (ATS does, after this time); where that is \
     wanted, idle_timeout of hub.yaml, 120s or more for Pulsar",
);
const LIFE: M = M::Told(
    Severity::Note,
    "not taken: the hub cuts no tunnel for being old (ATS does, after this time)",
);
const DIAL: M = M::Told(
    Severity::Note,
    "not taken: dial_timeout of hub.yaml, 5s an address unless it is set",
);
const DNS: M = M::Told(
    Severity::Warning,
    "not taken: names are looked up as /etc/resolv.conf and /etc/hosts say",
);
const THREADS: M = M::Told(
    Severity::Note,
    "not taken: one worker per core, or workers of hub.yaml",
);
const MANY: M = M::Told(
    Severity::Note,
    "not taken: what the limit of open files allows, or limits.tunnels of hub.yaml",
);
const HTTP: M = M::Told(Severity::Note, "no effect: the hub speaks no HTTP");
const LOG: M = M::Told(
    Severity::Note,
    "not taken: the log goes to stdout; access_log of hub.yaml has its form",
);
const USER: M = M::Told(
    Severity::Note,
    "not taken: the hub stays the user that it is started as",
);

/// Names, and beginnings of names that end in `.` or `_`; the first that fits counts.
const RECORDS: &[(&str, Meaning)] = &[
    ("proxy.config.http.server_ports", M::ServerPorts),
    ("proxy.config.http.proxy_protocol_allowlist", M::Trusted),
    // Its name before ATS 9.
    ("proxy.config.http.proxy_protocol_whitelist", M::Trusted),
    ("proxy.config.http.connect_ports", M::ConnectPorts),
    ("proxy.config.ssl.servername.filename", M::RoutesFile),
    (
        "proxy.config.ssl.server.multicert.filename",
        M::CertificatesFile,
    ),
    ("proxy.config.http.transaction_no_activity_timeout_", IDLE),
    ("proxy.config.http.keep_alive_no_activity_timeout_", HTTP),
    ("proxy.config.net.default_inactivity_timeout", IDLE),
    ("proxy.config.http.transaction_active_timeout_", LIFE),
    ("proxy.config.http.connect_attempts_", DIAL),
    ("proxy.config.http.post_connect_attempts_timeout", HTTP),
    (
        "proxy.config.ssl.handshake_timeout_in",
        M::Told(
            Severity::Note,
            "not taken: hello_timeout of hub.yaml, 10s unless it is set",
        ),
    ),
    (
        "proxy.config.http.accept_no_activity_timeout",
        M::Told(
            Severity::Note,
            "not taken: hello_timeout of hub.yaml, 10s unless it is set",
        ),
    ),
    ("proxy.config.dns.nameservers", DNS),
    ("proxy.config.dns.resolv_conf", DNS),
    ("proxy.config.dns.local_", DNS),
    ("proxy.config.dns.splitDNS.", DNS),
    ("proxy.config.hostdb.host_file.path", DNS),
    ("proxy.config.net.connections_throttle", MANY),
    ("proxy.config.net.max_connections_in", MANY),
    ("proxy.config.net.max_requests_in", HTTP),
    ("proxy.config.exec_thread.", THREADS),
    ("proxy.config.accept_threads", THREADS),
    ("proxy.config.task_threads", THREADS),
    ("proxy.config.ssl.", NO_TLS),
    ("proxy.config.http.", HTTP),
    ("proxy.config.http2.", HTTP),
    ("proxy.config.cache.", HTTP),
    ("proxy.config.reverse_proxy.", HTTP),
    ("proxy.config.url_remap.", HTTP),
    ("proxy.config.body_factory.", HTTP),
    ("proxy.config.log.", LOG),
    ("proxy.config.diags.", LOG),
    ("proxy.config.output.", LOG),
    ("proxy.config.admin.", USER),
    (
        "proxy.config.tunnel.",
        M::Told(
            Severity::Note,
            "no effect: the hub opens no connection ahead of need",
        ),
    ),
];

const UNKNOWN: M = M::Told(Severity::Note, "not known to the hub, ignored");

impl Meaning {
    /// Of the record of that name.
    pub(super) fn of(name: &str) -> Meaning {
        let fits = |known: &str| match known.ends_with(['.', '_']) {
            true => name.starts_with(known),
            false => name == known,
        };
        let found = RECORDS.iter().find(|(known, _)| fits(known));
        found.map_or(UNKNOWN, |(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_special_name_goes_first() {
        for (at, (name, _)) in RECORDS.iter().enumerate() {
            let hidden = RECORDS[..at]
                .iter()
                .any(|(earlier, _)| earlier.ends_with(['.', '_']) && name.starts_with(earlier));
            assert!(!hidden, "{name} is never found");
        }
        assert_eq!(Meaning::of("proxy.config.ssl.server.cert.path"), NO_TLS);
        assert_eq!(Meaning::of("proxy.config.ssl.CA.cert.filename"), NO_TLS);
        assert_eq!(
            Meaning::of("proxy.config.http.server_ports"),
            M::ServerPorts
        );
        assert_eq!(
            Meaning::of("proxy.config.http.transaction_no_activity_timeout_in"),
            IDLE
        );
        assert_eq!(Meaning::of("proxy.config.http.server_ports2"), HTTP);
        assert_eq!(Meaning::of("a"), UNKNOWN);
    }
}
