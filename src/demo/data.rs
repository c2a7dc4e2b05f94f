//! What is sent: bytes that no compression could fake, and the hash that finds them whole.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::hash::{Context, Hash};

/// Length of a SHA-256 in bytes.
pub(super) const HASH: usize = 32;

/// An endless stream of bytes, the same for the same seed (SplitMix64 in counter order).
pub(super) struct Noise(u64);

impl Noise {
    /// A stream of its own for each seed.
    pub(super) fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// The next bytes; a rest of less than eight starts a new word next time.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        for word in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..word.len()]);
        }
    }
}

/// SHA-256 of a stream, as the TLS library's own provider computes it.
pub(super) struct Sha256(Box<dyn Context>);

impl Sha256 {
    pub(super) fn new() -> Sha256 {
        let provider: &dyn Hash = match TLS13_AES_128_GCM_SHA256 {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        };
        Sha256(provider.start())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> [u8; HASH] {
        let mut hash = [0; HASH];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        let mut sha = Sha256::new();
        sha.update(b"a");
        sha.update(b"bc");
        // FIPS 180-2 appendix B.1
        let hash = sha.finish();
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(hash[28..], [0xf2, 0x00, 0x15, 0xad]);
    }

    #[test]
    fn noise_is_repeatable_and_differs_by_seed_and_place() {
        let take = |seed| {
            let mut bytes = [0; 4096];
            Noise::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        let words: std::collections::HashSet<_> = [take(1), take(2)]
            .iter()
            .flat_map(|b| b.as_chunks::<8>().0.to_vec())
            .collect();
        assert_eq!(words.len(), 1024);
    }
}
