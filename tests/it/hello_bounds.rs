//! Rules 7, 20 and 21: what is too large is refused before it is received, what is not whole waits.

use crate::support::hello::{Hello, MAX_RECORD, handshake, record, records};
use crate::support::judge::{
    MAX_HELLO, Verdict, judge, judge_at, judge_by_need, judge_bytewise, judge_within,
};
use snihub::tls::HelloError;

const HELLO_TOO_LARGE: Verdict =
    Verdict::Refused(HelloError::TooLarge("hello longer than max_client_hello"));
const RAW_TOO_LARGE: Verdict = Verdict::Refused(HelloError::TooLarge(
    "hello and record headers longer than twice max_client_hello",
));

#[test]
fn rule_7_the_handshake_length_is_judged_as_soon_as_it_is_in() {
    let declares = |len: u32| {
        let mut head = len.to_be_bytes();
        head[0] = 1;
        head
    };
    for (len, refused) in [
        (65536, false),
        (65537, true),
        (131_072, true),
        (0xff_ffff, true),
    ] {
        let head = declares(len);
        // All of it in the first record's first four bytes, then spread over four records.
        let whole = [&[22, 3, 1, 0x40, 0][..], &head].concat();
        let spread = records(22, 0x0301, &head, 1);
        for wire in [whole, spread] {
            let verdict = judge_bytewise(&wire);
            assert_eq!(verdict == HELLO_TOO_LARGE, refused, "{len}: {verdict:?}");
            assert!(
                matches!(judge(&wire[..wire.len() - 1]), Verdict::Wait(_)),
                "{len}"
            );
        }
    }
}

#[test]
fn rule_7_a_hello_of_exactly_the_bound_passes() {
    for max in [300, 4096, 20_000, MAX_HELLO] {
        let hello = Hello::named("a.example.com").padded_to(max + 4);
        // Above 65,535 bytes of extensions there is no padding to be had: cipher suites fill it.
        let hello = if max == MAX_HELLO {
            Hello::named("a.example.com")
                .ciphers(&vec![0x1301; 10_000])
                .padded_to(max + 4)
        } else {
            hello
        };
        let wire = hello.wire();
        assert_eq!(hello.message().len(), max + 4);
        assert_eq!(
            judge_within(&wire, max).name(),
            Some("a.example.com"),
            "{max}"
        );
        assert_eq!(judge_within(&wire, max - 1), HELLO_TOO_LARGE, "{max}");
    }
}

#[test]
fn rule_7_raw_bytes_are_bounded_by_twice_the_hello_at_a_record_header() {
    let hello = Hello::named("a.example.com").padded_to(1204);
    // 1,204 one-byte records are 7,224 raw bytes.
    let wire = hello.wire_in_records_of(1);
    assert_eq!(wire.len(), 7224);
    assert_eq!(judge_within(&wire, 3612).name(), Some("a.example.com"));
    for max in [1200, 1500, 3611] {
        assert_eq!(judge_within(&wire, max), RAW_TOO_LARGE, "{max}");
        assert_eq!(judge_at(&wire, 0..=wire.len(), max), RAW_TOO_LARGE, "{max}");
        // Nothing beyond the bound was ever asked for.
        let (verdict, needs) = judge_by_need(&wire, max);
        assert_eq!(verdict, RAW_TOO_LARGE);
        assert!(needs.iter().all(|need| *need <= max * 2), "{max}");
    }
    // A record that would end beyond the bound is refused at its header.
    let mut wire = records(22, 0x0301, &hello.message()[..300], 1);
    wire.extend([22, 3, 1, 0x03, 0x88]);
    assert_eq!(wire.len(), 1805);
    assert_eq!(judge_within(&wire, 1354), RAW_TOO_LARGE);
    wire[1804] = 0x87;
    assert_eq!(judge_within(&wire, 1354), Verdict::Wait(2708));
    assert_eq!(judge_within(&wire, 1353), RAW_TOO_LARGE);
}

#[test]
fn rule_4_a_hello_above_16_kib_spans_records() {
    for size in [17_000, 20_000, 40_000, 65_536] {
        let hello = Hello::named("a.example.com")
            .ciphers(&[0x1301; 5000])
            .padded_to(size);
        let wire = hello.wire();
        assert_eq!(wire.len(), size + 5 * size.div_ceil(MAX_RECORD));
        assert_eq!(
            judge_bytewise(&wire),
            Verdict::Name("a.example.com".into(), wire.len())
        );
    }
}

#[test]
fn rules_20_and_21_what_is_not_whole_waits_for_the_rest() {
    for wire in [
        Hello::named("a.example.com").wire(),
        Hello::named("a.example.com").wire_in_records_of(40),
    ] {
        for end in 0..wire.len() {
            let Verdict::Wait(need) = judge(&wire[..end]) else {
                panic!("an answer at {end}")
            };
            assert!(end < need && need <= wire.len(), "{need} wanted at {end}");
        }
    }
    // Declares ten bytes more than are ever sent: the header of a record that never comes.
    let message = Hello::named("a.example.com").message();
    let long = handshake(1, &[&message[4..], &[0; 10]].concat());
    let wire = record(22, 0x0301, &long[..message.len()]);
    assert_eq!(judge_bytewise(&wire), Verdict::Wait(wire.len() + 5));
}
