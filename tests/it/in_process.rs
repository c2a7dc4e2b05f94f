//! What only the hub's own process can be made to do: a session panics and leaves one record, and
//! takes nobody with it; a worker is held up while connections queue and SIGTERM comes.

use crate::support::hello::Hello;
use crate::support::hub::{PATIENCE, new_folder};
use crate::support::manager;
use crate::support::wire::{Echo, End, Upstream, call, read_exactly, read_to_end};
use snihub::config::{self, Sources};
use snihub::net::NotifySocket;
use snihub::server;
use snihub::service::Manager;
use snihub::shutdown::{Asking, Requests};
use snihub::takeover::Household;
use std::collections::HashMap;
use std::fmt::Debug;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

const STEADY: &str = "steady.example.com";
/// The test's trap springs at the `opened` line of this name.
const TRAPPED: &str = "trapped.example.com";

type Line = HashMap<&'static str, String>;

/// Keeps every line, and does something at one, on the worker's thread.
#[derive(Clone)]
struct Trap {
    lines: Arc<Mutex<Vec<Line>>>,
    spring: Arc<dyn Fn() + Send + Sync>,
}

impl<S: Subscriber> Layer<S> for Trap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        let line = fields.0;
        let sprung = line.get("message").is_some_and(|m| m == "opened")
            && line.get("name").is_some_and(|name| name == TRAPPED);
        self.lines.lock().unwrap().push(line);
        if sprung {
            (self.spring)();
        }
    }
}

struct Fields(Line);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Trap {
    fn records(&self) -> Vec<Line> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.retain(|line| line.get("message").is_some_and(|m| m == "closed"));
        lines
    }

    /// Waits for a line that begins so.
    fn wait(&self, message: &str) {
        let deadline = Instant::now() + PATIENCE;
        let begins = |line: &Line| line.get("message").is_some_and(|m| m.starts_with(message));
        while !self.lines.lock().unwrap().iter().any(begins) {
            assert!(Instant::now() < deadline, "no line {message:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn record_of(&self, client: SocketAddr) -> Line {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let records = self.records();
            if let Some(found) = records.iter().find(|r| r["source"] == client.to_string()) {
                return found.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no record of {client}: {records:#?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The hub in this process, with one worker.
struct InProcess {
    addr: SocketAddr,
    trap: Trap,
    asking: Asking,
    thread: JoinHandle<()>,
}

fn start(upstream: SocketAddr, spring: impl Fn() + Send + Sync + 'static) -> InProcess {
    start_under(None, upstream, spring)
}

fn start_under(
    manager: Option<Arc<Manager>>,
    upstream: SocketAddr,
    spring: impl Fn() + Send + Sync + 'static,
) -> InProcess {
    let folder = new_folder("panics");
    let routes = format!(
        "sni:\n- fqdn: {STEADY}\n  tunnel_route: {upstream}\n- fqdn: {TRAPPED}\n  tunnel_route: {upstream}\n"
    );
    std::fs::write(folder.join("sni.yaml"), routes).unwrap();
    std::fs::write(folder.join("hub.yaml"), "workers: 1\ndrain: 4s\n").unwrap();
    let sources = Sources {
        config: Some(folder.join("hub.yaml")),
        routes: Some(folder.join("sni.yaml")),
        listen: vec!["127.0.0.1:0".into()],
        ..Sources::default()
    };
    let trap = Trap {
        lines: Arc::default(),
        spring: Arc::new(spring),
    };
    let dispatch = Dispatch::new(registry().with(trap.clone()));
    let (asking, requests) = Requests::channel();
    let (ready, when_ready) = mpsc::channel();
    let thread = thread::spawn(move || {
        let load = config::load(&sources);
        let loaded = load.loaded.expect("the files are right");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            let ready = async |hub: &mut server::Hub| {
                if let Some(manager) = manager {
                    manager.serve(hub.control(), hub.own_sockets(), None);
                }
                ready.send(hub.addresses()[0]).unwrap();
                Ok(Household::default())
            };
            let start = server::Start {
                sources,
                loaded,
                files: load.files,
                requests,
                inherited: server::Inherited::default(),
            };
            runtime.block_on(server::run(start, ready)).unwrap();
        });
        drop(std::fs::remove_dir_all(folder));
    });
    InProcess {
        addr: when_ready.recv_timeout(PATIENCE).unwrap(),
        trap,
        asking,
        thread,
    }
}

fn tunnel(hub: &InProcess, upstream: &Upstream) -> (TcpStream, TcpStream) {
    let hello = Hello::named(STEADY).wire();
    let client = call(hub.addr, &hello);
    let accepted = upstream.accept();
    assert_eq!(read_exactly(&accepted, hello.len()), hello);
    (client, accepted)
}

fn ping(from: &mut TcpStream, to: &TcpStream) {
    from.write_all(b"ping").unwrap();
    assert_eq!(read_exactly(to, 4), b"ping");
}

#[test]
fn one_session_panics_and_the_worker_goes_on() {
    let upstream = Upstream::listen();
    let hub = start(upstream.addr(), || panic!("a test asked for this panic"));
    let (mut client, mut accepted) = tunnel(&hub, &upstream);
    let hello = Hello::named(TRAPPED).wire();
    for n in 1..=3 {
        let unlucky = call(hub.addr, &hello);
        let its_upstream = upstream.accept();
        // Both are told that this was no clean end.
        assert_eq!(read_to_end(&unlucky), (Vec::new(), End::Reset));
        let (_, end) = read_to_end(&its_upstream);
        assert_eq!(end, End::Reset);
        let record = hub.trap.record_of(unlucky.local_addr().unwrap());
        assert_eq!(record["ended"], "panicked");
        assert_eq!(
            (record["by"].as_str(), record["name"].as_str()),
            ("hub", TRAPPED)
        );
        assert_eq!(record["client_to_upstream"], hello.len().to_string());
        assert_eq!(hub.trap.records().len(), n);
        ping(&mut client, &accepted);
        ping(&mut accepted, &client);
    }
    let (mut second, second_accepted) = tunnel(&hub, &upstream);
    ping(&mut second, &second_accepted);
    hub.asking.stop.blocking_send(()).unwrap();
    for stream in [&client, &accepted, &second, &second_accepted] {
        assert_eq!(read_to_end(stream), (Vec::new(), End::Reset));
    }
    hub.thread.join().unwrap();
    let mut ended: Vec<_> = hub
        .trap
        .records()
        .into_iter()
        .map(|mut r| r.remove("ended"))
        .collect();
    ended.sort();
    let wanted = ["drained", "drained", "panicked", "panicked", "panicked"];
    assert_eq!(ended, wanted.map(|ended| Some(ended.to_owned())));
}

/// Closing a listener resets whoever waits in its queue: they are taken out before, and served.
#[test]
fn who_waits_in_the_queue_when_the_drain_begins_is_served() {
    // More than a worker accepts in one turn.
    const WAITING: usize = 300;
    let upstream = Echo::start();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let hub = start(upstream.addr(), move || {
        released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    });
    // Its session holds up the only worker.
    let trapped = call(hub.addr, &Hello::named(TRAPPED).wire());
    hub.trap.wait("opened");
    let hello = Hello::named(STEADY).wire();
    let waiting: Vec<_> = (0..WAITING).map(|_| call(hub.addr, &hello)).collect();
    hub.asking.stop.blocking_send(()).unwrap();
    hub.trap.wait("draining");
    thread::sleep(Duration::from_millis(100));
    release.send(()).unwrap();
    for client in &waiting {
        let record = hub.trap.record_of(client.local_addr().unwrap());
        assert_eq!(record["ended"], "drained");
        assert_eq!(record["upstream"], upstream.addr().to_string());
        assert_eq!(read_to_end(client).1, End::Reset);
    }
    assert_eq!(read_to_end(&trapped).1, End::Reset);
    hub.thread.join().unwrap();
    assert_eq!(hub.trap.records().len(), WAITING + 1);
}

/// A service manager, and the way to tell it something.
fn managed(watchdog: Option<Duration>) -> (manager::Manager, Arc<Manager>) {
    let manager = manager::Manager::start();
    let socket = NotifySocket::at(manager.address().as_ref()).unwrap();
    (manager, Manager::new(socket, watchdog))
}

/// What the manager hears as a sign of life comes from the workers, not from the control thread.
#[test]
fn a_worker_that_hangs_lets_the_watchdog_bite() {
    const WATCHDOG: Duration = Duration::from_secs(2);
    let (its, manager) = managed(Some(WATCHDOG));
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let upstream = Echo::start();
    let hub = start_under(Some(manager), upstream.addr(), move || {
        released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    });
    let alive = |within| its.find("WATCHDOG=1\n", within).is_some();
    for _ in 0..3 {
        assert!(alive(PATIENCE));
    }
    let _trapped = call(hub.addr, &Hello::named(TRAPPED).wire());
    hub.trap.wait("opened");
    // One may have been answered just before.
    alive(WATCHDOG);
    assert!(!alive(2 * WATCHDOG), "its only worker hangs");
    hub.trap.wait("does not answer");
    release.send(()).unwrap();
    assert!(alive(PATIENCE), "the worker is back");
    hub.asking.stop.blocking_send(()).unwrap();
    hub.thread.join().unwrap();
}

/// More time is asked for a drain, not for a worker that never comes to its end.
#[test]
fn a_worker_that_hangs_does_not_put_off_the_end_for_ever() {
    let (its, manager) = managed(None);
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let upstream = Echo::start();
    let hub = start_under(Some(manager), upstream.addr(), move || {
        released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    });
    let _trapped = call(hub.addr, &Hello::named(TRAPPED).wire());
    hub.trap.wait("opened");
    hub.asking.stop.blocking_send(()).unwrap();
    hub.trap.wait("draining");
    let more = |seconds| {
        let within = Duration::from_secs(seconds);
        its.find("EXTEND_TIMEOUT_USEC=", within).is_some()
    };
    assert!(more(20));
    // It drains for 4 s, and looks every 5 s.
    assert!(!more(11), "it asks for more although its drain is over");
    release.send(()).unwrap();
    hub.thread.join().unwrap();
}
