//! Wrong input: what was seen, where, what to do, and the exit code of its kind.

use super::rig::{Ca, Said, does};
use std::os::unix::fs::PermissionsExt;

#[test]
fn names_that_cannot_be() {
    let ca = Ca::plain();
    for (arguments, words) in [
        (
            &["issue", "pulsar", "*.fate.org"][..],
            &["wildcard", "one by one"][..],
        ),
        (
            &["issue", "pulsar", "9998", "*.9998.fate.org"],
            &["wildcard"],
        ),
        (
            &["issue", "hub", "10.0.0.1"],
            &["layout hub", "10.0.0.1 is an address"],
        ),
        (&["issue", "pulsar", "9998", "::1"], &["::1 is an address"]),
        (&["issue", "hub", "a b"], &["\"a b\"", "name"]),
        (&["issue", "hub", "a..b"], &["empty label"]),
        (&["issue", "hub", "a/../../b"], &["\"a/../../b\""]),
        (&["issue", "hub", ".."], &["empty label"]),
        (&["issue", "hub", ""], &["\"\""]),
        (&["issue", "hub"], &["at least one name"]),
        (&["issue", "podvm", "x.org"], &["takes no names"]),
        (
            &["issue", "pulsar", "9998", "--key", "p256"],
            &["rsa2048 or rsa4096", "brokers up to 3.0"],
        ),
        (&["issue", "substra-backend", "a.org"], &["--org", "MSP id"]),
        (
            &["issue", "substra-backend", "a.org", "--org", "a\nb"],
            &["O="],
        ),
        (
            &["issue", "hub", "a.org", "--cpp-clients", "b.org"],
            &["pulsar alone"],
        ),
        (
            &[
                "issue",
                "hub",
                "a.org",
                "--as",
                "secret",
                "--secret-name",
                "A_b",
            ],
            &["\"A_b\""],
        ),
        (
            &["issue", "hub", "a.org", "--namespace", "x"],
            &["--as secret"],
        ),
        (&["issue", "hub", "a.org", "--out", "-"], &["--as tar"]),
        (&["issue", "hub", "a.org", "--days", "0"], &["--days"]),
        (&["issue", "hub", "a.org", "--days", "3653"], &["--days"]),
        (&["issue", "nginx", "a.org"], &["pulsar", "podvm"]),
        (
            &["init", "--ca", "other", "--plain-key", "--domain", "*.org"],
            &["wildcard"],
        ),
        (
            &["init", "--ca", "other", "--plain-key", "--name", ""],
            &["1 to 64"],
        ),
    ] {
        ca.fails(arguments, 64, words);
    }
    assert_eq!(ca.serials(), [""; 0]);
    assert!(!ca.path("other").exists());
    let nobody = Ca::none();
    nobody.ok(&["init", "--plain-key"]);
    nobody.fails(
        &["issue", "pulsar", "9998"],
        64,
        &["<party>.<domain>", "--domain"],
    );
}

#[test]
fn what_is_anothers_or_there_already() {
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "proxy.fate.org"]);
    ca.ok(&["issue", "pulsar", "9998"]);
    // The same party for another system, and a name that is not taken.
    ca.ok(&["issue", "eggroll", "9998"]);
    ca.ok(&["issue", "pulsar", "19998"]);
    let taken = &[
        "9998.fate.org (layout pulsar",
        "not given twice",
        "snihub pki revoke",
    ];
    for (arguments, words) in [
        (
            &["issue", "pulsar", "9998"][..],
            &[
                "has a certificate",
                "snihub pki renew 9998.fate.org --layout pulsar",
            ][..],
        ),
        (&["issue", "pulsar", "9999", "9998.fate.org"], taken),
        (&["issue", "pulsar", "broker.9998.fate.org"], taken),
        (&["issue", "pulsar", "9999", "B.9998.FATE.org."], taken),
        (
            &["issue", "pulsar", "9999", "proxy.fate.org"],
            &["hub's name", "--cpp-clients proxy.fate.org"],
        ),
        (
            &["issue", "pulsar", "proxy.fate.org"],
            &["hub's name", "`snihub pki issue hub proxy.fate.org`"],
        ),
        (&["issue", "hub", "9998.fate.org"], taken),
        (&["renew", "9999"], &["\"9999\"", "snihub pki list"]),
        (&["revoke", "9999"], &["snihub pki list"]),
        (
            &["renew", "9998"],
            &["2 certificates", "layout eggroll", "--layout"],
        ),
        (
            &["init", "--plain-key"],
            &["is there already", "snihub pki list"],
        ),
        (
            &["init", "--plain-key", "--ca", "pki/issued"],
            &["is there already", "--ca DIR"],
        ),
    ] {
        ca.fails(arguments, 1, words);
    }
    assert_eq!(ca.serials().len(), 5);
}

#[test]
fn no_party_has_the_name_of_the_whole_star() {
    let ca = Ca::none();
    ca.ok(&["init", "--plain-key", "--domain", "a.fate.org"]);
    for name in ["a.fate.org", "fate.org"] {
        let words = [name, "every name below a.fate.org", "as 9998.a.fate.org"];
        ca.fails(&["issue", "pulsar", name], 64, &words);
    }
    assert_eq!(ca.serials().len(), 0);
    ca.ok(&["issue", "pulsar", "b.a.fate.org"]);
    ca.ok(&["issue", "pulsar", "other.org"]);
}

#[test]
fn no_party_comes_above_the_name_of_another() {
    let ca = Ca::plain();
    ca.ok(&["issue", "pulsar", "9998.x.fate.org"]);
    ca.ok(&["issue", "pulsar", "9999", "b.y.fate.org"]);
    let serials = ca.serials();
    for (name, below, owner, serial) in [
        ("x", "9998.x.fate.org", "9998.x.fate.org", &serials[0]),
        ("y", "b.y.fate.org", "9999.fate.org", &serials[1]),
    ] {
        let full = format!("{name}.fate.org would have every name below it");
        let (below, owner) = (
            format!("{below} is another's"),
            format!("{owner} (layout pulsar"),
        );
        let words = [&*full, &below, &owner, &format!("pki revoke {serial}")];
        for layout in ["pulsar", "osx"] {
            ca.fails(&["issue", layout, name], 1, &words);
        }
    }
    // Beside it, and what is below its own name, it has as before.
    ca.ok(&["issue", "pulsar", "z.fate.org", "b.z.fate.org"]);
    ca.ok(&["issue", "osx", "z.fate.org"]);
    ca.ok(&["renew", "z.fate.org", "--layout", "pulsar"]);
    ca.ok(&["revoke", &serials[0]]);
    ca.ok(&["issue", "pulsar", "x"]);
    let ca = Ca::none();
    let hub = ["--hub", "proxy.w.fate.org"];
    ca.ok(&[&["init", "--plain-key", "--domain", "fate.org"][..], &hub].concat());
    let words = ["every name below it", "proxy.w.fate.org is the hub's"];
    ca.fails(&["issue", "pulsar", "w"], 64, &words);
}

#[test]
fn somebody_elses_folder_is_not_replaced() {
    let ca = Ca::plain();
    std::fs::create_dir(ca.path("mine")).unwrap();
    ca.dir.write("mine/file", "kept");
    ca.fails(
        &["issue", "hub", "a.org", "--out", "mine"],
        1,
        &["mine: is there already", "--out"],
    );
    ca.fails(
        &["issue", "hub", "a.org", "--as", "tar", "--out", "mine/file"],
        1,
        &["is there already"],
    );
    assert_eq!(ca.read("mine/file"), "kept");
    // An empty one is nobody's.
    std::fs::create_dir(ca.path("empty")).unwrap();
    ca.ok(&["issue", "hub", "e.org", "--out", "empty"]);
    // Nor another name's.
    ca.ok(&["issue", "hub", "a.org", "--out", "a"]);
    ca.fails(
        &["issue", "hub", "b.org", "--out", "a"],
        1,
        &["is there already"],
    );
}

#[test]
fn a_hubs_name_is_given_away_by_word_only() {
    let ca = Ca::plain();
    ca.ok(&["issue", "hub", "proxy.fate.org"]);
    let said = ca.ok(&["issue", "pulsar", "9998", "--cpp-clients", "proxy.fate.org"]);
    let words: Vec<_> = said.split_whitespace().collect();
    assert!(words.join(" ").contains("can pose as the hub"), "{said}");
    let shown = ca.ok(&["show", "pki/issued/pulsar/9998.fate.org/broker.cert.pem"]);
    assert!(shown.contains("proxy.fate.org"), "{shown}");
    // It was said once.
    ca.ok(&["renew", "9998"]);
}

#[test]
fn no_authority_and_files_that_are_none() {
    let ca = Ca::none();
    for arguments in [
        &["issue", "hub", "a.org"][..],
        &["list"],
        &["renew", "a"],
        &["crl"],
    ] {
        ca.fails(
            arguments,
            78,
            &["/pki: no authority here", "snihub pki init", "--ca DIR"],
        );
    }
    ca.dir.write("text", "hello\n");
    ca.dir.write("der", [0x30, 3, 2, 1, 1]);
    ca.fails(&["show", "text"], 78, &["text: ", "no PEM"]);
    ca.fails(&["show", "der"], 78, &["der: ", "DER of something else"]);
    ca.fails(&["show", "missing"], 78, &["missing: cannot read it"]);
    ca.ok(&["init", "--plain-key"]);
    let other = Ca::plain();
    std::fs::copy(other.path("pki/ca.key.pem"), ca.path("pki/ca.key.pem")).unwrap();
    ca.fails(
        &["issue", "hub", "a.org"],
        78,
        &["not of the key beside it"],
    );
    ca.dir.write("pki/ca.key.pem", ca.read("pki/ca.cert.pem"));
    ca.fails(&["issue", "hub", "a.org"], 78, &["holds no private key"]);
}

#[test]
fn a_file_that_may_not_be_read_is_77() {
    if rustix::process::geteuid().is_root() {
        println!("root may read everything: not asked");
        return;
    }
    let ca = Ca::plain();
    let key = ca.path("pki/ca.key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o000)).unwrap();
    ca.fails(
        &["issue", "hub", "a.org"],
        77,
        &["ca.key.pem", "cannot read it"],
    );
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_not_waited_for() {
    for file in ["trust.pem", "ca.cert.pem", "index.jsonl"] {
        let ca = Ca::plain();
        let path = ca.path(&format!("pki/{file}"));
        let _ = std::fs::remove_file(&path);
        does("mkfifo", &[&path]);
        ca.fails(&["list"], 78, &[file, "is a FIFO"]);
    }
}

#[test]
fn the_hubs_name_is_kept_before_it_has_a_certificate() {
    let ca = Ca::plain();
    let words = ["proxy.fate.org is the hub's name", "--cpp-clients"];
    ca.fails(&["issue", "pulsar", "77", "proxy.fate.org"], 1, &words);
    // What has no broker's clients is told where the name belongs.
    let words = ["hub's name", "`snihub pki issue hub proxy.fate.org`"];
    for layout in ["pulsar", "osx", "flower", "substra-orchestrator"] {
        let issue = ["issue", layout, "proxy.fate.org"];
        ca.fails(&issue, 1, &words);
        let said = ca.run(&issue);
        assert!(!said.err.contains("--cpp-clients"), "{}", said.err);
    }
    ca.ok(&["issue", "pulsar", "9998", "--cpp-clients", "proxy.fate.org"]);
    ca.ok(&["issue", "pulsar", "9999", "--cpp-clients", "proxy.fate.org"]);
    // By word, another party's name is not the hub's.
    let other = ["issue", "pulsar", "9997", "--cpp-clients", "9998.fate.org"];
    ca.fails(&other, 1, &["not given twice"]);
    // What was lent is the hub's still.
    ca.ok(&["issue", "hub", "proxy.fate.org"]);
    ca.ok(&["renew", "9998"]);
    ca.ok(&["renew", "proxy.fate.org"]);
    let named = Ca::none();
    let init = ["init", "--plain-key", "--domain", "fate.org"];
    named.ok(&[&init[..], &["--hub", "Hub2.org"]].concat());
    named.ok(&["issue", "pulsar", "77", "proxy.fate.org"]);
    let words = ["hub2.org is the hub's name"];
    named.fails(&["issue", "pulsar", "78", "hub2.org"], 1, &words);
    named.ok(&["issue", "pulsar", "78", "--cpp-clients", "hub2.org"]);
    named.ok(&["issue", "hub", "hub2.org"]);
}

#[test]
fn a_party_by_its_number_in_every_layout_of_parties() {
    let ca = Ca::plain();
    ca.ok(&["issue", "osx", "9998", "10.0.0.1"]);
    assert!(ca.path("pki/issued/osx/9998.fate.org/server.crt").exists());
    let words = ["9998.fate.org (layout osx"];
    ca.fails(&["issue", "pulsar", "b.9998.fate.org"], 1, &words);
}

#[test]
fn a_name_that_is_no_text_is_called_that() {
    let ca = Ca::none();
    let words = [r#""a\nb" cannot be"#, "no control characters"];
    ca.fails(&["init", "--plain-key", "--name", "a\nb"], 64, &words);
}

#[test]
fn a_key_does_not_go_nowhere() {
    let ca = Ca::plain();
    let program = env!("CARGO_BIN_EXE_snihub");
    for stdout in [">&-", ">/dev/null"] {
        let line = format!("{program} pki issue podvm --as tar --out - {stdout}");
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", &line]).current_dir(ca.dir.path());
        let said = Said::of(&command.output().unwrap());
        said.failed(&[stdout], 64, &["the key would be gone"]);
    }
    assert_eq!(ca.serials(), [""; 0]);
}

#[test]
fn an_authoritys_key_that_others_may_read_is_told() {
    let ca = Ca::plain();
    let mode = |mode| {
        let key = std::fs::File::open(ca.path("pki/ca.key.pem")).unwrap();
        key.set_permissions(std::fs::Permissions::from_mode(mode))
            .unwrap();
    };
    mode(0o644);
    let warning = "pki/ca.key.pem has mode 0644";
    assert!(ca.ok(&["list"]).contains(warning));
    let said = ca.run(&["issue", "hub", "a.org"]);
    said.succeeded(&["issue"]);
    assert!(said.err.contains(warning), "{}", said.err);
    mode(0o600);
    assert!(!ca.ok(&["list"]).contains("warning"));
    assert_eq!(ca.run(&["issue", "hub", "b.org"]).err, "");
}
