//! The real hub, on a thread of its own, with a sni.yaml in a directory that goes with it.

use super::tempdir::TempDir;
use super::witness::Witness;
use crate::config::{self, Load, Sources};
use crate::server;
use crate::shutdown::{Asking, Requests};
use crate::takeover::Household;
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A hub that does not end within this time of being asked twice is left to the process's end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running hub. Dropping it ends it at once and waits for its thread.
pub(super) struct DemoHub {
    /// Where it listens.
    pub(super) address: SocketAddr,
    asking: Asking,
    thread: Option<JoinHandle<()>>,
}

/// Where the demo's files are.
pub(super) struct Files {
    dir: TempDir,
}

impl Files {
    /// Makes the directory and puts the authority's certificate and an empty hub.yaml there.
    ///
    /// # Errors
    /// When the directory or the files cannot be written.
    pub(super) fn new(authority_pem: &str) -> anyhow::Result<Files> {
        let dir = TempDir::new()
            .with_context(|| format!("no directory under {}", std::env::temp_dir().display()))?;
        let files = Files { dir };
        files.put("ca.pem", authority_pem)?;
        // Nothing in it: the built-in defaults, whatever this machine has in /etc/snihub.
        files.put("hub.yaml", "# the built-in defaults\n")?;
        Ok(files)
    }

    /// Writes sni.yaml as an editor does: a new file, renamed into its place.
    ///
    /// # Errors
    /// Of writing or renaming.
    pub(super) fn route(&self, parties: &[(&str, SocketAddr)]) -> anyhow::Result<()> {
        let mut text =
            String::from("# snihub demo --hold: edit me, the hub takes it within a second\nsni:\n");
        for (name, address) in parties {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  - fqdn: {name}\n    tunnel_route: {address}");
        }
        self.put("sni.yaml", &text).map(drop)
    }

    /// A file's whole path.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        self.dir
            .put(name, text)
            .with_context(|| format!("writing {}", self.path(name).display()))
    }
}

impl DemoHub {
    /// Starts the hub from `files`, on a free port of 127.0.0.1; `witness` hears its log.
    ///
    /// # Errors
    /// When the files do not load or the hub does not start.
    pub(super) async fn start(files: &Files, witness: &Witness) -> anyhow::Result<DemoHub> {
        let sources = Sources {
            config: Some(files.path("hub.yaml")),
            routes: Some(files.path("sni.yaml")),
            listen: vec!["127.0.0.1:0".to_owned()],
            ..Sources::default()
        };
        let (asking, requests) = Requests::channel();
        let (tell, told) = oneshot::channel();
        let dispatch = witness.dispatch();
        let thread = std::thread::Builder::new()
            .name("hub".to_owned())
            .spawn(move || {
                let hub = || control(sources, requests, tell);
                tracing::dispatcher::with_default(&dispatch, hub);
            })?;
        // From here on its thread ends with it, also when this future is dropped.
        let unknown = (Ipv4Addr::UNSPECIFIED, 0).into();
        let mut hub = DemoHub {
            address: unknown,
            asking,
            thread: Some(thread),
        };
        match told.await {
            Ok(Ok(address)) => {
                hub.address = address;
                Ok(hub)
            }
            Ok(Err(error)) => Err(error.context("the hub does not start")),
            Err(_) => bail!("the hub's thread has ended"),
        }
    }
}

impl Drop for DemoHub {
    fn drop(&mut self) {
        for _ in 0..2 {
            // Full: it is being asked already; closed: it has ended.
            let _ = self.asking.stop.try_send(());
        }
        let until = Instant::now() + PATIENCE;
        let Some(thread) = self.thread.take() else {
            return;
        };
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            // A panic in there has been printed.
            drop(thread.join());
        }
    }
}

type Told = oneshot::Sender<anyhow::Result<SocketAddr>>;

/// The hub's control thread, from loading to the end.
fn control(sources: Sources, requests: Requests, tell: Told) {
    let Load {
        loaded,
        files,
        problems,
        ..
    } = config::load(&sources);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (Some(loaded), Ok(runtime)) = (loaded, runtime) else {
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        // The demo may have been interrupted meanwhile.
        drop(tell.send(Err(anyhow::anyhow!("{}", said.join("\n")))));
        return;
    };
    runtime.block_on(async {
        let tell = std::cell::RefCell::new(Some(tell));
        let ready = async |hub: &mut server::Hub| {
            let address = hub
                .addresses()
                .first()
                .copied()
                .context("it listens nowhere");
            if let Some(tell) = tell.take() {
                drop(tell.send(address));
            }
            Ok(Household::default())
        };
        let start = server::Start {
            sources,
            loaded,
            files,
            requests,
            inherited: server::Inherited::default(),
        };
        let ran = server::run(start, ready).await;
        if let (Err(error), Some(tell)) = (ran, tell.take()) {
            drop(tell.send(Err(error.into())));
        }
    });
}
