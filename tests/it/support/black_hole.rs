//! An upstream that is silence.

use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, SocketAddr};

/// Takes no connection any more: its accept queue is full, so the kernel drops every SYN.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

/// At this address; port 0: one of the kernel's choice.
pub(crate) fn black_hole(ip: &str, port: u16) -> BlackHole {
    let ip: IpAddr = ip.parse().unwrap();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::new(ip, port).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let queued = (0..4)
        .map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&address.into());
            client
        })
        .collect();
    BlackHole {
        address,
        _listener: listener,
        _queued: queued,
    }
}
