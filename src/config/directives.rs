//! Every key that an entry of sni.yaml may have: ATS 9.2's and 10's by name, and ours.

/// What a key is to the hub.
#[derive(Debug, Clone, Copy)]
pub(super) enum Directive {
    /// Which names the entry takes.
    Fqdn,
    /// The one action there is.
    TunnelRoute,
    /// An action that ends TLS at the hub.
    EndsTls,
    /// Who may come.
    IpAllow,
    /// On which ports of the hub.
    InboundPortRanges,
    /// Ours: the addresses of the party.
    Sources,
    /// Ours: a PROXY header for the upstream.
    SendProxy,
    /// Ours: a bare `$N` may lead into private ranges.
    AllowPrivate,
    /// Ours: how the upstream is asked.
    Probe,
    /// Ours: the hub's timeouts of the same names.
    DialTimeout,
    /// See above.
    IdleTimeout,
    /// See above.
    HalfOpenTimeout,
    /// See above.
    WriteStallTimeout,
    /// Of TLS that ends at the hub. Where the list is not empty, ATS knows these words only, and a
    /// file with another one fails as a whole.
    OfEndedTls(&'static [&'static str]),
    /// Of HTTP/2 or QUIC.
    OfOtherProtocols,
    /// Connections opened ahead of need.
    Prewarm,
}

const POLICY: &[&str] = &["DISABLED", "PERMISSIVE", "ENFORCED"];

use Directive as D;

/// All keys; those of every entry first, since the search is from the top.
pub(super) const DIRECTIVES: &[(&str, Directive)] = &[
    ("fqdn", D::Fqdn),
    ("tunnel_route", D::TunnelRoute),
    ("ip_allow", D::IpAllow),
    ("inbound_port_ranges", D::InboundPortRanges),
    ("sources", D::Sources),
    ("send_proxy", D::SendProxy),
    ("allow_private", D::AllowPrivate),
    ("probe", D::Probe),
    ("dial_timeout", D::DialTimeout),
    ("idle_timeout", D::IdleTimeout),
    ("half_open_timeout", D::HalfOpenTimeout),
    ("write_stall_timeout", D::WriteStallTimeout),
    ("forward_route", D::EndsTls),
    ("partial_blind_route", D::EndsTls),
    (
        "verify_client",
        D::OfEndedTls(&["NONE", "MODERATE", "STRICT"]),
    ),
    ("verify_client_ca_certs", D::OfEndedTls(&[])),
    ("verify_server_policy", D::OfEndedTls(POLICY)),
    (
        "verify_server_properties",
        D::OfEndedTls(&["NONE", "SIGNATURE", "NAME", "ALL"]),
    ),
    (
        "verify_origin_server",
        D::OfEndedTls(&["NONE", "MODERATE", "STRICT"]),
    ),
    ("host_sni_policy", D::OfEndedTls(POLICY)),
    ("client_cert", D::OfEndedTls(&[])),
    ("client_key", D::OfEndedTls(&[])),
    ("client_sni_policy", D::OfEndedTls(&[])),
    ("valid_tls_versions_in", D::OfEndedTls(&[])),
    ("valid_tls_version_min_in", D::OfEndedTls(&[])),
    ("valid_tls_version_max_in", D::OfEndedTls(&[])),
    ("server_cipher_suite", D::OfEndedTls(&[])),
    ("server_TLSv1_3_cipher_suites", D::OfEndedTls(&[])),
    ("server_groups_list", D::OfEndedTls(&[])),
    ("server_max_early_data", D::OfEndedTls(&[])),
    ("ssl_ticket_enabled", D::OfEndedTls(&[])),
    ("ssl_ticket_number", D::OfEndedTls(&[])),
    ("tunnel_alpn", D::OfEndedTls(&[])),
    ("http2", D::OfOtherProtocols),
    ("disable_h2", D::OfOtherProtocols),
    ("http2_buffer_water_mark", D::OfOtherProtocols),
    ("http2_initial_window_size_in", D::OfOtherProtocols),
    ("http2_max_settings_frames_per_minute", D::OfOtherProtocols),
    ("http2_max_ping_frames_per_minute", D::OfOtherProtocols),
    ("http2_max_priority_frames_per_minute", D::OfOtherProtocols),
    (
        "http2_max_rst_stream_frames_per_minute",
        D::OfOtherProtocols,
    ),
    (
        "http2_max_continuation_frames_per_minute",
        D::OfOtherProtocols,
    ),
    ("quic", D::OfOtherProtocols),
    ("tunnel_prewarm", D::Prewarm),
    ("tunnel_prewarm_srv", D::Prewarm),
    ("tunnel_prewarm_rate", D::Prewarm),
    ("tunnel_prewarm_min", D::Prewarm),
    ("tunnel_prewarm_max", D::Prewarm),
    ("tunnel_prewarm_connect_timeout", D::Prewarm),
    ("tunnel_prewarm_inactive_timeout", D::Prewarm),
];

impl Directive {
    /// The directive of that name, as written: keys have no case to fold.
    pub(super) fn find(key: &str) -> Option<Directive> {
        DIRECTIVES
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, directive)| *directive)
    }
}
