//! Whatever is sent to a door, and however it is left, the door stays a door.

use super::http::{tcp, unix, wait_for};
use super::{door, hub, socket, sockets, table};
use crate::support::hub::Hub;
use crate::support::party::{Link, Party};
use rustix::process::Signal;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const HOST: &str = "Host: localhost\r\n";

fn one_route() -> String {
    table(&["a.example"], Party::start(b'a'))
}

/// What comes back for these bytes, to the end.
fn say(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // Who is turned away may find the socket closed.
    drop(stream.write_all(bytes));
    // Who ends a whole request with its end has left, and may get no answer.
    if !bytes.ends_with(b"\r\n\r\n") {
        drop(stream.shutdown(Shutdown::Write));
    }
    let mut answer = Vec::new();
    // A reset after the answer, for what was not read.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8(answer).unwrap()
}

/// Statuses that may come back; 0 stands for a close without a word.
fn check(addr: SocketAddr, bytes: &[u8], may: &[u16]) {
    let answer = say(addr, bytes);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
    let status = match answer.strip_prefix("HTTP/1.1 ") {
        Some(rest) => rest[..3].parse().unwrap(),
        None => 0,
    };
    assert!(may.contains(&status), "{shown:?}: {answer}");
    assert!(status != 0 || answer.is_empty(), "{shown:?}: {answer}");
    assert!(answer.len() < 700, "{shown:?}: {answer}");
    assert!(
        !answer.to_lowercase().contains("access-control"),
        "{answer}"
    );
}

#[test]
fn wrong_requests_are_refused_in_few_words() {
    let hub = hub(one_route(), "");
    let doors = ["admin_listen", "ops_listen"].map(|key| door(&hub, key));
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let line = |line: &str, more: &str| format!("{line} HTTP/1.1\r\n{HOST}{more}\r\n");
    let get = |path: &str| line(&format!("GET {path}"), "");
    let requests: Vec<(Vec<u8>, &[u16])> = vec![
        (b"\0\0\0\0\r\n\r\n".to_vec(), &[400]),
        (b"GET\r\n\r\n".to_vec(), &[400]),
        (b"GET /livez\r\n\r\n".to_vec(), &[400]),
        (b"GET /livez HTTP/9.9\r\n\r\n".to_vec(), &[400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[0, 400]),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            &[0, 400],
        ),
        (b"GET /livez HTTP/1.1\r\nHost: local".to_vec(), &[0, 400]),
        (
            [b"GET /\xff\xfe HTTP/1.1\r\n", HOST.as_bytes(), b"\r\n"].concat(),
            &[400, 404],
        ),
        (get("/livez?%ff=1").into(), &[400]),
        (get("/livez?\u{1}").into(), &[400]),
        (get("/../livez").into(), &[404]),
        (get("/livez/").into(), &[404]),
        (get("//livez").into(), &[404]),
        (get("/LIVEZ").into(), &[404]),
        (get("/%6civez").into(), &[404]),
        (get("/livez;a=b").into(), &[404]),
        (get("/api/../livez").into(), &[404]),
        (get("/livez?surplus=1").into(), &[400]),
        (get(&format!("/{}", "a".repeat(15_000))).into(), &[404, 414]),
        (
            get(&format!("/{}", "a".repeat(80_000))).into(),
            &[0, 414, 431],
        ),
        (line("GET /livez", &many).into(), &[431]),
        (line("GET /livez", "No colon\r\n").into(), &[400]),
        (line("GET /livez", "N\0L: x\r\n").into(), &[400]),
        (line("GET /livez", "Content-Length: x\r\n").into(), &[400]),
        (
            line("GET /livez", "Content-Length: 1\r\nContent-Length: 2\r\n").into(),
            &[400],
        ),
        (
            line("GET /livez", "Transfer-Encoding: chunked\r\n").into(),
            &[400, 413],
        ),
        (
            (line("GET /livez", "Content-Length: 4\r\n") + "GET ").into(),
            &[413],
        ),
    ];
    assert!(requests.len() >= 25);
    for (bytes, may) in &requests {
        for addr in doors {
            check(addr, bytes, may);
        }
    }
    let [admin, ops] = doors;
    for method in ["OPTIONS", "TRACE", "PUT", "DELETE", "get"] {
        let preflight = format!("{HOST}Origin: http://evil.example\r\n");
        let denied = tcp(admin, method, "/api/reload", &preflight);
        assert_eq!(denied.status, 403, "{method}: {denied:?}");
        let denied = tcp(ops, method, "/livez", &preflight);
        assert_eq!(denied.status, 405, "{method}: {denied:?}");
        assert!(
            denied.head.lines().any(|line| line == "allow: get, head"),
            "{method}: {denied:?}"
        );
        assert!(denied.body.contains("only by GET, HEAD"), "{denied:?}");
        assert!(!denied.head.contains("access-control"), "{denied:?}");
    }
    let elsewhere = tcp(ops, "GET", "/api/status", HOST);
    let has = "no such endpoint; ops_listen has /livez, /readyz, /metrics";
    assert!(elsewhere.body.contains(has), "{elsewhere:?}");
    for addr in doors {
        assert_eq!(tcp(addr, "GET", "/livez", HOST).status, 200);
    }
}

/// Whoever sends more than one request gets one answer: nothing is smuggled behind another's.
#[test]
fn one_connection_is_one_request() {
    let hub = hub(one_route(), "");
    let ops = door(&hub, "ops_listen");
    let twice = format!("GET /livez HTTP/1.1\r\n{HOST}\r\n").repeat(2);
    let answer = say(ops, twice.as_bytes()).to_lowercase();
    assert_eq!(answer.matches("http/1.1 200").count(), 1, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

fn open_descriptors(hub: &Hub) -> usize {
    let fd = format!("/proc/{}/fd", hub.pid());
    fs::read_dir(fd).unwrap().count()
}

#[test]
fn clients_that_leave_in_the_middle_leave_nothing_behind() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let mut links: Vec<Link> = (0..300)
        .map(|_| Link::open(hub.addr(), "a.example", party).unwrap())
        .collect();
    let admin = door(&hub, "admin_listen");
    let before = open_descriptors(&hub);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\n{HOST}\r\n");
    for n in 0..300 {
        let text = request(["/api/tunnels", "/metrics", "/api/routes"][n % 3]);
        let cut = if n % 4 == 0 {
            text.len() / 2
        } else {
            text.len()
        };
        let mut tcp = TcpStream::connect(admin).unwrap();
        tcp.write_all(&text.as_bytes()[..cut]).unwrap();
        let mut unix = UnixStream::connect(socket(&hub)).unwrap();
        // Turned out by later ones, perhaps.
        drop(unix.write_all(&text.as_bytes()[..cut]));
    }
    wait_for("all descriptors back", || match open_descriptors(&hub) {
        now if now <= before => Ok(()),
        now => Err(format!("{now} where {before} were")),
    });
    let all = unix(&socket(&hub), "GET", "/api/tunnels?limit=0").json()["all"].clone();
    assert_eq!(all, 300);
    links.iter_mut().for_each(|link| link.exchange(10).unwrap());
}

/// Holds sni.yaml open to append to: as long as it writes there is no verdict.
fn routes_writer(hub: &Hub) -> File {
    OpenOptions::new()
        .append(true)
        .open(hub.folder().join("sni.yaml"))
        .unwrap()
}

/// The time of a request that stands behind a file whose writer is not done.
fn ask_for_reload(hub: &Hub, parameters: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket(hub)).unwrap();
    let text = format!("POST /api/reload{parameters} HTTP/1.1\r\n{HOST}\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    hub.wait_line("the reload waits", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("reload: waits"))
    });
    stream
}

#[test]
fn an_order_of_somebody_who_has_left_is_not_carried_out() {
    let party = Party::start(b'a');
    let names: Vec<String> = (0..10).map(|n| format!("{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hub = hub(table(&names, party), "");
    let path = hub.folder().join("sni.yaml");
    let mut writer = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    writer
        .write_all(table(&names[..1], party).as_bytes())
        .unwrap();
    let asking = ask_for_reload(&hub, "?allow_shrink=true");
    drop(asking);
    std::thread::sleep(Duration::from_millis(300));
    drop(writer);
    hub.wait_line("the reload", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("reload refused"))
    });
    assert_eq!(
        unix(&socket(&hub), "GET", "/api/status").json()["routes"],
        10
    );
}

#[test]
fn an_order_of_somebody_who_has_left_before_it_was_heard_is_not_begun() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let mut links: Vec<Link> = (0..8)
        .map(|_| Link::open(hub.addr(), "a.example", party).unwrap())
        .collect();
    let answer = |path: &str| unix(&socket(&hub), "GET", path).json();
    let tunnels = answer("/api/tunnels");
    let ids = tunnels["tunnels"].as_array().unwrap().iter();
    let ids: Vec<&str> = ids.map(|row| row["id"].as_str().unwrap()).collect();
    hub.signal(Signal::STOP);
    let mut orders: Vec<String> = ids[..6]
        .iter()
        .map(|id| format!("/api/tunnels/{id}/end"))
        .collect();
    orders.push("/api/drain?route=a.example&over_ms=0".into());
    orders.push("/api/log-level?level=debug".into());
    orders.push("/api/upgrade".into());
    for order in &orders {
        let mut stream = UnixStream::connect(socket(&hub)).unwrap();
        write!(stream, "POST {order} HTTP/1.1\r\n{HOST}\r\n").unwrap();
    }
    hub.signal(Signal::CONT);
    // Whoever comes later is heard later.
    let status = answer("/api/status");
    assert_eq!(
        (&status["tunnels_open"], &status["log_level"]),
        (&8.into(), &"info".into()),
        "{status}"
    );
    links.iter_mut().for_each(|link| link.exchange(10).unwrap());
    let told = |line: &serde_json::Value| line["message"].as_str().unwrap_or("").to_owned();
    let done = hub
        .lines()
        .iter()
        .map(told)
        .any(|line| line.contains("operator"));
    assert!(!done, "an order was carried out");
}

#[test]
fn more_orders_than_are_carried_out_at_once_are_all_answered() {
    let hub = hub(one_route(), "");
    let mut writer = routes_writer(&hub);
    writer.write_all(b"#\n").unwrap();
    let asking: Vec<UnixStream> = (0..30).map(|_| ask_for_reload(&hub, "")).collect();
    drop(writer);
    for mut stream in asking {
        stream
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
}

#[test]
fn no_more_are_inside_than_there_are_places_whenever_they_speak() {
    let hub = hub(one_route(), "");
    let mut writer = routes_writer(&hub);
    let before = sockets(hub.pid());
    // No order has a verdict before the file is written.
    let mut write_for_a_while = move || {
        for _ in 0..10 {
            writer.write_all(b"#\n").unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // Each is silent for longer than it has to say what it wants, and could go for the next; then it is
    // at work.
    let _asking: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = UnixStream::connect(socket(&hub)).unwrap();
            write_for_a_while();
            let request = format!("POST /api/reload HTTP/1.1\r\n{HOST}\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            write_for_a_while();
            stream
        })
        .collect();
    let inside = sockets(hub.pid()) - before;
    // Sixteen places, and who has just been accepted or is just leaving.
    assert!((14..20).contains(&inside), "{inside} of 30");
}

#[test]
fn a_reload_that_has_no_verdict_says_so_in_time() {
    let hub = hub(one_route(), "");
    let mut writer = routes_writer(&hub);
    writer.write_all(b"#\n").unwrap();
    let mut asking = ask_for_reload(&hub, "");
    let began = Instant::now();
    asking
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut answer = Vec::new();
    // It writes on and on.
    while asking.read_to_end(&mut answer).is_err() {
        assert!(began.elapsed() < Duration::from_secs(40), "no answer");
        writer.write_all(b"#\n").unwrap();
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("is still being written"), "{answer}");
    assert_eq!(unix(&socket(&hub), "GET", "/livez").status, 200);
}
