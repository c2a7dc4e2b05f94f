//! `splice` denied by a real seccomp filter: at start, and in mid-tunnel (a direction that has
//! turned bulk, without and with bytes already in its pipe). Same bytes, and the mode says so.

use super::rig::*;
use snihub::tunnel::{Ended, Relay, SpliceMode, self_test};
use std::process::Command;

/// Forbids `splice(2)` to itself and becomes the test binary.
const UNDER_SECCOMP: &str = include_str!("under_seccomp.py");

fn under_seccomp(what: &str, test: &str) {
    let output = Command::new("python3")
        .args(["-c", UNDER_SECCOMP, what])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("tunnel::splice_denied::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .output()
        .expect("python3 is there");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

#[test]
fn allowed_here() {
    assert_eq!(self_test(), SpliceMode::Splice);
}

#[test]
fn denied_at_start() {
    under_seccomp("all", "all_denied");
}

#[test]
fn denied_in_mid_tunnel_with_bytes_in_the_pipe() {
    under_seccomp("drains", "drains_denied");
}

#[test]
#[ignore = "run by denied_at_start, under a seccomp filter"]
fn all_denied() {
    let mode = self_test();
    assert!(
        matches!(mode, SpliceMode::Copy(why) if why.contains("EPERM")),
        "{mode:?}"
    );
    copied_whole(mode, 0);
    // As if the filter had come after the self-test: the first splice of a bulk tunnel fails.
    copied_whole(SPLICE, 1);
}

#[test]
#[ignore = "run by denied_in_mid_tunnel_with_bytes_in_the_pipe, under a seccomp filter"]
fn drains_denied() {
    copied_whole(SPLICE, 1);
}

/// Both ways at once, and all of it by copying (but for a drain of exactly the filter's length).
fn copied_whole(mode: SpliceMode, least_fallbacks: u64) {
    let rig = Rig::new(mode, FOR_EVER);
    let size = 16 << 20;
    std::thread::scope(|scope| {
        for way in WAYS {
            let (sender, receiver) = rig.ends(way);
            scope.spawn(move || {
                send(sender, &mut Pattern::new(2), size, 200_000);
                fin(sender);
            });
            scope.spawn(move || {
                receive(receiver, &mut Pattern::new(2), size);
                expect_fin(receiver);
            });
        }
    });
    let (transfer, counters) = rig.transfer();
    assert_eq!(transfer.ended, Ended::BothClosed);
    assert_eq!(transfer.client_to_upstream, size as u64);
    assert_eq!(transfer.upstream_to_client, size as u64);
    assert!(counters.splice_fallbacks >= least_fallbacks, "{counters:?}");
    match transfer.relay {
        Relay::Copy => {}
        Relay::Splice { bytes } => assert!(bytes < size as u64, "{bytes} bytes were spliced"),
    }
}
