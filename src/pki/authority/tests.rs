//! What verifiers make of the certificates: webpki through rustls, and OpenSSL.

use super::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use std::process::Command;
use std::sync::Arc;

const HOUR: Duration = Duration::from_secs(3600);

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(der(&authority.certificate_pem())).unwrap();
    Arc::new(roots)
}

/// Verifies a server's chain by name at a time from now.
fn verify(
    authority: &Authority,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    name: &str,
    at: Duration,
) -> Result<(), rustls::Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider())
        .build()
        .unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + at);
    let name = name.try_into().unwrap();
    verifier
        .verify_server_cert(leaf, between, &name, &[], at)
        .map(drop)
}

/// The extensions' OIDs, DER.
const BASIC_CONSTRAINTS: [u8; 5] = [6, 3, 0x55, 0x1d, 0x13];
const SUBJECT_KEY_ID: [u8; 5] = [6, 3, 0x55, 0x1d, 0x0e];
const AUTHORITY_KEY_ID: [u8; 5] = [6, 3, 0x55, 0x1d, 0x23];

/// What follows an extension's OID.
fn after<'d>(der: &'d [u8], oid: &[u8]) -> Option<&'d [u8]> {
    let at = der.windows(oid.len()).position(|window| window == oid)?;
    Some(&der[at + oid.len()..])
}

#[test]
fn a_leaf_is_verified_by_each_of_its_names_and_no_other() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    let issued = authority
        .issue(&["10000.fate.test", "B1.10000.fate.test."], HOUR)
        .unwrap();
    let leaf = der(&issued.certificate_pem);
    for name in ["10000.fate.test", "b1.10000.fate.test"] {
        verify(&authority, &leaf, &[], name, Duration::ZERO).unwrap();
    }
    for name in ["9999.fate.test", "fate.test", "x.10000.fate.test"] {
        let error = verify(&authority, &leaf, &[], name, Duration::ZERO).unwrap_err();
        assert!(
            error.to_string().contains("not valid for name"),
            "{name}: {error}"
        );
    }
}

#[test]
fn another_authority_of_the_same_name_is_not_believed() {
    let ours = Authority::new("same name", HOUR).unwrap();
    let theirs = Authority::new("same name", HOUR).unwrap();
    let leaf = der(&theirs.issue(&["a.test"], HOUR).unwrap().certificate_pem);
    verify(&theirs, &leaf, &[], "a.test", Duration::ZERO).unwrap();
    verify(&ours, &leaf, &[], "a.test", Duration::ZERO).unwrap_err();
}

#[test]
fn a_leaf_serves_as_client_certificate_too() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    let leaf = der(&authority.issue(&["a.test"], HOUR).unwrap().certificate_pem);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&authority), provider())
        .build()
        .unwrap();
    verifier
        .verify_client_cert(&leaf, &[], UnixTime::now())
        .unwrap();
}

#[test]
fn a_leaf_has_no_authority_over_others() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    let issued = authority.issue(&["mallory.test"], HOUR).unwrap();
    let leaf = der(&issued.certificate_pem);
    // An empty SEQUENCE in an OCTET STRING: basicConstraints with its default, CA:FALSE.
    let constraints = after(&leaf, &BASIC_CONSTRAINTS).expect("basicConstraints");
    let value = constraints
        .strip_prefix(&[1, 1, 0xff])
        .unwrap_or(constraints);
    assert_eq!(value[..4], [4, 2, 0x30, 0]);

    // Signing with the leaf's key all the same convinces nobody.
    let key = KeyPair::from_pem(&issued.key_pem).unwrap();
    let (now, serial) = (Moment::now(), Serial::random().unwrap());
    let mallory = Issuer::new(params("mallory.test", now, now.plus(HOUR), serial), key);
    let forged_key = KeyPair::generate().unwrap();
    let forged = CertificateParams::new(vec!["victim.test".to_owned()])
        .unwrap()
        .signed_by(&forged_key, &mallory)
        .unwrap();
    let error = verify(
        &authority,
        forged.der(),
        &[leaf],
        "victim.test",
        Duration::ZERO,
    );
    error.unwrap_err();
}

#[test]
fn the_authority_is_one_by_its_own_word_and_for_one_step() {
    let authority = der(&Authority::new("test authority", HOUR)
        .unwrap()
        .certificate_pem());
    let constraints = after(&authority, &BASIC_CONSTRAINTS).expect("basicConstraints");
    // critical, SEQUENCE { BOOLEAN TRUE, INTEGER 0 }
    assert_eq!(
        constraints[..13],
        [1, 1, 0xff, 4, 8, 0x30, 6, 1, 1, 0xff, 2, 1, 0]
    );
}

#[test]
fn key_identifiers_join_leaf_and_authority() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    let leaf = der(&authority.issue(&["a.test"], HOUR).unwrap().certificate_pem);
    let ca = der(&authority.certificate_pem());
    // OCTET STRING { OCTET STRING { 20 bytes } }
    let own = after(&ca, &SUBJECT_KEY_ID).expect("authority's subject key identifier");
    assert_eq!(own[..4], [4, 22, 4, 20]);
    // OCTET STRING { SEQUENCE { [0] 20 bytes } }
    let named = after(&leaf, &AUTHORITY_KEY_ID).expect("leaf's authority key identifier");
    assert_eq!(named[..6], [4, 24, 0x30, 22, 0x80, 20]);
    assert_eq!(named[6..26], own[4..24]);
    let leaf_id = after(&leaf, &SUBJECT_KEY_ID).expect("leaf's subject key identifier");
    assert_ne!(leaf_id[4..24], own[4..24]);
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let authority = Authority::new("short-lived", HOUR).unwrap();
    let leaf = der(&authority
        .issue(&["a.test"], 24 * HOUR)
        .unwrap()
        .certificate_pem);
    verify(
        &authority,
        &leaf,
        &[],
        "a.test",
        HOUR - Duration::from_secs(60),
    )
    .unwrap();
    let late = verify(&authority, &leaf, &[], "a.test", 2 * HOUR).unwrap_err();
    assert!(late.to_string().contains("expired"), "{late}");
}

#[test]
fn the_key_is_pkcs8_and_belongs_to_the_certificate() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    let issued = authority.issue(&["a.test"], HOUR).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    assert!(matches!(key, PrivateKeyDer::Pkcs8(_)));
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der(&issued.certificate_pem)], key);
    config.expect("rustls compares the two");
}

#[test]
fn what_cannot_be_is_refused() {
    let authority = Authority::new("test authority", HOUR).unwrap();
    assert!(matches!(authority.issue(&[], HOUR), Err(PkiError::NoName)));
    for name in ["", "a b", "10.0.0.1", "*.fate.test", "a..b", "a\0b"] {
        let error = authority.issue(&[name], HOUR).unwrap_err();
        assert!(
            matches!(error, PkiError::BadName { .. }),
            "{name:?}: {error}"
        );
    }
    for lifetime in [
        Duration::ZERO,
        LONGEST + Duration::from_secs(1),
        Duration::MAX,
    ] {
        let error = Authority::new("a", lifetime).unwrap_err();
        assert!(matches!(error, PkiError::BadLifetime(_)), "{error}");
    }
    for name in ["", &"x".repeat(65)] {
        assert!(matches!(
            Authority::new(name, HOUR),
            Err(PkiError::BadCommonName(_))
        ));
    }
    let long = format!("{}.{}.test", "x".repeat(60), "y".repeat(60));
    let leaf = der(&authority.issue(&[&long], HOUR).unwrap().certificate_pem);
    verify(&authority, &leaf, &[], &long, Duration::ZERO).unwrap();
}

#[test]
fn openssl_agrees_where_it_is_installed() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("openssl is not installed: not asked");
        return;
    }
    let authority = Authority::new("test authority", HOUR).unwrap();
    let leaf = authority.issue(&["a.test"], HOUR).unwrap().certificate_pem;
    let dir = std::env::temp_dir().join(format!("snihub-pki-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let (ca_file, leaf_file) = (dir.join("ca.pem"), dir.join("leaf.pem"));
    std::fs::write(&ca_file, authority.certificate_pem()).unwrap();
    std::fs::write(&leaf_file, leaf).unwrap();
    let verify = |purpose: &str, name: &str| {
        Command::new("openssl")
            .args([
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-verify_hostname",
                name,
            ])
            .arg("-CAfile")
            .args([&ca_file, &leaf_file])
            .output()
            .unwrap()
    };
    let outputs = [
        verify("sslserver", "a.test"),
        verify("sslclient", "a.test"),
        verify("sslserver", "b.test"),
    ];
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(outputs[0].status.success(), "{:?}", outputs[0]);
    assert!(outputs[1].status.success(), "{:?}", outputs[1]);
    assert!(!outputs[2].status.success(), "{:?}", outputs[2]);
}
