//! Rules 11, 13, 14 and 18: which extensions decide, and which are none of ours.

use crate::support::hello::{ALPN, ECH, Hello, KEY_SHARE, PRE_SHARED_KEY, SERVER_NAME, sni, vec16};
use crate::support::judge::{Verdict, judge, judge_bytewise};
use snihub::tls::HelloError;

const NAME: &str = "a.example.com";

fn assert_malformed(hello: &Hello, why: &'static str) {
    let want = Verdict::Refused(HelloError::Malformed(why));
    assert_eq!(judge(&hello.wire()), want);
    assert_eq!(judge_bytewise(&hello.wire_in_records_of(11)), want);
}

fn assert_named(hello: &Hello) {
    assert_eq!(judge(&hello.wire()).name(), Some(NAME));
}

#[test]
fn rule_11_no_block_an_empty_block_and_no_server_name_are_no_name() {
    for hello in [
        Hello::nameless(),
        Hello::nameless().without_block(),
        Hello::nameless().empty_block(),
        Hello::nameless().padded_to(1800),
    ] {
        let wire = hello.wire();
        assert_eq!(judge_bytewise(&wire), Verdict::NoName(wire.len()));
    }
}

#[test]
fn rule_13_a_server_name_twice_is_refused_wherever_it_stands() {
    for second in ["b.example.com", NAME] {
        let hello = Hello::named(NAME).extension(SERVER_NAME, sni(&[(0, second.as_bytes())]));
        assert_malformed(&hello, "server_name twice");
    }
    // Also where the first is an address, which counts as no name.
    let hello = Hello::named("192.0.2.1").extension(SERVER_NAME, sni(&[(0, NAME.as_bytes())]));
    assert_malformed(&hello, "server_name twice");
}

#[test]
fn rule_13_types_below_64_come_once_and_others_as_often_as_they_like() {
    for kind in 1..200u16 {
        let once = Hello::named(NAME).without(kind).extension(kind, [1, 2, 3]);
        assert_named(&once);
        let twice = once.extension(kind, []);
        match kind {
            0..64 => assert_malformed(&twice, "an extension twice"),
            _ => assert_named(&twice),
        }
    }
    for kind in [0x0a0a, 0x1a1a, 0xfafa, ECH, 0xff01, 0xffff] {
        assert_named(
            &Hello::named(NAME)
                .extension(kind, [])
                .extension(kind, [0; 40]),
        );
    }
}

#[test]
fn rule_13_order_is_free() {
    // pre_shared_key must be last by RFC 8446; that is the upstream's to say.
    assert_named(
        &Hello::named(NAME)
            .extension(PRE_SHARED_KEY, [0; 60])
            .extension(ALPN, [0; 4]),
    );
    let last = Hello::nameless().extension(SERVER_NAME, sni(&[(0, NAME.as_bytes())]));
    assert_named(&last);
    assert_named(&Hello::named(NAME).padded_to(1800));
}

/// No extension but server_name is read: a broken one is the upstream's to refuse.
#[test]
fn rule_13_the_content_of_other_extensions_is_ignored() {
    for kind in [ALPN, KEY_SHARE, PRE_SHARED_KEY, 10, 13, 43] {
        for content in [&[][..], &[0xff; 3], &[0, 0, 0, 0]] {
            assert_named(&Hello::named(NAME).without(kind).extension(kind, content));
        }
    }
}

#[test]
fn rule_14_server_name_is_a_list_of_exactly_one_host_name() {
    let with = |content: &[u8]| Hello::nameless().sni(content.to_vec());
    assert_named(&with(&sni(&[(0, NAME.as_bytes())])));

    assert_malformed(&with(&[]), "server_name empty");
    assert_malformed(&with(&[0]), "server_name list runs past its extension");
    assert_malformed(&with(&[0, 0]), "server_name list empty");
    assert_malformed(
        &with(&[0, 9, 0, 0, 1, b'a']),
        "server_name list runs past its extension",
    );
    assert_malformed(
        &with(&[0, 4, 0, 0, 1, b'a', 0]),
        "bytes after the server_name list",
    );
    assert_malformed(
        &with(&[0, 3, 0, 0, 1, b'a']),
        "bytes after the server_name list",
    );
    assert_malformed(
        &with(&[0, 0, 0, 0, 1, b'a']),
        "bytes after the server_name list",
    );
    assert_malformed(
        &with(&[0, 1, 0]),
        "host_name runs past the server_name list",
    );
    assert_malformed(
        &with(&[0, 2, 0, 0]),
        "host_name runs past the server_name list",
    );
    assert_malformed(
        &with(&[0, 4, 0, 0, 2, b'a']),
        "host_name runs past the server_name list",
    );
    assert_malformed(&with(&[0, 3, 0, 0, 0]), "host_name empty");
    assert_malformed(
        &with(&[0, 5, 0, 0, 1, b'a', 0]),
        "a second name, or bytes, after the host_name",
    );
}

#[test]
fn rule_14_two_names_and_other_name_types_are_refused() {
    let names = |names: &[(u8, &[u8])]| Hello::nameless().sni(sni(names));
    let second = "a second name, or bytes, after the host_name";
    assert_malformed(
        &names(&[(0, b"a.example.com"), (0, b"b.example.com")]),
        second,
    );
    assert_malformed(
        &names(&[(0, b"a.example.com"), (0, b"a.example.com")]),
        second,
    );
    assert_malformed(&names(&[(0, b"a.example.com"), (1, b"x")]), second);
    let other = "server_name of another type than host_name";
    for kind in 1..=255 {
        assert_malformed(&names(&[(kind, b"a.example.com")]), other);
        assert_malformed(&names(&[(kind, b"x"), (0, b"a.example.com")]), other);
    }
}

/// An extension hidden behind a list that is shorter than its extension, or inside the name of
/// another, is never the one that is routed by.
#[test]
fn rule_14_no_second_reading_of_the_same_bytes() {
    let hidden = [
        &sni(&[(0, NAME.as_bytes())])[..],
        &[0, 0],
        &vec16(b"b.example.com"),
    ]
    .concat();
    assert_malformed(
        &Hello::nameless().sni(hidden),
        "bytes after the server_name list",
    );
    let fake = [&[0, 0][..], &vec16(&sni(&[(0, b"b.example.com")]))].concat();
    assert_named(&Hello::named(NAME).extension(0x1234, fake));
}

#[test]
fn rule_18_with_ech_the_outer_name_counts() {
    assert_named(&Hello::named(NAME).extension(ECH, [0; 200]));
    let wire = Hello::nameless().extension(ECH, [0; 200]).wire();
    assert_eq!(judge(&wire), Verdict::NoName(wire.len()));
}
