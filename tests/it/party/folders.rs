//! Modes, owners, links, and folders that may not be written.

use super::rig::{ADD, Star, TABLE};
use crate::admin::{OpenFolder, unprivileged};
use crate::pki::rig::does;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Stdio;

#[test]
fn mode_and_owner_stay() {
    let star = Star::with("sni:\n");
    let path = star.ca.path("sni.yaml");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(&path, Some(4711), Some(4712)).unwrap();
    }
    star.ok(&ADD);
    for file in ["sni.yaml", "sni.yaml.bak"] {
        let meta = fs::metadata(star.ca.path(file)).unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o640, "{file}");
        if root {
            assert_eq!((meta.uid(), meta.gid()), (4711, 4712), "{file}");
        }
    }
    let mode = |file: &str| fs::metadata(star.ca.path(file)).unwrap().mode() & 0o777;
    assert_eq!(mode("parties/9998/secret.yaml"), 0o600);
    assert_eq!(mode("parties/9998/certs/broker.key-pk8.pem"), 0o600);
    assert_eq!(mode("parties/9998/broker.conf"), 0o644);
}

#[test]
fn without_a_umask_nobody_else_may_write() {
    let star = Star::new();
    let mut command = std::process::Command::new("sh");
    let snihub = env!("CARGO_BIN_EXE_snihub");
    command
        .args(["-c", "umask 000; exec \"$0\" \"$@\"", snihub, "party"])
        .args(ADD)
        .args(["--routes", "sni.yaml", "--admin", "admin.sock"])
        .current_dir(star.ca.dir.path())
        .stdin(Stdio::null());
    assert!(command.output().unwrap().status.success());
    for path in star.tree().keys() {
        for place in std::path::Path::new(path).ancestors() {
            let meta = fs::metadata(star.ca.dir.path().join(place)).unwrap();
            let own = place.as_os_str().is_empty();
            assert!(
                own || meta.mode() & 0o022 == 0,
                "{place:?}: {:o}",
                meta.mode()
            );
        }
    }
}

#[test]
fn behind_a_link_the_file_itself_is_replaced() {
    let star = Star::new();
    fs::create_dir(star.ca.path("real")).unwrap();
    star.ca.dir.write("real/routes", "sni:\n");
    symlink("real/routes", star.ca.path("sni.yaml")).unwrap();
    star.ok(&ADD);
    assert!(
        fs::symlink_metadata(star.ca.path("sni.yaml"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(star.ca.read("real/routes"), TABLE);
    assert_eq!(star.ca.read("real/routes.bak"), "sni:\n");
}

#[test]
fn a_folder_that_may_not_be_written_is_known_before_anything_is_done() {
    let open = OpenFolder::new("party");
    let (work, etc) = (open.path("work"), open.path("etc"));
    fs::create_dir(&work).unwrap();
    fs::create_dir(&etc).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&work, Some(65534), Some(65534)).unwrap();
    }
    let routes = etc.join("sni.yaml");
    fs::write(&routes, "sni:\n").unwrap();
    fs::set_permissions(&etc, Permissions::from_mode(0o555)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = unprivileged(open.path("snihub"));
        let command = command
            .args(arguments)
            .current_dir(&work)
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let init = run(&["pki", "init", "--plain-key", "--domain", "fate.org"]);
    assert_eq!(init.0, Some(0), "{}", init.1);
    let index = fs::read(work.join("pki/index.jsonl")).unwrap();
    let place = [
        "--routes",
        routes.to_str().unwrap(),
        "--admin",
        "admin.sock",
    ];
    let (code, said) = run(&[&["party"], &ADD[..], &place].concat());
    assert_eq!(code, Some(77), "{said}");
    assert!(
        said.contains("sni.yaml: cannot write a new file beside it"),
        "{said}"
    );
    assert_eq!(
        fs::read(work.join("pki/index.jsonl")).unwrap(),
        index,
        "a certificate was issued"
    );
    assert!(!work.join("parties").exists());
    fs::set_permissions(&etc, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fs::read_dir(&etc).unwrap().count(), 1);
    // Reading is enough to list.
    let (code, said) = run(&[&["party", "list"], &place[..]].concat());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn an_owner_that_cannot_be_kept_is_told_as_that() {
    if !rustix::process::geteuid().is_root() {
        println!("only root makes a file of another's group: not asked");
        return;
    }
    let open = OpenFolder::new("owner");
    let work = open.path("work");
    fs::create_dir(&work).unwrap();
    chown(&work, Some(65534), Some(65534)).unwrap();
    let routes = work.join("sni.yaml");
    fs::write(&routes, TABLE).unwrap();
    chown(&routes, Some(65534), Some(0)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = unprivileged(open.path("snihub"));
        let place = ["--routes", "sni.yaml", "--admin", "admin.sock"];
        let command = command.arg("party").args(arguments).args(place);
        let output = command.current_dir(&work).stdin(Stdio::null()).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(&["reroute", "9998.fate.org", "--route", "192.168.0.5:6651"]);
    assert_eq!(code, Some(77), "{said}");
    assert!(
        said.contains("user 65534 and group 0, as the old one is"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&routes).unwrap(), TABLE);
    assert_eq!(fs::read_dir(&work).unwrap().count(), 1);
    // An authority that may not be read is not one that is not there.
    let pki = work.join("pki");
    fs::create_dir(&pki).unwrap();
    fs::set_permissions(&pki, Permissions::from_mode(0o700)).unwrap();
    let (code, said) = run(&["list"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("no days: ") && said.contains("Permission denied"),
        "{said}"
    );
    assert!(!said.contains("no authority here"), "{said}");
}

#[test]
fn a_bundle_is_nobody_elses() {
    let star = Star::new();
    star.ok(&ADD);
    // The same number in another domain has a folder of its own, and keeps its own key.
    let key = star.ca.read("parties/9998/certs/broker.key-pk8.pem");
    star.ca.ok(&["issue", "pulsar", "9998.other.org"]);
    star.ok(&["add", "9998.other.org", "--route", "10.0.0.2:6651"]);
    assert_eq!(star.ca.read("parties/9998/certs/broker.key-pk8.pem"), key);
    let other = star
        .ca
        .read("parties/9998.other.org/certs/broker.key-pk8.pem");
    assert_ne!(other, key);
    // Another layout of the same party, made before or not.
    let osx = [&ADD[..], &["--layout", "osx"]].concat();
    let words = ["layout pulsar is there", "--parties DIR"];
    star.fails(&osx, 1, &words);
    star.fails(&[&osx[..], &["--dry-run"]].concat(), 1, &words);
    star.ca.ok(&["issue", "osx", "9998.fate.org"]);
    star.fails(&osx, 1, &words);
    star.ok(&[&osx[..], &["--parties", "osx"]].concat());
    // Somebody else's certificate where this party's would go.
    let from = star.ca.path("parties/9998");
    fs::rename(from, star.ca.path("parties/9997")).unwrap();
    let add = ["add", "9997", "--route", "10.0.0.3:6651"];
    let words = ["another certificate than 9997.fate.org's", "--parties DIR"];
    star.fails(&add, 1, &words);
    star.fails(&[&add[..], &["--dry-run"]].concat(), 1, &words);
    star.ca.ok(&["issue", "pulsar", "9997"]);
    star.fails(&add, 1, &words);
    // A key alone is a key, too.
    fs::remove_file(star.ca.path("parties/9997/certs/broker.cert.pem")).unwrap();
    star.fails(&add, 1, &["another private key than 9997.fate.org's"]);
}

#[test]
fn what_is_open_to_others_is_closed_and_told() {
    let star = Star::new();
    star.ok(&ADD);
    let open = [
        ("parties/9998/secret.yaml", 0o644, 0o600),
        ("parties/9998/certs/broker.key-pk8.pem", 0o640, 0o600),
        ("parties/9998/certs", 0o777, 0o755),
        ("parties/9998/broker.conf", 0o646, 0o644),
    ];
    let set = |path: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(star.ca.path(path), mode).unwrap();
    };
    open.iter().for_each(|(path, mode, _)| set(path, *mode));
    // Closer than it was made: somebody's will.
    set("parties/9998/README.md", 0o600);
    let said = star.ok(&ADD);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for (path, was, is) in open {
        let told = format!("{path} was open to others ({was:04o}) and is {is:04o} now");
        assert!(words.contains(&told), "{told}: {said}");
        let meta = fs::metadata(star.ca.path(path)).unwrap();
        assert_eq!(meta.mode() & 0o7777, is, "{path}");
    }
    let meta = fs::metadata(star.ca.path("parties/9998/README.md")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    assert!(!star.ok(&ADD).contains("open to others"));
}

#[test]
fn a_removal_says_what_there_is_and_a_dry_run_what_there_would_be() {
    let star = Star::new();
    star.ok(&ADD);
    let said = star.ok(&["remove", "9998"]);
    assert!(
        said.contains("still good") && said.contains("parties/9998 stays"),
        "{said}"
    );
    let said = star.ok(&["remove", "9998", "--dry-run"]);
    assert!(said.contains("nothing would change"), "{said}");
    star.ca.ok(&["revoke", "9998.fate.org", "--all"]);
    fs::remove_dir_all(star.ca.path("parties/9998")).unwrap();
    let said = star.ok(&["remove", "9998"]);
    assert!(
        !said.contains("still good") && !said.contains("stays"),
        "{said}"
    );
    star.ok(&["add", "9997", "--route", "h:1"]);
    let said = star.ok(&["reroute", "9997", "--route", "h:1", "--dry-run"]);
    assert!(said.contains("nothing would change"), "{said}");
    // What makes the bundle anew names the same files.
    let said = star.ok(&["reroute", "9997", "--route", "h:2"]);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("--route h:2 --routes sni.yaml --admin admin.sock`"),
        "{said}"
    );
}

#[test]
fn a_list_of_no_file_says_so() {
    let star = Star::new();
    let said = star.ok(&["list"]);
    assert!(said.contains("sni.yaml is not there: --routes"), "{said}");
    star.write("sni: []\n");
    let said = star.ok(&["list"]);
    assert!(!said.contains("not there"), "{said}");
}

/// Whoever writes to the folder may put one there.
#[test]
fn a_fifo_in_a_bundle_is_not_waited_for() {
    let star = Star::new();
    star.ok(&ADD);
    for file in ["README.md", "secret.yaml", "certs/broker.cert.pem"] {
        let path = star.ca.path(&format!("parties/9998/{file}"));
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        does("mkfifo", &[&path]);
        star.run(&ADD).failed(&ADD, 1, &["is a FIFO"]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, whole).unwrap();
    }
    star.ok(&ADD);
}

#[test]
fn an_authority_that_cannot_be_read_is_told() {
    let star = Star::new();
    star.ok(&ADD);
    fs::remove_file(star.ca.path("pki/index.jsonl")).unwrap();
    fs::create_dir(star.ca.path("pki/index.jsonl")).unwrap();
    let words = |arguments: &[&str]| {
        let said = star.ok(arguments);
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = words(&["show", "9998"]);
    assert!(said.contains("pki/index.jsonl: is a directory"), "{said}");
    assert!(
        said.contains("parties/9998, if fate.org is its authority's domain"),
        "{said}"
    );
    let list = star.ok(&["list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert!(
        list["authority"].as_str().unwrap().contains("index.jsonl"),
        "{list}"
    );
    let said = words(&["remove", "9998.fate.org"]);
    assert!(said.contains("authority here cannot be read"), "{said}");
}
