//! Plain sockets in the hands of a test: clients from any loopback address, upstreams that can
//! prove that nobody came, streams that end as the test says and say how the other side ended.

use super::hub::PATIENCE;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How a peer ended its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// Connects; every read and write of the stream is bounded by [`PATIENCE`].
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    connect_from(Ipv4Addr::LOCALHOST.into(), to)
}

/// The same from another address of this machine.
pub(crate) fn connect_from(source: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    bounded(socket.into())
}

/// Connects and sends.
pub(crate) fn call(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(to);
    stream.write_all(bytes).unwrap();
    stream
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that still comes, and how it ends.
pub(crate) fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, End::Fin),
            Ok(n) => bytes.extend(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return (bytes, End::Reset),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => panic!("after {} bytes: {e}", bytes.len()),
        }
    }
}

/// Exactly so many bytes.
pub(crate) fn read_exactly(mut stream: &TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Closes with RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// Sends one urgent byte (MSG_OOB).
pub(crate) fn send_urgent(stream: &TcpStream, byte: u8) {
    let sent = SockRef::from(stream).send_out_of_band(&[byte]).unwrap();
    assert_eq!(sent, 1);
}

/// Bytes of a stream that no shift or swap of blocks can imitate.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A listener that takes connections when the test says so.
#[derive(Debug)]
pub(crate) struct Upstream(TcpListener);

impl Upstream {
    pub(crate) fn listen() -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Upstream(listener)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> TcpStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_accept() {
                Some(stream) => return stream,
                None => assert!(Instant::now() < deadline, "nobody came in {PATIENCE:?}"),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn try_accept(&self) -> Option<TcpStream> {
        match self.0.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                Some(bounded(stream))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("accept: {e}"),
        }
    }

    /// To be asked when the session's record is there: a connection on loopback would have been
    /// in the queue before that.
    #[track_caller]
    pub(crate) fn nobody_came(&self) {
        assert!(
            self.try_accept().is_none(),
            "somebody connected to the upstream"
        );
    }
}

/// A listener whose queue is full: who connects gets no answer, as from a host that drops packets.
#[derive(Debug)]
pub(crate) struct BlackHole {
    addr: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl BlackHole {
    pub(crate) fn dig() -> BlackHole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..16 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let answered = socket.connect_timeout(&addr.into(), Duration::from_millis(100));
            waiting.push(socket);
            if answered.is_err() {
                return BlackHole {
                    addr,
                    _listener: listener,
                    _waiting: waiting,
                };
            }
        }
        panic!("a queue of 0 took 16 connections");
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// An upstream that sends everything back, for as long as the test process runs.
#[derive(Debug)]
pub(crate) struct Echo(SocketAddr);

impl Echo {
    pub(crate) fn start() -> Echo {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    // A peer that resets ends it as well.
                    drop(std::io::copy(&mut &stream, &mut &stream));
                });
            }
        });
        Echo(addr)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0
    }
}
