//! Days left, renewal and what is listed.

use super::rig::{Ca, a_second_later, does, have, verify};

#[test]
fn a_list_says_the_days_that_are_left() {
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "a.org"]);
    ca.ok(&["issue", "hub", "b.org", "--days", "20"]);
    a_second_later();
    let text = ca.ok(&["list"]);
    let row = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .expect(name);
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        row("a.org")[..5],
        ["a.org", "hub", "server", "364", "valid"]
    );
    assert_eq!(
        row("b.org")[..6],
        ["b.org", "hub", "server", "19", "RENEW", "IT"]
    );
    assert_eq!(*row("a.org").last().unwrap(), ca.serials()[0]);
    let json = ca.list();
    let one = &json["certificates"][1];
    for (key, wanted) in [
        ("primary", serde_json::json!("b.org")),
        ("names", serde_json::json!(["b.org"])),
        ("days_left", 19.into()),
        ("standing", "due".into()),
        ("layout", "hub".into()),
        ("serial", ca.serials()[1].clone().into()),
        ("by_request", false.into()),
    ] {
        assert_eq!(one[key], wanted, "{key}");
    }
    assert_eq!(json["days_left"], 3651);
    let (begins, ends) = (&one["not_before"], &one["not_after"]);
    // An hour for clocks that are behind.
    assert_eq!(
        ends.as_i64().unwrap() - begins.as_i64().unwrap(),
        20 * 86400 + 3600
    );
}

#[test]
fn no_certificate_outlives_its_authority() {
    let ca = Ca::none();
    ca.ok(&["init", "--plain-key", "--days", "100"]);
    ca.ok(&["issue", "hub", "a.org", "--days", "300"]);
    let json = ca.list();
    assert_eq!(json["certificates"][0]["not_after"], json["not_after"]);
}

#[test]
fn an_authority_near_its_end_is_judged_first() {
    let ca = Ca::lasting("20");
    // Cut, and nobody is told to do in vain what does not help.
    let said = ca.ok(&["issue", "pulsar", "9998"]);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("not 365: the authority itself ends"),
        "{said}"
    );
    let said = ca.ok(&["issue", "hub", "a.org", "--days", "10"]);
    assert!(!said.contains("authority itself ends"), "{said}");
    a_second_later();
    let text = ca.ok(&["list"]);
    let first = text.lines().next().unwrap();
    assert!(first.contains("(19 days left): DUE"), "{text}");
    assert!(
        text.contains("renew` gives nothing") && text.contains("pki init --ca NEW"),
        "{text}"
    );
    let row = |name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .expect(name)
    };
    assert!(
        row("9998").contains("  19  ends with the authority"),
        "{text}"
    );
    // This one would last longer.
    assert!(row("a.org").contains("RENEW IT"), "{text}");
    let json = ca.list();
    assert_eq!(json["standing"], "due");
    assert_eq!(json["certificates"][0]["standing"], "authority_due");
    let words = ca.ok(&["renew", "9998"]);
    assert!(words.contains("not 365"), "{words}");
    // With years left there is nothing to say.
    let ca = Ca::plain();
    let said = ca.ok(&["issue", "hub", "a.org"]);
    assert!(!said.contains("authority itself ends"), "{said}");
    let text = ca.ok(&["list"]);
    assert!(
        text.lines().next().unwrap().ends_with("days left)"),
        "{text}"
    );
    assert_eq!(ca.list()["standing"], "valid");
}

#[test]
fn one_day_is_one() {
    let ca = Ca::plain();
    let said = ca.ok(&["issue", "hub", "a.org", "--days", "1"]);
    assert!(said.contains("(1 day)"), "{said}");
}

#[test]
fn a_renewal_has_the_same_names_and_a_new_key() {
    let ca = Ca::plain();
    ca.ok(&[
        "issue",
        "pulsar",
        "9998",
        "b.example.org",
        "--org",
        "Nine",
        "--key",
        "rsa4096",
    ]);
    let folder = "pki/issued/pulsar/9998.fate.org";
    let key = || ca.read(&format!("{folder}/broker.key-pk8.pem"));
    let old = key();
    let said = ca.ok(&["renew", "9998", "--days", "90"]);
    assert!(
        said.contains("--reason superseded") && said.contains("RSA 4096"),
        "{said}"
    );
    assert_ne!(key(), old);
    let kept = format!("{folder}.before-{}", &ca.serials()[1][..8]);
    assert!(said.contains(&kept), "{said}");
    assert_eq!(ca.read(&format!("{kept}/broker.key-pk8.pem")), old);
    a_second_later();
    let json = ca.list();
    let (first, second) = (&json["certificates"][0], &json["certificates"][1]);
    for same in ["names", "organization", "layout", "role"] {
        assert_eq!(first[same], second[same], "{same}");
    }
    assert_eq!(
        (&first["standing"], &second["standing"]),
        (&"renewed".into(), &"valid".into())
    );
    assert_eq!(second["days_left"], 89);
    assert!(ca.ok(&["list"]).contains("1 more with --all"));
    if have("openssl") {
        let authority = ca.path("pki/ca.cert.pem");
        for folder in [folder, &kept] {
            let leaf = ca.path(&format!("{folder}/broker.cert.pem"));
            let said = verify(&authority, &leaf, "sslserver", "b.example.org");
            assert_eq!(said.code, Some(0), "{}", said.err);
        }
    }
}

#[test]
fn a_renewal_goes_where_the_last_one_went_unless_it_is_told() {
    let ca = Ca::plain();
    ca.ok(&[
        "issue",
        "hub",
        "a.org",
        "--as",
        "secret",
        "--secret-name",
        "mine",
        "--out",
        "s.yaml",
    ]);
    let first = ca.read("s.yaml");
    ca.ok(&["renew", "a.org"]);
    assert!(ca.read("s.yaml").contains("name: mine"));
    assert_ne!(ca.read("s.yaml"), first);
    ca.ok(&["renew", "a.org", "--as", "files", "--out", "files"]);
    assert!(ca.path("files/proxy.key.pem").exists());
}

#[test]
fn what_is_revoked_is_issued_anew_not_renewed() {
    let ca = Ca::plain();
    ca.ok(&["issue", "podvm"]);
    ca.ok(&["renew", "podvm-server"]);
    ca.ok(&["revoke", "podvm-server", "--all"]);
    ca.fails(
        &["renew", "podvm-server"],
        1,
        &["is revoked", "snihub pki issue"],
    );
    ca.ok(&["issue", "podvm"]);
    assert_eq!(ca.serials().len(), 6);
}

#[test]
fn one_that_has_ended_is_judged_as_if_it_was_new() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let [key, csr] = ["k.key", "k.csr"].map(|file| ca.path(file).to_str().unwrap().to_owned());
    let files = ["-subj", "/O=Victim1MSP", "-keyout", &key, "-out", &csr];
    let fixed = ["req", "-new", "-nodes", "-newkey", "rsa:2048"];
    does("openssl", &[&fixed[..], &files].concat());
    ca.ok(&["sign", "k.csr", "evil"]);
    let named = ["-subj", "/CN=c.fate.org", "-keyout", &key, "-out", &csr];
    does("openssl", &[&fixed[..], &named].concat());
    ca.ok(&["sign", "k.csr"]);
    ca.ok(&["issue", "pulsar", "a"]);
    ca.ok(&["issue", "hub", "b.org", "--org", "Bee"]);
    ca.ok(&["issue", "pulsar", "8", "--cpp-clients", "proxy.fate.org"]);
    ca.all_ends();
    // All of it is another's by now.
    let victim = ["issue", "substra-backend", "victim.fate.org"];
    ca.ok(&[&victim[..], &["--org", "Victim1MSP"]].concat());
    ca.ok(&["issue", "pulsar", "x.a.fate.org"]);
    ca.ok(&["issue", "flower", "c.fate.org"]);
    let stranger = ["renew", "c", "--layout", "pulsar"];
    ca.fails(&stranger, 1, &["c.fate.org is not given twice"]);
    ca.fails(&["renew", "evil"], 1, &["O=Victim1MSP is not given twice"]);
    ca.fails(
        &["renew", "a"],
        1,
        &["a.fate.org would have every name below it"],
    );
    // And what is nobody else's is renewed.
    let said = ca.ok(&["renew", "b.org"]);
    assert!(said.contains("the one before is over since"), "{said}");
    assert!(said.contains("note    O=Bee"), "{said}");
    ca.ok(&["renew", "8"]);
}

#[test]
fn what_was_renewed_in_time_is_not_over_for_ever() {
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "a.org"]);
    ca.ok(&["issue", "hub", "b.org"]);
    ca.all_ends();
    ca.ok(&["issue", "hub", "a.org"]);
    let text = ca.ok(&["list"]);
    let rows = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((rows("a.org"), rows("b.org")), (1, 1), "{text}");
    assert!(text.contains("1 more with --all"), "{text}");
    assert_eq!(ca.ok(&["list", "--all"]).matches("OVER").count(), 2);
}

#[test]
fn an_authority_that_is_over_makes_no_list() {
    let ca = Ca::plain();
    let key = rcgen::KeyPair::from_pem(&ca.read("pki/ca.key.pem")).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(400);
    params.not_after = now - time::Duration::days(2);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let certificate = params.self_signed(&key).unwrap();
    ca.dir.write("pki/ca.cert.pem", certificate.pem());
    std::fs::remove_file(ca.path("pki/crl.pem")).unwrap();
    let text = ca.ok(&["list"]);
    assert!(
        text.contains("OVER") && text.contains("nobody can make it anew"),
        "{text}"
    );
    assert!(!text.contains("pki crl"), "{text}");
    ca.fails(&["crl"], 78, &["ended"]);
}
