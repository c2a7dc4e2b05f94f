//! However a hello comes in, the stage ends with it, with a refusal, or at its deadline; and the
//! memory it took comes back.

use super::{bounded, data, libpulsar, memory, pair};
use snihub::net::{HelloMemory, sockopt};
use snihub::peek::{PeekFailed, PeekOptions, Peeked, Scratch, peek};
use snihub::refusal::Refusal;
use snihub::tls::LooksLike;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

type Outcome = Result<Peeked, Box<PeekFailed>>;

fn options(limit: Duration) -> PeekOptions {
    PeekOptions {
        max_client_hello: 65_536,
        proxy: None,
        deadline: Instant::now() + limit,
    }
}

/// Runs the stage against a client that does `act`; the client's socket lives until it is over.
async fn stage<F: Future<Output = TcpStream>>(
    memory: &Arc<HelloMemory>,
    limit: Duration,
    act: impl FnOnce(TcpStream) -> F,
) -> Outcome {
    let (client, hub, endpoints) = pair().await;
    let (scratch, options) = (Scratch::new(), options(limit));
    let stage = peek(hub, &scratch, endpoints, &options, memory);
    let (_client, outcome) = bounded(async { tokio::join!(act(client), stage) }).await;
    outcome
}

const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(200);

/// Sends `pieces` with `pause` between them.
async fn send<'a>(
    mut client: TcpStream,
    pieces: impl Iterator<Item = &'a [u8]>,
    pause: Duration,
) -> TcpStream {
    for piece in pieces {
        client.write_all(piece).await.unwrap();
        match pause {
            Duration::ZERO => tokio::task::yield_now().await,
            pause => sleep(pause).await,
        }
    }
    client
}

fn name_of(peeked: &Peeked) -> &str {
    peeked.hello.server_name.as_ref().unwrap().as_str()
}

#[tokio::test]
async fn a_hello_of_1544_bytes_comes_as_1448_and_96_300_ms_apart() {
    let (memory, hello) = (memory(), libpulsar());
    let (first, second) = hello.split_at(1448);
    let peeked = stage(&memory, LONG, |client| {
        send(
            client,
            [first, second].into_iter(),
            Duration::from_millis(300),
        )
    })
    .await
    .unwrap();
    assert_eq!(name_of(&peeked), "9999.fate.org");
    assert_eq!(peeked.preface.as_bytes(), hello);
    assert_eq!(sockopt::receive_low_water(&peeked.stream).unwrap(), 1);
    assert!(memory.used() >= hello.len());
    drop(peeked);
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn a_hello_comes_byte_by_byte() {
    let (memory, hello) = (memory(), libpulsar());
    let peeked = stage(&memory, LONG, |client| {
        send(client, hello.chunks(1), Duration::ZERO)
    })
    .await
    .unwrap();
    assert_eq!(name_of(&peeked), "9999.fate.org");
    assert_eq!(peeked.preface.as_bytes(), hello);
    assert_eq!(sockopt::receive_low_water(&peeked.stream).unwrap(), 1);
}

#[tokio::test]
async fn a_hello_comes_in_records_of_one_byte() {
    let (memory, hello) = (memory(), libpulsar());
    let records: Vec<u8> = hello[5..]
        .iter()
        .flat_map(|b| [22, 3, 1, 0, 1, *b])
        .collect();
    for pieces in [records.len(), 7] {
        let peeked = stage(&memory, LONG, |client| {
            send(client, records.chunks(pieces), Duration::ZERO)
        })
        .await
        .unwrap();
        assert_eq!(name_of(&peeked), "9999.fate.org");
        assert_eq!(peeked.preface.as_bytes(), records);
    }
    assert_eq!(memory.used(), 0);
}

/// What a sender of single bytes costs: while it sends, nobody is woken. Unless the kernel is short
/// of TCP memory (`tcp_rmem_pressure`), as it may be while other tests fill their sockets: then it
/// wakes whoever could take some out, and another try tells.
#[tokio::test]
async fn a_slow_sender_wakes_nobody_until_what_is_missing_is_in() {
    let mut polls = u32::MAX;
    for _ in 0..5 {
        polls = polls.min(polls_for_a_slow_sender().await);
        // First byte, record header, handshake header, the record, and readiness that was stale.
        if polls <= 12 {
            return;
        }
    }
    panic!("{polls} polls at least");
}

async fn polls_for_a_slow_sender() -> u32 {
    let (mut client, hub, endpoints) = pair().await;
    let hello = libpulsar();
    let polls = Rc::new(Cell::new(0));
    // A task of its own: nothing but its own wake-ups polls it.
    let tasks = LocalSet::new();
    let stage = tasks.spawn_local(count_polls::counted(polls.clone(), async move {
        let (scratch, options, memory) = (Scratch::new(), options(LONG), memory());
        peek(hub, &scratch, endpoints, &options, &memory).await
    }));
    let sender = async {
        for (n, byte) in hello.iter().enumerate() {
            client.write_all(std::slice::from_ref(byte)).await.unwrap();
            // The first bytes alone, so that the stage sees a slow sender and not a whole hello.
            if n < 20 {
                sleep(Duration::from_millis(5)).await;
            } else if n % 4 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let both = async { tokio::join!(sender, stage) };
    let ((), peeked) = bounded(tasks.run_until(both)).await;
    assert_eq!(peeked.unwrap().unwrap().preface.as_bytes(), hello);
    polls.get()
}

#[tokio::test]
async fn early_data_is_owed_to_the_upstream_up_to_one_read_and_the_rest_stays_in_the_socket() {
    let memory = memory();
    let flight = data("conformance/captures/openssl-3.0.19-early-data.flight");
    let more = [flight.as_slice(), &[9; 50_000]].concat();
    let mut peeked = stage(&memory, LONG, |client| {
        send(client, [&more[..]].into_iter(), SHORT)
    })
    .await
    .unwrap();
    let mut all = peeked.preface.as_bytes().to_vec();
    assert!(all.len() > peeked.hello.wire_len && all.len() <= 2 * 16_384);
    peeked.stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, more);
}

/// A read that left room is the socket's word that it is empty, one that filled the buffer is none.
#[tokio::test]
async fn what_a_full_read_left_in_the_socket_is_told() {
    let flight = data("conformance/captures/openssl-3.0.19-early-data.flight");
    let more = [flight.as_slice(), &[9; 30_000]].concat();
    for (sent, told) in [
        (16_383, false),
        (16_384, true),
        (16_385, true),
        (30_000, true),
    ] {
        let (memory, scratch) = (memory(), Scratch::new());
        let (mut client, hub, endpoints) = pair().await;
        client.write_all(&more[..sent]).await.unwrap();
        bounded(async {
            while sockopt::unread(&hub) < sent as u64 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let options = options(LONG);
        let peeked = bounded(peek(hub, &scratch, endpoints, &options, &memory)).await;
        let peeked = peeked.unwrap();
        assert_eq!(peeked.preface.as_bytes().len(), sent.min(16_384));
        let mut cx = Context::from_waker(Waker::noop());
        let ready = peeked.stream.poll_read_ready(&mut cx).is_ready();
        assert_eq!(ready, told, "{sent} bytes");
    }
}

#[tokio::test]
async fn silence_and_slowness_end_at_the_deadline() {
    let (memory, hello) = (memory(), libpulsar());
    for sent in [0, 1, 5, 9, 1448, 1543] {
        let failed = stage(&memory, SHORT, |client| {
            send(
                client,
                [&hello[..sent]].into_iter().filter(|b| !b.is_empty()),
                SHORT * 2,
            )
        })
        .await
        .unwrap_err();
        assert_eq!(failed.refusal, Refusal::TooSlow);
        assert_eq!(failed.bytes_received, sent as u64);
        assert_eq!(sockopt::receive_low_water(&failed.stream).unwrap(), 1);
        drop(failed);
        assert_eq!(memory.used(), 0);
    }
}

/// One byte now and then does not move the deadline.
#[tokio::test]
async fn the_deadline_is_absolute() {
    let (memory, hello) = (memory(), libpulsar());
    let begin = Instant::now();
    let failed = stage(&memory, SHORT, |client| {
        send(client, hello[..40].chunks(1), Duration::from_millis(10))
    })
    .await
    .unwrap_err();
    assert_eq!(failed.refusal, Refusal::TooSlow);
    assert!(
        failed.bytes_received < 40,
        "{:?} after {:?}",
        failed,
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_told_apart_with_fin_and_with_reset() {
    let (memory, hello) = (memory(), libpulsar());
    for reset in [false, true] {
        for sent in [0, 3, 700] {
            let failed = stage(&memory, LONG, async |mut client: TcpStream| {
                for byte in hello[..sent].chunks(1) {
                    client.write_all(byte).await.unwrap();
                    tokio::task::yield_now().await;
                }
                // Long enough that the stage sleeps on its low-water mark.
                sleep(Duration::from_millis(20)).await;
                if reset {
                    sockopt::reset_on_close(&client).unwrap();
                }
                drop(client);
                pair().await.0
            })
            .await
            .unwrap_err();
            assert_eq!(failed.refusal, Refusal::ClientLeft);
            assert!(failed.bytes_received <= sent as u64);
            drop(failed);
            assert_eq!(memory.used(), 0);
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let memory = memory();
    let cases: [(&[u8], Refusal); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", Refusal::NotTls(LooksLike::Http)),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            Refusal::NotTls(LooksLike::ProxyHeader),
        ),
        (
            &[21, 3, 3, 0, 2, 2, 70],
            Refusal::NotTls(LooksLike::OtherTlsRecord),
        ),
        (&[0], Refusal::NotTls(LooksLike::Unknown)),
        (&[22, 3, 1, 0, 0], Refusal::Malformed("")),
        (&[22, 3, 1, 0x40, 1], Refusal::TooLarge("")),
    ];
    for (bytes, want) in cases {
        let failed = stage(&memory, LONG, |client| {
            send(client, [bytes].into_iter(), Duration::ZERO)
        })
        .await
        .unwrap_err();
        assert_eq!(failed.refusal.label(), want.label());
        if let Refusal::NotTls(_) = want {
            assert_eq!(failed.refusal, want);
        }
        assert_eq!(failed.bytes_received, bytes.len() as u64);
    }
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn hello_memory_is_bounded_for_all_together_and_comes_back() {
    let (memory, hello) = (HelloMemory::new(5000), libpulsar());
    let whole = || {
        stage(&memory, LONG, |client| {
            send(client, [&hello[..]].into_iter(), Duration::ZERO)
        })
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(whole().await.unwrap());
    }
    assert_eq!(memory.used(), 3 * 1544);
    let failed = whole().await.unwrap_err();
    assert_eq!(failed.refusal, Refusal::OverLimit("limits.hello_memory"));
    held.pop();
    held.push(whole().await.unwrap());
    held.truncate(1);
    // In pieces the buffer counts as a whole: 2 KiB.
    let in_pieces = stage(&memory, LONG, |client| {
        send(client, hello.chunks(800), Duration::from_millis(20))
    });
    held.push(in_pieces.await.unwrap());
    assert_eq!(memory.used(), 1544 + 2048);
    held.clear();
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn every_capture_is_read_in_one_write_and_in_two() {
    let (memory, mut captures) = (memory(), 0);
    let dir = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/conformance/captures"
    );
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "bin") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for cut in [bytes.len(), bytes.len() / 2] {
            let (first, second) = bytes.split_at(cut);
            let pieces = [first, second]
                .into_iter()
                .filter(|piece| !piece.is_empty());
            let pause = Duration::from_millis(5);
            let peeked = stage(&memory, LONG, |client| send(client, pieces, pause)).await;
            let peeked = peeked.unwrap_or_else(|e| panic!("{}: {}", path.display(), e.refusal));
            let owed = peeked.preface.as_bytes();
            assert!(owed.len() >= peeked.hello.wire_len && bytes.starts_with(owed));
        }
        captures += 1;
    }
    assert_eq!(captures, 37);
}

/// Counts how often a future is polled.
mod count_polls {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::rc::Rc;

    pub(super) async fn counted<F: Future>(polls: Rc<Cell<u32>>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            future.as_mut().poll(cx)
        })
        .await
    }
}
