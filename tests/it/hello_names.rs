//! Rules 15, 16 and 17: which bytes are a server name, and that an address is none.

use crate::support::hello::Hello;
use crate::support::judge::{Verdict, judge};
use snihub::tls::{HelloError, NameError, ServerName};

const EMPTY_LABEL: &str = "server_name has an empty label";
const CHARACTER: &str = "server_name has a character other than [A-Za-z0-9_.-]";
const LONG_LABEL: &str = "server_name has a label longer than 63 bytes";
const LONG_NAME: &str = "server_name is longer than 253 bytes";

/// The same by itself and in a hello.
fn assert_name(wire: &[u8], want: &str) {
    assert_eq!(ServerName::parse(wire).unwrap().as_str(), want);
    assert_eq!(judge(&Hello::named(wire).wire()).name(), Some(want));
}

fn assert_invalid(wire: &[u8], why: &'static str) {
    assert_eq!(
        ServerName::parse(wire),
        Err(NameError::Invalid(why)),
        "{}",
        wire.escape_ascii()
    );
    let want = Verdict::Refused(HelloError::Malformed(why));
    assert_eq!(
        judge(&Hello::named(wire).wire()),
        want,
        "{}",
        wire.escape_ascii()
    );
}

fn assert_literal(wire: &[u8]) {
    assert_eq!(
        ServerName::parse(wire),
        Err(NameError::IpLiteral),
        "{}",
        wire.escape_ascii()
    );
    let hello = Hello::named(wire).wire();
    assert_eq!(
        judge(&hello),
        Verdict::NoName(hello.len()),
        "{}",
        wire.escape_ascii()
    );
}

/// Labels of 63, 63, 63 and `last` bytes: 192 + `last` in all.
fn long(last: usize) -> String {
    let label = "x".repeat(63);
    format!("{label}.{label}.{label}.{}", "y".repeat(last))
}

#[test]
fn rule_15_names_are_compared_in_lower_case_and_without_trailing_dot() {
    assert_name(b"a.example.com", "a.example.com");
    assert_name(b"A.Example.COM", "a.example.com");
    assert_name(b"a.example.com.", "a.example.com");
    assert_name(b"A.EXAMPLE.COM.", "a.example.com");
}

#[test]
fn rules_15_and_17_odd_but_allowed() {
    let names: [&[u8]; 12] = [
        b"a",
        b"localhost",
        b"_dmarc.example.com",
        b"a_b.example.com",
        b"-a-.example.com",
        b"-",
        b"xn--bcher-kva.example",
        b"10000.fate.org",
        b"9999.FATE.org",
        b"1.2.3",
        b"1.2.3.4.5",
        b"fe80",
    ];
    for name in names {
        assert_name(name, &String::from_utf8(name.to_ascii_lowercase()).unwrap());
    }
}

#[test]
fn rule_15_253_bytes_and_63_a_label() {
    assert_eq!(long(61).len(), 253);
    assert_name(long(61).as_bytes(), &long(61));
    assert_name(format!("{}.", long(61)).as_bytes(), &long(61));
    assert_invalid(long(62).as_bytes(), LONG_NAME);
    assert_invalid(format!("{}.", long(62)).as_bytes(), LONG_NAME);
    assert_invalid(&vec![b'a'; 16_000], LONG_NAME);
    let label = "x".repeat(63);
    for name in [
        label.clone(),
        format!("{label}.com"),
        format!("com.{label}"),
    ] {
        assert_name(name.as_bytes(), &name);
        assert_invalid(format!("x{name}x").as_bytes(), LONG_LABEL);
    }
}

#[test]
fn rule_15_empty_labels_are_refused() {
    for name in [
        ".",
        "..",
        ".a.com",
        "a..com",
        "a.com..",
        ".com.",
        "...",
        "1.2.3.4..",
    ] {
        assert_invalid(name.as_bytes(), EMPTY_LABEL);
    }
}

#[test]
fn rule_15_every_other_byte_is_refused_anywhere_in_a_name() {
    let bad: Vec<u8> = (0..=255u8)
        .filter(|b| !b.is_ascii_alphanumeric() && !b"_-.".contains(b))
        .collect();
    assert_eq!(bad.len(), 256 - 26 * 2 - 10 - 3);
    for byte in bad {
        for at in 0..=13 {
            let mut name = b"a.example.com".to_vec();
            name.insert(at, byte);
            assert_invalid(&name, CHARACTER);
        }
    }
    for name in [
        "*.example.com",
        "a.com\0",
        "a com",
        "a.com:443",
        "http://a",
        "u@a",
        "b\u{fc}.de",
    ] {
        assert_invalid(name.as_bytes(), CHARACTER);
    }
}

#[test]
fn rule_16_addresses_are_no_name_and_no_error() {
    let literals = [
        "127.0.0.1",
        "192.0.2.255",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "2001:db8::1",
        "2001:DB8:0:0:0:0:0:1",
        "fe80::1",
        "::ffff:192.0.2.1",
        "64:ff9b::192.0.2.1",
    ];
    for literal in literals {
        assert_literal(literal.as_bytes());
    }
    // Dropping its dot would make the literal a name, and that name an address in `$1`.
    assert_literal(b"127.0.0.1.");
}

#[test]
fn rule_16_what_only_resembles_an_address_is_judged_as_a_name() {
    for name in [
        "256.1.1.1",
        "1.2.3.4.com",
        "1.2.3.04",
        "127.1",
        "0x7f.1",
        "2130706433",
    ] {
        assert_name(name.as_bytes(), name);
    }
    for name in [
        "[::1]",
        "::1.",
        "fe80::1%eth0",
        "1::2::3",
        ":",
        "1.2.3.4:443",
        "::1\0",
    ] {
        assert_invalid(name.as_bytes(), CHARACTER);
    }
}
