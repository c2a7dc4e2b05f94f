//! The star in one process: parties that talk TLS, and the real hub between them.
//!
//! ```text
//!  9999.fate.test --+                     +-- 10000.fate.test
//!                   +-- hub (server::run) +
//!                                         +-- 10001.fate.test, as soon as sni.yaml has it
//! ```
//! The hub is started as a user would start it: from files, on a port of its own, with no way to
//! know what the parties know. Its side of the story is taken from its log; the parties' sides from
//! their sockets and hashes; [`measured`] holds the three against each other.

mod counted;
mod data;
mod exchange;
mod hub;
mod link;
mod measured;
mod party;
mod progress;
mod serve;
mod star;
mod table;
mod tempdir;
mod trials;
mod wire;
mod witness;

use measured::{LinkRow, Measured};
use progress::Progress;
use star::{Exchanging, NAMES, Open, Star};
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Payload bytes each way, at least: of each of the first two links, and of a newcomer's.
const LARGE: u64 = if cfg!(debug_assertions) {
    8 << 20
} else {
    128 << 20
};
const SMALL: u64 = LARGE / 4;

/// The first links have moved this part of their data when the newcomer joins.
const BEFORE_JOINING: u64 = LARGE;

/// How a demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Everything was as it should be.
    Right,
    /// Something was not; the report says what.
    Wrong,
    /// SIGINT, SIGTERM or SIGHUP before the report.
    Interrupted,
}

/// Runs the demo: steps on stderr, the report on stdout. With `hold` the star stays up afterwards
/// until SIGINT, SIGTERM or SIGHUP. Nothing stays on disk, however it ends.
///
/// # Errors
/// When it could not be run at all: no port, no thread, no temporary directory.
pub fn run(hold: bool) -> anyhow::Result<Finish> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anything is on disk.
        let interrupted = interrupts()?;
        let Some(run) = interrupted.run_until_cancelled(measure()).await else {
            return Ok(Finish::Interrupted);
        };
        let (star, measured) = run?;
        say(&table::report(&measured, &star.witness.complaints(20)));
        if hold {
            say(&invitation(&star));
            star.witness.aloud(true);
            interrupted.cancelled().await;
            star.witness.aloud(false);
        }
        Ok(if measured.faults().is_empty() {
            Finish::Right
        } else {
            Finish::Wrong
        })
    })
}

/// The whole story.
async fn measure() -> anyhow::Result<(Star, Measured)> {
    let progress = Progress::new();
    progress.step("a throwaway CA, three certificates, three parties, one hub");
    let star = Star::start().await?;
    progress.step(&format!(
        "the hub listens on {}; two parties call each other by name",
        star.hub.address
    ));
    // One after the other: the second is not to disturb the first one's measurement.
    let first = [
        star.open([0, 1], LARGE, false).await,
        star.open([1, 0], LARGE, false).await,
    ];

    progress.step("both send hashed data to the other, in both directions at once");
    star.pace.held.store(true, Relaxed);
    let mut links = Vec::new();
    let standing = begin(&star, first, &mut links);
    let mut trials = vec![trials::not_yet(&star).await];
    let until_joining = async {
        while star.pace.moved.load(Relaxed) < BEFORE_JOINING
            && !standing.iter().all(Exchanging::is_over)
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    beside(
        &progress,
        &star,
        tokio::time::timeout(wire::EXCHANGE, until_joining),
    )
    .await
    .ok();

    progress.step("a third party is added: sni.yaml is edited while the data flows");
    let (joined, others) = match star.join(0).await {
        Ok((connected, joined)) => {
            let there = star.greet(connected, [0, 2], SMALL, true).await;
            let back = star.open([2, 1], SMALL, true).await;
            (Ok(joined), vec![there, back])
        }
        Err(why) => (Err(why), Vec::new()),
    };
    let mut late = Vec::new();
    let newcomers = begin(&star, others, &mut late);
    for exchanging in newcomers {
        late.push(beside(&progress, &star, star.settle(exchanging, true)).await);
    }
    star.pace.held.store(false, Relaxed);
    for exchanging in standing {
        links.push(beside(&progress, &star, star.settle(exchanging, true)).await);
    }
    links.append(&mut late);

    progress.step("a hello in two segments, a wrong name, plain HTTP");
    trials.push(trials::two_segments(&star).await);
    trials.push(trials::unknown_name(&star).await);
    trials.push(trials::plain_http(&star).await);
    let measured = Measured {
        hub: star.hub.address,
        links,
        joined,
        trials,
        took: progress.took(),
    };
    Ok((star, measured))
}

/// Has data flow over the links that stand; the rows of the others are done.
fn begin(
    star: &Star,
    opened: impl IntoIterator<Item = Result<Open, LinkRow>>,
    failed: &mut Vec<LinkRow>,
) -> Vec<Exchanging> {
    let mut exchanging = Vec::new();
    for open in opened {
        match open {
            Ok(open) => exchanging.push(star.exchange(open)),
            Err(row) => failed.push(row),
        }
    }
    exchanging
}

/// Waits for `what` and shows meanwhile how much has moved.
async fn beside<T>(progress: &Progress, star: &Star, what: impl Future<Output = T>) -> T {
    tokio::select! {
        done = what => done,
        never = progress.watch(&star.pace) => match never {},
    }
}

/// Cancelled by the first SIGINT, SIGTERM or SIGHUP.
fn interrupts() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let token = CancellationToken::new();
    let interrupted = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        interrupted.cancel();
    });
    Ok(token)
}

/// What to do with a star that stays up.
fn invitation(star: &Star) -> String {
    let (hub, ca) = (star.hub.address, star.files.path("ca.pem"));
    let mut text = String::from("\nThe star stays up until Ctrl-C. In another terminal:\n");
    for name in NAMES.iter().chain([&star::NOBODY]) {
        text.push_str(&format!(
            "\n  openssl s_client -brief -connect {hub} -servername {name} \\\n    -CAfile {}\n",
            ca.display()
        ));
    }
    text.push_str(&format!(
        "\nThe last one has no route. The routes are in {}:\n\
         edit them, save, and see here what the hub makes of it.\n\n",
        star.files.path("sni.yaml").display()
    ));
    text
}

/// Whoever reads may be gone: no reason to leave files behind.
fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    );
}
