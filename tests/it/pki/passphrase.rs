//! The authority's key under a passphrase: sealed for openssl too, asked for without echo, and a
//! terminal is as before whatever is typed.

use super::rig::{Ca, Said, does, have, tries};
use crate::support::program::python;
use std::os::unix::fs::PermissionsExt;

const PASSPHRASE: &str = "correct horse battery";

fn sealed() -> Ca {
    let ca = Ca::none();
    let mut init = ca.command(&["init", "--domain", "fate.org"]);
    let said = Said::of(
        &init
            .env("SNIHUB_PKI_PASSPHRASE", PASSPHRASE)
            .output()
            .unwrap(),
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    ca
}

fn with(ca: &Ca, passphrase: &str, arguments: &[&str]) -> Said {
    let mut command = ca.command(arguments);
    Said::of(
        &command
            .env("SNIHUB_PKI_PASSPHRASE", passphrase)
            .output()
            .unwrap(),
    )
}

#[test]
fn the_key_is_for_its_owner_and_its_passphrase() {
    let ca = sealed();
    let key = ca.read("pki/ca.key.pem");
    assert!(
        key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        "{key}"
    );
    for (file, mode) in [
        ("pki/ca.key.pem", 0o600),
        ("pki/index.jsonl", 0o600),
        ("pki", 0o700),
    ] {
        let meta = std::fs::metadata(ca.path(file)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{file}");
    }
    let said = with(&ca, PASSPHRASE, &["issue", "hub", "a.org"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for wrong in [
        "correct horse",
        "Correct horse battery",
        "correct horse battery ",
    ] {
        let said = with(&ca, wrong, &["issue", "hub", "b.org"]);
        assert_eq!(said.code, Some(77), "{}", said.err);
        assert!(
            said.err.contains("ca.key.pem: wrong passphrase"),
            "{}",
            said.err
        );
    }
    assert_eq!(ca.serials().len(), 1);
    // What signs nothing asks for nothing.
    assert!(ca.ok(&["list"]).contains("a.org"));
}

#[test]
fn a_file_may_hold_it() {
    let ca = sealed();
    ca.dir.write("pass", format!("{PASSPHRASE}\nsecond line\n"));
    ca.ok(&["issue", "hub", "a.org", "--passphrase-file", "pass"]);
    ca.dir.write("empty", "\n");
    ca.fails(
        &["issue", "hub", "b.org", "--passphrase-file", "empty"],
        78,
        &["empty: ", "first line"],
    );
    ca.fails(
        &["issue", "hub", "b.org", "--passphrase-file", "none"],
        78,
        &["none: cannot read it"],
    );
    let other = Ca::none();
    other.dir.write("short", "1234567\n");
    other.fails(
        &["init", "--passphrase-file", "short"],
        64,
        &["at least 8 characters"],
    );
    assert!(!other.path("pki").exists());
}

#[test]
fn openssl_opens_it_and_what_openssl_sealed_is_opened() {
    if !have("openssl") {
        return;
    }
    let ca = sealed();
    let key = ca.path("pki/ca.key.pem");
    let (key, pass) = (key.to_str().unwrap(), format!("pass:{PASSPHRASE}"));
    let public = does(
        "openssl",
        &["pkey", "-in", key, "-passin", &pass, "-pubout"],
    );
    let certificate = ca.path("pki/ca.cert.pem");
    let certificate = certificate.to_str().unwrap();
    assert_eq!(
        public,
        does(
            "openssl",
            &["x509", "-in", certificate, "-noout", "-pubkey"]
        )
    );
    assert_ne!(
        tries("openssl", &["pkey", "-in", key, "-passin", "pass:no"]).code,
        Some(0)
    );

    let original = ca.read("pki/ca.key.pem");
    for (number, how) in [
        &["-v2", "aes-256-cbc"][..],
        &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
        &["-v2", "aes256", "-v2prf", "hmacWithSHA1"],
        &["-v2", "aes256", "-v2prf", "hmacWithSHA384", "-iter", "9999"],
    ]
    .into_iter()
    .enumerate()
    {
        let from = ca.dir.write("original.pem", &original);
        let fixed = [
            "pkcs8",
            "-topk8",
            "-in",
            from.to_str().unwrap(),
            "-passin",
            &pass,
        ];
        let to = ["-out", key, "-passout", "pass:another one"];
        does("openssl", &[&fixed[..], &to, how].concat());
        let name = format!("h{number}.org");
        let said = with(&ca, "another one", &["issue", "hub", &name]);
        assert_eq!(said.code, Some(0), "{how:?}: {}", said.err);
    }
    let from = ca.path("original.pem");
    let fixed = [
        "pkcs8",
        "-topk8",
        "-in",
        from.to_str().unwrap(),
        "-passin",
        &pass,
    ];
    does(
        "openssl",
        &[&fixed[..], &["-scrypt", "-out", key, "-passout", "pass:x"]].concat(),
    );
    let said = with(&ca, "x", &["issue", "hub", "z.org"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("-v2 aes256"), "{}", said.err);
}

#[test]
fn without_a_terminal_it_is_said_how_to_give_it() {
    if !have("setsid") {
        return;
    }
    let ca = sealed();
    let program = env!("CARGO_BIN_EXE_snihub");
    for (arguments, word) in [
        (
            ["issue", "hub", "a.org", "--ca", "pki"],
            "ca.key.pem: the key is encrypted",
        ),
        (["init", "--ca", "new", "--days", "9"], "--plain-key"),
    ] {
        let mut command = std::process::Command::new("setsid");
        command
            .args(["--wait", program, "pki"])
            .args(arguments)
            .current_dir(ca.dir.path());
        command
            .env_remove("SNIHUB_PKI_PASSPHRASE")
            .stdin(std::process::Stdio::null());
        let said = Said::of(&command.output().unwrap());
        assert_eq!(said.code, Some(64), "{}", said.err);
        assert!(
            said.err.contains(word) && said.err.contains("SNIHUB_PKI_PASSPHRASE"),
            "{}",
            said.err
        );
    }
}

/// At a terminal of its own; gives its exit code, what the terminal showed, and whether it echoes
/// afterwards.
fn typed(ca: &Ca, keys: &[&str], arguments: &[&str]) -> (i64, String, bool) {
    typed_below(&[], ca, keys, arguments)
}

/// The same, started by another program, which is given as its words.
fn typed_below(
    starter: &[&str],
    ca: &Ca,
    keys: &[&str],
    arguments: &[&str],
) -> (i64, String, bool) {
    let script = format!("{}/tests/it/pki/terminal.py", env!("CARGO_MANIFEST_DIR"));
    let folder = ca.dir.path().to_str().unwrap();
    let keys = serde_json::to_string(keys).unwrap();
    let python = python().unwrap();
    let fixed = [
        python.to_str().unwrap(),
        &script,
        folder,
        &keys,
        env!("CARGO_BIN_EXE_snihub"),
        "pki",
    ];
    let words = [starter, &fixed, arguments].concat();
    let said = does(words[0], &words[1..]);
    let seen: serde_json::Value = serde_json::from_str(&said).unwrap();
    let shown = seen["shown"].as_str().unwrap().to_owned();
    (
        seen["code"].as_i64().unwrap(),
        shown,
        seen["echo"].as_bool().unwrap(),
    )
}

#[test]
fn asked_for_twice_without_echo() {
    if python().is_none() {
        have("python3");
        return;
    }
    let ca = Ca::none();
    let keys = ["correct hprse\x7f\x7f\x7f\x7forse\r", "correct horse\r"];
    let (code, shown, echo) = typed(&ca, &keys, &["init"]);
    assert_eq!((code, echo), (0, true), "{shown}");
    assert!(
        shown.contains("The same again: ") && !shown.contains("horse"),
        "{shown}"
    );
    let (code, shown, _) = typed(&ca, &["correct horse\r"], &["issue", "hub", "a.org"]);
    assert_eq!(code, 0, "{shown}");
    let (code, shown, _) = typed(&ca, &["wrong horse\r"], &["issue", "hub", "b.org"]);
    assert!(code == 77 && shown.contains("wrong passphrase"), "{shown}");
    let other = Ca::none();
    let (code, shown, _) = typed(&other, &["correct horse\r", "correct hose\r"], &["init"]);
    assert!(code == 64 && shown.contains("the two differ"), "{shown}");
    assert!(!other.path("pki").exists());
}

#[test]
fn a_signal_at_the_question_gives_the_terminal_back() {
    if python().is_none() {
        have("python3");
        return;
    }
    let ca = Ca::none();
    for (keys, code) in [
        (&["SIGTERM"][..], 143),
        (&["correct horse\r", "SIGHUP"], 129),
        (&["SIGINT"], 130),
    ] {
        let (came, shown, echo) = typed(&ca, keys, &["init"]);
        assert_eq!((came, echo), (code, true), "{keys:?}: {shown}");
        assert_eq!(std::fs::read_dir(ca.dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_stop_at_the_question_gives_the_terminal_back_and_the_question_is_put_again() {
    if python().is_none() {
        have("python3");
        return;
    }
    let ca = Ca::none();
    let keys = ["SIGTSTP", "correct horse\r", "SIGTSTP", "correct horse\r"];
    let (code, shown, echo) = typed(&ca, &keys, &["init"]);
    assert_eq!((code, echo), (0, true), "{shown}");
    assert_eq!(shown.matches("Passphrase for the").count(), 2, "{shown}");
    // The key: no part of what is typed; without a shell nobody would let it go on.
    let keys = ["correct\x1a horse\r"];
    let (code, shown, echo) = typed(&ca, &keys, &["issue", "hub", "a.org"]);
    assert_eq!((code, echo), (0, true), "{shown}");
}

/// As what `docker exec` and `kubectl exec` start.
#[test]
fn ctrl_z_below_a_session_that_began_outside_of_the_pid_namespace() {
    let apart = ["unshare", "--pid", "--fork", "--mount-proc"];
    let mut attempt = std::process::Command::new(apart[0]);
    let attempt = attempt.args(&apart[1..]).arg("true").output();
    if python().is_none() || !attempt.is_ok_and(|attempt| attempt.status.success()) {
        eprintln!("skipped: no PID namespace to be had here");
        return;
    }
    let ca = Ca::none();
    let keys = ["correct\x1a horse\r", "correct horse\r"];
    let (code, shown, echo) = typed_below(&apart, &ca, &keys, &["init"]);
    assert_eq!((code, echo), (0, true), "{shown}");
}

#[test]
fn ctrl_z_stops_it_below_a_shell_that_goes_on_with_it() {
    if python().is_none() {
        have("python3");
        return;
    }
    let ca = Ca::none();
    let keys = ["SHELL", "corr\x1a", "ect horse\r", "correct horse\r"];
    let (code, shown, echo) = typed(&ca, &keys, &["init"]);
    assert_eq!((code, echo), (0, true), "{shown}");
    assert!(shown.contains("stopped with echo"), "{shown}");
}

#[test]
fn ctrl_c_leaves_nothing_and_the_terminal_as_it_was() {
    if python().is_none() {
        have("python3");
        return;
    }
    let ca = Ca::none();
    for keys in [
        &["\x03"][..],
        &["half\x03"],
        &["correct horse\r", "corr\x03"],
        &["\x04"],
    ] {
        let (code, shown, echo) = typed(&ca, keys, &["init"]);
        assert_eq!((code, echo), (130, true), "{keys:?}: {shown}");
        assert!(shown.contains("interrupted; nothing was made"), "{shown}");
        assert_eq!(std::fs::read_dir(ca.dir.path()).unwrap().count(), 0);
    }
}
