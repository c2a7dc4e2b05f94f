//! Real hellos, spread over records and damaged at random.

use super::corpus::captures;
use super::hello::MAX_RECORD;
use super::judge::{Verdict, judge, resplit};
use proptest::prelude::*;

/// A capture, its records left alone or spread anew.
pub(crate) fn any_wire() -> impl Strategy<Value = Vec<u8>> {
    let wires: Vec<Vec<u8>> = captures("bin")
        .into_iter()
        .chain(captures("flight"))
        .chain(captures("notls"))
        .map(|capture| capture.bytes)
        .filter(|bytes| bytes.len() < MAX_RECORD)
        .collect();
    assert_eq!(wires.len(), 41, "all captures but the one of 20 KB");
    let split = prop_oneof![Just(None), (1..600usize).prop_map(Some)];
    (prop::sample::select(wires), split).prop_map(|(wire, split)| match (judge(&wire), split) {
        (Verdict::Name(_, len) | Verdict::NoName(len), Some(size)) => {
            resplit(&wire, len, size).unwrap()
        }
        _ => wire,
    })
}

#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Truncate(prop::sample::Index),
    /// Among the first 64 bytes, where the structure is dense.
    SetEarly(usize, u8),
}

pub(crate) fn any_mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (0..64usize, any::<u8>()).prop_map(|(at, byte)| Mutation::SetEarly(at, byte)),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => index().prop_map(Mutation::Remove),
        1 => index().prop_map(Mutation::Truncate),
    ]
}

pub(crate) fn mutate(wire: &mut Vec<u8>, mutation: &Mutation) {
    if wire.is_empty() {
        return;
    }
    let len = wire.len();
    match *mutation {
        Mutation::Set(at, byte) => wire[at.index(len)] = byte,
        Mutation::SetEarly(at, byte) => wire[at.min(len - 1)] = byte,
        Mutation::Insert(at, byte) => wire.insert(at.index(len), byte),
        Mutation::Remove(at) => drop(wire.remove(at.index(len))),
        Mutation::Truncate(at) => wire.truncate(at.index(len)),
    }
}
