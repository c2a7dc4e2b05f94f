//! The clients, and what each needs to send bytes and print what comes back.

use crate::support::program::{Then, python, run, which};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    OpenSsl,
    Curl,
    Python,
    Java,
    Grpc,
}

impl Client {
    /// Why not, if it is not.
    pub(crate) fn to_be_had(self) -> Result<(), String> {
        let there = |program: &str| which(program).ok_or(format!("no {program} in PATH"));
        let does = |program: &Path, arguments: &[&str], what: &str| {
            let output = Command::new(program).args(arguments).output();
            let can = output.is_ok_and(|output| output.status.success());
            if can {
                Ok(())
            } else {
                Err(format!("{} has no {what}", program.display()))
            }
        };
        let python = || python().ok_or("no python3 in PATH".to_owned());
        match self {
            Client::OpenSsl => there("openssl").map(drop),
            Client::Curl => there("curl").map(drop),
            Client::Python => does(&python()?, &["-c", "import ssl"], "ssl"),
            Client::Java => does(
                &there("java")?,
                &["--describe-module", "jdk.compiler"],
                "compiler (JDK)",
            ),
            Client::Grpc => does(&python()?, &["-c", "import grpc"], "grpcio"),
        }
    }

    /// Sends `payload` to this port of loopback, asking for `name` and trusting `folder/ca.pem`
    /// alone; what comes back is its stdout.
    pub(crate) fn send(self, name: &str, port: u16, folder: &Path, payload: &[u8]) -> Output {
        let authority = folder.join("ca.pem");
        let authority = authority.to_str().unwrap();
        let port = port.to_string();
        let python = |file| command(python().unwrap(), &[&script(file), name, &port, authority]);
        match self {
            Client::OpenSsl => {
                // It reads stdin and the socket at once, and leaves when stdin ends.
                run(
                    &mut s_client(name, &port, authority),
                    payload,
                    Then::CloseAfter(payload.len()),
                )
            }
            Client::Curl => run(&mut curl(name, &port, authority), payload, Then::Close),
            Client::Python => run(&mut python("tls_client.py"), payload, Then::Close),
            Client::Java => {
                let file = script("TlsClient.java");
                let start = "-XX:TieredStopAtLevel=1";
                let mut java = command("java", &[start, &file, name, &port, authority]);
                run(&mut java, payload, Then::Close)
            }
            Client::Grpc => run(&mut python("grpc_client.py"), payload, Then::Close),
        }
    }
}

fn s_client(name: &str, port: &str, authority: &str) -> Command {
    let mut s_client = command("openssl", &["s_client", "-quiet", "-no_ign_eof"]);
    s_client.args([
        "-verify_return_error",
        "-verify_hostname",
        name,
        "-CAfile",
        authority,
    ]);
    s_client.args([
        "-servername",
        name,
        "-connect",
        &format!("127.0.0.1:{port}"),
    ]);
    s_client
}

fn curl(name: &str, port: &str, authority: &str) -> Command {
    let mut curl = command("curl", &["-q", "--silent", "--show-error", "--http1.1"]);
    curl.args([
        "--noproxy",
        "*",
        "--resolve",
        &format!("{name}:{port}:127.0.0.1"),
    ]);
    curl.args([
        "--cacert",
        authority,
        "--header",
        "Expect:",
        "--data-binary",
        "@-",
    ]);
    curl.arg(format!("https://{name}:{port}/"));
    curl
}

fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A gRPC server (grpcio) in a process of its own; killed when dropped.
pub(crate) struct GrpcServer {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl GrpcServer {
    /// Starts it with `cert.pem` and `key.pem` of `folder`.
    pub(crate) fn start(folder: &Path) -> GrpcServer {
        let log = folder.join("grpc_server.log");
        let mut child = Command::new(python().unwrap())
            .arg(script("grpc_server.py"))
            .args([folder.join("cert.pem"), folder.join("key.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line.trim().parse().unwrap_or_else(|_| {
            panic!(
                "no port in {line:?}: {}",
                fs::read_to_string(&log).unwrap_or_default()
            )
        });
        GrpcServer {
            child,
            addr: (Ipv4Addr::LOCALHOST, port).into(),
        }
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn script(file: &str) -> String {
    format!("{}/tests/it/clients/{file}", env!("CARGO_MANIFEST_DIR"))
}
