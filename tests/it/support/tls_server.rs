//! A TLS server of our own (rustls), a thread per connection.

use super::certs::Identity;
use super::hub::PATIENCE;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// What it does inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Every byte back.
    Echo,
    /// HTTP/1.1: the body of a request back, then close.
    HttpEcho,
    /// What a web server says to what it does not understand.
    BadRequest,
    /// A Pulsar broker that advertises this host.
    Pulsar(&'static str),
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Starts one on loopback; it listens for as long as the test process runs.
pub(crate) fn start(identity: &Identity, service: Service) -> SocketAddr {
    // A client that refuses our certificate ends with an error; the client's side asserts.
    listen(identity, service, drop)
}

/// One that tells how its connections end.
pub(crate) struct Ends {
    pub(crate) address: SocketAddr,
    ended: Receiver<io::Result<()>>,
}

impl Ends {
    /// Of the next one: an error for all but a farewell in TLS and a FIN.
    pub(crate) fn next(&self) -> io::Result<()> {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }
}

/// Starts one that tells.
pub(crate) fn ends(identity: &Identity, service: Service) -> Ends {
    let (tell, ended) = channel();
    let address = listen(identity, service, move |end| drop(tell.send(end)));
    Ends { address, ended }
}

fn listen(
    identity: &Identity,
    service: Service,
    then: impl Fn(io::Result<()>) + Clone + Send + 'static,
) -> SocketAddr {
    let config = Arc::new(config(identity));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            let then = then.clone();
            thread::spawn(move || then(serve(socket, config, service)));
        }
    });
    addr
}

fn config(identity: &Identity) -> ServerConfig {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
            .map(Result::unwrap)
            .collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, service: Service) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, socket);
    match service {
        Service::Echo => echo(&mut tls)?,
        Service::HttpEcho => http_echo(&mut tls)?,
        Service::BadRequest => {
            let _ = tls.read(&mut [0; 4096])?;
            tls.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
        }
        Service::Pulsar(advertised) => super::pulsar::serve(&mut tls, advertised)?,
    }
    tls.conn.send_close_notify();
    tls.flush()?;
    // Until the client's FIN: closing with bytes unread would be a reset.
    io::copy(&mut tls.sock, &mut io::sink()).map(drop)
}

fn echo(tls: &mut Tls) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match tls.read(&mut buffer)? {
            0 => return Ok(()),
            n => tls.write_all(&buffer[..n])?,
        }
    }
}

fn http_echo(tls: &mut Tls) -> io::Result<()> {
    let mut request = Vec::new();
    let body = loop {
        let mut buffer = [0; 4096];
        let n = tls.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..n]);
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if n == 0 || request.len() > 64 * 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let head = String::from_utf8_lossy(&request[..body]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length
        .and_then(|text| text.trim().parse::<usize>().ok())
        .unwrap_or(0);
    let read = request.len();
    request.resize(body + length, 0);
    if let Some(rest) = request.get_mut(read..) {
        tls.read_exact(rest)?;
    }
    write!(
        tls,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    tls.write_all(&request[body..])
}
