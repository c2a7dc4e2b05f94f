//! The arrows of the house hold: who may import whom, and one door per third-party crate.
//!
//! A module that is not in [`MAY_IMPORT`] fails, so that a new one gets its row.

use crate::support::imports::{Import, imports, module_of, rust_files};
use std::path::Path;

/// Vocabulary: everybody may name it.
const VOCABULARY: &str = "tls net::addr refusal terminal";

/// Module, and what of the crate it may name besides itself and the vocabulary. A path allows what
/// is below it; `*` is for those that put the whole together.
const MAY_IMPORT: &[(&str, &str)] = &[
    (
        "admin",
        "config health net permits reload route server snapshot takeover telemetry tunnel worker",
    ),
    ("cli", "*"),
    (
        "config",
        "net permits regular route telemetry::LogFormat tunnel",
    ),
    ("demo", "*"),
    ("health", "config net pki probe route snapshot"),
    ("meter", ""),
    ("net", ""),
    ("party", "admin::client config net pki probe regular route"),
    ("peek", "net tunnel"),
    ("permits", "net"),
    ("pki", "regular"),
    ("refusal", ""),
    ("regular", ""),
    ("probe", "net pki"),
    ("reload", "config net route server snapshot telemetry"),
    ("route", ""),
    (
        "server",
        "config health net peek permits probe reload route shutdown snapshot takeover telemetry tunnel worker",
    ),
    ("service", "net server telemetry"),
    (
        "session",
        "net peek permits route snapshot telemetry tunnel worker",
    ),
    ("shutdown", "server"),
    ("snapshot", "config route"),
    (
        "takeover",
        "config net server shutdown telemetry tunnel worker",
    ),
    ("telemetry", "meter net tunnel"),
    ("terminal", ""),
    ("tls", ""),
    // An option of a socket that it relays.
    ("tunnel", "meter net::sockopt"),
    (
        "worker",
        "config net peek permits route session snapshot telemetry tunnel",
    ),
];

/// What a module may not name although the vocabulary has it: these *are* the vocabulary.
const MAY_NOT_IMPORT: &[(&str, &str)] = &[
    ("tls", "net refusal terminal"),
    ("refusal", "net terminal"),
    ("terminal", "tls net refusal"),
];

/// Third-party path, and the only modules behind whose door it is.
const DOORS: &[(&str, &str)] = &[
    ("anyhow", "cli demo"),
    ("aws_lc_rs", "pki"),
    ("base64", "pki"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("hickory_resolver", "net::resolve"),
    ("http_body_util", "admin"),
    ("hyper", "admin"),
    ("hyper_util", "admin"),
    // The signal mask.
    ("nix", "net takeover"),
    ("notify", "reload"),
    ("proxy_header", "net"),
    ("ratatui", "cli"),
    ("rcgen", "pki"),
    // The tunnel's hot loop calls recv, send and shutdown itself.
    ("rustix::net", "net tunnel"),
    ("rustix::pipe", "tunnel"),
    ("rustls", "demo pki probe terminate"),
    ("saphyr_parser", "config"),
    ("sd_listen_fds", "net"),
    ("socket2", "net"),
    ("tar", "pki"),
    ("tokio_rustls", "demo probe terminate"),
    ("tracing_appender", "telemetry"),
    // The demo reads the hub's own records by a layer.
    ("tracing_subscriber", "demo telemetry"),
    ("x509_parser", "pki"),
    ("yasna", "pki"),
];

/// Kept out of these modules: they are to be tested with literals and fuzzed as they stand.
const KEPT_OUT: &[(&str, &str)] = &[
    ("tls", "tokio tokio_util tracing serde serde_json rustix"),
    ("route", "tokio tokio_util tracing serde serde_json rustix"),
];

#[test]
fn nobody_imports_what_is_not_theirs_to_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(
        files.len() >= 30,
        "found only {} files in src/: is the walker blind?",
        files.len()
    );
    let mut read = 0;
    let mut violations = Vec::new();
    for path in &files {
        let file = path.strip_prefix(root).unwrap().to_str().unwrap();
        let source = std::fs::read_to_string(path).unwrap();
        let (seen, found) = judge(file, &source);
        read += seen;
        violations.extend(found);
    }
    assert!(
        read >= 200,
        "read only {read} paths in {} files: is the reader blind?",
        files.len()
    );
    assert!(
        violations.is_empty(),
        "the house's arrows:\n{}",
        violations.join("\n")
    );
}

/// A door with a misspelt crate would stand open.
#[test]
fn the_doors_are_about_crates_that_are_used() {
    let manifest = include_str!("../../Cargo.toml");
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let used: Vec<String> = dependencies
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_")))
        .collect();
    assert!(used.len() >= 15, "only {} dependencies read", used.len());
    let kept_out = KEPT_OUT
        .iter()
        .flat_map(|(_, crates)| crates.split_whitespace());
    let doors = DOORS
        .iter()
        .map(|(door, _)| door.split("::").next().unwrap());
    let unknown: Vec<&str> = doors
        .chain(kept_out)
        .filter(|name| !used.iter().any(|used| used == name))
        .collect();
    assert!(
        unknown.is_empty(),
        "rules about crates that are no dependencies: {unknown:?}"
    );
}

/// How many paths a file names, and one line per rule it breaks.
fn judge(file: &str, source: &str) -> (usize, Vec<String>) {
    let module = module_of(file.trim_start_matches("src/"));
    let found = imports(source, &module);
    let broken = found.iter().filter_map(|import| {
        let rule = broken_rule(&module, import)?;
        Some(format!(
            "{file}:{}: `{}`: {rule}",
            import.line,
            import.path.join("::")
        ))
    });
    (found.len(), broken.collect())
}

fn broken_rule(module: &[String], import: &Import) -> Option<String> {
    // lib.rs and main.rs are the crate's map and its entry.
    let top = module.first()?;
    match import.path.split_first() {
        Some((first, inner)) if first == "crate" => broken_arrow(top, inner),
        _ => broken_door(module, &import.path.join("::")),
    }
}

fn broken_arrow(top: &str, inner: &[String]) -> Option<String> {
    if inner.first().is_some_and(|first| first == top) {
        return None;
    }
    let inner = inner.join("::");
    if row(MAY_NOT_IMPORT, top).is_some_and(|not| is_below_any(&inner, not)) {
        return Some(format!("{top} may not import it"));
    }
    let Some(allowed) = row(MAY_IMPORT, top) else {
        return Some(format!(
            "{top} has no row in MAY_IMPORT (tests/it/house.rs)"
        ));
    };
    if allowed == "*" || is_below_any(&inner, VOCABULARY) || is_below_any(&inner, allowed) {
        return None;
    }
    let list = if allowed.is_empty() {
        "nothing"
    } else {
        allowed
    };
    Some(format!("{top} may import {list}, and: {VOCABULARY}"))
}

fn broken_door(module: &[String], path: &str) -> Option<String> {
    let shut = DOORS
        .iter()
        .find(|(door, keepers)| is_below(path, door) && !is_below_any(&module.join("::"), keepers));
    if let Some((door, keepers)) = shut {
        return Some(format!("{door} is only for {keepers}"));
    }
    let top = &module[0];
    let kept_out = row(KEPT_OUT, top).is_some_and(|out| is_below_any(path, out));
    kept_out.then(|| format!("{top} is plain values and bytes, without it"))
}

fn row<'a>(table: &[(&str, &'a str)], module: &str) -> Option<&'a str> {
    table
        .iter()
        .find(|(of, _)| *of == module)
        .map(|(_, listed)| *listed)
}

fn is_below_any(path: &str, tops: &str) -> bool {
    tops.split_whitespace().any(|top| is_below(path, top))
}

/// Whether `path` is `top` or below it.
fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn a_broken_arrow_is_found_with_its_line_and_its_rule() {
    for (file, source, want) in [
        (
            "src/peek.rs",
            "\nuse crate::route::RouteTable;",
            "src/peek.rs:2: `crate::route::RouteTable`",
        ),
        (
            "src/tunnel/relay.rs",
            "fn f() { crate::config::load() }",
            "src/tunnel/relay.rs:1: `crate::config::load`",
        ),
        (
            "src/net/dial.rs",
            "use super::super::telemetry::Record;",
            "`crate::telemetry::Record`",
        ),
        (
            "src/net/dial.rs",
            "use crate::{\n  tls::Alert,\n  session::{Accepted, session}};",
            "dial.rs:3: `crate::session::Accepted`",
        ),
        (
            "src/route/table.rs",
            "use crate::net::listener;",
            "route may import nothing, and: tls net::addr",
        ),
        (
            "src/tls/reader.rs",
            "use crate::net::addr::Target;",
            "tls may not import it",
        ),
        (
            "src/tls/reader.rs",
            "fn f(s: tokio::net::TcpStream) {}",
            "tls is plain values",
        ),
        (
            "src/route/mod.rs",
            "use {std::io, serde::Serialize};",
            "route is plain values",
        ),
        (
            "src/session.rs",
            "use rustix::pipe::pipe;",
            "rustix::pipe is only for tunnel",
        ),
        (
            "src/worker.rs",
            "let s = ::socket2::Socket::new();",
            "socket2 is only for net",
        ),
        (
            "src/net/dial.rs",
            "use hickory_resolver::Resolver;",
            "hickory_resolver is only for net::resolve",
        ),
        (
            "src/config/yaml.rs",
            "use rustls as tls;",
            "rustls is only for demo pki probe terminate",
        ),
        (
            "src/cellar.rs",
            "use crate::tls::Alert;",
            "cellar has no row in MAY_IMPORT",
        ),
        (
            "src/snapshot.rs",
            "use crate::*;",
            "snapshot may import config route",
        ),
        (
            "src/snapshot.rs",
            "use crate as hub;",
            "snapshot may import config route",
        ),
    ] {
        let (_, broken) = judge(file, source);
        assert_eq!(broken.len().min(1), 1, "{file}: {source:?} passed");
        assert!(
            broken[0].contains(want),
            "{file}: {source:?}: {} lacks {want:?}",
            broken[0]
        );
    }
}

#[test]
fn what_is_allowed_passes() {
    for (file, source) in [
        (
            "src/peek.rs",
            "// use crate::route::X;\nuse crate::net::Preface; /* crate::config */",
        ),
        (
            "src/peek.rs",
            "const A: &str = \"crate::config::X\"; const B: &str = r#\"\"crate::route::X\"#;",
        ),
        (
            "src/peek.rs",
            "fn f<'a>(c: &'a u8) { c == b'\\''; }\nuse crate::refusal::Refusal;",
        ),
        (
            "src/peek.rs",
            "use std::io;\n#[cfg(test)]\nmod tests { use crate::config::X; fn f() { {} } }",
        ),
        (
            "src/peek.rs",
            "#[cfg(test)]\nuse crate::route::X;\nuse crate::tls::Y;",
        ),
        (
            "src/route/table.rs",
            "use super::pattern::P; use crate::net::addr::Target; use ipnet::IpNet;",
        ),
        (
            "src/net/resolve/cache.rs",
            "use hickory_resolver::Resolver; use super::super::fence::F;",
        ),
        (
            "src/tunnel/socket.rs",
            "use rustix::net::{RecvFlags, recv}; use rustix::pipe::splice;",
        ),
        ("src/main.rs", "fn main() { snihub::cli::main() }"),
        ("src/lib.rs", "pub mod cli;"),
    ] {
        let (_, broken) = judge(file, source);
        assert!(broken.is_empty(), "{file}: {source:?}: {broken:?}");
    }
}

#[test]
fn an_import_right_after_a_test_module_is_seen() {
    let source = "#[cfg(test)]\nmod tests { fn f() { \"}\"; '}'; } }\nuse crate::route::X;";
    let (_, broken) = judge("src/peek.rs", source);
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("src/peek.rs:3:"), "{broken:?}");
}
