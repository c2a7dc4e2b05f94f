//! Parse and name check of one hello, beside tls-parser and rustls on the same bytes.
//!
//! `cargo bench --bench hello`. The ratios are what counts: all three run interleaved on the same
//! machine, absolute times drift. Each competitor goes from raw bytes to a judged name.

#[path = "support/hellos.rs"]
mod hellos;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hellos::{built, parse};
use snihub::tls::ServerName;
use std::hint::black_box;
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_client_hello_extensions,
    parse_tls_plaintext,
};

/// A committed capture's path.
macro_rules! capture {
    ($file:literal) => {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/conformance/captures/",
            $file
        )
    };
}

fn by_tls_parser(raw: &[u8]) -> Option<ServerName> {
    let (_, record) = parse_tls_plaintext(raw).ok()?;
    let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) = record.msg.first()? else {
        return None;
    };
    let (_, extensions) = parse_tls_client_hello_extensions(hello.ext?).ok()?;
    let names = extensions.iter().find_map(|extension| match extension {
        TlsExtension::SNI(names) => Some(names),
        _ => None,
    })?;
    ServerName::parse(names.first()?.1).ok()
}

fn by_rustls(mut raw: &[u8]) -> Option<ServerName> {
    let mut acceptor = rustls::server::Acceptor::default();
    acceptor.read_tls(&mut raw).ok()?;
    let accepted = acceptor.accept().ok()??;
    ServerName::parse(accepted.client_hello().server_name()?.as_bytes()).ok()
}

fn inputs() -> [(&'static str, Vec<u8>); 6] {
    const NAME: &str = "9999.fate.org";
    [
        ("160 B, built", built(NAME, 160)),
        (
            "166 B, rustls",
            include_bytes!(capture!("rustls-0.23-tls12.bin")).to_vec(),
        ),
        (
            "319 B, openssl",
            include_bytes!(capture!("openssl-3.0.19-s_client.bin")).to_vec(),
        ),
        ("344 B, built", built(NAME, 344)),
        (
            "1787 B, chrome",
            include_bytes!(capture!("curlcffi-chrome124.bin")).to_vec(),
        ),
        ("1800 B, built", built(NAME, 1800)),
    ]
}

fn judged(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hello");
    for (label, wire) in inputs() {
        let want = ServerName::parse(b"9999.fate.org").ok();
        let mut joined = Vec::new();
        assert_eq!(parse(&wire, &mut joined), want, "{label}");
        assert_eq!(by_tls_parser(&wire), want, "{label}");
        assert_eq!(by_rustls(&wire), want, "{label}");

        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_with_input(BenchmarkId::new("snihub", label), &wire, |b, wire| {
            b.iter(|| parse(black_box(wire), &mut joined));
        });
        group.bench_with_input(BenchmarkId::new("tls-parser", label), &wire, |b, wire| {
            b.iter(|| by_tls_parser(black_box(wire)));
        });
        group.bench_with_input(BenchmarkId::new("rustls", label), &wire, |b, wire| {
            b.iter(|| by_rustls(black_box(wire)));
        });
    }
    group.finish();
}

criterion_group!(benches, judged);
criterion_main!(benches);
