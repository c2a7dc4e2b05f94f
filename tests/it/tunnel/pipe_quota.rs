//! A user's pipe quota used up (fact 3): bulk is copied instead, counted, right, and spliced again
//! when there is room.

use super::rig::*;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use snihub::tunnel::Relay;
use std::os::fd::OwnedFd;
use std::process::Command;

/// Becomes an ordinary user (root has no quota), then the test binary.
const AS_ORDINARY_USER: &str = "
import os, sys
if os.getuid() == 0:
    os.setgroups([]); os.setgid(54321); os.setuid(54321)
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn quota_used_up() {
    let output = Command::new("python3")
        .args(["-c", AS_ORDINARY_USER])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "tunnel::pipe_quota::without_pipes",
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
#[ignore = "run by quota_used_up, as an ordinary user and alone in its process"]
fn without_pipes() {
    let mut hoard = Vec::new();
    while let Some(pipe) = big_pipe() {
        hoard.push(pipe);
        assert!(hoard.len() < 2_000, "this user has no pipe quota");
    }
    let rig = Rig::new(SPLICE, FOR_EVER);
    let size = 8 << 20;
    through(&rig, size);
    assert!(
        rig.counters().splice_fallbacks > 0,
        "no fallback was counted"
    );
    fin(&rig.client);
    fin(&rig.upstream);
    assert_eq!(rig.transfer().0.relay, Relay::Copy);

    let rig = Rig::new(SPLICE, FOR_EVER);
    through(&rig, size);
    drop(hoard);
    // The pool asks again after a tick (50 ms here).
    std::thread::sleep(std::time::Duration::from_millis(200));
    through(&rig, size);
    fin(&rig.client);
    fin(&rig.upstream);
    assert!(
        matches!(rig.transfer().0.relay, Relay::Splice { .. }),
        "copies for ever"
    );
}

fn through(rig: &Rig, size: usize) {
    std::thread::scope(|scope| {
        scope.spawn(|| send(&rig.client, &mut Pattern::new(9), size, 1 << 20));
        receive(&rig.upstream, &mut Pattern::new(9), size);
    });
}

/// A pipe of 64 KiB or more; `None`: the quota is used up.
fn big_pipe() -> Option<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::CLOEXEC).ok()?;
    let _ = fcntl_setpipe_size(&pipe.0, 256 * 1024);
    (fcntl_getpipe_size(&pipe.0).ok()? >= 64 * 1024).then_some(pipe)
}
