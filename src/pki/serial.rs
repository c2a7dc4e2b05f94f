//! Serial numbers (RFC 5280 section 4.1.2.2): positive, unique, not to be guessed.

use super::PkiError;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};

/// 16 random bytes, of which the two highest bits are 01: positive and always of the same length.
/// Written as 32 hexadecimal digits, as openssl does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Serial([u8; 16]);

impl Serial {
    /// A new one, from the system's random source.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the system has no randomness to give.
    pub fn random() -> Result<Serial, PkiError> {
        let mut bytes = [0; 16];
        random(&mut bytes)?;
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Ok(Serial(bytes))
    }

    /// Reads 32 hexadecimal digits, of either case.
    pub fn parse(text: &str) -> Option<Serial> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Serial(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Fills it with random bytes.
pub(super) fn random(mut bytes: &mut [u8]) -> Result<(), PkiError> {
    while !bytes.is_empty() {
        // A signal may cut it short (getrandom(2)).
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(some) => bytes = &mut bytes[some..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(PkiError::Crypto(format!("no random bytes: {error}"))),
        }
    }
    Ok(())
}

/// Bytes as upper-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> String {
        serial.to_string()
    }
}

impl TryFrom<String> for Serial {
    type Error = String;

    fn try_from(text: String) -> Result<Serial, String> {
        Serial::parse(&text).ok_or_else(|| format!("{text:?} is no serial number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_of_one_length_and_read_back() {
        for _ in 0..200 {
            let serial = Serial::random().unwrap();
            assert_eq!(serial.bytes()[0] >> 6, 1, "{serial}");
            assert_eq!(Serial::parse(&serial.to_string()), Some(serial));
            assert_eq!(
                Serial::parse(&serial.to_string().to_lowercase()),
                Some(serial)
            );
        }
        for wrong in ["", "12", &"g".repeat(32), &"é".repeat(16), &"1".repeat(33)] {
            assert_eq!(Serial::parse(wrong), None, "{wrong}");
        }
    }
}
