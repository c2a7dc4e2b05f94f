//! An alert arrives, whatever the client has sent that nobody read.

use super::{bounded, pair};
use snihub::net::farewell;
use snihub::tls::Alert;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_alert_arrives_with_unread_bytes_on_our_side_and_the_end_is_a_fin() {
    // 48,000 bytes in all: within what is discarded.
    let (mut client, hub, _) = pair().await;
    client.write_all(&[7; 40_000]).await.unwrap();
    hub.readable().await.unwrap();
    let alert = Alert::UnrecognizedName.record();
    let client_side = async move {
        // A client that goes on writing before it reads: a reset would stop it here.
        client.readable().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        client.write_all(&[7; 8_000]).await.expect("no reset");
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.map(|_| seen)
    };
    let (seen, ()) = bounded(async { tokio::join!(client_side, farewell(hub, &alert)) }).await;
    assert_eq!(seen.unwrap(), [21, 3, 3, 0, 2, 2, 112]);
}

/// What `farewell` is for. If this ever fails, the kernel has changed and the lingering close can
/// go.
#[tokio::test]
async fn a_plain_close_with_unread_bytes_is_a_reset() {
    let (mut client, mut hub, _) = pair().await;
    client.write_all(&[7; 40_000]).await.unwrap();
    hub.readable().await.unwrap();
    let alert = Alert::UnrecognizedName.record();
    hub.write_all(&alert).await.unwrap();
    drop(hub);
    let end = bounded(client.read_to_end(&mut Vec::new())).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_never_hangs_up_does_not_hold_it() {
    let (mut client, hub, _) = pair().await;
    bounded(farewell(hub, b"bye")).await;
    let mut seen = Vec::new();
    bounded(client.read_to_end(&mut seen)).await.unwrap();
    assert_eq!(seen, b"bye");
}

#[tokio::test]
async fn a_client_that_sends_for_ever_is_cut_off() {
    let (client, hub, _) = pair().await;
    let (mut reader, mut writer) = client.into_split();
    let flood = async move {
        let mut sent = 0_u64;
        while writer.write_all(&[7; 16_384]).await.is_ok() {
            sent += 16_384;
        }
        sent
    };
    let (_, ()) = bounded(async { tokio::join!(flood, farewell(hub, b"bye")) }).await;
    let mut first = [0; 3];
    // Read or reset by now: either is right, but not a wait.
    let _ = bounded(reader.read_exact(&mut first)).await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_no_trouble() {
    let (client, hub, _) = pair().await;
    snihub::net::sockopt::reset_on_close(&client).unwrap();
    drop(client);
    bounded(farewell(hub, b"bye")).await;
}
