//! A party's request: its key and its O= are kept; what it claims to be is not.

use super::rig::{Ca, does, have, verify};

/// Makes `name` with a new key.
fn request(ca: &Ca, name: &str, rsa: bool, subject: &str, extensions: &[&str]) {
    let algorithm = if rsa {
        &["rsa:2048"][..]
    } else {
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    };
    let (csr, key) = (ca.path(name), ca.path(&format!("{name}.key")));
    let out = [
        "-subj",
        subject,
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        csr.to_str().unwrap(),
    ];
    let fixed = ["req", "-new", "-nodes", "-newkey"];
    let more: Vec<&str> = extensions
        .iter()
        .flat_map(|extension| ["-addext", extension])
        .collect();
    does("openssl", &[&fixed[..], algorithm, &out, &more].concat());
}

fn text(ca: &Ca, file: &str) -> String {
    let file = ca.path(file);
    does(
        "openssl",
        &[
            "x509",
            "-noout",
            "-text",
            "-nameopt",
            "oneline",
            "-in",
            file.to_str().unwrap(),
        ],
    )
}

#[test]
fn the_key_and_the_organisation_are_kept() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    request(
        &ca,
        "a.csr",
        true,
        "/O=Nine Nine/CN=9998.fate.org",
        &["subjectAltName=DNS:9998.fate.org,DNS:b1.9998.fate.org"],
    );
    let said = ca.ok(&["sign", "a.csr"]);
    assert!(said.contains("O=Nine Nine"), "{said}");
    let folder = "pki/issued/pulsar/9998.fate.org";
    let files = std::fs::read_dir(ca.path(folder)).unwrap().count();
    assert_eq!(files, 2, "a key that is elsewhere has no file");
    let leaf = format!("{folder}/broker.cert.pem");
    assert!(text(&ca, &leaf).contains("Subject: CN = 9998.fate.org, O = Nine Nine"));
    // What RSA keys are for is by the key's kind, not by the request's word.
    assert!(text(&ca, &leaf).contains("Digital Signature, Key Encipherment\n"));
    for name in ["9998.fate.org", "b1.9998.fate.org"] {
        let said = verify(
            &ca.path("pki/ca.cert.pem"),
            &ca.path(&leaf),
            "sslserver",
            name,
        );
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let key = ca.path("a.csr.key");
    let public = does(
        "openssl",
        &["pkey", "-in", key.to_str().unwrap(), "-pubout"],
    );
    let of = |leaf: &str| {
        does(
            "openssl",
            &[
                "x509",
                "-noout",
                "-pubkey",
                "-in",
                ca.path(leaf).to_str().unwrap(),
            ],
        )
    };
    assert_eq!(of(&leaf), public);
    // Renewed for the same key, without a new request.
    ca.ok(&["renew", "9998"]);
    assert_eq!(of(&leaf), public);
    assert!(text(&ca, &leaf).contains("O = Nine Nine"));
    assert_eq!(std::fs::read_dir(ca.path(folder)).unwrap().count(), 2);
}

#[test]
fn what_it_claims_to_be_is_not_taken() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    request(
        &ca,
        "a.csr",
        false,
        "/CN=evil",
        &[
            "basicConstraints=critical,CA:TRUE,pathlen:5",
            "keyUsage=critical,keyCertSign,cRLSign",
            "extendedKeyUsage=codeSigning,OCSPSigning,1.2.3.4",
            "subjectAltName=DNS:proxy.fate.org,DNS:*.fate.org,IP:10.0.0.1,email:a@b.org,DNS:a.org",
            "nsComment=anything",
        ],
    );
    let said = ca.ok(&["sign", "a.csr", "a.org", "b.org", "--layout", "hub"]);
    for part in [
        "CA:TRUE",
        "key usage",
        "proxy.fate.org: not given",
        "*.fate.org: not given",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let text = text(&ca, "pki/issued/hub/a.org/proxy.cert.pem");
    for part in [
        "CA:FALSE",
        "DNS:a.org, DNS:b.org\n",
        "Digital Signature\n",
        "Subject: CN = a.org\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    for part in [
        "CA:TRUE",
        "Certificate Sign",
        "Code Signing",
        "1.2.3.4",
        "evil",
        "fate.org,",
        "10.0.0.1",
        "anything",
    ] {
        assert!(!text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn names_that_are_not_the_partys_are_refused() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    ca.ok(&["issue", "pulsar", "9999"]);
    ca.ok(&["issue", "hub", "proxy.fate.org"]);
    for (number, (names, code, words)) in [
        ("DNS:*.9998.fate.org", 64, &["wildcard"][..]),
        ("DNS:9998.fate.org,DNS:*.fate.org", 64, &["wildcard"]),
        ("IP:10.0.0.1", 1, &["asks for no name"]),
        ("DNS:9998.fate.org,DNS:9997.fate.org", 1, &["two parties"]),
        (
            "DNS:9998.fate.org,DNS:9998.evil.org",
            1,
            &["9998.evil.org", "not below fate.org"],
        ),
        ("DNS:9998.fate.org.evil.org", 1, &["not below fate.org"]),
        ("DNS:fate.org", 1, &["not below fate.org"]),
        ("DNS:b.9998.fate.org", 1, &["not for 9998.fate.org itself"]),
        ("DNS:9999.fate.org", 1, &["has a certificate"]),
        (
            "DNS:proxy.fate.org",
            1,
            &["hub's name", "`snihub pki issue hub proxy.fate.org`"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}.csr");
        request(
            &ca,
            &name,
            true,
            "/CN=a broker",
            &[&format!("subjectAltName={names}")],
        );
        ca.fails(&["sign", &name], code, words);
    }
    request(&ca, "cn.csr", true, "/CN=9999.fate.org", &[]);
    ca.fails(&["sign", "cn.csr"], 1, &["has a certificate"]);
    // By the operator's word neither: the name is another's.
    ca.fails(
        &["sign", "cn.csr", "9996", "b.9999.fate.org"],
        1,
        &["not given twice"],
    );
    // Nor by another layout, where the operator does not say that it is the same party.
    let backend = ["--layout", "substra-backend", "--org", "Evil"];
    ca.fails(
        &[&["sign", "cn.csr"], &backend[..]].concat(),
        1,
        &["not given twice"],
    );
    assert_eq!(ca.serials().len(), 2);
    ca.ok(&[&["sign", "cn.csr", "9999.fate.org"], &backend[..]].concat());
    // Without a domain nobody can say whose a name is.
    let open = Ca::none();
    open.ok(&["init", "--plain-key"]);
    request(&open, "a.csr", true, "/CN=9998.fate.org", &[]);
    open.fails(
        &["sign", "a.csr"],
        1,
        &["no domain", "snihub pki sign CSR NAME..."],
    );
    open.ok(&["sign", "a.csr", "9998.fate.org"]);
}

#[test]
fn a_common_name_that_is_not_issued_is_told_or_refused() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let made = |name: &str, common: &str, names: &str| {
        let names = format!("subjectAltName={names}");
        request(&ca, name, true, &format!("/CN={common}"), &[&names]);
    };
    // Another party's, by its number or a name of it.
    for common in ["9998", "9998.fate.org", "b.9998.fate.org", "proxy.fate.org"] {
        made("other.csr", common, "DNS:zz.fate.org");
        let says = format!("says CN={common}, and asks for zz.fate.org");
        ca.fails(
            &["sign", "other.csr"],
            1,
            &[&says, "pki sign CSR zz.fate.org"],
        );
    }
    // The operator knows.
    let said = ca.ok(&["sign", "other.csr", "zz"]);
    let words = "CN=proxy.fate.org: not taken, it is CN=zz.fate.org";
    assert!(said.contains(words), "{said}");
    // A text for people.
    made("text.csr", "Broker 9997", "DNS:9997.fate.org");
    let said = ca.ok(&["sign", "text.csr"]);
    assert!(
        said.contains("CN=Broker 9997: not taken, it is CN=9997.fate.org"),
        "{said}"
    );
    // Nothing is lost.
    made("well.csr", "9996", "DNS:b.9996.fate.org,DNS:9996.fate.org");
    let said = ca.ok(&["sign", "well.csr"]);
    assert!(said.contains("CN=9996: not taken"), "{said}");
    made(
        "same.csr",
        "b.9995.fate.org",
        "DNS:b.9995.fate.org,DNS:9995.fate.org",
    );
    let said = ca.ok(&["sign", "same.csr"]);
    assert!(!said.contains("not taken"), "{said}");
    // The layout's own.
    made("osx.csr", "9994.fate.org", "DNS:9994.fate.org");
    let said = ca.ok(&["sign", "osx.csr", "--layout", "osx"]);
    assert!(!said.contains("not taken"), "{said}");
}

#[test]
fn an_address_is_left_out_whoever_says_the_names() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    for (name, said) in [("9998", &[][..]), ("9997", &["9997"])] {
        let names = format!("subjectAltName=IP:10.0.0.1,DNS:{name}.fate.org,IP:fd00::1");
        request(&ca, "a.csr", true, &format!("/CN={name}"), &[&names]);
        let out = ca.ok(&[&["sign", "a.csr"], said].concat());
        for address in ["10.0.0.1", "fd00::1"] {
            let words = format!("asks for {address}: not given");
            assert!(out.contains(&words), "{words}: {out}");
        }
        let leaf = format!("pki/issued/pulsar/{name}.fate.org/broker.cert.pem");
        assert!(!text(&ca, &leaf).contains("IP Address"));
    }
}

#[test]
fn names_of_other_kinds_are_told_in_words() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let names = "subjectAltName=DNS:9998.fate.org,URI:spiffe://x/y,email:a@b.org,RID:1.2.3.4,\
                 otherName:1.2.3;UTF8:z";
    request(&ca, "a.csr", true, "/CN=9998.fate.org", &[names]);
    let said = ca.ok(&["sign", "a.csr"]);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for kind in [
        "URI spiffe://x/y",
        "e-mail a@b.org",
        "registered ID 1.2.3.4",
        "other name 1.2.3",
    ] {
        let wanted = format!("asks for a name of another kind, {kind}: not taken");
        assert!(words.contains(&wanted), "{wanted}: {said}");
    }
}

#[test]
fn a_signature_that_is_not_taken_is_told_as_that() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let (csr, key) = (ca.path("md5.csr"), ca.path("md5.key"));
    let out = [
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        csr.to_str().unwrap(),
    ];
    let fixed = [
        "req", "-new", "-nodes", "-newkey", "rsa:2048", "-md5", "-subj",
    ];
    does(
        "openssl",
        &[&fixed[..], &["/CN=9998.fate.org"], &out].concat(),
    );
    let words = ["signed with RSA with MD5", "openssl req -new -sha256"];
    ca.fails(&["sign", "md5.csr"], 78, &words);
}

#[test]
fn an_organisation_that_came_with_a_request_is_not_shared() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    request(&ca, "a.csr", true, "/CN=evil.fate.org/O=Victim1MSP", &[]);
    ca.ok(&["sign", "a.csr"]);
    let stranger = ca.serials().remove(0);
    let revoke = format!("pki revoke {stranger}");
    let issue = ["substra-backend", "victim.fate.org", "--org", "Victim1MSP"];
    let issue = [&["issue"], &issue[..]].concat();
    ca.fails(&issue, 1, &["O=Victim1MSP is not given twice", &revoke]);
    // Also when it was renewed.
    ca.ok(&["renew", "evil"]);
    let renewed = ca.serials().pop().unwrap();
    ca.ok(&["revoke", &stranger]);
    ca.fails(&issue, 1, &[&format!("pki revoke {renewed}")]);
    ca.ok(&["revoke", &renewed]);
    ca.ok(&issue);
    // Who says it both times means it.
    request(&ca, "b.csr", true, "/CN=b.fate.org/O=Victim1MSP", &[]);
    ca.fails(&["sign", "b.csr"], 1, &["O=Victim1MSP is not given twice"]);
    ca.ok(&["sign", "b.csr", "--org", "Victim1MSP"]);
    let other = ["substra-backend", "c.fate.org", "--org", "Victim1MSP"];
    ca.ok(&[&["issue"], &other[..]].concat());
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    request(&ca, "ec.csr", false, "/CN=9998.fate.org", &[]);
    ca.fails(
        &["sign", "ec.csr"],
        1,
        &["ECDSA", "brokers up to 3.0", "rsa:2048", "--layout"],
    );
    ca.ok(&[
        "sign",
        "ec.csr",
        "org1.org",
        "--layout",
        "substra-backend",
        "--org",
        "Org1MSP",
    ]);
    ca.fails(
        &["sign", "ec.csr", "9998", "--layout", "eggroll"],
        64,
        &["two keys"],
    );
    let csr = ca.path("weak.csr");
    let key = ca.path("weak.key");
    does(
        "openssl",
        &[
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "rsa:1024",
            "-subj",
            "/CN=9998.fate.org",
            "-keyout",
            key.to_str().unwrap(),
            "-out",
            csr.to_str().unwrap(),
        ],
    );
    ca.fails(&["sign", "weak.csr"], 78, &["1024 bits"]);
    let csr = ca.path("ed.csr");
    does(
        "openssl",
        &[
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "ed25519",
            "-subj",
            "/CN=9998.fate.org",
            "-keyout",
            key.to_str().unwrap(),
            "-out",
            csr.to_str().unwrap(),
        ],
    );
    ca.fails(&["sign", "ed.csr"], 78, &["neither RSA nor ECDSA"]);
    assert_eq!(ca.serials().len(), 1);
}

#[test]
fn one_that_was_changed_on_its_way_is_refused() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    request(&ca, "a.csr", true, "/CN=9998.fate.org", &[]);
    let der = ca.path("a.der");
    let csr = ca.path("a.csr");
    does(
        "openssl",
        &[
            "req",
            "-in",
            csr.to_str().unwrap(),
            "-outform",
            "DER",
            "-out",
            der.to_str().unwrap(),
        ],
    );
    let genuine = std::fs::read(&der).unwrap();
    let at = genuine
        .windows(13)
        .position(|w| w == b"9998.fate.org")
        .unwrap();
    let mut changed = genuine.clone();
    changed[at..at + 4].copy_from_slice(b"9999");
    ca.dir.write("changed.der", &changed);
    ca.fails(
        &["sign", "changed.der"],
        78,
        &["changed.der: ", "signature is not its own key's"],
    );
    assert!(
        ca.ok(&["show", "changed.der"])
            .contains("NOT by its own key")
    );
    ca.dir.write("more.der", [&genuine[..], b"x"].concat());
    ca.fails(&["sign", "more.der"], 78, &["bytes after"]);
    ca.fails(
        &["sign", "pki/ca.cert.pem"],
        78,
        &["holds CERTIFICATE, not a certificate request"],
    );
    ca.fails(&["sign", "pki/index.jsonl"], 78, &["no PEM block"]);
    ca.ok(&["sign", "a.der"]);
}

#[test]
fn an_organisation_is_nobody_elses() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    ca.ok(&["issue", "substra-backend", "org1.org", "--org", "Org1MSP"]);
    request(&ca, "a.csr", false, "/O=Org1MSP/CN=evil.org", &[]);
    let sign = ["sign", "a.csr", "evil.org", "--layout", "substra-backend"];
    ca.fails(&sign, 1, &["O=Org1MSP is not given twice", "org1.org"]);
    ca.fails(
        &[&sign[..], &["--org", "Org2MSP"]].concat(),
        1,
        &["O=Org1MSP, not O=Org2MSP"],
    );
    request(&ca, "b.csr", false, "/CN=evil.org", &[]);
    ca.fails(
        &["sign", "b.csr", "evil.org", "--layout", "substra-backend"],
        64,
        &["--org"],
    );
    request(
        &ca,
        "two.csr",
        false,
        "/O=Org2MSP/O=Org1MSP/CN=two.org",
        &[],
    );
    ca.fails(
        &["sign", "two.csr", "two.org", "--layout", "substra-backend"],
        78,
        &["two of the same"],
    );
}

#[test]
fn an_organisation_is_nobody_elses_in_any_layout() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let org = ["--layout", "substra-backend"];
    ca.ok(&[
        "issue",
        "substra-backend",
        "be1.fate.org",
        "--org",
        "Org1MSP",
    ]);
    request(&ca, "a.csr", true, "/CN=evil.fate.org/O=Org1MSP", &[]);
    ca.fails(&["sign", "a.csr"], 1, &["O=Org1MSP is not given twice"]);
    // The reverse: a broker had it first.
    request(&ca, "b.csr", true, "/CN=first.fate.org/O=Org2MSP", &[]);
    ca.ok(&["sign", "b.csr"]);
    request(&ca, "c.csr", false, "/CN=be2.fate.org/O=Org2MSP", &[]);
    let sign = [&["sign", "c.csr"][..], &org].concat();
    ca.fails(
        &sign,
        1,
        &["O=Org2MSP is not given twice", "first.fate.org"],
    );
    // Brokers of one organisation.
    request(&ca, "d.csr", true, "/CN=second.fate.org/O=Org2MSP", &[]);
    ca.ok(&["sign", "d.csr"]);
    // By word only beside what was by word, too: the brokers may be strangers'.
    let sign = [&sign[..], &["--org", "Org2MSP"]].concat();
    ca.fails(&sign, 1, &["O=Org2MSP is not given twice"]);
    for broker in ["first.fate.org", "second.fate.org"] {
        ca.ok(&["revoke", broker]);
    }
    ca.ok(&["sign", "d.csr", "--org", "Org2MSP"]);
    ca.ok(&sign);
}

#[test]
fn a_curve_that_is_not_signed_is_named() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let (csr, key) = (ca.path("a.csr"), ca.path("key"));
    let make = |curve: &str| {
        let curve = format!("ec_paramgen_curve:{curve}");
        let fixed = [
            "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", &*curve,
        ];
        let out = [
            "-keyout",
            key.to_str().unwrap(),
            "-out",
            csr.to_str().unwrap(),
        ];
        let subject = ["-subj", "/CN=osx.fate.org"];
        does("openssl", &[&fixed[..], &out, &subject].concat());
    };
    let sign = ["sign", "a.csr", "--layout", "osx"];
    for (curve, id) in [("P-521", "1.3.132.0.35"), ("secp256k1", "1.3.132.0.10")] {
        make(curve);
        ca.fails(&sign, 78, &["another curve", id, "P-256 or P-384"]);
    }
    make("P-384");
    ca.ok(&sign);
}

#[test]
fn what_a_request_says_plays_no_tricks_on_a_terminal() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    let subject = "/CN=9998.fate.org/O=a\u{202e}b";
    let (csr, key) = (ca.path("a.csr"), ca.path("key"));
    let fixed = ["req", "-new", "-utf8", "-nodes", "-newkey", "rsa:2048"];
    let out = [
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        csr.to_str().unwrap(),
    ];
    does("openssl", &[&fixed[..], &out, &["-subj", subject]].concat());
    let said = ca.ok(&["sign", "a.csr"]);
    assert!(said.contains("O=a\\u{202e}b"), "{said}");
}

#[test]
fn a_dot_at_the_end_is_the_same_name() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::plain();
    request(&ca, "dot.csr", true, "/CN=Oo.fate.org.", &[]);
    let said = ca.ok(&["sign", "dot.csr"]);
    assert!(said.contains("certificate for oo.fate.org\n"), "{said}");
    assert!(
        !said.contains("the request asks") && !said.contains("the request says"),
        "{said}"
    );
}
