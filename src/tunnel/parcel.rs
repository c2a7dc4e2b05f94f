//! A tunnel on its way from one worker to another.

use super::relay::{Directions, Relaying};
use super::socket::{finish_on_close, reset_on_close};
use super::{Handle, Limits, Pools};
use std::io;
use std::net;
use std::rc::Rc;
use tokio::net::TcpStream;

/// Both sockets, known to no runtime, and how far the tunnel has come. It holds no bytes. Dropped,
/// both peers get RST.
#[derive(Debug)]
pub struct Parcel {
    /// Client, upstream. With SO_LINGER{1, 0}, so that whatever drops them resets.
    sockets: [net::TcpStream; 2],
    directions: Directions,
}

impl Parcel {
    /// Takes the sockets out of this worker's runtime; on an error both are reset.
    pub(super) fn close(sockets: [TcpStream; 2], directions: Directions) -> io::Result<Parcel> {
        for socket in &sockets {
            reset_on_close(socket)?;
        }
        let [client, upstream] = sockets;
        Ok(Parcel {
            sockets: [client.into_std()?, upstream.into_std()?],
            directions,
        })
    }

    /// Goes on relaying, in the current runtime; see [`super::relay()`]. `handle` is a new one.
    ///
    /// # Errors
    /// When the runtime does not take the sockets (epoll's limit of watches, memory); both peers
    /// get RST.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        self,
        limits: Limits,
        pools: Rc<Pools>,
        handle: Rc<Handle>,
    ) -> io::Result<Relaying> {
        let [client, upstream] = self.sockets;
        let sockets = [TcpStream::from_std(client)?, TcpStream::from_std(upstream)?];
        for socket in &sockets {
            finish_on_close(socket)?;
        }
        Ok(Relaying::resume(
            sockets,
            self.directions,
            limits,
            pools,
            handle,
        ))
    }
}
