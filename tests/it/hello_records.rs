//! Rules 1 to 5 and 8: record headers, hellos over several records, what follows a hello.

use crate::support::hello::{Hello, handshake, record, records};
use crate::support::judge::{Verdict, judge, judge_bytewise};
use snihub::tls::HelloError;

const NOT_TLS: Verdict = Verdict::Refused(HelloError::NotTls);

fn malformed(why: &'static str) -> Verdict {
    Verdict::Refused(HelloError::Malformed(why))
}

fn too_large(why: &'static str) -> Verdict {
    Verdict::Refused(HelloError::TooLarge(why))
}

#[test]
fn rule_1_every_first_byte_but_22_is_refused_at_once() {
    for byte in 0..=255u8 {
        let want = if byte == 22 {
            Verdict::Wait(5)
        } else {
            NOT_TLS
        };
        assert_eq!(judge(&[byte]), want, "{byte}");
    }
    assert_eq!(judge(&[]), Verdict::Wait(1));
}

#[test]
fn rule_2_the_major_version_is_3_and_the_minor_is_ignored() {
    for major in 0..=255u8 {
        for minor in [0, 1, 3, 4, 0xff] {
            let version = u16::from_be_bytes([major, minor]);
            let wire = Hello::named("a.example.com").record_version(version).wire();
            match major {
                3 => assert_eq!(judge(&wire).name(), Some("a.example.com")),
                _ => assert_eq!(judge(&wire[..5]), NOT_TLS),
            }
        }
    }
}

#[test]
fn rule_3_a_record_of_length_0_or_above_16384_is_refused_at_its_header() {
    assert_eq!(judge(&[22, 3, 1, 0, 0]), malformed("record of length 0"));
    assert_eq!(
        judge(&[22, 3, 1, 0x40, 1]),
        too_large("record longer than 16384 bytes")
    );
    assert_eq!(
        judge(&[22, 3, 1, 0xff, 0xff]),
        too_large("record longer than 16384 bytes")
    );
    assert_eq!(judge(&[22, 3, 1, 0x40, 0]), Verdict::Wait(9));

    let mut later = Hello::named("a.example.com").wire_in_records_of(60);
    later.truncate(65);
    later.extend([22, 3, 1, 0, 0]);
    assert_eq!(judge_bytewise(&later), malformed("record of length 0"));
    later.truncate(65);
    later.extend([22, 3, 1, 0x40, 1]);
    assert_eq!(
        judge_bytewise(&later),
        too_large("record longer than 16384 bytes")
    );
}

#[test]
fn rule_4_a_hello_in_records_of_any_size_carries_the_same_name() {
    let hello = Hello::named("a.example.com").padded_to(517);
    for size in 1..=517 {
        let wire = hello.wire_in_records_of(size);
        let want = Verdict::Name("a.example.com".into(), wire.len());
        assert_eq!(judge(&wire), want, "records of {size}");
        assert_eq!(judge_bytewise(&wire), want, "records of {size}");
    }
}

/// Netty read the handshake header out of the first record without asking whether it was in there.
#[test]
fn rule_4_the_handshake_header_may_be_cut_anywhere_over_records() {
    let message = Hello::named("a.example.com").message();
    for first in 1..=4 {
        for second in 1..=4 {
            for third in 1..=4 {
                let mut wire = record(22, 0x0301, &message[..first]);
                wire.extend(record(22, 0x0302, &message[first..][..second]));
                wire.extend(record(22, 0x0303, &message[first + second..][..third]));
                wire.extend(record(22, 0x03ff, &message[first + second + third..]));
                let want = Verdict::Name("a.example.com".into(), wire.len());
                assert_eq!(judge_bytewise(&wire), want, "{first}, {second}, {third}");
            }
        }
        // A wrong type in so short a record is refused without waiting for the rest.
        let server_hello = &handshake(2, &[0; 40])[..first];
        let want = malformed("the first handshake message is no ClientHello");
        assert_eq!(judge(&record(22, 0x0301, server_hello)), want);
    }
}

#[test]
fn rule_5_between_the_hellos_records_nothing_else_may_come() {
    let message = Hello::named("a.example.com").message();
    for cut in [1, 3, 4, 60, message.len() - 1] {
        let first = record(22, 0x0301, &message[..cut]);
        for kind in (0..=255).filter(|kind| *kind != 22) {
            let wire = [first.clone(), record(kind, 0x0303, &message[cut..])].concat();
            let want = malformed("record of another type inside the hello");
            assert_eq!(judge_bytewise(&wire), want, "type {kind} at {cut}");
        }
        for version in [0x0201, 0x0401, 0x7f00] {
            let wire = [first.clone(), record(22, version, &message[cut..])].concat();
            let want = malformed("record version is not 3.x inside the hello");
            assert_eq!(judge_bytewise(&wire), want, "version {version:#x} at {cut}");
        }
    }
}

#[test]
fn rule_8_nothing_may_follow_the_hello_in_its_record() {
    let want = malformed("bytes after the hello inside its record");
    let message = Hello::named("a.example.com").message();
    let mut longer = message.clone();
    longer.push(0);
    for size in [longer.len(), 64, 7, 3] {
        // Refused at the header of the record that is too long, not at its end.
        let wire = records(22, 0x0303, &longer, size);
        match longer.len() % size {
            1 => assert_eq!(judge_bytewise(&wire).name(), Some("a.example.com")),
            rest => {
                let last = if rest == 0 { size } else { rest };
                let known = if last == longer.len() { 4 } else { 0 };
                assert_eq!(judge_bytewise(&wire), want, "records of {size}");
                assert_eq!(
                    judge(&wire[..wire.len() - last + known]),
                    want,
                    "records of {size}"
                );
            }
        }
    }
    // Two hellos in one record, too.
    assert_eq!(
        judge(&record(22, 0x0301, &[&message[..], &message].concat())),
        want
    );
}

#[test]
fn rule_8_records_after_the_hello_are_the_upstreams() {
    for hello in [
        Hello::named("a.example.com").wire(),
        Hello::named("a.example.com").wire_in_records_of(50),
    ] {
        let want = Verdict::Name("a.example.com".into(), hello.len());
        for kind in 0..=255 {
            let wire = [hello.clone(), record(kind, 0x0000, &[])].concat();
            assert_eq!(judge_bytewise(&wire), want, "type {kind}");
        }
    }
}

/// Rule 19: a second hello (after HelloRetryRequest) is no hello of ours.
#[test]
fn rule_19_a_second_hello_is_opaque() {
    let first = Hello::named("a.example.com").wire();
    let wire = [first.clone(), Hello::named("b.example.com").wire()].concat();
    assert_eq!(
        judge_bytewise(&wire),
        Verdict::Name("a.example.com".into(), first.len())
    );
}
