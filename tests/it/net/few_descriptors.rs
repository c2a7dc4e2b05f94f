//! Without descriptors accepting pauses, names the reason, and goes on when there are some again.

use super::{bounded, listen};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::process::Command;
use tokio::net::TcpStream;

/// The limit is of the whole process: the test runs itself once more, alone.
const ALONE: &str = "SNIHUB_TEST_FEW_DESCRIPTORS";

#[test]
fn accept_pauses_at_emfile_and_recovers() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(use_up_all_descriptors());
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "net::few_descriptors::accept_pauses_at_emfile_and_recovers",
        ])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

async fn use_up_all_descriptors() {
    let listener = listen("127.0.0.1:0");
    let _client = TcpStream::connect(listener.local_addr()).await.unwrap();
    let before = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(40),
        ..before
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    for _ in 0..3 {
        let pause = bounded(listener.accept()).await.unwrap_err();
        assert_eq!(pause.cause.raw_os_error(), Some(nix::libc::EMFILE));
        assert!(pause.to_string().contains("LimitNOFILE"), "{pause}");
    }
    hoard.pop();
    bounded(listener.accept()).await.unwrap();
}
