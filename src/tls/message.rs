//! The ClientHello message (RFC 8446 section 4.1.2) down to its server name (RFC 6066 section 3).

use super::reader::Reader;
use super::{HelloError, NameError, ServerName};

/// `ExtensionType::server_name`.
const SERVER_NAME: u16 = 0;

/// `NameType::host_name`.
const HOST_NAME: u8 = 0;

/// Bytes of a hello's random.
const RANDOM: usize = 32;

/// RFC 8446 section 4.1.2: `opaque legacy_session_id<0..32>`.
const MAX_SESSION_ID: usize = 32;

const fn malformed(what: &'static str) -> HelloError {
    HelloError::Malformed(what)
}

/// Reads the message (without its handshake header) to its end (rules 9 to 16).
pub(super) fn server_name(body: &[u8]) -> Result<Option<ServerName>, HelloError> {
    let mut hello = Reader::new(body);
    before_extensions(&mut hello)?;
    // RFC 8446 section 4.1.2: a hello without extensions ends here (TLS 1.2 and before).
    if hello.is_empty() {
        return Ok(None);
    }
    // RFC 5246 section 7.4.1.4: the block's length must be exactly what is left.
    let block = hello
        .vec16()
        .ok_or(malformed("extension block runs past the hello's end"))?;
    if !hello.is_empty() {
        return Err(malformed("bytes after the extension block"));
    }
    extensions(block)
}

/// Everything up to the extensions (rules 9 and 10).
fn before_extensions(hello: &mut Reader<'_>) -> Result<(), HelloError> {
    // RFC 8446 section 4.1.2: legacy_version. 3.3 for TLS 1.2 and 1.3; the minor is the
    // upstream's to judge.
    let version = hello.u16().ok_or(malformed("hello ends in its version"))?;
    if version >> 8 != 3 {
        return Err(malformed("client_version is not 3.x"));
    }
    hello
        .take(RANDOM)
        .ok_or(malformed("hello ends in its random"))?;
    let session_id = hello
        .vec8()
        .ok_or(malformed("session id runs past the hello's end"))?;
    if session_id.len() > MAX_SESSION_ID {
        return Err(malformed("session id longer than 32 bytes"));
    }
    // RFC 8446 section 4.1.2: `CipherSuite cipher_suites<2..2^16-2>`, two bytes each.
    let ciphers = hello
        .vec16()
        .ok_or(malformed("cipher list runs past the hello's end"))?;
    if ciphers.is_empty() {
        return Err(malformed("cipher list empty"));
    }
    if !ciphers.len().is_multiple_of(2) {
        return Err(malformed("cipher list of odd length"));
    }
    // RFC 8446 section 4.1.2: `opaque legacy_compression_methods<1..2^8-1>`.
    let compression = hello
        .vec8()
        .ok_or(malformed("compression list runs past the hello's end"))?;
    if compression.is_empty() {
        return Err(malformed("compression list empty"));
    }
    Ok(())
}

/// Walks the whole block (rules 12 and 13), reading no extension but server_name.
fn extensions(block: &[u8]) -> Result<Option<ServerName>, HelloError> {
    let mut block = Reader::new(block);
    let mut seen: u64 = 0;
    let mut name = None;
    while !block.is_empty() {
        let kind = block
            .u16()
            .ok_or(malformed("stray bytes in the extension block"))?;
        let content = block
            .vec16()
            .ok_or(malformed("extension runs past the block's end"))?;
        // RFC 8446 section 4.2: no more than one extension of a type. Those below 64 are all that
        // matter here; GREASE (RFC 8701) and unknown types are the upstream's to judge.
        if kind < 64 {
            let bit = 1 << kind;
            if seen & bit != 0 {
                return Err(match kind {
                    SERVER_NAME => malformed("server_name twice"),
                    _ => malformed("an extension twice"),
                });
            }
            seen |= bit;
            if kind == SERVER_NAME {
                name = host_name(content)?;
            }
        }
    }
    Ok(name)
}

/// The extension's content: a list of exactly one host_name (rules 14 to 16).
fn host_name(content: &[u8]) -> Result<Option<ServerName>, HelloError> {
    if content.is_empty() {
        return Err(malformed("server_name empty"));
    }
    // RFC 6066 section 3: `ServerName server_name_list<1..2^16-1>`.
    let mut content = Reader::new(content);
    let list = content
        .vec16()
        .ok_or(malformed("server_name list runs past its extension"))?;
    if !content.is_empty() {
        return Err(malformed("bytes after the server_name list"));
    }
    if list.is_empty() {
        return Err(malformed("server_name list empty"));
    }
    let mut list = Reader::new(list);
    // RFC 6066 section 3: host_name is the only type there is, and only it says how long it is.
    if list.u8() != Some(HOST_NAME) {
        return Err(malformed("server_name of another type than host_name"));
    }
    // RFC 6066 section 3: `opaque HostName<1..2^16-1>`.
    let name = list
        .vec16()
        .ok_or(malformed("host_name runs past the server_name list"))?;
    if name.is_empty() {
        return Err(malformed("host_name empty"));
    }
    // RFC 6066 section 3: no more than one name of a type.
    if !list.is_empty() {
        return Err(malformed("a second name, or bytes, after the host_name"));
    }
    match ServerName::parse(name) {
        Ok(name) => Ok(Some(name)),
        Err(NameError::IpLiteral) => Ok(None),
        Err(NameError::Invalid(why)) => Err(malformed(why)),
    }
}
