//! Each broken file is refused with the line, column, key and words that tell what to do, by the
//! library and by the binary alike.

use crate::support::broken::{Case, GOOD, cases};
use crate::support::dir::TempDir;
use snihub::config::{self, Load, Problem, Severity};
use std::process::{Command, Output};

fn wanted<'l>(case: &Case, load: &'l Load) -> Option<&'l Problem> {
    load.problems.iter().find(|problem| {
        problem.severity == Severity::Error
            && problem.file.ends_with(case.file)
            && (problem.line, problem.column) == case.at
            && problem.key == case.key
            && problem.text.contains(case.text)
    })
}

fn snihub(args: &[&str], case: &Case, dir: &TempDir) -> Output {
    let sources = case.sources(dir);
    let path = |path: Option<std::path::PathBuf>| path.expect("a path").into_os_string();
    Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(args)
        .args(["--config".into(), path(sources.config)])
        .args(["--routes".into(), path(sources.routes)])
        .output()
        .expect("snihub runs")
}

#[test]
fn each_mistake_is_named_with_its_place() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut failed = Vec::new();
    for case in &cases {
        let dir = TempDir::new();
        let load = config::load(&case.sources(&dir));
        if load.loaded.is_some() || load.errors == 0 || wanted(case, &load).is_none() {
            let content = String::from_utf8_lossy(case.content);
            let seen: Vec<String> = load.problems.iter().map(ToString::to_string).collect();
            let (at, key, text) = (case.at, case.key, case.text);
            failed.push(format!(
                "{content:?} wanted {at:?} {key}: {text}\n{}",
                seen.join("\n")
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}

#[test]
fn check_explain_and_run_give_the_same_verdict() {
    let mut seen = 0;
    for case in &cases() {
        let dir = TempDir::new();
        let load = config::load(&case.sources(&dir));
        let problem = wanted(case, &load).expect("the library names it");
        let output = snihub(&["check"], case, &dir);
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains(&problem.to_string()), "{text}");

        let output = snihub(&["check", "--format", "json"], case, &dir);
        assert_eq!(output.status.code(), Some(78));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = report["problems"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|each| {
                each["line"] == case.at.0
                    && each["column"] == case.at.1
                    && each["key"] == case.key
                    && each["severity"] == "error"
                    && each["text"]
                        .as_str()
                        .is_some_and(|text| text.contains(case.text))
            });
        assert!(found && report["usable"] == false, "{report}");

        // Should `run` ever start with such a file, it finds no such address to listen on.
        let run = ["run", "--listen", "192.0.2.1:443"];
        for command in [&["explain", "10000.fate.org"][..], &run] {
            let output = snihub(command, case, &dir);
            let text = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(78), "{command:?}: {text}");
            assert!(text.contains(&problem.to_string()), "{command:?}: {text}");
        }
        seen += 1;
    }
    assert!(seen >= 60);
}

#[test]
fn mistakes_of_both_files_are_told_at_once() {
    let dir = TempDir::new();
    let case = Case {
        file: "hub.yaml",
        content: b"drain: x\n",
        at: (1, 8),
        key: "",
        text: "",
    };
    let sources = case.sources(&dir);
    dir.write(
        "sni.yaml",
        "sni:\n- fqdn: a\n  tunnel_route: h:70000\n- tunnel_route: h\n",
    );
    let load = config::load(&sources);
    let lines: Vec<(bool, u32)> = load
        .problems
        .iter()
        .map(|p| (p.file.ends_with("hub.yaml"), p.line))
        .collect();
    assert_eq!(lines, [(true, 1), (false, 3), (false, 4)]);
}

#[test]
fn a_good_table_is_good_and_strict_counts_warnings() {
    let dir = TempDir::new();
    let content = GOOD.as_bytes();
    let case = Case {
        file: "sni.yaml",
        content,
        at: (0, 0),
        key: "",
        text: "",
    };
    let output = snihub(&["check", "--strict"], &case, &dir);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.ends_with("sni.yaml: 1 route, 0 errors, 0 warnings\n"),
        "{text}"
    );

    let twice = b"sni:\n- {fqdn: a, tunnel_route: h:1}\n- {fqdn: a, tunnel_route: h:2}\n";
    let case = Case {
        content: twice,
        ..case
    };
    assert_eq!(snihub(&["check"], &case, &dir).status.code(), Some(0));
    assert_eq!(
        snihub(&["check", "--strict"], &case, &dir).status.code(),
        Some(78)
    );
}
