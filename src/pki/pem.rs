//! PEM (RFC 7468): blocks in a text, and a block as text.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// More than any bundle of certificates has.
pub(super) const MOST_BYTES: usize = 4 * 1024 * 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// `CERTIFICATE`, `PRIVATE KEY`, ...
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

/// The blocks of a text; what stands between them is for people (RFC 7468 section 2).
///
/// # Errors
/// The 1-based line of a block that is broken, and how.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block>, String> {
    let text = String::from_utf8_lossy(text);
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines().map(str::trim));
    while let Some((number, line)) = lines.next() {
        let Some(label) = boundary(line, "-----BEGIN ") else {
            continue;
        };
        let mut body = String::new();
        loop {
            let Some((at, line)) = lines.next() else {
                return Err(format!("line {number}: BEGIN {label} has no END"));
            };
            match boundary(line, "-----END ") {
                Some(end) if end == label => break,
                Some(end) => return Err(format!("line {at}: BEGIN {label} ends as {end}")),
                // RFC 1421 headers of old encrypted keys: no DER inside.
                None if line.contains(':') => {
                    return Err(format!(
                        "line {at}: {label} in the old encrypted form (RFC 1421)"
                    ));
                }
                None => body.push_str(line),
            }
        }
        let der = BASE64
            .decode(&body)
            .map_err(|error| format!("line {number}: {label} is no base64: {error}"))?;
        let label = label.to_owned();
        blocks.push(Block { label, der });
    }
    Ok(blocks)
}

fn boundary<'l>(line: &'l str, begins: &str) -> Option<&'l str> {
    line.strip_prefix(begins)?.strip_suffix("-----")
}

/// A block as text: lines of 64 characters, as openssl writes them.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let body = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for at in (0..body.len()).step_by(64) {
        text.push_str(&body[at..body.len().min(at + 64)]);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Standard base64 with padding, on one line.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_back_with_what_people_write_between() {
        let (a, b) = (vec![7; 100], vec![]);
        let text = format!("subject: x\r\n{}\n{}", encode("A B", &a), encode("C", &b));
        let read = blocks(text.as_bytes()).unwrap();
        let expected = [("A B", a), ("C", b)].map(|(label, der)| Block {
            label: label.to_owned(),
            der,
        });
        assert_eq!(read, expected);
        assert_eq!(blocks(b"no PEM at all"), Ok(vec![]));
    }

    #[test]
    fn broken_blocks_are_told_with_their_line() {
        for (text, wanted) in [
            ("\n-----BEGIN A-----\nAAAA\n", "line 2: BEGIN A has no END"),
            (
                "-----BEGIN A-----\n-----END B-----\n",
                "line 2: BEGIN A ends as B",
            ),
            (
                "-----BEGIN A-----\n!\n-----END A-----\n",
                "line 1: A is no base64",
            ),
            (
                "-----BEGIN A-----\nProc-Type: 4\n-----END A-----\n",
                "line 2: A in the old",
            ),
        ] {
            let error = blocks(text.as_bytes()).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
