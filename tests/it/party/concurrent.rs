//! Any number of commands at once: every party ends up there.

use super::rig::{ADD, Star};
use crate::pki::rig::Said;
use std::process::{Child, Stdio};

fn spawn(star: &Star, arguments: &[&str]) -> Child {
    let mut command = star.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn of_parties_at_once_none_is_lost() {
    let star = Star::new();
    let names: Vec<String> = (1..=6).map(|n| format!("{n}0000")).collect();
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            spawn(
                &star,
                &[
                    "add",
                    name,
                    "--route",
                    "192.168.0.4:6651",
                    "--layout",
                    "eggroll",
                ],
            )
        })
        .collect();
    for child in running {
        let said = Said::of(&child.wait_with_output().unwrap());
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let check = star.check();
    assert!(check.out.contains("6 routes, 0 errors"), "{}", check.out);
    for name in &names {
        assert!(star.table().contains(&format!("fqdn: {name}.fate.org\n")));
        assert!(star.ca.path(&format!("parties/{name}/README.md")).exists());
    }
}

#[test]
fn the_same_party_twice_at_once_is_one_party() {
    let star = Star::new();
    let running = [spawn(&star, &ADD), spawn(&star, &ADD)];
    for child in running {
        let said = Said::of(&child.wait_with_output().unwrap());
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    assert_eq!(star.ca.serials().len(), 1);
    assert_eq!(star.table(), super::rig::TABLE);
}
