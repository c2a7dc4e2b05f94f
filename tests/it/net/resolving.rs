//! Names are resolved as the host's files say, and what changes in them counts within a second.

mod server;

use super::bounded;
use server::{A, AAAA, Server};
use snihub::net::resolve::Addresses;
use snihub::net::{ResolveClient, ResolveError, Resolver, ResolverFiles};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A directory with a hosts file and a resolv.conf of a test's own.
struct Files {
    dir: PathBuf,
    port: u16,
}

impl Files {
    fn new(port: u16) -> Files {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        Files { dir, port }
    }

    fn hosts(&self, text: &str) -> &Files {
        fs::write(self.dir.join("hosts"), text).unwrap();
        self
    }

    fn resolv_conf(&self, text: &str) -> &Files {
        fs::write(self.dir.join("resolv.conf"), text).unwrap();
        self
    }

    /// Opened, and served on this runtime.
    fn resolver(&self) -> (Resolver, ResolveClient, Vec<String>) {
        let files = ResolverFiles {
            hosts: self.dir.join("hosts"),
            resolv_conf: self.dir.join("resolv.conf"),
            dns_port: self.port,
        };
        let (resolver, problems) = Resolver::open(files);
        let (client, serve) = resolver.serve();
        tokio::spawn(serve);
        (resolver, client, problems)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

async fn ask(client: &ResolveClient, name: &str) -> Result<Addresses, ResolveError> {
    let deadline = Instant::now() + Duration::from_secs(15);
    bounded(client.resolve(&Arc::from(name), deadline)).await
}

async fn ips(client: &ResolveClient, name: &str) -> String {
    match ask(client, name).await {
        Ok(ips) => {
            let mut ips: Vec<_> = ips.iter().map(ToString::to_string).collect();
            ips.sort();
            ips.join(" ")
        }
        Err(e) => panic!("{e}"),
    }
}

const CONF: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

#[tokio::test]
async fn both_families_are_asked_for_and_cached_for_their_ttl() {
    let server = Server::start().await;
    server.answer("a.example.", A, &["10.0.0.1", "10.0.0.2"], 60);
    server.answer("a.example.", AAAA, &["2001:db8::1"], 60);
    server.answer("short.example.", A, &["10.0.0.3"], 1);
    let files = Files::new(server.port());
    let (_, client, problems) = files.hosts("").resolv_conf(CONF).resolver();
    assert_eq!(problems, Vec::<String>::new());
    for _ in 0..3 {
        assert_eq!(
            ips(&client, "A.example").await,
            "10.0.0.1 10.0.0.2 2001:db8::1"
        );
        assert_eq!(ips(&client, "short.example").await, "10.0.0.3");
    }
    assert_eq!(server.asked("a.example.", A), 1);
    assert_eq!(server.asked("a.example.", AAAA), 1);
    assert_eq!(server.asked("short.example.", A), 1);
    server.answer("short.example.", A, &["10.0.0.4"], 1);
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(ips(&client, "short.example").await, "10.0.0.4");
}

#[tokio::test]
async fn many_who_want_one_name_cost_one_question() {
    let server = Server::slow(Duration::from_millis(60)).await;
    server.answer("a.example.", A, &["10.0.0.1"], 0);
    let files = Files::new(server.port());
    let (_, client, _) = files.hosts("").resolv_conf(CONF).resolver();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let client = client.clone();
        all.spawn(async move { ips(&client, "a.example").await });
    }
    while let Some(found) = all.join_next().await {
        assert_eq!(found.unwrap(), "10.0.0.1");
    }
    assert_eq!(server.asked("a.example.", A), 1);
}

#[tokio::test]
async fn search_list_and_ndots_order_the_names() {
    let server = Server::start().await;
    server.answer("one.svc.cluster.local.", A, &["10.0.0.1"], 60);
    server.answer("a.b.cluster.local.", A, &["10.0.0.2"], 60);
    server.answer("a.b.", A, &["10.0.0.3"], 60);
    let files = Files::new(server.port());
    let conf = format!("{CONF}search ns.svc.cluster.local svc.cluster.local cluster.local\n");
    files.hosts("").resolv_conf(&conf);
    let (_, client, _) = files.resolver();
    assert_eq!(ips(&client, "one").await, "10.0.0.1");
    assert_eq!(server.asked("one.ns.svc.cluster.local.", A), 1);
    assert_eq!(server.asked("one.", A), 0);
    // One dot is enough of ndots:1 for the name itself to come first.
    assert_eq!(ips(&client, "a.b").await, "10.0.0.3");
    files.resolv_conf(&format!("{conf}options ndots:5\n"));
    let (_, client, _) = files.resolver();
    assert_eq!(ips(&client, "a.b").await, "10.0.0.2");
    assert_eq!(ips(&client, "a.b.").await, "10.0.0.3");
    let error = ask(&client, "nobody").await.unwrap_err().to_string();
    assert!(
        error.contains("nobody.svc.cluster.local., nobody.cluster.local., nobody."),
        "{error}"
    );
}

#[tokio::test]
async fn no_such_name_and_no_answer_are_told_apart() {
    let server = Server::start().await;
    server.silent("silent.example.");
    let files = Files::new(server.port());
    let (_, client, _) = files.hosts("").resolv_conf(CONF).resolver();
    let error = ask(&client, "nobody.example").await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
    let error = ask(&client, "silent.example").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed { .. }), "{error}");
    let soon = Instant::now() + Duration::from_millis(100);
    let error = client
        .resolve(&Arc::from("silent.example"), soon)
        .await
        .unwrap_err();
    assert!(matches!(error, ResolveError::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn one_family_does_not_wait_for_a_silent_other_one() {
    let server = Server::start().await;
    server.answer("half.example.", A, &["10.0.0.1"], 60);
    server.silent_for("half.example.", AAAA);
    let files = Files::new(server.port());
    let conf = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n";
    let (_, client, _) = files.hosts("").resolv_conf(conf).resolver();
    // `ask` has a deadline below the name server's timeout.
    assert_eq!(ips(&client, "half.example").await, "10.0.0.1");
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_asks_nobody() {
    let server = Server::start().await;
    server.silent("party.example.");
    let files = Files::new(server.port());
    files.hosts("10.0.0.7 party.example\n").resolv_conf(CONF);
    let (_, client, _) = files.resolver();
    assert_eq!(ips(&client, "party.example").await, "10.0.0.7");
    assert_eq!(ips(&client, "localhost").await, "127.0.0.1 ::1");
    assert_eq!(server.total(), 0);
}

#[tokio::test]
async fn a_line_added_to_the_hosts_file_is_found_at_the_next_look() {
    let server = Server::start().await;
    let files = Files::new(server.port());
    files.hosts("127.0.0.1 localhost\n").resolv_conf(CONF);
    let (resolver, client, _) = files.resolver();
    assert!(matches!(
        ask(&client, "new.example").await,
        Err(ResolveError::NotFound { .. })
    ));
    // Twice in quick succession: the second write may leave all times as they were.
    for ip in ["10.0.0.8", "10.0.0.9"] {
        files.hosts(&format!("127.0.0.1 localhost\n{ip} new.example\n"));
        let refreshed = resolver.refresh_if_changed().unwrap();
        assert!(refreshed.hosts && !refreshed.resolv_conf && refreshed.problems.is_empty());
        assert_eq!(ips(&client, "new.example").await, ip);
        assert_eq!(resolver.refresh_if_changed(), None);
    }
    fs::remove_file(files.dir.join("hosts")).unwrap();
    assert!(resolver.refresh_if_changed().unwrap().hosts);
    assert!(matches!(
        ask(&client, "new.example").await,
        Err(ResolveError::NotFound { .. })
    ));
    assert_eq!(resolver.refresh_if_changed(), None);
}

#[tokio::test]
async fn a_changed_resolv_conf_counts_at_once_and_forgets_what_was_not_found() {
    let (first, second) = (Server::start().await, Server::start().await);
    second.answer("a.example.", A, &["10.0.0.1"], 60);
    let files = Files::new(first.port());
    files.hosts("").resolv_conf(CONF);
    let (resolver, client, _) = files.resolver();
    assert!(ask(&client, "a").await.is_err());
    first.answer("a.example.", A, &["10.0.0.2"], 60);
    files.resolv_conf(&format!("{CONF}search example\n"));
    assert!(resolver.refresh_if_changed().unwrap().resolv_conf);
    assert_eq!(ips(&client, "a").await, "10.0.0.2");
}

#[tokio::test]
async fn a_resolv_conf_half_way_through_being_rewritten_changes_nothing() {
    let server = Server::start().await;
    server.answer("a.example.", A, &["10.0.0.1"], 0);
    let files = Files::new(server.port());
    let (resolver, client, _) = files.hosts("").resolv_conf(CONF).resolver();
    files.resolv_conf("");
    let refreshed = resolver.refresh_if_changed().unwrap();
    assert_eq!(
        (refreshed.resolv_conf, refreshed.problems.len()),
        (false, 1)
    );
    assert!(
        refreshed.problems[0].contains("resolv.conf: "),
        "{:?}",
        refreshed.problems
    );
    assert_eq!(ips(&client, "a.example").await, "10.0.0.1");
    fs::remove_file(files.dir.join("resolv.conf")).unwrap();
    assert_eq!(resolver.refresh_if_changed().unwrap().problems.len(), 1);
    assert_eq!(ips(&client, "a.example").await, "10.0.0.1");
    assert_eq!(resolver.refresh_if_changed(), None, "said once");
    files.resolv_conf(CONF);
    assert!(resolver.refresh_if_changed().unwrap().problems.is_empty());
}

#[tokio::test]
async fn without_either_file_literals_and_localhost_still_work() {
    let files = Files::new(53);
    let (resolver, client, problems) = files.resolver();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(ips(&client, "10.0.0.1").await, "10.0.0.1");
    assert_eq!(ips(&client, "::1").await, "::1");
    assert_eq!(ips(&client, "localhost").await, "127.0.0.1 ::1");
    let error = ask(&client, "a.example").await.unwrap_err();
    assert!(
        matches!(error, ResolveError::NoNameServer { .. }),
        "{error}"
    );
    files.hosts("10.0.0.7 a.example\n");
    assert!(resolver.refresh_if_changed().unwrap().hosts);
    assert_eq!(ips(&client, "a.example").await, "10.0.0.7");
}

#[tokio::test]
async fn what_is_no_host_name_is_refused_without_a_question() {
    let server = Server::start().await;
    let files = Files::new(server.port());
    let (_, client, _) = files.hosts("").resolv_conf(CONF).resolver();
    for name in [
        "$1.svc",
        "a b",
        "",
        ".",
        "a..b",
        "{x}",
        "a\n",
        "bücher.de",
        "*.a",
    ] {
        let error = ask(&client, name).await.unwrap_err();
        assert!(matches!(error, ResolveError::NotAName(..)), "{error}");
    }
    assert_eq!(server.total(), 0);
}

#[tokio::test]
async fn a_file_that_is_no_file_is_reported_and_hangs_nobody() {
    let files = Files::new(53);
    fs::create_dir(files.dir.join("hosts")).unwrap();
    let (_, client, problems) = files.resolv_conf("nameserver nonsense\n").resolver();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(ips(&client, "localhost").await, "127.0.0.1 ::1");
}

#[tokio::test]
async fn names_that_nobody_answers_do_not_stand_before_those_of_the_hosts_file() {
    let server = Server::start().await;
    server.silent_altogether();
    let files = Files::new(server.port());
    let conf = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n";
    files.hosts("10.0.0.7 party\n").resolv_conf(conf);
    let (_, client, _) = files.resolver();
    // Long enough for a busy machine to ask for all of them.
    let soon = Instant::now() + Duration::from_secs(4);
    let mut flood = tokio::task::JoinSet::new();
    for n in 0..1100 {
        let client = client.clone();
        flood.spawn(async move { client.resolve(&format!("x{n}.svc").into(), soon).await });
    }
    let mut busy = 0;
    assert_eq!(ips(&client, "party").await, "10.0.0.7");
    while let Some(end) = flood.join_next().await {
        busy += usize::from(matches!(end.unwrap(), Err(ResolveError::Busy(_))));
    }
    assert_eq!(busy, 1100 - 1024);
    assert_eq!(ips(&client, "party").await, "10.0.0.7");
}
