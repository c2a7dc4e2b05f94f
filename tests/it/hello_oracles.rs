//! Rule 24: on what both accept, the name is the oracle's, and where only one accepts, it is in a
//! closed list with its reason.

use crate::support::corpus::{captures, cases};
use crate::support::hello::Hello;
use crate::support::judge::{Verdict, judge, resplit};
use crate::support::mutation::{any_mutation, any_wire, mutate};
use crate::support::oracles::{self, Says};
use proptest::prelude::*;
use snihub::tls::HelloError;

/// Cases that rustls refuses and we do not: they are the upstream's to judge.
const RUSTLS_STRICTER: [&str; 4] = [
    "16b no ext block (1.2)", // no signature_algorithms
    "16c ext block len 0",    // no signature_algorithms
    "24v hyphen ends",        // rule 15 lets hyphens stand anywhere
    "33 PSK not last",        // rule 13
];

/// Cases that tls-parser accepts and we do not, each by the rule in front.
const STRICTER_THAN_TLS_PARSER: [(u8, &str); 19] = [
    (2, "06b rec ver 0200"),
    (2, "06b rec ver 7f00"),
    (3, "10 zero-len record between"),
    (3, "10b zero-len record first"),
    (14, "17b SNI list len 0"),
    (14, "20a type1 then host"),
    (14, "22 trailing bytes after list"),
    (13, "23 duplicate SNI ext a,b"),
    (13, "23b duplicate SNI a,a"),
    (15, "24i 256 bytes"),
    (15, "24j 1000 bytes"),
    (15, "24m double dot"),
    (15, "24n space"),
    (15, "24p star"),
    (15, "24q 64-char label"),
    (15, "24s port"),
    (12, "27b ext total long"),
    (10, "28c zero ciphers"),
    (14, "40b smuggle: sni ext_len > list (fake ext inside)"),
];

/// The rules by which we refuse hellos that rustls accepts. None of the cases or captures is one:
/// only damaging them finds any.
const STRICTER_THAN_RUSTLS: [(u8, &str); 2] = [
    (9, "client_version is not 3.x"),
    // rustls skips all that follows a name type which it does not know.
    (14, "a second name, or bytes, after the host_name"),
];

fn ours(bytes: &[u8]) -> (Says, &'static str) {
    match judge(bytes) {
        Verdict::Name(name, _) => (Says::Hello(Some(name)), ""),
        Verdict::NoName(_) => (Says::Hello(None), ""),
        Verdict::Refused(HelloError::NotTls) => (Says::Refused, "not TLS"),
        Verdict::Refused(HelloError::Malformed(why) | HelloError::TooLarge(why)) => {
            (Says::Refused, why)
        }
        Verdict::Wait(_) => (Says::Wait, ""),
    }
}

/// Every case and capture, by name.
fn inputs() -> Vec<(String, Vec<u8>)> {
    let cases = cases().into_iter().map(|case| (case.name, case.bytes));
    let captures = ["bin", "flight", "notls"].into_iter().flat_map(captures);
    let inputs: Vec<_> = cases.chain(captures.map(|c| (c.file, c.bytes))).collect();
    assert_eq!(inputs.len(), 58 + 37 + 1 + 4);
    inputs
}

/// Asserts the same name where both accept; gives the inputs that only one accepts: (only the
/// oracle, only we).
fn compare(oracle: fn(&[u8]) -> Says) -> (Vec<String>, Vec<String>) {
    let (mut only_oracle, mut only_we, mut both) = (Vec::new(), Vec::new(), 0);
    for (name, bytes) in inputs() {
        match (ours(&bytes).0, oracle(&bytes)) {
            (Says::Hello(ours), Says::Hello(theirs)) => {
                assert_eq!(ours, theirs, "{name}");
                both += 1;
            }
            (Says::Hello(_), _) => only_we.push(name),
            (_, Says::Hello(_)) => only_oracle.push(name),
            _ => {}
        }
    }
    assert!(both >= 60, "only {both} inputs were accepted by both");
    (only_oracle, only_we)
}

#[test]
fn rustls_hears_the_same_name_in_every_case_and_capture() {
    let (only_rustls, only_we) = compare(oracles::rustls);
    assert_eq!(only_rustls, [""; 0]);
    assert_eq!(only_we, RUSTLS_STRICTER);
}

#[test]
fn tls_parser_hears_the_same_name_and_refuses_less() {
    let (only_tls_parser, only_we) = compare(oracles::tls_parser);
    assert_eq!(
        only_tls_parser,
        STRICTER_THAN_TLS_PARSER.map(|(_, name)| name)
    );
    assert_eq!(only_we, [""; 0]);
}

#[test]
fn rustls_hears_the_same_name_however_the_hello_is_spread_over_records() {
    for (name, bytes) in inputs().iter().filter(|(_, bytes)| bytes.len() < 4096) {
        let (Verdict::Name(_, len) | Verdict::NoName(len)) = judge(bytes) else {
            continue;
        };
        for size in [1, 3, 16, 64, 500] {
            let split = resplit(bytes, len, size).unwrap();
            if let Says::Hello(theirs) = oracles::rustls(&split) {
                assert_eq!(
                    ours(&split).0,
                    Says::Hello(theirs),
                    "{name} in records of {size}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 4096, ..ProptestConfig::default()
    })]

    #[test]
    fn on_damaged_hellos_too_the_name_is_the_oracles(
        mut wire in any_wire(),
        mutations in prop::collection::vec(any_mutation(), 1..4),
    ) {
        for mutation in &mutations {
            mutate(&mut wire, mutation);
        }
        let (ours, why) = ours(&wire);
        match (&ours, oracles::rustls(&wire)) {
            (Says::Hello(ours), Says::Hello(theirs)) => prop_assert_eq!(ours, &theirs),
            (Says::Hello(_), theirs) => prop_assert_eq!(theirs, Says::Refused),
            (Says::Wait, theirs) => prop_assert!(!matches!(theirs, Says::Hello(_))),
            (Says::Refused, Says::Hello(_)) => {
                let listed = STRICTER_THAN_RUSTLS.iter().any(|(_, reason)| *reason == why);
                prop_assert!(listed, "refused for {}, and rustls accepts", why);
            }
            (Says::Refused, _) => {}
        }
        if let (Says::Hello(ours), Says::Hello(theirs)) = (&ours, oracles::tls_parser(&wire)) {
            prop_assert_eq!(ours, &theirs);
        }
    }

    /// What rustls takes for a name is one to us, the same; what it takes for none (an address) is
    /// none to us.
    #[test]
    fn names_are_judged_as_rustls_judges_them(name in "[aA019xf._:* %\\[\\]\u{0}-]{1,12}") {
        let wire = Hello::named(&name).wire();
        if let theirs @ Says::Hello(_) = oracles::rustls(&wire) {
            prop_assert_eq!(ours(&wire).0, theirs);
        }
    }
}
