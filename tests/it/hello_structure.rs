//! Rules 6, 9, 10 and 12: the message's own structure.

use crate::support::hello::{Hello, handshake, record, vec16};
use crate::support::judge::{Verdict, judge, judge_bytewise};
use snihub::tls::HelloError;

const NAME: &str = "a.example.com";

fn assert_malformed(hello: &Hello, why: &'static str) {
    let want = Verdict::Refused(HelloError::Malformed(why));
    assert_eq!(judge(&hello.wire()), want);
    assert_eq!(judge_bytewise(&hello.wire_in_records_of(7)), want);
}

fn assert_named(hello: &Hello) {
    assert_eq!(judge(&hello.wire()).name(), Some(NAME));
}

#[test]
fn rule_6_only_a_client_hello_opens_a_connection() {
    let message = Hello::named(NAME).message();
    for kind in (0..=255u8).filter(|kind| *kind != 1) {
        let wire = record(22, 0x0301, &handshake(kind, &message[4..]));
        let why = "the first handshake message is no ClientHello";
        let want = Verdict::Refused(HelloError::Malformed(why));
        assert_eq!(judge(&wire[..9]), want, "{kind}");
        assert_eq!(judge(&wire), want, "{kind}");
    }
}

#[test]
fn rule_9_the_client_versions_major_is_3_and_its_minor_is_free() {
    for minor in 0..=255u16 {
        assert_named(&Hello::named(NAME).client_version(0x0300 | minor));
    }
    for major in (0..=255u16).filter(|major| *major != 3) {
        let hello = Hello::named(NAME).client_version(major << 8 | 3);
        assert_malformed(&hello, "client_version is not 3.x");
    }
}

#[test]
fn rule_10_a_session_id_has_up_to_32_bytes() {
    for len in 0..=32 {
        assert_named(&Hello::named(NAME).session_id(&vec![7; len]));
    }
    for len in [33, 64, 255] {
        let hello = Hello::named(NAME).session_id(&vec![7; len]);
        assert_malformed(&hello, "session id longer than 32 bytes");
    }
}

#[test]
fn rule_10_the_cipher_list_is_neither_empty_nor_odd() {
    assert_malformed(&Hello::named(NAME).raw_ciphers(&[]), "cipher list empty");
    for len in [1, 3, 33] {
        let hello = Hello::named(NAME).raw_ciphers(&vec![0x13; len]);
        assert_malformed(&hello, "cipher list of odd length");
    }
    for len in [2, 32, 512] {
        assert_named(&Hello::named(NAME).raw_ciphers(&vec![0x13; len]));
    }
}

#[test]
fn rule_10_the_compression_list_is_not_empty() {
    assert_malformed(
        &Hello::named(NAME).compression(&[]),
        "compression list empty",
    );
    assert_named(&Hello::named(NAME).compression(&[1, 0]));
    assert_named(&Hello::named(NAME).compression(&[1; 255]));
}

/// Rules 10 and 12: a message that ends anywhere but at its end (or where a hello without
/// extensions does) is refused, and never panics.
#[test]
fn rule_10_a_message_cut_anywhere_is_refused() {
    let body = Hello::named(NAME)
        .session_id(&[7; 32])
        .message()
        .split_off(4);
    let without_block = Hello::named(NAME)
        .session_id(&[7; 32])
        .without_block()
        .message()
        .len()
        - 4;
    for len in 0..body.len() {
        let wire = record(22, 0x0301, &handshake(1, &body[..len]));
        match judge(&wire) {
            Verdict::Refused(HelloError::Malformed(_)) => assert_ne!(len, without_block),
            Verdict::NoName(_) => assert_eq!(len, without_block),
            other => panic!("{len}: {other:?}"),
        }
    }
}

#[test]
fn rule_12_the_blocks_length_is_exactly_what_is_left() {
    let bare = Hello::named(NAME).without_block();
    assert_malformed(
        &bare.clone().tail(&[0]),
        "extension block runs past the hello's end",
    );
    assert_malformed(
        &bare.clone().tail(&[0, 1]),
        "extension block runs past the hello's end",
    );
    assert_malformed(
        &bare.clone().tail(&[0, 5, 0, 1, 0, 0]),
        "extension block runs past the hello's end",
    );
    assert_malformed(
        &bare.tail(&[0, 4, 0, 23, 0, 0, 0]),
        "bytes after the extension block",
    );
    assert_malformed(
        &Hello::named(NAME).tail(&[0]),
        "bytes after the extension block",
    );
    assert_malformed(
        &Hello::named(NAME).tail(&[0; 300]),
        "bytes after the extension block",
    );
}

#[test]
fn rule_12_an_extension_that_runs_over_and_stray_bytes_are_refused() {
    let block = |block: &[u8]| Hello::named(NAME).without_block().tail(&vec16(block));
    for stray in [&[0][..], &[0, 23, 0, 0, 9]] {
        assert_malformed(&block(stray), "stray bytes in the extension block");
    }
    for over in [
        &[0, 23][..],
        &[0, 23, 0],
        &[0, 23, 0, 1],
        &[0, 23, 0xff, 0xff, 1, 2, 3],
        &[0, 0, 0, 9, 0],
    ] {
        assert_malformed(&block(over), "extension runs past the block's end");
    }
}
