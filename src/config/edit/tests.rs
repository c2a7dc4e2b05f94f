//! Files as people and ATS's charts write them, and what becomes of them.

use super::*;

const NEW: &[(&str, &str)] = &[("fqdn", "9.org"), ("tunnel_route", "h:1")];

/// Before and after; where the entry goes; `add` then `remove` is as if nothing had been.
fn added(source: &str, before: Option<usize>, want: &str) {
    let new = insert(source, before, NEW).unwrap_or_else(|why| panic!("{source:?}: {why}"));
    assert_eq!(new, want, "{source:?}");
    let count = Outline::read(split_mark(source).1).map_or(0, |o| items(&o).len());
    let back = remove(&new, before.unwrap_or(count)).unwrap_or_else(|why| panic!("{new:?}: {why}"));
    if count > 0 {
        assert_eq!(back, source, "and back");
    }
}

#[test]
fn at_the_end_like_its_neighbours() {
    for (source, want) in [
        (
            "sni:\n- fqdn: a\n  tunnel_route: b:1\n",
            "sni:\n- fqdn: a\n  tunnel_route: b:1\n- fqdn: 9.org\n  tunnel_route: h:1\n",
        ),
        // Windows, and no break at the end.
        (
            "sni:\r\n  - fqdn: a\r\n    tunnel_route: b:1",
            "sni:\r\n  - fqdn: a\r\n    tunnel_route: b:1\r\n  - fqdn: 9.org\r\n    tunnel_route: h:1",
        ),
        // Quotes, wide dashes, a comment on the last line.
        (
            "sni:\n-   fqdn: 'a'\n    tunnel_route: \"b:1\"  # b\n",
            "sni:\n-   fqdn: 'a'\n    tunnel_route: \"b:1\"  # b\n-   fqdn: '9.org'\n    \
             tunnel_route: \"h:1\"\n",
        ),
        // A key that is commented out belongs to the entry, what stands further left does not.
        (
            "sni:\n- fqdn: a\n  tunnel_route: b:1\n  # ip_allow: 10.0.0.0/8\n# the end\n",
            "sni:\n- fqdn: a\n  tunnel_route: b:1\n  # ip_allow: 10.0.0.0/8\n- fqdn: 9.org\n  \
             tunnel_route: h:1\n# the end\n",
        ),
        // Blank lines between, and a key after the list.
        (
            "sni:\n- fqdn: a\n\n- fqdn: b\n\nother: [1, {x: y}]\n",
            "sni:\n- fqdn: a\n\n- fqdn: b\n\n- fqdn: 9.org\n  tunnel_route: h:1\n\nother: [1, {x: y}]\n",
        ),
        // Dashes on lines of their own.
        (
            "sni:\n-\n  fqdn: a\n- # b\n  fqdn: b\n",
            "sni:\n-\n  fqdn: a\n- # b\n  fqdn: b\n- fqdn: 9.org\n  tunnel_route: h:1\n",
        ),
        // Entries in braces.
        (
            "sni:\n  - { fqdn: a, tunnel_route: 'b:1' }\n",
            "sni:\n  - { fqdn: a, tunnel_route: 'b:1' }\n  - { fqdn: 9.org, tunnel_route: 'h:1' }\n",
        ),
        // A value of several lines, letters beyond ASCII, a byte order mark.
        (
            "\u{feff}# köln ≠ 東京\nsni:\n- fqdn: a # ü\n  note: |\n    ä\n    ö\n",
            "\u{feff}# köln ≠ 東京\nsni:\n- fqdn: a # ü\n  note: |\n    ä\n    ö\n- fqdn: 9.org\n  \
             tunnel_route: h:1\n",
        ),
    ] {
        added(source, None, want);
    }
}

#[test]
fn lists_in_brackets() {
    for (source, before, want) in [
        (
            "sni: [{fqdn: a}]\n",
            None,
            "sni: [{fqdn: a}, {fqdn: 9.org, tunnel_route: h:1}]\n",
        ),
        (
            "sni: [{fqdn: a}]",
            Some(0),
            "sni: [{fqdn: 9.org, tunnel_route: h:1}, {fqdn: a}]",
        ),
        (
            "sni: [\n  {fqdn: a}, # a\n  {fqdn: b} # b\n]\n",
            None,
            "sni: [\n  {fqdn: a}, # a\n  {fqdn: b}, # b\n  {fqdn: 9.org, tunnel_route: h:1}\n]\n",
        ),
        (
            "sni: [\n  {fqdn: a}, # a\n  {fqdn: b}, # b\n]\n",
            None,
            "sni: [\n  {fqdn: a}, # a\n  {fqdn: b}, # b\n  {fqdn: 9.org, tunnel_route: h:1},\n]\n",
        ),
        (
            "sni: [\n  {fqdn: a},\n  {fqdn: b} ]\n",
            Some(1),
            "sni: [\n  {fqdn: a},\n  {fqdn: 9.org, tunnel_route: h:1},\n  {fqdn: b} ]\n",
        ),
        (
            "{sni: [{fqdn: a}], other: 1}\n",
            None,
            "{sni: [{fqdn: a}, {fqdn: 9.org, tunnel_route: h:1}], other: 1}\n",
        ),
    ] {
        added(source, before, want);
    }
}

#[test]
fn before_an_entry_and_the_comments_that_are_about_it() {
    for (source, before, want) in [
        (
            "sni:\n- fqdn: a\n  # more of a\n# the rest\n- fqdn: '*'\n",
            1,
            "sni:\n- fqdn: a\n  # more of a\n- fqdn: '9.org'\n  tunnel_route: 'h:1'\n# the rest\n\
             - fqdn: '*'\n",
        ),
        (
            "# top\nsni: # list\n# all\n- fqdn: '*'\n",
            0,
            "# top\nsni: # list\n- fqdn: '9.org'\n  tunnel_route: 'h:1'\n# all\n- fqdn: '*'\n",
        ),
        (
            "sni:\n- fqdn: a\n\n- fqdn: b\n",
            1,
            "sni:\n- fqdn: a\n\n- fqdn: 9.org\n  tunnel_route: h:1\n\n- fqdn: b\n",
        ),
    ] {
        added(source, Some(before), want);
    }
}

#[test]
fn lists_that_are_not_there_yet() {
    let entry = "  - fqdn: 9.org\n    tunnel_route: h:1\n";
    for (source, want) in [
        ("", format!("sni:\n{entry}")),
        ("# stock\n", format!("# stock\nsni:\n{entry}")),
        (
            "---\n# stock",
            format!("---\n# stock\nsni:\n{}", entry.trim_end()),
        ),
        // The chart's, before the first party.
        ("sni:\n", format!("sni:\n{entry}")),
        ("sni:", format!("sni:\n{}", entry.trim_end())),
        (
            "sni: # none\n# later\n",
            format!("sni: # none\n{entry}# later\n"),
        ),
        ("sni: ~\nother: 1\n", format!("sni: \n{entry}other: 1\n")),
        (
            "sni: []\n",
            "sni: [{fqdn: 9.org, tunnel_route: h:1}]\n".to_owned(),
        ),
        (
            "sni: [ # none\n ]\n",
            "sni: [{fqdn: 9.org, tunnel_route: h:1} # none\n ]\n".to_owned(),
        ),
    ] {
        added(source, None, &want);
    }
}

#[test]
fn what_is_left_to_people_is_left_alone() {
    for source in [
        "~\n",
        "- fqdn: a\n",
        "sni: &x\n- fqdn: a\n- *x\n",
        "sni: []\n---\nsni: []\n...\n[\n",
        "sni:\n- [\n",
        "{sni: }\n",
        "? sni\n:\n",
    ] {
        let refused = insert(source, None, NEW);
        assert!(refused.is_err(), "{source:?}: {refused:?}");
    }
    let said = insert("~\n", None, NEW).unwrap_err().to_string();
    assert!(said.contains("{fqdn: 9.org, tunnel_route: h:1}"), "{said}");
}

#[test]
fn the_last_entry_leaves_a_list_without_entries() {
    for (source, want) in [
        ("sni:\n- fqdn: a\n  tunnel_route: b:1\n", "sni:\n"),
        ("# x\nsni:\n  - fqdn: a # a\n# y\n", "# x\nsni:\n# y\n"),
        ("sni: [{fqdn: a}]\n", "sni: []\n"),
        // Not the last: the first, and a block scalar's own break.
        ("sni:\n- fqdn: a\n\n- fqdn: b\n", "sni:\n- fqdn: b\n"),
        (
            "sni:\n# a\n- fqdn: a\n\n- fqdn: b\n",
            "sni:\n# a\n\n- fqdn: b\n",
        ),
        ("sni: [\n  {fqdn: a},\n]\n", "sni: []\n"),
    ] {
        assert_eq!(remove(source, 0).as_deref(), Ok(want), "{source:?}");
    }
    let scalar = "sni:\n- note: |\n    x\n- fqdn: b";
    assert_eq!(remove(scalar, 1).as_deref(), Ok("sni:\n- note: |\n    x\n"));
}

#[test]
fn another_value_in_the_same_quotes() {
    for (source, want) in [
        (
            "sni:\n- fqdn: a\n  tunnel_route: b:1 # b\n",
            "sni:\n- fqdn: a\n  tunnel_route: c:2 # b\n",
        ),
        (
            "sni: [{tunnel_route: \"b:1\", fqdn: a}]",
            "sni: [{tunnel_route: \"c:2\", fqdn: a}]",
        ),
        (
            "sni:\r\n- tunnel_route: 'b:1'\r\n",
            "sni:\r\n- tunnel_route: 'c:2'\r\n",
        ),
    ] {
        assert_eq!(
            set(source, 0, "tunnel_route", "c:2").as_deref(),
            Ok(want),
            "{source:?}"
        );
    }
    assert!(set("sni:\n- fqdn: a\n", 0, "tunnel_route", "c:2").is_err());
    let bracketed = set("sni:\n- tunnel_route: b:1\n", 0, "tunnel_route", "[::1]:2").unwrap();
    assert_eq!(bracketed, "sni:\n- tunnel_route: \"[::1]:2\"\n");
    let escaped = "sni:\n- tunnel_route: \"b\\x3a1\"\n";
    assert!(set(escaped, 0, "tunnel_route", "c:2").is_err());
    assert_eq!(
        value("sni:\n- ip_allow: 10.0.0.0/8\n", 0, "ip_allow").as_deref(),
        Some("10.0.0.0/8")
    );
}
