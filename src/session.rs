//! One connection's story: accept, peek, decide, dial, tunnel, record.

use crate::net::dial;
use crate::net::proxy_protocol::ProxyHeader;
use crate::net::{Endpoints, SourceKey, farewell, farewell_in_passing};
use crate::peek::{self, PeekFailed, Peeked};
use crate::permits::{Held, Share};
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::telemetry::Outcome;
use crate::tls::Alert;
use crate::tunnel::{self, Limits, Relayed, Relaying};
use crate::worker::{Belongings, Decided, Inbound, Live, Place, Worker};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connection that was just accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The client's socket, registered with this worker.
    pub stream: TcpStream,
    /// Both ends, canonical.
    pub endpoints: Endpoints,
    /// The listener it came by.
    pub inbound: Arc<Inbound>,
    /// When; the hello's deadline counts from here.
    pub at: Instant,
    /// Its place among the pending hellos.
    pub pending: Held,
}

/// What a connection holds beside its socket.
#[derive(Debug)]
pub struct Places {
    /// Among all sessions, until it is over.
    pub session: Held,
    /// Among those of its worker that have no tunnel yet.
    pub opening: Held,
}

/// Carries one connection to its end. The record is told here or, if this future is dropped or
/// panics, when `live` is dropped.
///
/// What stands for months is this future. So the way to the tunnel has a box of its own, which goes
/// when the tunnel stands; and neither this nor [`carry`] is an `async fn`, which would keep room for
/// its arguments once more.
pub fn session(
    worker: Rc<Worker>,
    accepted: Accepted,
    live: Live,
    places: Places,
) -> impl Future<Output = ()> {
    let opening = Box::pin(open(worker, accepted, live, places));
    async move {
        let Some(tunnel) = opening.await else {
            return;
        };
        pin!(tunnel).await;
    }
}

/// Relays until the tunnel is over, or goes on at another worker.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn would have room for the relay twice: 776 bytes for 408"
)]
pub fn carry(
    mut relaying: Relaying,
    live: Live,
    belongings: Belongings,
) -> impl Future<Output = ()> {
    async move {
        match (&mut relaying).await {
            Relayed::Over(transfer) => live.close(Outcome::Ended(transfer.ended)),
            Relayed::Leaving(parcel) => live.leave(parcel, belongings),
        }
    }
}

/// All that comes before the tunnel; `None`: the client was declined, and has been told.
async fn open(
    worker: Rc<Worker>,
    accepted: Accepted,
    live: Live,
    places: Places,
) -> Option<impl Future<Output = ()>> {
    let Places { session, opening } = places;
    let established = establish(&worker, accepted, &live).await;
    drop(opening);
    match established {
        Ok(standing) => {
            let Standing {
                client,
                upstream,
                limits,
                why,
                shares,
            } = standing;
            let handle = live.record().handle();
            let pools = Rc::clone(worker.pools());
            // From here on whatever goes wrong, a panic included, is a RST for both.
            let relaying = tunnel::relay(client, upstream, limits, pools, Rc::clone(&handle));
            live.stand(why, handle);
            let belongings = Belongings {
                limits,
                shares,
                session,
            };
            Some(carry(relaying, live, belongings))
        }
        Err(Declined { outcome, client }) => {
            let alert = match &outcome {
                Outcome::Refused(Refusal::ClientLeft) => {
                    live.close(outcome);
                    return None;
                }
                Outcome::Refused(refusal) => refusal.alert(),
                Outcome::DialFailed(_) | Outcome::Ended(_) => Some(Alert::InternalError),
            };
            live.close(outcome);
            let record = alert.map(Alert::record);
            let last_words = record.as_ref().map_or(&[][..], |record| &record[..]);
            match worker.permits().farewell(&worker.caps()) {
                Some(_lingering) => farewell(client, last_words).await,
                None => farewell_in_passing(&client, last_words),
            }
            None
        }
    }
}

/// Both sockets, ready to be relayed.
struct Standing {
    client: TcpStream,
    upstream: TcpStream,
    limits: Limits,
    why: Decided,
    shares: Shares,
}

/// No tunnel: why, and the client's socket to say so.
struct Declined {
    outcome: Outcome,
    client: TcpStream,
}

/// What a tunnel holds of the caps by source and by route.
pub type Shares = (Option<Share<SourceKey>>, Option<Share<Arc<str>>>);

async fn establish(
    worker: &Rc<Worker>,
    accepted: Accepted,
    live: &Live,
) -> Result<Standing, Declined> {
    let snapshot = worker.snapshot();
    let (peeked, pending) = read_hello(worker, &snapshot, accepted, live).await?;
    let Peeked {
        hello,
        preface,
        endpoints,
        proxy_port,
        stream: client,
    } = peeked;

    let name = hello.server_name.map(|name| name.as_str().into());
    let place = Place {
        name,
        source: endpoints.client.ip(),
        inbound_port: endpoints.local.port(),
        proxy_port,
    };
    let received = preface.as_bytes().len() as u64;
    live.record()
        .hello(endpoints, place.name.as_ref(), received);
    if let Some(party) = snapshot.routes.party_of(place.source) {
        live.record().party(&party.id);
    }
    let decision = match place.decide(&snapshot.routes) {
        Ok(decision) => decision,
        Err(denied) => {
            if let Some(route) = denied.route {
                live.record().route(&route.id);
            }
            return Err(refused(denied.refusal, client));
        }
    };
    let mut why = Decided {
        place,
        route: Arc::clone(decision.route),
        target: decision.target,
        at: Instant::now(),
    };
    if !live.heir_agrees(&why).await {
        return Err(refused(Refusal::UnknownServerName, client));
    }
    live.record().route(&why.route.id);
    live.record().target(&why.target);
    let shares = match take_shares(worker, &snapshot, why.place.source, &why.route.id) {
        Ok(shares) => shares,
        Err(refusal) => return Err(refused(refusal, client)),
    };

    let options = worker.dial_options(&snapshot.settings, &why.route);
    let limits = worker.tunnel_limits(&snapshot.settings, &why.route);
    let generation = snapshot.generation;
    drop(snapshot);
    let header = why.route.send_proxy.map(|version| ProxyHeader {
        version,
        endpoints: Some(endpoints),
    });
    let dialing = worker.permits().dials.take();
    let dialed = tokio::select! {
        dialed = dial::dial(&why.target, worker.resolver(), &options, header, preface) => dialed,
        // RST: nobody waits for this upstream any more. (A FIN is no farewell: the client may be
        // done with sending and still listen.)
        _ = client.ready(Interest::ERROR) => {
            return Err(refused(Refusal::ClientLeft, client));
        }
    };
    // Until here the source counts as one that keeps the hub waiting: else one source, and one
    // party that is down, could take up all pending dials.
    drop((dialing, pending));
    let upstream = match dialed {
        Ok(dialed) => {
            live.record().dialed(&dialed);
            dialed.stream
        }
        Err(error) => {
            return Err(Declined {
                outcome: Outcome::DialFailed(error),
                client,
            });
        }
    };
    why.at = Instant::now();
    // A reload during the dial may have taken the route away.
    let stays = worker.snapshot().generation == generation || worker.still_routed(&why);
    if !stays || !live.heir_agrees(&why).await {
        return Err(refused(Refusal::UnknownServerName, client));
    }
    Ok(Standing {
        client,
        upstream,
        limits,
        why,
        shares,
    })
}

async fn read_hello(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    accepted: Accepted,
    live: &Live,
) -> Result<(Peeked, Share<SourceKey>), Declined> {
    let Accepted {
        stream,
        endpoints,
        inbound,
        at,
        pending: _pending,
    } = accepted;
    let limits = &snapshot.settings.limits;
    let cap = match inbound.trusts(endpoints.client.ip()) {
        true => usize::MAX,
        false => limits.pending_hellos_per_source,
    };
    let source = SourceKey::of(endpoints.client.ip());
    let Some(share) = worker.permits().hellos_by_source.take(source, cap) else {
        return Err(refused(
            Refusal::OverLimit("limits.pending_hellos_per_source"),
            stream,
        ));
    };
    let options = worker.peek_options(&snapshot.settings, &inbound, at);
    let memory = worker.hello_memory();
    match peek::peek(stream, worker.scratch(), endpoints, &options, memory).await {
        Ok(peeked) => Ok((peeked, share)),
        Err(failed) => {
            let PeekFailed {
                refusal,
                stream,
                endpoints,
                bytes_received,
            } = *failed;
            live.record().no_hello(endpoints, bytes_received);
            Err(refused(refusal, stream))
        }
    }
}

fn take_shares(
    worker: &Worker,
    snapshot: &Snapshot,
    source: IpAddr,
    route: &Arc<str>,
) -> Result<Shares, Refusal> {
    let limits = &snapshot.settings.limits;
    let permits = worker.permits();
    let by_source = match limits.per_source {
        Some(cap) => Some(
            permits
                .tunnels_by_source
                .take(SourceKey::of(source), cap)
                .ok_or(Refusal::OverLimit("limits.per_source"))?,
        ),
        None => None,
    };
    let by_route = match limits.per_route {
        Some(cap) => Some(
            permits
                .tunnels_by_route
                .take(Arc::clone(route), cap)
                .ok_or(Refusal::OverLimit("limits.per_route"))?,
        ),
        None => None,
    };
    Ok((by_source, by_route))
}

fn refused(refusal: Refusal, client: TcpStream) -> Declined {
    Declined {
        outcome: Outcome::Refused(refusal),
        client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn while_a_tunnel_stands_its_session_keeps_nothing_of_the_way_there() {
        let kept = size_of::<Relaying>() + size_of::<Live>() + size_of::<Belongings>();
        let session = size_of_future(session);
        println!("session: {session} bytes, of these the tunnel's: {kept}");
        assert!(session <= kept + 64, "{session} bytes for {kept}");
    }
}
