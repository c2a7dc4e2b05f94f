//! A private key under a passphrase: PKCS#8's EncryptedPrivateKeyInfo (RFC 5958 section 3) with PBES2
//! (RFC 8018 section 6.2), as `openssl pkey` and Java read and write it.
//!
//! Made here: PBKDF2 with HMAC-SHA-256, AES-256-CBC. Also read: HMAC-SHA-1, -384, -512 and AES-128,
//! for keys that were sealed again by other tools. scrypt is neither: Java does not read it.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "yasna's methods by name are not general enough in their lifetimes"
)]

use super::serial::random;
use super::{PkiError, pem};
use aws_lc_rs::cipher::{
    AES_128, AES_128_KEY_LEN, AES_256, AES_256_KEY_LEN, DecryptionContext, EncryptionContext,
    PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq};
use zeroize::Zeroizing;

/// The PEM label of a sealed key (RFC 7468 section 11).
pub(super) const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// OWASP's figure for PBKDF2-HMAC-SHA-256: about 0.2 s of one core.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

/// A file may ask for no more than this: some seconds of one core.
const MOST_ITERATIONS: u32 = 20_000_000;

const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
/// hmacWithSHA1, the default (RFC 8018 appendix A.2), 256, 384, 512: the last arc.
const HMAC: &[u64] = &[1, 2, 840, 113_549, 2];
const AES_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1];

/// Why a sealed key was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// The passphrase is not the one.
    WrongPassphrase,
    /// No sealed key, or sealed in a way that is not read here.
    NotRead,
}

struct Scheme {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    prf: pbkdf2::Algorithm,
    key_length: usize,
    iv: [u8; 16],
}

/// Seals a PKCS#8 key; the answer is PEM.
///
/// # Errors
/// [`PkiError::Crypto`] without randomness.
pub(super) fn seal(key: &[u8], passphrase: &str) -> Result<String, PkiError> {
    let mut scheme = Scheme {
        salt: vec![0; 16],
        iterations: ITERATIONS,
        prf: pbkdf2::PBKDF2_HMAC_SHA256,
        key_length: AES_256_KEY_LEN,
        iv: [0; 16],
    };
    random(&mut scheme.salt)?;
    random(&mut scheme.iv)?;
    let failed = |_| PkiError::Crypto("the key cannot be encrypted".to_owned());
    let mut data = key.to_vec();
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(scheme.cipher(passphrase).map_err(failed)?)
        .map_err(failed)?;
    let iv = EncryptionContext::Iv128(FixedLength::from(&scheme.iv));
    // The data grow in place, and are cipher text from here on.
    cipher.less_safe_encrypt(&mut data, iv).map_err(failed)?;
    Ok(pem::encode(LABEL, &scheme.der(&data)))
}

/// Opens what [`seal`] or another tool sealed; the answer is PKCS#8, DER.
pub(super) fn open(sealed: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
    let (scheme, data) = yasna::parse_der(sealed, read).map_err(|_| NotOpened::NotRead)?;
    let mut data = Zeroizing::new(data);
    let iv = DecryptionContext::Iv128(FixedLength::from(&scheme.iv));
    // A wrong key shows in the padding, but for one time in 256: then in what is no PKCS#8.
    let wrong = |_| NotOpened::WrongPassphrase;
    let cipher = scheme.cipher(passphrase).map_err(wrong)?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).map_err(wrong)?;
    let key = Zeroizing::new(cipher.decrypt(&mut data, iv).map_err(wrong)?.to_vec());
    let whole = yasna::parse_der(&key, |reader| reader.read_der());
    whole.map_err(|_| NotOpened::WrongPassphrase)?;
    Ok(key)
}

impl Scheme {
    fn cipher(&self, passphrase: &str) -> Result<UnboundCipherKey, aws_lc_rs::error::Unspecified> {
        let algorithm = match self.key_length {
            AES_128_KEY_LEN => &AES_128,
            _ => &AES_256,
        };
        let mut key = Zeroizing::new(vec![0; self.key_length]);
        let secret = passphrase.as_bytes();
        pbkdf2::derive(self.prf, self.iterations, &self.salt, secret, &mut key);
        UnboundCipherKey::new(algorithm, &key)
    }

    /// EncryptedPrivateKeyInfo around the cipher text, for what [`seal`] chooses.
    fn der(&self, data: &[u8]) -> Vec<u8> {
        let oid = ObjectIdentifier::from_slice;
        let below = |top: &[u64], last| oid(&[top, &[last]].concat());
        yasna::construct_der(|writer| {
            writer.write_sequence(|info| {
                info.next().write_sequence(|algorithm| {
                    algorithm.next().write_oid(&oid(PBES2));
                    algorithm.next().write_sequence(|scheme| {
                        scheme.next().write_sequence(|derivation| {
                            derivation.next().write_oid(&oid(PBKDF2));
                            derivation.next().write_sequence(|parameters| {
                                parameters.next().write_bytes(&self.salt);
                                parameters.next().write_u32(self.iterations.get());
                                parameters.next().write_sequence(|prf| {
                                    prf.next().write_oid(&below(HMAC, 9));
                                    prf.next().write_null();
                                });
                            });
                        });
                        scheme.next().write_sequence(|cipher| {
                            cipher.next().write_oid(&below(AES_CBC, 42));
                            cipher.next().write_bytes(&self.iv);
                        });
                    });
                });
                info.next().write_bytes(data);
            });
        })
    }
}

fn read(reader: BERReader<'_, '_>) -> ASN1Result<(Scheme, Vec<u8>)> {
    reader.read_sequence(|info| {
        let scheme = info.next().read_sequence(|algorithm| {
            same(&algorithm.next().read_oid()?, PBES2)?;
            algorithm.next().read_sequence(scheme)
        })?;
        Ok((scheme, info.next().read_bytes()?))
    })
}

fn scheme(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Scheme> {
    let (salt, iterations, prf) = reader.next().read_sequence(|derivation| {
        same(&derivation.next().read_oid()?, PBKDF2)?;
        derivation.next().read_sequence(|parameters| {
            let salt = parameters.next().read_bytes()?;
            let iterations = parameters.next().read_u32()?;
            // keyLength: what the cipher's name says, too.
            parameters.read_optional(|length| length.read_u32())?;
            let prf = parameters.read_optional(|prf| {
                prf.read_sequence(|prf| {
                    let name = prf.next().read_oid()?;
                    prf.read_optional(|null| null.read_null())?;
                    Ok(name)
                })
            })?;
            Ok((salt, iterations, prf))
        })
    })?;
    let (name, iv) = reader.next().read_sequence(|cipher| {
        let name = cipher.next().read_oid()?;
        Ok((name, cipher.next().read_bytes()?))
    })?;
    let iterations = NonZeroU32::new(iterations).filter(|n| n.get() <= MOST_ITERATIONS);
    Ok(Scheme {
        salt,
        iterations: iterations.ok_or_else(unread)?,
        prf: match prf.as_ref().map(|name| last(name, HMAC)).unwrap_or(Ok(7))? {
            7 => pbkdf2::PBKDF2_HMAC_SHA1,
            9 => pbkdf2::PBKDF2_HMAC_SHA256,
            10 => pbkdf2::PBKDF2_HMAC_SHA384,
            11 => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err(unread()),
        },
        key_length: match last(&name, AES_CBC)? {
            2 => AES_128_KEY_LEN,
            42 => AES_256_KEY_LEN,
            _ => return Err(unread()),
        },
        iv: iv.try_into().map_err(|_| unread())?,
    })
}

fn unread() -> ASN1Error {
    ASN1Error::new(ASN1ErrorKind::Invalid)
}

fn same(oid: &ObjectIdentifier, wanted: &[u64]) -> ASN1Result<()> {
    (oid.components().as_slice() == wanted)
        .then_some(())
        .ok_or_else(unread)
}

/// The arc after `top`.
fn last(oid: &ObjectIdentifier, top: &[u64]) -> ASN1Result<u64> {
    match oid.components().strip_prefix(top) {
        Some([last]) => Ok(*last),
        _ => Err(unread()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(sealed: &str) -> Vec<u8> {
        pem::blocks(sealed.as_bytes()).unwrap().remove(0).der
    }

    #[test]
    fn opened_by_its_passphrase_alone() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let sealed = der(&seal(&key, "correct horse").unwrap());
        assert_eq!(*open(&sealed, "correct horse").unwrap(), key);
        for wrong in ["", "correct horse ", "Correct horse"] {
            assert_eq!(open(&sealed, wrong), Err(NotOpened::WrongPassphrase));
        }
    }

    #[test]
    fn never_sealed_twice_alike() {
        assert_ne!(seal(b"0\0", "x").unwrap(), seal(b"0\0", "x").unwrap());
    }

    #[test]
    fn what_is_no_sealed_key_is_said_to_be_none() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let sealed = der(&seal(&key, "x").unwrap());
        for cut in 0..sealed.len() {
            assert_eq!(open(&sealed[..cut], "x"), Err(NotOpened::NotRead));
        }
        assert_eq!(open(&key, "x"), Err(NotOpened::NotRead));
    }
}
