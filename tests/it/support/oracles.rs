//! What rustls and tls-parser say of the same bytes.

use std::net::IpAddr;
use tls_parser::{
    SNIType, TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_client_hello_extensions,
    parse_tls_message_handshake, parse_tls_raw_record,
};

/// An oracle's answer, its name in our spelling: lower case, without trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    Hello(Option<String>),
    Refused,
    Wait,
}

/// rustls reads the hello as a server that has not chosen its certificate yet. It judges more than
/// a router may: the content of the extensions that it knows.
pub(crate) fn rustls(mut bytes: &[u8]) -> Says {
    let mut acceptor = rustls::server::Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Says::Refused;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Says::Hello(accepted.client_hello().server_name().map(spelled));
            }
            Ok(None) => {}
            Err(_) => return Says::Refused,
        }
    }
    Says::Wait
}

/// tls-parser reads records and messages; joining them is left to its caller.
pub(crate) fn tls_parser(mut bytes: &[u8]) -> Says {
    let mut message = Vec::new();
    loop {
        match parse_tls_raw_record(bytes) {
            Ok((rest, record)) => {
                if record.hdr.record_type.0 != 22 {
                    return Says::Refused;
                }
                message.extend_from_slice(record.data);
                bytes = rest;
            }
            Err(tls_parser::Err::Incomplete(_)) => return Says::Wait,
            Err(_) => return Says::Refused,
        }
        let whole = match message[..] {
            [_, a, b, c, ..] => 4 + u32::from_be_bytes([0, a, b, c]) as usize,
            _ => continue,
        };
        if message.len() >= whole {
            return tls_parser_message(&message);
        }
    }
}

fn tls_parser_message(message: &[u8]) -> Says {
    let Ok(([], TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) =
        parse_tls_message_handshake(message)
    else {
        return Says::Refused;
    };
    let Ok(([], extensions)) = parse_tls_client_hello_extensions(hello.ext.unwrap_or_default())
    else {
        return Says::Refused;
    };
    let name = extensions
        .into_iter()
        .find_map(|extension| match extension {
            TlsExtension::SNI(names) => names
                .into_iter()
                .find(|(kind, _)| *kind == SNIType::HostName),
            _ => None,
        });
    let name = name.map(|(_, name)| spelled(&String::from_utf8_lossy(name)));
    // tls-parser takes addresses for names.
    Says::Hello(name.filter(|name| name.parse::<IpAddr>().is_err()))
}

fn spelled(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
