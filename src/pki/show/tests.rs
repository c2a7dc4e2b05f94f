//! What is shown, and that nothing a file says reaches the terminal as it is.

use super::*;
use rcgen::{CertificateParams, DnType, KeyPair};
use std::time::Duration;

#[test]
fn control_characters_are_shown_not_sent() {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "a\u{1b}[2J\u{202e}b\nsubject x");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    for bytes in [
        certificate.der().to_vec(),
        pem::encode("CERTIFICATE", certificate.der()).into(),
    ] {
        let text = describe(&bytes).unwrap();
        assert!(
            text.contains(r"a\u{1b}[2J\u{202e}b\u{a}subject x"),
            "{text}"
        );
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}

#[test]
fn no_key_is_printed() {
    let key = KeyPair::generate().unwrap();
    let text = describe(pem::encode("PRIVATE KEY", key.serialized_der()).as_bytes()).unwrap();
    assert!(
        text.contains("private key (PKCS#8)") && text.len() < 100,
        "{text}"
    );
}

#[test]
fn every_block_of_a_bundle_is_shown_and_a_broken_one_told() {
    let authority = crate::pki::Authority::new("test", Duration::from_secs(60)).unwrap();
    let two = authority.certificate_pem() + &authority.certificate_pem();
    assert_eq!(
        describe(two.as_bytes())
            .unwrap()
            .matches("certificate of an authority")
            .count(),
        2
    );
    let broken = two + &pem::encode("CERTIFICATE", b"no DER");
    assert!(
        describe(broken.as_bytes())
            .unwrap_err()
            .contains("block 3 (CERTIFICATE)")
    );
}

#[test]
fn nothing_read_makes_it_panic() {
    let authority = crate::pki::Authority::new("test", Duration::from_secs(60)).unwrap();
    let list = authority
        .revocation_list(7, &[], Duration::from_secs(60))
        .unwrap();
    for text in [authority.certificate_pem(), list] {
        let der = pem::blocks(text.as_bytes()).unwrap().remove(0).der;
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0xff;
            let _ = describe(&changed);
            let _ = describe(&der[..at]);
        }
    }
}
