//! Requests made by rcgen; openssl's are read in tests/it/pki.

use super::*;
use rcgen::{CertificateParams, DnType, KeyPair};

fn read(common_name: &str, names: &[&str]) -> Result<Request, PkiError> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    let request = params.serialize_request(&key).unwrap();
    Request::read(request.pem().unwrap().as_bytes(), "a.csr")
}

#[test]
fn the_partys_own_name_goes_first() {
    let request = read("x", &["b1.9998.fate.org", "9998.FATE.org"]).unwrap();
    let names = request.names_by_policy(Some("fate.org")).unwrap();
    assert_eq!(names, ["9998.fate.org", "b1.9998.fate.org"]);
}

#[test]
fn the_common_name_counts_where_there_are_no_names() {
    let request = read("9998.fate.org", &[]).unwrap();
    assert_eq!(
        request.names_by_policy(Some("fate.org")).unwrap(),
        ["9998.fate.org"]
    );
    let request = read("a broker", &["9998.fate.org"]).unwrap();
    assert_eq!(
        request.names_by_policy(Some("fate.org")).unwrap(),
        ["9998.fate.org"]
    );
    let request = read("9999.fate.org", &["9998.fate.org"]).unwrap();
    assert!(request.names_by_policy(Some("fate.org")).is_err());
}

#[test]
fn no_prefix_of_a_request_is_one() {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::new(vec!["a.org".to_owned()]).unwrap();
    let request = request.serialize_request(&key).unwrap();
    let der = request.der();
    assert!(Request::read(der, "a.der").is_ok());
    for cut in 0..der.len() {
        assert!(Request::read(&der[..cut], "a.der").is_err(), "{cut}");
    }
    // Nor one with a bit of its signed part changed.
    let (_, parsed) = X509CertificationRequest::from_der(der).unwrap();
    let signed = parsed.certification_request_info.raw;
    let begins = der
        .windows(signed.len())
        .position(|window| window == signed);
    let begins = begins.unwrap();
    for at in begins..begins + signed.len() {
        let mut changed = der.to_vec();
        changed[at] ^= 1;
        assert!(Request::read(&changed, "a.der").is_err(), "{at}");
    }
}
