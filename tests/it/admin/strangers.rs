//! Who may not come in, does not; and who comes in slowly keeps nobody out.

use super::http::{tcp, unix};
use super::{OpenFolder, as_nobody, door, ended, hub, socket, table};
use crate::support::hub::{Hub, Options};
use crate::support::party::{Link, Party};
use snihub::admin::ENDPOINTS;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef-token";

fn one_route() -> String {
    table(&["a.example"], Party::start(b'a'))
}

fn changes() -> Vec<String> {
    let changes: Vec<String> = ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.method == "POST")
        .map(|endpoint| endpoint.path.replace("{id}", "0"))
        .collect();
    assert_eq!(changes.len(), 6, "{changes:?}");
    changes
}

/// The mode is changed on purpose: the credentials must hold without it.
#[test]
fn another_user_is_refused_even_where_the_mode_would_let_him_in() {
    let hub = hub(one_route(), "");
    let folder = OpenFolder::new("stranger");
    let path = folder.path("admin.sock");
    fs::rename(socket(&hub), &path).unwrap();
    // curl's exit code, and what it prints with -i.
    let ask = |method: &str, endpoint: &str| {
        let output = as_nobody("curl")
            .args(["-q", "-s", "-i", "-m", "20", "-X", method, "--unix-socket"])
            .arg(&path)
            .arg(format!("http://localhost{endpoint}"))
            .output()
            .unwrap();
        let code = output.status.code().unwrap();
        (code, String::from_utf8(output.stdout).unwrap())
    };
    // 7: it could not connect.
    assert_eq!(ask("GET", "/api/status"), (7, String::new()), "0600");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    for endpoint in ENDPOINTS {
        let (code, answer) = ask(endpoint.method, &endpoint.path.replace("{id}", "0"));
        assert_eq!(code, 0, "{endpoint:?}");
        assert!(
            answer.starts_with("HTTP/1.1 403 "),
            "{endpoint:?}: {answer}"
        );
    }
    assert_eq!(unix(&path, "GET", "/api/status").status, 200, "root");
}

#[test]
fn over_tcp_nothing_changes_without_a_token_file() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let admin = door(&hub, "admin_listen");
    let mut link = Link::open(hub.addr(), "a.example", party).unwrap();
    let host = "Host: localhost\r\n";
    assert_eq!(tcp(admin, "GET", "/api/tunnels", host).json()["all"], 1);
    for path in changes() {
        for token in [
            "",
            "Authorization: Bearer \r\n",
            "Authorization: Bearer x\r\n",
        ] {
            let answer = tcp(admin, "POST", &path, &format!("{host}{token}"));
            assert_eq!(answer.status, 403, "{path}: {answer:?}");
        }
    }
    link.exchange(10).unwrap();
}

#[test]
fn over_tcp_a_change_needs_the_right_token() {
    let party = Party::start(b'a');
    let options = Options::routes(table(&["a.example"], party))
        .settings("admin_listen: 127.0.0.1:0\nadmin_token_file: token")
        .file("token", &format!("{TOKEN}\n"))
        .with_admin();
    let hub = Hub::start(options);
    let admin = door(&hub, "admin_listen");
    let mut link = Link::open(hub.addr(), "a.example", party).unwrap();
    let with = |token: &str| format!("Host: localhost\r\nAuthorization: {token}\r\n");
    let short = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    let longer = format!("Bearer {TOKEN}x");
    let basic = format!("Basic {TOKEN}");
    for path in changes() {
        for wrong in ["Bearer", "Bearer x", &short, &longer, &basic] {
            let answer = tcp(admin, "POST", &path, &with(wrong));
            assert_eq!(answer.status, 401, "{path}, {wrong}: {answer:?}");
            assert!(
                answer.head.contains("www-authenticate: bearer"),
                "{answer:?}"
            );
        }
        assert_eq!(tcp(admin, "POST", &path, "Host: localhost\r\n").status, 401);
        let right = format!("Host: evil.example\r\nAuthorization: Bearer {TOKEN}\r\n");
        assert_eq!(tcp(admin, "POST", &path, &right).status, 421, "{path}");
    }
    link.exchange(10).unwrap();
    hub.wait_line("that the token is no secret", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.contains("token: everyone on this machine may read it (mode 0644)")
    });
    let right = with(&format!("Bearer {TOKEN}"));
    // RFC 9110 section 11.1: the scheme is case-insensitive.
    for right in [
        &right,
        &with(&format!("bearer {TOKEN}")),
        &with(&format!("BEARER  {TOKEN}")),
    ] {
        assert_eq!(tcp(admin, "POST", "/api/reload", right).status, 200);
    }
    // A new token counts at once, the old one no more.
    hub.replace("token", "another-token-of-the-file");
    assert_eq!(tcp(admin, "POST", "/api/reload", &right).status, 401);
}

#[test]
fn a_foreign_host_reads_nothing_over_tcp() {
    let hub = hub(one_route(), "");
    let admin = door(&hub, "admin_listen");
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{id}", "0");
        for host in ["Host: evil.example\r\n", "Host: 192.168.0.1:80\r\n"] {
            let answer = tcp(admin, endpoint.method, &path, host);
            assert_eq!(answer.status, 421, "{path}, {host}: {answer:?}");
        }
    }
    assert!(
        matches!(tcp(admin, "GET", "/metrics", "").status, 400 | 421),
        "no Host"
    );
}

#[test]
fn a_token_that_can_be_guessed_does_not_start() {
    let folder = crate::support::hub::new_folder("token");
    fs::write(folder.join("sni.yaml"), one_route()).unwrap();
    fs::write(folder.join("token"), "short\n").unwrap();
    let settings = "admin: admin.sock\nadmin_listen: 127.0.0.1:0\nadmin_token_file: token\n";
    fs::write(folder.join("hub.yaml"), settings).unwrap();
    let mut start = Command::new(env!("CARGO_BIN_EXE_snihub"));
    start
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(folder.join("hub.yaml"))
        .arg("--routes")
        .arg(folder.join("sni.yaml"));
    let output = ended(start);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("16..=4096"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn slow_clients_keep_nobody_out() {
    let hub = hub(one_route(), "");
    let (admin, ops) = (door(&hub, "admin_listen"), door(&hub, "ops_listen"));
    // More than a door has places: they connect and say half a request, or nothing.
    let tcps: Vec<TcpStream> = (0..200)
        .map(|n| {
            let mut stream = TcpStream::connect(if n % 2 == 0 { admin } else { ops }).unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localh")
                .unwrap();
            stream
        })
        .collect();
    let unixes: Vec<UnixStream> = (0..100)
        .map(|_| UnixStream::connect(socket(&hub)).unwrap())
        .collect();
    let began = Instant::now();
    assert_eq!(unix(&socket(&hub), "GET", "/metrics").status, 200);
    for addr in [admin, ops] {
        assert_eq!(
            tcp(addr, "GET", "/metrics", "Host: localhost\r\n").status,
            200
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    // The last of them had time, and now it is over.
    let mut last = tcps.into_iter().next_back().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    let ended = last.read(&mut [0; 1024]);
    assert!(
        began.elapsed() > Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(
        !matches!(&ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
        "{ended:?}"
    );
    drop(unixes);
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let hub = hub(one_route(), "");
    let long = format!("Host: localhost\r\nX: {}\r\n", "x".repeat(20_000));
    assert_eq!(
        tcp(door(&hub, "ops_listen"), "GET", "/livez", &long).status,
        431
    );
    let body = "Host: localhost\r\nContent-Length: 5\r\n";
    assert_eq!(
        tcp(door(&hub, "ops_listen"), "GET", "/livez", body).status,
        413
    );
}
