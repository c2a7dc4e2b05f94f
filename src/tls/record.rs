//! The record header (RFC 8446 section 5.1).

use super::HelloError;

/// Bytes of a record header: type, version, length.
pub(super) const HEADER: usize = 5;

/// RFC 8446 section 5.1: the length of a plaintext record must not exceed 2^14.
const MAX_PAYLOAD: usize = 1 << 14;

/// `ContentType::handshake`.
const HANDSHAKE: u8 = 22;

/// Rule 1: a client's very first byte.
pub(super) fn first_byte(byte: u8) -> Result<(), HelloError> {
    if byte == HANDSHAKE {
        Ok(())
    } else {
        Err(HelloError::NotTls)
    }
}

/// Judges a record header; its payload's length, 1 to 16,384.
///
/// `first`: the client's first record, where a wrong type or version means "not TLS" (rules 1 and
/// 2); later it is TLS that breaks the protocol (rule 5).
pub(super) fn payload_len(header: [u8; HEADER], first: bool) -> Result<usize, HelloError> {
    let [kind, major, _minor, high, low] = header;
    // RFC 8446 section 5.1: handshake messages must not be interleaved with other record types.
    if kind != HANDSHAKE {
        return Err(match first {
            true => HelloError::NotTls,
            false => HelloError::Malformed("record of another type inside the hello"),
        });
    }
    // RFC 8446 section 5.1: legacy_record_version is to be ignored. Its major byte is not: no TLS
    // was ever anything but 3, and what else begins with 22 is not TLS.
    if major != 3 {
        return Err(match first {
            true => HelloError::NotTls,
            false => HelloError::Malformed("record version is not 3.x inside the hello"),
        });
    }
    // RFC 8446 section 5.1: no zero-length fragments of handshake types; at most 2^14 bytes.
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => Err(HelloError::Malformed("record of length 0")),
        len if len > MAX_PAYLOAD => Err(HelloError::TooLarge("record longer than 16384 bytes")),
        len => Ok(len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_or_version_is_no_tls_at_first_and_malformed_later() {
        assert_eq!(first_byte(b'G'), Err(HelloError::NotTls));
        assert_eq!(first_byte(22), Ok(()));
        for header in [[21, 3, 1, 0, 1], [22, 2, 0, 0, 1], [22, 4, 0, 0, 1]] {
            assert_eq!(payload_len(header, true), Err(HelloError::NotTls));
            assert!(matches!(
                payload_len(header, false),
                Err(HelloError::Malformed(_))
            ));
        }
        assert_eq!(payload_len([22, 3, 0xff, 0, 1], true), Ok(1));
    }

    #[test]
    fn the_length_is_1_to_16384() {
        assert!(matches!(
            payload_len([22, 3, 1, 0, 0], true),
            Err(HelloError::Malformed(_))
        ));
        assert_eq!(payload_len([22, 3, 1, 0x40, 0], true), Ok(16384));
        assert!(matches!(
            payload_len([22, 3, 1, 0x40, 1], true),
            Err(HelloError::TooLarge(_))
        ));
    }
}
