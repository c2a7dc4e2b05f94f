//! A hub in a process of its own. Shared by benches.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Child;
use std::thread;

/// The address, from the log; which is read on, so that the hub can write it.
pub(crate) fn listening_on(hub: &mut Child) -> io::Result<SocketAddr> {
    let stdout = hub.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut lines = BufReader::new(stdout).lines();
    loop {
        let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let Some((_, rest)) = line.split_once("listening on ") else {
            continue;
        };
        thread::spawn(move || lines.for_each(drop));
        let address = rest.split(' ').next().unwrap_or(rest);
        return address.parse().map_err(io::Error::other);
    }
}
