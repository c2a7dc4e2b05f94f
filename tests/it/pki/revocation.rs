//! What is taken back is on a list that verifiers read.

use super::rig::{Ca, Said, a_second_later, does, have, tries};

fn check(ca: &Ca, leaf: &str) -> Said {
    let [authority, list, leaf] = ["pki/ca.cert.pem", "pki/crl.pem", leaf]
        .map(|file| ca.path(file).to_str().unwrap().to_owned());
    let fixed = ["verify", "-x509_strict", "-crl_check", "-CAfile"].map(str::to_owned);
    tries(
        "openssl",
        &[&fixed[..], &[authority, "-CRLfile".to_owned(), list, leaf]].concat(),
    )
}

#[test]
fn openssl_refuses_what_is_on_the_list_and_nothing_else() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "a.org"]);
    ca.ok(&["issue", "hub", "b.org"]);
    let leaf = |name: &str| format!("pki/issued/hub/{name}/proxy.cert.pem");
    // The list is there from the first day.
    assert_eq!(check(&ca, &leaf("a.org")).code, Some(0));
    let said = ca.ok(&["revoke", "a.org", "--reason", "key-compromise"]);
    assert!(
        said.contains(&ca.serials()[0]) && said.contains("nobody fetches it"),
        "{said}"
    );
    let refused = check(&ca, &leaf("a.org"));
    assert!(
        refused.code != Some(0) && refused.err.contains("revoked"),
        "{}",
        refused.err
    );
    let taken = check(&ca, &leaf("b.org"));
    assert_eq!(taken.code, Some(0), "{}", taken.err);
    let list = ca.path("pki/crl.pem");
    let text = does(
        "openssl",
        &["crl", "-noout", "-text", "-in", list.to_str().unwrap()],
    );
    let parts = [
        "Version 2",
        "Key Compromise",
        "Authority Key Identifier",
        "CRL Number: \n                2\n",
    ];
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(text.contains(&ca.serials()[0]));
}

#[test]
fn revoking_twice_changes_nothing_and_a_renewed_one_is_asked_about() {
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "a.org"]);
    ca.ok(&["renew", "a.org"]);
    ca.fails(
        &["revoke", "a.org"],
        1,
        &["2 certificates", &ca.serials()[0], &ca.serials()[1]],
    );
    ca.ok(&["revoke", &ca.serials()[0].to_lowercase()]);
    let standing = |at: usize| ca.list()["certificates"][at]["standing"].clone();
    assert_eq!(
        (standing(0), standing(1)),
        ("revoked".into(), "valid".into())
    );
    let said = ca.ok(&["revoke", &ca.serials()[0]]);
    assert!(said.contains("it was revoked before"), "{said}");
    let list = ca.list();
    assert_eq!(
        (
            &list["revocation_list"]["revoked"],
            &list["revocation_list"]["number"]
        ),
        (&1.into(), &2.into())
    );
    let text = ca.ok(&["show", "pki/crl.pem"]);
    assert!(
        text.contains("revoked     1\n") && text.contains(&ca.serials()[0]),
        "{text}"
    );
}

#[test]
fn a_list_is_made_anew_before_it_is_too_old() {
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "a.org"]);
    ca.ok(&["revoke", "a.org"]);
    ca.ok(&["crl", "--days", "10"]);
    a_second_later();
    assert!(
        ca.ok(&["list"])
            .contains("1 revoked, 9 days left; `snihub pki crl`")
    );
    ca.ok(&["crl"]);
    let list = ca.list();
    assert_eq!(list["revocation_list"]["number"], 4);
    assert_eq!(list["revocation_list"]["revoked"], 1);
    std::fs::remove_file(ca.path("pki/crl.pem")).unwrap();
    assert!(ca.ok(&["list"]).contains("NONE that can be read"));
    ca.ok(&["issue", "hub", "b.org"]);
    assert_eq!(ca.list()["revocation_list"]["complete"], true);
}

#[test]
fn what_was_made_in_one_go_is_taken_back_together() {
    let ca = Ca::plain();
    ca.ok(&["issue", "eggroll", "8"]);
    let serials = ca.serials();
    let said = ca.ok(&["revoke", &serials[1]]);
    for (serial, name) in serials.iter().zip([
        "8.fate.org (eggroll, server)",
        "party-8-client (eggroll, client)",
    ]) {
        let line = format!("revoked {serial}  {name}\n");
        assert!(said.contains(&line), "{line:?} in {said}");
    }
    assert_eq!(ca.list()["revocation_list"]["revoked"], 2);
    ca.ok(&["issue", "eggroll", "8"]);
}

#[test]
fn what_is_left_of_a_half_keeps_the_name_and_is_no_certificate() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    ca.ok(&["issue", "eggroll", "8"]);
    let serials = ca.serials();
    // Killed between the two.
    ca.takes_back(&serials[1]);
    let [key, csr] = ["k.key", "k.csr"].map(|file| ca.path(file).to_str().unwrap().to_owned());
    let files = ["-subj", "/CN=8.fate.org", "-keyout", &key, "-out", &csr];
    let fixed = ["req", "-new", "-nodes", "-newkey", "rsa:2048"];
    does("openssl", &[&fixed[..], &files].concat());
    // A stranger is not the party for it, in whatever layout.
    for layout in ["pulsar", "osx"] {
        let sign = ["sign", "k.csr", "--layout", layout];
        ca.fails(&sign, 1, &["8.fate.org is not given twice"]);
    }
    let standing = |at: usize| ca.list()["certificates"][at]["standing"].clone();
    assert_eq!(
        (standing(0), standing(1)),
        ("half".into(), "revoked".into())
    );
    assert!(ca.ok(&["list"]).contains("REVOKE IT"));
    ca.fails(&["renew", "8"], 1, &["is revoked"]);
    let said = ca.ok(&["revoke", "8", "--all"]);
    assert!(
        said.contains(&format!(
            "{}  party-8-client (eggroll, client), before\n",
            serials[1]
        )),
        "{said}"
    );
    assert_eq!(standing(0), "revoked");
    ca.ok(&["sign", "k.csr"]);
}
