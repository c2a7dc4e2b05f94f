//! The page of the peer benchmark says what was measured: results.md and the plots come of
//! results.json alone, by rules that are checked here. In CI a Python that is too old is a failure,
//! elsewhere a line that says so.

use crate::support::dir::TempDir;
use crate::support::program::{self, Then, which};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WRITTEN: [&str; 6] = [
    "results.json",
    "results.md",
    "bulk.svg",
    "open.svg",
    "pingpong.svg",
    "many.svg",
];

/// Of a Python that is new enough.
fn python(argv: &[&str]) -> Option<Output> {
    let program = which("python3");
    let new = "import sys; sys.exit(sys.version_info < (3, 11))";
    let is_new = |program: &Path| {
        let output = program::run(Command::new(program).args(["-c", new]), b"", Then::Close);
        output.status.success()
    };
    let Some(program) = program.filter(|program| is_new(program)) else {
        assert!(std::env::var_os("CI").is_none(), "no Python 3.11");
        eprintln!("SKIPPED: no Python 3.11");
        return None;
    };
    let mut command = Command::new(program);
    command.arg("-B").args(argv).current_dir(ROOT);
    Some(program::run(&mut command, b"", Then::Close))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_page_comes_of_results_json_alone() {
    let (folder, checked_in) = (TempDir::new(), Path::new(ROOT).join("benches/results"));
    fs::copy(
        checked_in.join("results.json"),
        folder.path().join("results.json"),
    )
    .unwrap();
    folder.write("mine.svg", "of somebody else");
    let to = folder.path().to_str().unwrap();
    let Some(output) = python(&["benches/peers/run", "--render", "--results", to]) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in WRITTEN {
        let (is, should) = [folder.path(), checked_in.as_path()]
            .map(|folder| fs::read_to_string(folder.join(name)).unwrap())
            .into();
        assert!(is == should, "{name}: `benches/peers/run --render --full`");
    }
    assert!(folder.path().join("mine.svg").exists());
}

#[test]
fn what_cannot_begin_is_told_in_words() {
    let folder = TempDir::new();
    let broken = folder.path().to_str().unwrap();
    for (argv, words) in [
        (
            vec!["--hub", "/nowhere/snihub"],
            "no file that can be executed",
        ),
        (vec!["--load", "Cargo.toml"], "no file that can be executed"),
        (vec!["--inside", "{}"], "for the sandbox alone"),
        (vec!["--inside", "garbage"], "for the sandbox alone"),
        (vec!["--rows", "scale"], "only with --full"),
        (vec!["--render", "--results", "/nowhere"], "No such file"),
        (vec!["--render", "--results", broken], "no JSON"),
    ] {
        folder.write("results.json", "{\"cut\": ");
        let Some(output) = python(&[vec!["benches/peers/run"], argv.clone()].concat()) else {
            return;
        };
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{argv:?}: {told}");
        assert!(told.contains(words), "{argv:?}: {told}");
        assert!(!told.contains("Traceback"), "{argv:?}: {told}");
    }
}

#[test]
fn rules_of_the_page() {
    let Some(output) = python(&["tests/it/bench/rules.py"]) else {
        return;
    };
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    // unittest is content with none.
    assert!(told.contains("Ran 7 tests"), "{told}");
}
