//! However many there are, and however they behave, the hub asks a few at a time.

use super::{get, hub};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// More than the hub asks at once.
const AT_ONCE: usize = 32;

/// Takes connections and answers none; the most that stood at a time.
fn silent(listener: TcpListener) -> Arc<AtomicUsize> {
    let most = Arc::<AtomicUsize>::default();
    let noted = Arc::clone(&most);
    thread::spawn(move || {
        let mut standing: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_nonblocking(true).unwrap();
            standing.push(stream);
            // A FIN came before the connection that its end made room for.
            standing.retain_mut(|stream| {
                let mut buffer = [0; 4096];
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => break false,
                        Ok(_) => {}
                        Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
                    }
                }
            });
            noted.fetch_max(standing.len(), Ordering::Relaxed);
        }
    });
    most
}

#[test]
fn a_thousand_that_do_not_answer_are_asked_a_few_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let most = silent(listener);
    let entry = |n: usize| format!("- fqdn: p{n}.example\n  tunnel_route: {address}\n");
    let routes = format!("sni:\n{}", (0..1_000).map(entry).collect::<String>());
    let hub = hub(routes, "probe: {kind: tls, interval: 1s, timeout: 1s}\n");
    let deadline = Instant::now() + Duration::from_secs(90);
    let upstreams = loop {
        let status = get(&hub, "/api/status").json();
        let upstreams = status["upstreams"].clone();
        if upstreams["failing"].as_u64() >= Some(100) {
            break upstreams;
        }
        assert!(Instant::now() < deadline, "{status}");
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(upstreams["asked"], 1_000);
    assert_eq!(upstreams["troubles"].as_array().unwrap().len(), 20);
    assert!(
        upstreams["more_troubles"].as_u64().unwrap() >= 80,
        "{upstreams}"
    );
    let most = most.load(Ordering::Relaxed);
    assert!((AT_ONCE / 2..=AT_ONCE).contains(&most), "{most} at a time");
    let unknown = get(&hub, "/metrics").samples()["snihub_upstreams{state=\"unknown\"}"];
    assert!(unknown <= 900.0, "{unknown}");
}

#[test]
fn beyond_max_routes_the_rest_is_in_the_sums_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let entry = |n: usize| format!("- fqdn: p{n}.example\n  tunnel_route: {address}\n");
    let routes = format!("sni:\n{}", (0..5).map(entry).collect::<String>());
    let hub = hub(routes, "probe: tcp\nmetrics: {max_routes: 2}\n");
    let page = crate::admin::http::wait_for("all are up", || {
        let page = get(&hub, "/metrics");
        match page.samples().get("snihub_upstreams{state=\"up\"}") {
            Some(5.0) => Ok(page),
            seen => Err(format!("{seen:?}")),
        }
    });
    assert_eq!(
        page.body.matches("\nsnihub_upstream_up{").count(),
        2,
        "{}",
        page.body
    );
}
