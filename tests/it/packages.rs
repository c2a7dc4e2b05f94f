//! What packages ship beside the binary comes out of it, and is what the programs that read it take.

use crate::support::dir::TempDir;
use crate::support::program::which;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn snihub(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(words)
        .output()
        .unwrap()
}

/// Commands as `snihub --help` lists them.
fn commands() -> Vec<String> {
    let help = String::from_utf8(snihub(&["--help"]).stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let word = |line: &str| {
        line.strip_prefix("  ")?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let commands = list.lines().filter_map(word);
    commands.filter(|word| !word.is_empty()).collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = TempDir::new();
    let folder = dir.path().join("man1");
    assert!(snihub(&["man", folder.to_str().unwrap()]).status.success());
    let all = commands();
    assert!(
        all.len() >= 15 && all.contains(&"import".to_owned()),
        "{all:?}"
    );
    for command in all.iter().filter(|command| *command != "help") {
        let page = folder.join(format!("snihub-{command}.1"));
        let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{command}"
        );
    }
    let page = snihub(&["man"]).stdout;
    let written = fs::read(folder.join("snihub.1")).unwrap();
    assert!(
        page == written,
        "`snihub man` prints another page than it writes"
    );
    let run = fs::read_to_string(folder.join("snihub-run.1")).unwrap();
    let example = "\n  snihub run                        hub.yaml, sni.yaml of /etc/snihub";
    let (before, after) = run.split_once(example).unwrap();
    assert!(before.ends_with("\n.nf"), "{run}");
    // And what comes after the examples is prose.
    let (examples, _) = after.split_once("\n.fi\n").unwrap();
    assert_eq!(examples.matches("\n  snihub ").count(), 4, "{run}");
    let Some(man) = which("man") else {
        return;
    };
    // It formats them without a word of complaint.
    let mut man = Command::new(man);
    man.args(["--local-file", "--warnings"])
        .arg(folder.join("snihub-run.1"));
    let shown = man
        .env("MANROFFSEQ", "")
        .env("MANWIDTH", "80")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(
        shown.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    assert!(String::from_utf8_lossy(&shown.stdout).contains("--ats"));
}

/// The package's script, where these programs are there and nothing else: what it says.
fn postinst(programs: &TempDir) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/config/debian/postinst");
    let mut command = Command::new("/bin/sh");
    command.args([script, "configure", "0.0.9"]);
    let output = command.env("PATH", programs.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_package_beside_an_installation_by_hand_says_which_one_is_run() {
    let programs = TempDir::new();
    let program = |name: &str, code: u8| {
        let path = programs.write(name, format!("#!/bin/sh\nexit {code}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    // No service runs.
    program("adduser", 0);
    program("systemctl", 3);
    assert_eq!(postinst(&programs), "");
    let other = program("snihub", 0);
    let said = postinst(&programs);
    assert!(
        said.contains(&format!("`snihub` is {other} here")),
        "{said}"
    );
}

#[test]
fn bash_completes_commands_and_options() {
    let script = String::from_utf8(snihub(&["completions", "bash"]).stdout).unwrap();
    let dir = TempDir::new();
    let file = dir.write("snihub", script);
    let complete = |words: &str| {
        let last = words.split(' ').count() - 1;
        let ask = format!(
            "source '{}'; COMP_WORDS=({words} ''); COMP_CWORD={}; \
             _snihub snihub '' \"${{COMP_WORDS[{last}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display(),
            last + 1
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let offered = complete("snihub");
    for command in commands() {
        assert!(
            offered.lines().any(|line| line == command),
            "{command} in {offered}"
        );
    }
    assert!(complete("snihub run").contains("--ats"));
    // Values, and the flags that every command has.
    assert!(complete("snihub log-level").contains("debug"));
    for flag in ["--version", "--help"] {
        assert!(offered.contains(flag), "{flag} in {offered}");
    }
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let output = snihub(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && script.contains("allow-shrink"),
            "{shell}"
        );
        // What `--help` does not have.
        for hidden in ["start-successor", "--successor", "-l successor"] {
            assert!(!script.contains(hidden), "{shell}: {hidden}");
        }
    }
}
