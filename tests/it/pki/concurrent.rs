//! Any number of commands at once: each gets its certificate, none a number of another's.

use super::rig::{Ca, Said};
use std::collections::BTreeSet;
use std::process::Stdio;

#[test]
fn commands_at_once_share_no_number_and_lose_no_line() {
    let ca = Ca::plain();
    let many = 12;
    let names: Vec<String> = (0..many).map(|n| format!("h{n}.fate.org")).collect();
    let spawn = |name: &String| {
        let mut command = ca.command(&["issue", "hub", name]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let running: Vec<_> = names.iter().map(spawn).collect();
    for child in running {
        let said = Said::of(&child.wait_with_output().unwrap());
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let serials = ca.serials();
    let different: BTreeSet<_> = serials.iter().collect();
    assert_eq!((serials.len(), different.len()), (many, many));
    let listed = ca.list();
    let listed = listed["certificates"].as_array().unwrap();
    assert_eq!(listed.len(), many);
    assert!(
        listed.iter().all(|one| one["standing"] == "valid"),
        "{listed:?}"
    );
}

#[test]
fn of_two_who_ask_for_the_same_name_one_is_told() {
    let ca = Ca::plain();
    let spawn = || {
        let mut command = ca.command(&["issue", "hub", "proxy.fate.org"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let running = [spawn(), spawn()];
    let said = running.map(|child| Said::of(&child.wait_with_output().unwrap()));
    let mut codes = said.each_ref().map(|said| said.code);
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(1)], "{} {}", said[0].err, said[1].err);
    assert!(
        said.iter()
            .any(|said| said.err.contains("snihub pki renew proxy.fate.org"))
    );
    assert_eq!(ca.serials().len(), 1);
}

#[test]
fn whoever_holds_the_lock_too_long_is_waited_for_and_then_told() {
    let ca = Ca::plain();
    let lock = std::fs::File::open(ca.path("pki/lock")).unwrap();
    lock.lock().unwrap();
    let mut command = ca.command(&["issue", "hub", "proxy.fate.org"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(ca.serials(), [""; 0], "issued without the lock");
    lock.unlock().unwrap();
    let said = Said::of(&child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn of_two_who_make_an_authority_in_one_place_one_is_told() {
    for _ in 0..5 {
        let ca = Ca::none();
        let spawn = || {
            let mut command = ca.command(&["init", "--plain-key"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let running = [spawn(), spawn()];
        let said = running.map(|child| Said::of(&child.wait_with_output().unwrap()));
        let mut codes = said.each_ref().map(|said| said.code);
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(1)], "{} {}", said[0].err, said[1].err);
        // Key and certificate belong together.
        ca.ok(&["issue", "hub", "a.org"]);
        assert_eq!(std::fs::read_dir(ca.dir.path()).unwrap().count(), 1);
    }
}
