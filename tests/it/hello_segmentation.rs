//! The verdict depends on the bytes alone, and the work on their number: never on how they came.

use crate::support::hello::Hello;
use crate::support::judge::{MAX_HELLO, Verdict, judge, judge_at, judge_by_need, judge_bytewise};
use crate::support::mutation::{any_mutation, any_wire, mutate};
use proptest::prelude::*;
use snihub::tls::{HelloParser, Step};

/// What may be asked for, worked out from the records alone: the first byte, each record header,
/// the four bytes of the handshake header wherever they lie, each record.
fn decision_points(wire: &[u8]) -> Vec<usize> {
    let (mut points, mut at, mut message) = (vec![1], 0, 0);
    while at < wire.len() {
        let len = usize::from(u16::from_be_bytes([wire[at + 3], wire[at + 4]]));
        points.push(at + 5);
        if message < 4 {
            points.push(at + 5 + len.min(4 - message));
        }
        points.push(at + 5 + len);
        message += len;
        at += 5 + len;
    }
    points.dedup();
    points
}

#[test]
fn what_is_asked_for_is_exactly_what_the_next_decision_needs() {
    let hello = Hello::named("a.example.com").padded_to(516);
    for size in [1, 2, 3, 4, 5, 64, 515, 516] {
        let wire = hello.wire_in_records_of(size);
        let (verdict, needs) = judge_by_need(&wire, MAX_HELLO);
        assert_eq!(verdict.name(), Some("a.example.com"));
        assert_eq!(needs, decision_points(&wire), "records of {size}");
    }
    let (_, needs) = judge_by_need(&hello.wire(), MAX_HELLO);
    assert_eq!(needs, [1, 5, 9, 521]);
}

/// A call that does not meet the need is answered without looking at the bytes: they can be
/// anything, and so can be, at any time, those of records that were taken over. So each byte of a
/// record is judged in one call, and every call in between costs nothing.
#[test]
fn no_byte_is_looked_at_twice() {
    let hello = Hello::named("a.example.com").padded_to(516);
    for size in [1, 2, 3, 5, 64, 300, 516] {
        let wire = hello.wire_in_records_of(size);
        let (mut parser, mut joined) = (HelloParser::new(MAX_HELLO), Vec::new());
        let mut raw = Vec::new();
        let (mut need, mut effective, mut record) = (0, 0, 0);
        for byte in &wire {
            raw.push(*byte);
            let mut shown = raw.clone();
            shown[..record].fill(0xff);
            if raw.len() < need {
                shown[1..].fill(0xff);
            } else {
                effective += 1;
            }
            match parser.advance(&shown, &mut joined) {
                Ok(Step::More(more)) => need = more,
                Ok(Step::Hello(hello)) => {
                    assert_eq!(raw.len(), wire.len());
                    assert_eq!(hello.server_name.unwrap().as_str(), "a.example.com");
                }
                Err(error) => panic!("records of {size}, {} bytes: {error}", raw.len()),
            }
            // `need` at a record's header means that all before it was taken over.
            if need > raw.len() && raw.len().is_multiple_of(size + 5) {
                record = raw.len();
            }
        }
        assert_eq!(effective, decision_points(&wire).len(), "records of {size}");
        let records = 516usize.div_ceil(size);
        assert!(
            effective <= 2 * records + 5,
            "{effective} parses for {records} records"
        );
        match records {
            1 => assert_eq!(joined.capacity(), 0, "one record is parsed where it lies"),
            _ => assert_eq!(joined, hello.message(), "each byte was joined once"),
        }
    }
}

#[test]
fn scratch_that_was_used_before_does_no_harm() {
    let hello = Hello::named("a.example.com");
    let mut joined = vec![0xaa; 5000];
    for wire in [
        hello.wire_in_records_of(30),
        hello.wire(),
        hello.wire_in_records_of(3),
    ] {
        let Ok(Step::Hello(hello)) = HelloParser::new(MAX_HELLO).advance(&wire, &mut joined) else {
            panic!("a whole hello");
        };
        assert_eq!(hello.server_name.unwrap().as_str(), "a.example.com");
        assert_eq!(hello.wire_len, wire.len());
    }
}

#[test]
fn a_hello_in_two_segments_is_heard() {
    let wire = Hello::named("9999.fate.org").padded_to(1539).wire();
    assert_eq!(wire.len(), 1544);
    assert_eq!(judge(&wire[..1448]), Verdict::Wait(1544));
    let want = Verdict::Name("9999.fate.org".into(), 1544);
    assert_eq!(judge_at(&wire, [1448, 1544], MAX_HELLO), want);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_segmentation_gives_the_same_verdict(
        wire in any_wire(),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut ends: Vec<usize> = cuts.drain(..).map(|cut| cut.index(wire.len())).collect();
        ends.push(wire.len());
        ends.sort_unstable();
        prop_assert_eq!(judge_at(&wire, ends, MAX_HELLO), judge(&wire));
    }

    #[test]
    fn mutated_hellos_never_panic_and_never_depend_on_segmentation(
        mut wire in any_wire(),
        mutations in prop::collection::vec(any_mutation(), 1..6),
        max in prop_oneof![Just(MAX_HELLO), 1..4000usize],
    ) {
        for mutation in &mutations {
            mutate(&mut wire, mutation);
        }
        let verdict = judge_at(&wire, [wire.len()], max);
        prop_assert_eq!(&judge_at(&wire, 0..=wire.len(), max), &verdict);
        prop_assert_eq!(&judge_by_need(&wire, max).0, &verdict);
    }

    #[test]
    fn any_bytes_at_all_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(judge_bytewise(&bytes), judge(&bytes));
        let record = [&[22, 3, 1, 1, 144, 1, 0, 1, 140, 3, 3][..], &bytes].concat();
        prop_assert_eq!(judge_bytewise(&record), judge(&record));
    }
}
