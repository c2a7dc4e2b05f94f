//! sni.yaml of any shape: the result says the old entries and the change, as another reader of YAML
//! sees it, and every byte that was there is there.

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::Value;
use snihub::config::edit;

const NEW: [(&str, &str); 2] = [
    ("fqdn", "9998.fate.org"),
    ("tunnel_route", "192.168.0.4:6651"),
];

/// How a generated file is written.
#[derive(Debug, Clone)]
struct Shape {
    eol: &'static str,
    flow: u8,
    indent: usize,
    inner: usize,
    quote: &'static str,
    apart: bool,
    final_break: bool,
    top: &'static str,
    end: &'static str,
    mark: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let sides = (
        prop_oneof![
            Just(""),
            Just("# köln: {the star}"),
            Just("---"),
            Just("other: [a, {b: c}]")
        ],
        prop_oneof![Just(""), Just("# - fqdn: x"), Just("more: 1")],
    );
    let eol = prop_oneof![Just("\n"), Just("\r\n")];
    let quote = prop_oneof![Just(""), Just("'"), Just("\"")];
    let looks = (eol, 0u8..4, 0usize..5, 2usize..5, quote);
    (looks, any::<(bool, bool, bool)>(), sides).prop_map(
        |((eol, flow, indent, inner, quote), (apart, final_break, mark), (top, end))| Shape {
            eol,
            flow,
            indent,
            inner,
            quote,
            apart,
            final_break,
            top,
            end,
            mark,
        },
    )
}

/// What stands with an entry.
fn remarks() -> impl Strategy<Value = Vec<(u16, u8)>> {
    prop::collection::vec((any::<u16>(), 0u8..6), 0..6)
}

fn text(shape: &Shape, entries: &[(u16, u8)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend((!shape.top.is_empty()).then(|| shape.top.to_owned()));
    let (q, margin) = (shape.quote, " ".repeat(shape.indent));
    let pair = |n: u16| {
        (
            format!("fqdn: {q}p{n}.org{q}"),
            format!("tunnel_route: {q}h{n}:6651{q}"),
        )
    };
    match (shape.flow, entries.is_empty()) {
        (0 | 1 | 4.., true) => lines.push("sni: # none yet".to_owned()),
        (2, _) => {
            let all: Vec<_> = entries.iter().map(|(n, _)| pair(*n)).collect();
            let all: Vec<_> = all.iter().map(|(a, b)| format!("{{{a}, {b}}}")).collect();
            lines.push(format!("sni: [{}] # all", all.join(", ")));
        }
        (3, _) => {
            lines.push("sni: [".to_owned());
            // The parser takes no entry at the beginning of a line here.
            let margin = format!(" {margin}");
            for (at, (n, remark)) in entries.iter().enumerate() {
                let (a, b) = pair(*n);
                let comma = if at + 1 < entries.len() || shape.apart {
                    ","
                } else {
                    ""
                };
                let remark = if remark % 2 == 0 { " # ü, ]" } else { "" };
                lines.push(format!("{margin}{{ {a}, {b} }}{comma}{remark}"));
            }
            lines.push(format!("{margin} ]"));
        }
        (style, false) => {
            lines.push("sni:".to_owned());
            for (at, (n, remark)) in entries.iter().enumerate() {
                let (a, b) = pair(*n);
                lines.extend((at > 0 && shape.apart).then(String::new));
                lines.extend((*remark == 1).then(|| format!("{margin}# about p{n}")));
                let dash = format!("{margin}-{}", " ".repeat(shape.inner - 1));
                let keys = format!("{margin}{}", " ".repeat(shape.inner));
                if style == 1 {
                    lines.push(format!("{margin}- {{{a}, {b}}}"));
                } else {
                    lines.push(format!(
                        "{dash}{a}{}",
                        if *remark == 2 { "  # ü" } else { "" }
                    ));
                    lines.push(format!("{keys}{b}"));
                    lines.extend(
                        (*remark == 3).then(|| format!("{keys}note: |-{}{keys}  - ö", shape.eol)),
                    );
                    lines.extend((*remark == 4).then(|| format!("{keys}# ip_allow: 10.0.0.0/8")));
                    lines.extend(
                        (*remark == 5).then(|| format!("{keys}ip_allow: [10.0.0.1, '::1']")),
                    );
                }
            }
        }
    }
    lines.extend((!shape.end.is_empty()).then(|| shape.end.to_owned()));
    let mark = if shape.mark { "\u{feff}" } else { "" };
    let last = if shape.final_break { shape.eol } else { "" };
    format!("{mark}{}{last}", lines.join(shape.eol))
}

/// As a reader of YAML that is not ours sees it.
fn read(text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    serde_yaml::from_str(text).unwrap_or_else(|why| panic!("{why}: {text:?}"))
}

fn entries(value: &Value) -> Vec<Value> {
    value["sni"].as_array().cloned().unwrap_or_default()
}

fn new() -> Value {
    NEW.iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect()
}

/// Whether every byte of `old` is in `new`, in order.
fn is_within(old: &str, new: &str) -> bool {
    let mut rest = new.bytes();
    old.bytes().all(|byte| rest.any(|other| other == byte))
}

proptest! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    #[test]
    fn an_entry_more_and_nothing_else(shape in shape(), parts in remarks(), place in any::<u8>()) {
        let old = text(&shape, &parts);
        let before = read(&old);
        let at = usize::from(place) % (parts.len() + 1);
        let wanted = (at < parts.len()).then_some(at);
        let edited = edit::insert(&old, wanted, &NEW).expect("edited");
        let after = read(&edited);
        let mut want = entries(&before);
        want.insert(at, new());
        prop_assert_eq!(entries(&after), want, "{}", edited);
        for key in ["other", "more"] {
            prop_assert_eq!(&before[key], &after[key]);
        }
        prop_assert!(is_within(&old, &edited), "{} -> {}", old, edited);
        let added = edited.len() - old.len();
        prop_assert!(added < 100, "{added} bytes more: {edited}");
        prop_assert_eq!(edited.ends_with('\n'), old.ends_with('\n'));
        let breaks = |text: &str| text.matches('\n').count() - text.matches("\r\n").count();
        // A file of one line has no way of its own to break them.
        if old.contains('\n') {
            prop_assert_eq!(breaks(&edited) == 0, shape.eol == "\r\n");
        }

        // And back.
        let back = edit::remove(&edited, at).expect("edited back");
        prop_assert_eq!(entries(&read(&back)), entries(&before));
        if !parts.is_empty() && shape.flow != 3 {
            prop_assert_eq!(back, old);
        }
    }

    #[test]
    fn an_entry_less_and_nothing_else(shape in shape(), parts in remarks(), place in any::<u8>()) {
        prop_assume!(!parts.is_empty());
        let old = text(&shape, &parts);
        let at = usize::from(place) % parts.len();
        let edited = edit::remove(&old, at).expect("edited");
        let mut want = entries(&read(&old));
        want.remove(at);
        prop_assert_eq!(entries(&read(&edited)), want, "{}", edited);
        prop_assert!(is_within(&edited, &old), "{} -> {}", old, edited);
    }

    #[test]
    fn another_route_and_nothing_else(shape in shape(), parts in remarks(), place in any::<u8>()) {
        prop_assume!(!parts.is_empty());
        let old = text(&shape, &parts);
        let at = usize::from(place) % parts.len();
        let edited = edit::set(&old, at, "tunnel_route", "[fd00::1]:7").expect("edited");
        let mut want = entries(&read(&old));
        want[at]["tunnel_route"] = "[fd00::1]:7".into();
        prop_assert_eq!(entries(&read(&edited)), want, "{}", edited);
    }

    /// Whatever the bytes: an edit or none, no panic.
    #[test]
    fn any_text(text in "[ \\-a:#{}\\[\\],'\"|\n\rü&*!?]{0,60}", at in 0usize..3) {
        let source = format!("sni:\n{text}");
        for source in [text, source] {
            let _ = edit::insert(&source, None, &NEW);
            let _ = edit::insert(&source, Some(at), &NEW);
            let _ = edit::remove(&source, at);
            let _ = edit::set(&source, at, "a", "b");
        }
    }
}
