//! What a peer that does not speak TLS speaks instead: the operator's hint.

use thiserror::Error;

/// What bytes that are not TLS look like: the operator's hint at the setting that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LooksLike {
    /// An HTTP/1 request line, or a server's status line.
    #[error("looks like plain HTTP")]
    Http,
    /// The HTTP/2 preface without TLS (gRPC with `insecure`), or a server's SETTINGS.
    #[error("looks like cleartext HTTP/2 (gRPC without TLS)")]
    Http2,
    /// A Pulsar CONNECT frame (a `pulsar://` URL where `pulsar+ssl://` belongs), or a broker's answer
    /// to one.
    #[error("looks like plain Pulsar (pulsar:// instead of pulsar+ssl://)")]
    Pulsar,
    /// An SSH banner.
    #[error("looks like SSH")]
    Ssh,
    /// An SSLv2-compatible hello.
    #[error("looks like an SSLv2 hello")]
    SslV2,
    /// A PROXY header on a listener that does not expect one.
    #[error("looks like a PROXY header; set proxy_protocol: required on this listener")]
    ProxyHeader,
    /// A TLS record, but not of a handshake.
    #[error("a TLS record that is no handshake")]
    OtherTlsRecord,
    /// Nothing we know.
    #[error("unknown protocol")]
    Unknown,
}

/// Openings in ASCII (or, for PROXY v2, fixed bytes); the first that fits wins.
const OPENINGS: [(&[u8], LooksLike); 16] = [
    // RFC 9113 section 3.4.
    (b"PRI * HTTP/2.0\r\n", LooksLike::Http2),
    // The PROXY protocol, sections 2.1 and 2.2.
    (b"PROXY ", LooksLike::ProxyHeader),
    (b"\r\n\r\n\0\r\nQUIT\n", LooksLike::ProxyHeader),
    // RFC 4253 section 4.2.
    (b"SSH-", LooksLike::Ssh),
    // RFC 9110 section 9, RFC 5789, and WebDAV's first (RFC 4918).
    (b"GET ", LooksLike::Http),
    (b"HEAD ", LooksLike::Http),
    (b"POST ", LooksLike::Http),
    (b"PUT ", LooksLike::Http),
    (b"DELETE ", LooksLike::Http),
    (b"CONNECT ", LooksLike::Http),
    (b"OPTIONS ", LooksLike::Http),
    (b"TRACE ", LooksLike::Http),
    (b"PATCH ", LooksLike::Http),
    (b"PROPFIND ", LooksLike::Http),
    // RFC 9112 section 4: what a server says to a hello that it takes for a bad request.
    (b"HTTP/1.", LooksLike::Http),
    // What Traffic Server 9.2 says on a TLS port to a route that it cannot follow: no status line.
    (b"<HTML>", LooksLike::Http),
];

/// Below this many bytes a beginning fits too much to say anything.
const ENOUGH: usize = 3;

/// Guesses from the first bytes of a connection (any number; 14 are always enough) what it
/// speaks, client or server. For bytes that [`HelloParser`](super::HelloParser) refused as
/// [`NotTls`](super::HelloError::NotTls), or that came in the place of a server's hello.
pub fn looks_like(first_bytes: &[u8]) -> LooksLike {
    let fits = |opening: &[u8]| {
        first_bytes.starts_with(opening)
            || (first_bytes.len() >= ENOUGH && opening.starts_with(first_bytes))
    };
    if let Some((_, it)) = OPENINGS.iter().find(|(opening, _)| fits(opening)) {
        return *it;
    }
    match first_bytes {
        // RFC 8446 section 5.1: change_cipher_spec 20, alert 21, application_data 23; heartbeat 24.
        [20 | 21 | 23 | 24, 3, ..] => LooksLike::OtherTlsRecord,
        // RFC 5246 appendix E.2: length with the top bit set, CLIENT-HELLO 1, version 0.2 or 3.x.
        [len, _, 1, 0, 2, ..] | [len, _, 1, 3, ..] if len & 0x80 != 0 => LooksLike::SslV2,
        // RFC 9113 sections 4.1 and 6.5: a server's first frame is SETTINGS (4), on stream 0.
        [0, 0, _, 4, 0 | 1, 0, 0, 0, 0, ..] => LooksLike::Http2,
        _ if is_pulsar(first_bytes) => LooksLike::Pulsar,
        _ => LooksLike::Unknown,
    }
}

/// Pulsar's binary protocol: total size, command size (both 4 bytes, of what follows them), then a
/// BaseCommand whose field 1, its type, is CONNECT (2), CONNECTED (3) or ERROR (14).
fn is_pulsar(bytes: &[u8]) -> bool {
    let Some((&[a, b, c, d, e, f, g, h, 0x08, 2 | 3 | 14], _)) = bytes.split_first_chunk() else {
        return false;
    };
    let (total, command) = (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    );
    command.checked_add(4).is_some_and(|least| total >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_told_by_its_opening() {
        let cases: [(&[u8], LooksLike); 23] = [
            (b"GET / HTTP/1.1\r\n", LooksLike::Http),
            (b"GET", LooksLike::Http),
            (b"POST /x", LooksLike::Http),
            (b"CONNECT a:443 HTTP/1.1", LooksLike::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", LooksLike::Http2),
            (b"PRI", LooksLike::Http2),
            (b"PROXY TCP4 1.2.3.4", LooksLike::ProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", LooksLike::ProxyHeader),
            (b"SSH-2.0-OpenSSH_9.0\r\n", LooksLike::Ssh),
            (&[0x15, 3, 3, 0, 2, 2, 70], LooksLike::OtherTlsRecord),
            (&[0x17, 3, 3, 0, 2, 2, 70], LooksLike::OtherTlsRecord),
            (&[0x80, 0x32, 1, 3, 1, 0], LooksLike::SslV2),
            (&[0x80, 0x32, 1, 0, 2, 0], LooksLike::SslV2),
            (
                &[0, 0, 0, 0x29, 0, 0, 0, 0x25, 8, 2, 0x12],
                LooksLike::Pulsar,
            ),
            (
                &[0, 0, 0, 0x28, 0, 0, 0, 0x25, 8, 2, 0x12],
                LooksLike::Unknown,
            ),
            (
                &[0, 0, 0, 0x29, 0, 0, 0, 0x25, 8, 3, 0x1a],
                LooksLike::Pulsar,
            ),
            (
                &[0, 0, 0, 0x29, 0, 0, 0, 0x25, 8, 17, 0x1a],
                LooksLike::Unknown,
            ),
            (b"HTTP/1.1 400 Bad Request\r\n", LooksLike::Http),
            (&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 4], LooksLike::Http2),
            (&[0, 0, 18, 6, 0, 0, 0, 0, 0, 0, 4], LooksLike::Unknown),
            (&[0x16, 0xfe, 0xfd, 0], LooksLike::Unknown),
            (b"GETX", LooksLike::Unknown),
            (b"P", LooksLike::Unknown),
        ];
        for (bytes, want) in cases {
            assert_eq!(
                looks_like(bytes),
                want,
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
        assert_eq!(looks_like(b""), LooksLike::Unknown);
    }
}
