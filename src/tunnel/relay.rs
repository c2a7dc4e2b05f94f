//! The tunnel: two directions between two sockets, until both are over or one thing breaks.

use super::direction::{At, Direction, Fault, Progress};
use super::idle_wheel::Place;
use super::load::Weight;
use super::parcel::Parcel;
use super::pipe_pool::KernelPipe;
use super::socket::reset_on_close;
use super::{Ended, Handle, Limits, Pools, Relay, Transfer};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Relays between `client` and `upstream` until the tunnel is over. Never fails: the transfer has
/// the counts and the reason. Every byte owed to the upstream beforehand (the preface) must have
/// been written.
///
/// Cancel safety: dropped before it is ready, both peers get RST, so that nobody takes a cut
/// stream for a whole one; the handle keeps the counts.
pub fn relay(
    client: TcpStream,
    upstream: TcpStream,
    limits: Limits,
    pools: Rc<Pools>,
    handle: Rc<Handle>,
) -> Relaying {
    let directions = [Direction::new(), Direction::new()];
    Relaying::begin([client, upstream], directions, limits, pools, handle)
}

/// Client to upstream, upstream to client.
pub(super) type Directions = [Direction<KernelPipe>; 2];

/// What comes of a relay.
#[derive(Debug)]
pub enum Relayed {
    /// The tunnel is over.
    Over(Transfer),
    /// It goes on at another worker ([`Pools::want_elsewhere`]).
    Leaving(Parcel),
}

impl Relayed {
    /// The transfer; `None` for a tunnel that left, which none does unless it is wanted elsewhere.
    pub fn over(self) -> Option<Transfer> {
        match self {
            Relayed::Over(transfer) => Some(transfer),
            Relayed::Leaving(_) => None,
        }
    }
}

/// A running [`relay`]. All that one tunnel holds in user memory, besides its handle.
#[must_use = "a tunnel moves only while it is awaited"]
pub struct Relaying {
    /// Client, upstream; `None` once it has left. The handle looks at them, and never keeps them.
    sockets: Option<Rc<[TcpStream; 2]>>,
    directions: Directions,
    pools: Rc<Pools>,
    handle: Rc<Handle>,
    place: Place,
    weight: Weight,
    /// A tunnel moves to another worker once at most, so that none is sent to and fro.
    settled: bool,
    over: bool,
    /// The upstream's socket has keepalive, or is to have none. (The client's inherited it.)
    kept_alive: bool,
    /// Since when the first byte from the upstream is waited for.
    unanswered: Option<Instant>,
}

impl Future for Relaying {
    type Output = Relayed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Relayed> {
        let this = self.get_mut();
        this.handle.set_waker(cx.waker());
        if let Some(why) = this.handle.ended() {
            return Poll::Ready(this.close(why));
        }
        let looks = this.handle.takes_look();
        let before = this.moved();
        let turn = this.turn(cx, looks);
        let moved = this.moved() - before;
        this.publish(moved > 0);
        this.note_first_byte();
        if moved > 0 || turn.is_ready() || !looks {
            this.pools.count_wake_up(moved > 0 || turn.is_ready());
        }
        this.pools.load.weigh(&mut this.weight, moved);
        match turn {
            Poll::Pending if this.may_leave() => Poll::Ready(this.leave()),
            Poll::Pending => Poll::Pending,
            Poll::Ready(why) => Poll::Ready(this.close(why)),
        }
    }
}

impl Relaying {
    fn begin(
        sockets: [TcpStream; 2],
        directions: Directions,
        limits: Limits,
        pools: Rc<Pools>,
        handle: Rc<Handle>,
    ) -> Relaying {
        let place = pools.watch(&handle, &limits);
        let sockets = Rc::new(sockets);
        handle.sockets.replace(Rc::downgrade(&sockets));
        let spliced = directions.iter().map(Direction::spliced).sum();
        let moved = directions.each_ref().map(Direction::moved);
        handle.begin(moved, spliced, pools.stamp());
        let relaying = Relaying {
            sockets: Some(sockets),
            directions,
            pools,
            handle,
            place,
            weight: Weight::default(),
            settled: false,
            over: false,
            kept_alive: false,
            unanswered: Some(Instant::now()),
        };
        relaying.publish(true);
        relaying
    }

    /// Goes on with what has come from another worker.
    pub(super) fn resume(
        sockets: [TcpStream; 2],
        directions: Directions,
        limits: Limits,
        pools: Rc<Pools>,
        handle: Rc<Handle>,
    ) -> Relaying {
        let mut relaying = Relaying::begin(sockets, directions, limits, pools, handle);
        relaying.weight = relaying.pools.load.arrived();
        relaying.settled = true;
        relaying.unanswered = None;
        relaying
    }

    /// One turn of both directions; `looks`: also for what no wake-up told.
    fn turn(&mut self, cx: &mut Context<'_>, looks: bool) -> Poll<Ended> {
        if looks
            && self.handle.may_miss_an_error()
            && let Some(ended) = self.hidden_error()
        {
            return Poll::Ready(ended);
        }
        let Some(sockets) = &self.sockets else {
            return Poll::Pending;
        };
        let [client, upstream] = &**sockets;
        let ways = [(client, upstream), (upstream, client)];
        if looks {
            if !std::mem::replace(&mut self.kept_alive, true) {
                self.pools.keep_alive(upstream);
            }
            for (direction, (source, _)) in self.directions.iter_mut().zip(ways) {
                direction.look(source, &self.pools.kit);
            }
        }
        let mut finished = 0;
        let mut spent = false;
        for (index, (source, sink)) in ways.into_iter().enumerate() {
            let last = self.directions[1 - index].is_finished();
            match self.directions[index].pump(source, sink, &self.pools.kit, cx, last) {
                Ok(Progress::Waiting) => {}
                Ok(Progress::Spent) => spent = true,
                Ok(Progress::Finished) => finished += 1,
                Err(fault) => {
                    let ended = self.judge(index, &fault);
                    for (direction, (source, sink)) in self.directions.iter_mut().zip(ways) {
                        direction.pump_last(source, sink, &self.pools.kit, cx);
                    }
                    return Poll::Ready(ended);
                }
            }
        }
        if finished == 2 {
            return Poll::Ready(Ended::BothClosed);
        }
        if spent {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Which end a direction's error makes of the tunnel.
    fn judge(&self, index: usize, fault: &Fault) -> Ended {
        match fault.at {
            At::Hub => Ended::LocalError,
            At::Source => self.blame(index, &fault.error),
            At::Sink => self.blame(1 - index, &fault.error),
        }
    }

    /// What an error of socket `side` (0 the client, 1 the upstream) says about it.
    fn blame(&self, side: usize, error: &io::Error) -> Ended {
        let (reset, lost) = match side {
            0 => (Ended::ClientReset, Ended::ClientLost),
            _ => (Ended::UpstreamReset, Ended::UpstreamLost),
        };
        match Errno::from_io_error(error) {
            // ENOTCONN: shutdown after the RST was already reported.
            Some(Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN) => reset,
            // The direction into this socket is the one with the other index.
            Some(Errno::TIMEDOUT) if self.directions[1 - side].holds() => Ended::WriteStalled,
            Some(
                Errno::TIMEDOUT
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN
                | Errno::CONNREFUSED,
            ) => lost,
            _ => Ended::LocalError,
        }
    }

    /// An error on a socket that neither direction reads or writes at the moment: its source is
    /// behind a stalled sink, or has sent FIN. Asked on a coarse tick only.
    fn hidden_error(&self) -> Option<Ended> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.sockets
            .iter()
            .flat_map(|sockets| &**sockets)
            .enumerate()
            .find_map(|(side, socket)| {
                let told = pin!(socket.ready(Interest::ERROR)).poll(&mut cx);
                if !matches!(told, Poll::Ready(Ok(ready)) if ready.is_error()) {
                    return None;
                }
                let Ok(Err(errno)) = socket_error(socket) else {
                    return None;
                };
                Some(self.blame(side, &errno.into()))
            })
    }

    fn moved(&self) -> u64 {
        self.directions[0].moved() + self.directions[1].moved()
    }

    /// Writes what others see into the handle.
    fn publish(&self, moved: bool) {
        let stamp = self.pools.stamp();
        let mut passed = 0;
        for (index, direction) in self.directions.iter().enumerate() {
            let progress = self.handle.bytes[index].replace(direction.moved());
            let bytes = direction.moved() - progress;
            if bytes > 0 {
                self.pools.meters.flow.count(index, bytes);
                self.handle.count(index, bytes);
                passed += bytes;
            }
            let stalled = &self.handle.stalled[index];
            if !direction.holds() {
                stalled.set(None);
            } else if stalled.get().is_none() || progress != direction.moved() {
                stalled.set(Some(stamp));
            }
        }
        let [there, back] = &self.directions;
        let spliced = there.spliced() + back.spliced();
        let before = self.handle.spliced.replace(spliced);
        self.pools.meters.spliced.add(spliced - before);
        self.pools.meters.copied.add(passed - (spliced - before));
        if moved {
            self.handle.moved(stamp);
        }
        if there.is_finished() != back.is_finished() && !self.handle.is_half_open() {
            self.handle.half_open.set(Some(stamp));
        }
    }

    fn note_first_byte(&mut self) {
        if self.directions[1].moved() > 0
            && let Some(since) = self.unanswered.take()
        {
            self.pools.meters.first_byte.observe(since.elapsed());
        }
    }

    /// Whether it goes to another worker, now that nothing is held.
    fn may_leave(&self) -> bool {
        !self.settled
            && self.directions.iter().all(Direction::is_at_rest)
            && self.pools.load.lets_go(&self.weight)
    }

    fn leave(&mut self) -> Relayed {
        let directions =
            std::mem::replace(&mut self.directions, [Direction::new(), Direction::new()]);
        let parcel = self
            .sockets
            .take()
            // Nobody else keeps them.
            .and_then(Rc::into_inner)
            .map(|sockets| Parcel::close(sockets, directions));
        match parcel {
            Some(Ok(parcel)) => {
                self.let_go(true);
                Relayed::Leaving(parcel)
            }
            _ => self.close(Ended::LocalError),
        }
    }

    /// The end: what is borrowed goes back, and unless the end was clean both peers get RST when
    /// the sockets are dropped (fact 7).
    fn close(&mut self, why: Ended) -> Relayed {
        let ended = self.handle.close(why);
        self.let_go(ended.is_clean());
        Relayed::Over(Transfer {
            client_to_upstream: self.handle.client_to_upstream(),
            upstream_to_client: self.handle.upstream_to_client(),
            ended,
            relay: Relay::from_spliced(self.handle.spliced.get()),
        })
    }

    fn let_go(&mut self, clean: bool) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        for direction in &mut self.directions {
            direction.release(&self.pools.kit);
        }
        self.pools.unwatch(self.place);
        if !clean {
            for socket in self.sockets.iter().flat_map(|sockets| &**sockets) {
                // Fails only for a descriptor that is no socket.
                let _ = reset_on_close(socket);
            }
        }
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.let_go(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The design's bound is 4 KiB of user memory for an idle tunnel, tokio's own share included
    /// (two registrations and a task header, about 1 KiB).
    #[test]
    fn a_tunnel_is_small() {
        let (relay, handle) = (size_of::<Relaying>(), size_of::<Handle>());
        println!("Relaying: {relay} bytes, Handle: {handle} bytes");
        assert!(relay <= 320, "a relay has grown to {relay} bytes");
        assert!(handle <= 192, "a handle has grown to {handle} bytes");
    }
}
