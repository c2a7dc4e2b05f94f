//! Every conformance case and every capture gets its wanted verdict, under every segmentation and
//! every re-split into records that the conformance text names.

use crate::support::corpus::{Case, captures, cases};
use crate::support::judge::{
    MAX_HELLO, Verdict, judge, judge_at, judge_by_need, judge_bytewise, resplit,
};
use snihub::tls::{HelloError, LooksLike, looks_like};

/// Cases of which two verdicts are right by the RFCs, and the rule that decides here.
const DECIDED: [(&str, &str); 6] = [
    ("04a ssl3.0 hello rec3.0 with ext", "a"), // rule 9: the minor is free
    ("06d hello ver 0305", "a"),               // rule 9
    ("08 1-byte records", "a"),                // rule 4
    ("20a type1 then host", "rej"),            // rule 14
    ("24v hyphen ends", "name"),               // rule 15
    ("33 PSK not last", "a"),                  // rule 13
];

/// Refused cases that are not `Malformed`, by the beginning of their name.
const NOT_TLS: [&str; 5] = ["06b ", "29 ", "30a ", "31b ", "31c "];
const TOO_LARGE: [&str; 1] = ["13b "];

fn wanted(case: &Case) -> &str {
    match DECIDED.iter().find(|(name, _)| *name == case.name) {
        Some((_, want)) => {
            assert!(
                case.want.split('|').any(|w| w == *want),
                "{}: {}",
                case.name,
                case.want
            );
            want
        }
        None => &case.want,
    }
}

fn assert_wanted(case: &Case, verdict: &Verdict) {
    let starts = |names: &[&str]| names.iter().any(|start| case.name.starts_with(start));
    let right = match (wanted(case), verdict) {
        ("a", Verdict::Name(name, _)) => name == "a.example.com",
        ("name", Verdict::Name(..)) | ("nosni", Verdict::NoName(_)) => true,
        ("wait", Verdict::Wait(need)) => *need > case.bytes.len(),
        ("rej", Verdict::Refused(HelloError::NotTls)) => starts(&NOT_TLS),
        ("rej", Verdict::Refused(HelloError::TooLarge(_))) => starts(&TOO_LARGE),
        ("rej", Verdict::Refused(HelloError::Malformed(_))) => {
            !starts(&NOT_TLS) && !starts(&TOO_LARGE)
        }
        _ => false,
    };
    assert!(
        right,
        "{}: wanted {}, got {verdict:?}",
        case.name,
        wanted(case)
    );
}

/// The same verdict byte by byte, by need, and cut in two at every position.
fn assert_steady(what: &str, bytes: &[u8], verdict: &Verdict) {
    assert_eq!(judge_bytewise(bytes), *verdict, "{what}: byte by byte");
    assert_eq!(
        judge_by_need(bytes, MAX_HELLO).0,
        *verdict,
        "{what}: by need"
    );
    for cut in 0..bytes.len() {
        let got = judge_at(bytes, [cut, bytes.len()], MAX_HELLO);
        assert_eq!(got, *verdict, "{what}: cut at {cut}");
    }
}

/// The same outcome in records of 1, 16 and 64 bytes, each under every segmentation again. Gives
/// how many re-splits rule 7 let through.
fn assert_resplits(what: &str, bytes: &[u8], verdict: &Verdict) -> usize {
    let (Verdict::Name(_, wire_len) | Verdict::NoName(wire_len)) = *verdict else {
        return 0;
    };
    let splits = [1, 16, 64]
        .into_iter()
        .filter_map(|size| resplit(bytes, wire_len, size));
    splits
        .map(|split| {
            let tail = bytes.len() - wire_len;
            let again = judge(&split);
            assert_eq!(again.outcome(), verdict.outcome(), "{what}, re-split");
            let (Verdict::Name(_, len) | Verdict::NoName(len)) = again else {
                unreachable!()
            };
            assert_eq!(len, split.len() - tail, "{what}, re-split: wire_len");
            // Cutting 120 KB everywhere and joining it again each time is quadratic: byte by byte
            // and by need pass every position, cuts stop where the hello is no longer small.
            if split.len() <= 4096 {
                assert_steady(what, &split, &again);
            } else {
                assert_eq!(judge_bytewise(&split), again, "{what}, re-split");
                assert_eq!(
                    judge_by_need(&split, MAX_HELLO).0,
                    again,
                    "{what}, re-split"
                );
            }
        })
        .count()
}

#[test]
fn every_case_gets_its_verdict_under_every_segmentation_and_split() {
    let mut resplits = 0;
    for case in cases() {
        let verdict = judge(&case.bytes);
        assert_wanted(&case, &verdict);
        assert_steady(&case.name, &case.bytes, &verdict);
        resplits += assert_resplits(&case.name, &case.bytes, &verdict);
    }
    let decided = cases()
        .iter()
        .filter(|case| case.want.contains('|'))
        .count();
    assert_eq!(
        decided,
        DECIDED.len(),
        "every either-or case is decided by a rule"
    );
    assert_eq!(
        resplits, 81,
        "27 cases carry a hello, and all fit in 1-byte records"
    );
}

#[test]
fn every_client_is_heard_by_the_name_it_sent() {
    for capture in captures("bin") {
        let verdict = judge(&capture.bytes);
        let want = match capture.sni.as_deref() {
            // Rule 16: OpenSSL sends the literal it was given.
            None | Some("127.0.0.1") => Verdict::NoName(capture.bytes.len()),
            Some(sni) => Verdict::Name(sni.to_ascii_lowercase(), capture.bytes.len()),
        };
        assert_eq!(verdict, want, "{}", capture.file);
        assert_steady(&capture.file, &capture.bytes, &verdict);
        assert_eq!(assert_resplits(&capture.file, &capture.bytes, &verdict), 3);
    }
}

#[test]
fn early_data_after_the_hello_is_not_ours() {
    for capture in captures("flight") {
        let verdict = judge(&capture.bytes);
        let Verdict::Name(name, wire_len) = &verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(name, "9999.fate.org");
        // Change_cipher_spec begins right there.
        assert_eq!(capture.bytes[*wire_len..][..6], [20, 3, 3, 0, 1, 1]);
        assert_steady(&capture.file, &capture.bytes, &verdict);
        assert_eq!(assert_resplits(&capture.file, &capture.bytes, &verdict), 3);
    }
}

#[test]
fn clients_that_speak_something_else_are_refused_at_their_first_byte_and_recognised() {
    let speaks = [
        ("java-17-sslv2hello.notls", LooksLike::SslV2),
        ("notls-h2c-grpc.notls", LooksLike::Http2),
        ("notls-http-get.notls", LooksLike::Http),
        ("notls-pulsar-plain.notls", LooksLike::Pulsar),
    ];
    for (capture, (file, speaks)) in captures("notls").iter().zip(speaks) {
        assert_eq!(capture.file, file);
        assert_eq!(
            judge(&capture.bytes[..1]),
            Verdict::Refused(HelloError::NotTls),
            "{file}"
        );
        assert_steady(file, &capture.bytes, &Verdict::Refused(HelloError::NotTls));
        assert_eq!(looks_like(&capture.bytes), speaks, "{file}");
    }
    for case in cases()
        .iter()
        .filter(|case| NOT_TLS.iter().any(|n| case.name.starts_with(n)))
    {
        let want = match &case.name[..3] {
            "06b" => LooksLike::Unknown,
            "29 " => LooksLike::SslV2,
            "30a" => LooksLike::ProxyHeader,
            "31b" => LooksLike::Ssh,
            "31c" => LooksLike::OtherTlsRecord,
            _ => unreachable!(),
        };
        assert_eq!(looks_like(&case.bytes), want, "{}", case.name);
    }
}
