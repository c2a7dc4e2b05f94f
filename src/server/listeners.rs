//! Where clients are accepted: sockets that were passed, and those that the hub opens itself.
//!
//! A socket that was passed serves the item of `listen` that has its name, else the one that has
//! its address. An item that none serves is opened by the hub. The built-in list is the exception:
//! whatever was passed takes its place. A socket that is nobody's is an error: to drop it would
//! leave clients waiting, and to accept from it would leave out what its item asks for.

use crate::config::{ListenSpec, ProxyProtocol, Settings, overlap};
use crate::net::listener::{self, ListenError};
use crate::net::proxy_protocol::Trusted;
use crate::net::sockopt::Keepalive;
use crate::net::{Passed, PassedError};
use crate::worker::{Inbound, keepalive};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use thiserror::Error;

/// The name under which the hub has its own sockets kept by the service manager.
pub const STORED: &str = "snihub-listener";

/// Sockets that were passed cannot be used. The text says what to do.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// They cannot be taken.
    #[error(transparent)]
    Taking(#[from] PassedError),
    /// One is not what a listener has to be.
    #[error("the socket passed as {which}: {error} (ListenStream= of the socket unit, Accept=no)")]
    Unfit {
        /// Its number and name.
        which: String,
        /// What is wrong.
        error: ListenError,
    },
    /// One has no item in `listen`.
    #[error(
        "the socket passed as {which} listens on {bound}, and `listen` has no item with that address \
         or name, only {items}: change ListenStream= of the socket unit, or `listen` (left out, \
         every socket that is passed is listened on)"
    )]
    NotListed {
        /// Its number and name.
        which: String,
        /// Its address.
        bound: SocketAddr,
        /// The items.
        items: String,
    },
}

/// All listening sockets, before anybody accepts.
#[derive(Debug)]
pub(super) struct Listeners {
    /// Each worker's.
    pub(super) sockets: Vec<Vec<(TcpListener, Arc<Inbound>)>>,
    /// One for each address, in the order of `listen`; those that were passed come first.
    pub(super) inbounds: Vec<Arc<Inbound>>,
    /// Copies of all of them, for whoever is to have them next. Those that no socket unit keeps open
    /// are named [`STORED`].
    pub(super) copies: Vec<Passed>,
    /// What a hub before this one listened on, and `listen` no longer has.
    pub(super) left: Vec<SocketAddr>,
    /// Which worker the next one of those that were passed goes to.
    next: usize,
}

impl Listeners {
    /// Adopts what was passed and opens the rest: one socket per worker and address. What was
    /// passed is spread over the workers, however many there are; each has one owner.
    ///
    /// # Errors
    /// [`OpenError`]; nothing stays open then that was not before.
    pub(super) fn open(
        settings: &Settings,
        workers: usize,
        passed: Vec<Passed>,
    ) -> Result<Listeners, OpenError> {
        let mut all = Listeners {
            sockets: (0..workers).map(|_| Vec::new()).collect(),
            inbounds: Vec::new(),
            copies: Vec::new(),
            left: Vec::new(),
            next: 0,
        };
        let keepalive = keepalive(settings);
        let specs = &settings.listen;
        let built_in = *specs == Settings::default().listen;
        let mut served = vec![false; specs.len()];
        for Passed {
            number,
            name,
            listed: before,
            socket,
        } in passed
        {
            let which = format!("descriptor {number} ({name:?})");
            let unfit = |error| ActivationError::Unfit {
                which: which.clone(),
                error,
            };
            let socket = listener::adopt(socket, keepalive).map_err(unfit)?;
            let bound = socket.local_addr().map_err(|error| {
                unfit(ListenError::Other(
                    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                    error,
                ))
            })?;
            let spec = match item(specs, &name, before, bound) {
                Some(n) => {
                    served[n] = true;
                    specs[n].clone()
                }
                // Of a hub that had another list.
                None if name == STORED => {
                    all.left.push(bound);
                    continue;
                }
                None if built_in => {
                    served.fill(true);
                    ListenSpec::at(bound)
                }
                None => {
                    return Err(ActivationError::NotListed {
                        which,
                        bound,
                        items: listed(specs),
                    }
                    .into());
                }
            };
            all.keep(&socket, name, &spec).map_err(unfit)?;
            all.adopt(socket, bound, &spec);
        }
        for (spec, _) in specs.iter().zip(served).filter(|(_, served)| !served) {
            let bound = all.bind(spec, keepalive);
            bound.map_err(|error| all.overlap(&error).unwrap_or(error.into()))?;
        }
        // Several workers had one each.
        all.left.dedup();
        Ok(all)
    }

    fn adopt(&mut self, socket: TcpListener, bound: SocketAddr, spec: &ListenSpec) {
        // Several of one address are a group (SO_REUSEPORT): an unclaimed one would swallow its
        // share of the connections.
        let known = self.inbounds.iter().find(|known| known.local == bound);
        let inbound = match known {
            Some(known) => Arc::clone(known),
            None => self.inbound(bound, spec),
        };
        let worker = self.next % self.sockets.len();
        self.next += 1;
        self.sockets[worker].push((socket, inbound));
    }

    fn bind(&mut self, spec: &ListenSpec, keepalive: Option<Keepalive>) -> Result<(), ListenError> {
        let group = listener::bind_per_worker(spec.address, self.sockets.len(), keepalive)?;
        let local = group[0].local_addr().unwrap_or(spec.address);
        let inbound = self.inbound(local, spec);
        for socket in &group {
            self.keep(socket, STORED.into(), spec)?;
        }
        for (sockets, socket) in self.sockets.iter_mut().zip(group) {
            sockets.push((socket, Arc::clone(&inbound)));
        }
        Ok(())
    }

    /// Whether it is a hub before this one that has the address.
    fn overlap(&self, error: &ListenError) -> Option<OpenError> {
        let ListenError::InUse(address) = *error else {
            return None;
        };
        let mut left = self.left.iter();
        let bound = *left.find(|bound| overlap(**bound, address))?;
        Some(OpenError::Overlap { address, bound })
    }

    fn keep(
        &mut self,
        socket: &TcpListener,
        name: String,
        spec: &ListenSpec,
    ) -> Result<(), ListenError> {
        let copy = socket.try_clone();
        let socket = copy.map_err(|error| ListenError::Other(spec.address, error))?;
        self.copies.push(Passed {
            number: self.copies.len() as u32,
            name,
            listed: Some(spec.address),
            socket: socket.into(),
        });
        Ok(())
    }

    fn inbound(&mut self, local: SocketAddr, spec: &ListenSpec) -> Arc<Inbound> {
        let proxy = match spec.proxy_protocol {
            ProxyProtocol::Required => Some(Arc::new(Trusted::new(spec.trusted.clone()))),
            ProxyProtocol::Off => None,
        };
        let inbound = Arc::new(Inbound { local, proxy });
        self.inbounds.push(Arc::clone(&inbound));
        inbound
    }
}

/// Why there are no listeners.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Activation(#[from] ActivationError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("{address} overlaps {bound}")]
    Overlap {
        address: SocketAddr,
        bound: SocketAddr,
    },
}

/// The item of `listen` that a socket serves. `listed`: the address of the one that it served in
/// the process before this one, which may ask for port 0.
fn item(
    specs: &[ListenSpec],
    name: &str,
    listed: Option<SocketAddr>,
    bound: SocketAddr,
) -> Option<usize> {
    let by_name = |spec: &ListenSpec| spec.name.as_deref() == Some(name);
    let as_before = |spec: &ListenSpec| listed == Some(spec.address);
    let by_address = |spec: &ListenSpec| same(spec.address, bound);
    let mut all = specs.iter();
    all.position(by_name)
        .or_else(|| specs.iter().position(as_before))
        .or_else(|| specs.iter().position(by_address))
}

/// Whether a socket on `bound` is what `listed` asks for: `[::]` means every address, so that
/// `0.0.0.0` is part of it (BindIPv6Only=ipv6-only comes as two sockets).
fn same(listed: SocketAddr, bound: SocketAddr) -> bool {
    let any = listed.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && bound.ip().is_unspecified();
    let (wanted, got) = (listed.ip().to_canonical(), bound.ip().to_canonical());
    listed.port() == bound.port() && (any || wanted == got)
}

fn listed(specs: &[ListenSpec]) -> String {
    let one = |spec: &ListenSpec| match &spec.name {
        Some(name) => format!("{} (name {name:?})", spec.address),
        None => spec.address.to_string(),
    };
    specs.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(address: &str, name: Option<&str>) -> ListenSpec {
        ListenSpec {
            name: name.map(Into::into),
            ..ListenSpec::parse(address).unwrap()
        }
    }

    fn passed(number: u32, name: &str, socket: &TcpListener) -> Passed {
        Passed {
            number,
            name: name.into(),
            listed: None,
            socket: socket.try_clone().unwrap().into(),
        }
    }

    fn open(
        listen: Vec<ListenSpec>,
        workers: usize,
        passed: Vec<Passed>,
    ) -> Result<Listeners, OpenError> {
        let settings = Settings {
            listen,
            ..Settings::default()
        };
        Listeners::open(&settings, workers, passed)
    }

    fn anywhere() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn at(socket: &TcpListener) -> SocketAddr {
        socket.local_addr().unwrap()
    }

    #[test]
    fn a_socket_serves_the_item_of_its_name_else_of_its_address() {
        let specs = [
            spec("10.0.0.1:443", None),
            spec(":8443", None),
            spec("10.0.0.1:9443", Some("proxied")),
        ];
        for (name, bound, wanted) in [
            ("snihub.socket", "10.0.0.1:443", Some(0)),
            ("", "10.0.0.1:443", Some(0)),
            ("snihub.socket", "[::ffff:10.0.0.1]:443", Some(0)),
            ("snihub.socket", "[::]:8443", Some(1)),
            ("snihub.socket", "0.0.0.0:8443", Some(1)),
            ("proxied", "[::]:8443", Some(2)),
            ("proxied", "10.0.0.1:443", Some(2)),
            ("snihub.socket", "10.0.0.1:9443", Some(2)),
            ("snihub.socket", "0.0.0.0:443", None),
            ("snihub.socket", "10.0.0.2:443", None),
            ("snihub.socket", "10.0.0.1:8443", None),
            ("snihub.socket", "[::1]:8443", None),
        ] {
            let got = item(&specs, name, None, bound.parse().unwrap());
            assert_eq!(got, wanted, "{name:?} {bound}");
        }
    }

    #[test]
    fn whatever_is_passed_takes_the_place_of_the_built_in_list() {
        let (one, other) = (anywhere(), anywhere());
        let both = vec![passed(3, "a", &one), passed(4, "b", &other)];
        let all = open(Settings::default().listen, 3, both).unwrap();
        let locals: Vec<_> = all.inbounds.iter().map(|inbound| inbound.local).collect();
        assert_eq!(locals, [at(&one), at(&other)]);
        let owned: Vec<_> = all.sockets.iter().map(Vec::len).collect();
        assert_eq!(owned, [1, 1, 0]);
        // A socket unit keeps them.
        let names: Vec<_> = all.copies.iter().map(|copy| copy.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_list_has_its_properties_and_what_is_not_passed_is_opened() {
        let socket = anywhere();
        let proxied = ListenSpec {
            proxy_protocol: ProxyProtocol::Required,
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            ..spec("10.9.9.9:443", Some("proxied"))
        };
        let specs = vec![spec("127.0.0.1:0", None), proxied];
        let all = open(specs, 2, vec![passed(3, "proxied", &socket)]).unwrap();
        assert_eq!(all.inbounds[0].local, at(&socket));
        assert!(all.inbounds[0].trusts("10.1.2.3".parse().unwrap()));
        assert!(all.inbounds[1].proxy.is_none());
        assert_ne!(all.inbounds[1].local.port(), 0);
        let owned: Vec<_> = all.sockets.iter().map(Vec::len).collect();
        assert_eq!(owned, [2, 1]);
        let own = all.copies.iter().filter(|copy| copy.name == STORED);
        assert_eq!((own.count(), all.copies.len()), (2, 3));
    }

    #[test]
    fn a_socket_that_is_nobodys_is_refused_with_what_there_is() {
        let socket = anywhere();
        let specs = vec![spec("127.0.0.1:0", None), spec(":1", Some("proxied"))];
        let error = open(specs, 1, vec![passed(3, "x.socket", &socket)]).unwrap_err();
        let bound = at(&socket);
        let text = error.to_string();
        let seen = format!("descriptor 3 (\"x.socket\") listens on {bound}");
        assert!(text.contains(&seen), "{text}");
        let items = "only 127.0.0.1:0, [::]:1 (name \"proxied\"): change ListenStream=";
        assert!(text.contains(items), "{text}");
    }

    #[test]
    fn what_was_stored_is_taken_back_for_its_address_alone() {
        let (kept, gone) = (anywhere(), anywhere());
        let stored = || vec![passed(3, STORED, &gone), passed(4, STORED, &kept)];
        let specs = vec![spec(&at(&kept).to_string(), None)];
        let all = open(specs, 1, stored()).unwrap();
        assert_eq!((all.inbounds.len(), all.copies.len()), (1, 1));
        assert_eq!(all.inbounds[0].local, at(&kept));
    }

    #[test]
    fn what_is_handed_on_serves_the_item_that_it_served_before() {
        let before = open(vec![spec("127.0.0.1:0", None)], 3, Vec::new()).unwrap();
        let bound = before.inbounds[0].local;
        let listen = vec![spec("10.9.9.9:1", Some("x")), spec("127.0.0.1:0", None)];
        let settings = Settings {
            listen: listen[1..].to_vec(),
            ..Settings::default()
        };
        assert_eq!(
            item(&listen, STORED, before.copies[0].listed, bound),
            Some(1)
        );
        let after = Listeners::open(&settings, 2, before.copies).unwrap();
        assert_eq!(after.inbounds.len(), 1);
        assert_eq!(after.inbounds[0].local, bound);
        let owned: Vec<_> = after.sockets.iter().map(Vec::len).collect();
        assert_eq!((owned, after.copies.len()), (vec![2, 1], 3));
    }

    #[test]
    fn all_of_a_group_are_claimed() {
        let group = listener::bind_per_worker("127.0.0.1:0".parse().unwrap(), 3, None).unwrap();
        let three = || {
            (3..)
                .zip(&group)
                .map(|(n, socket)| passed(n, "web", socket))
        };
        let all = open(Settings::default().listen, 2, three().collect()).unwrap();
        assert_eq!(all.inbounds.len(), 1);
        let owned: Vec<_> = all.sockets.iter().map(Vec::len).collect();
        assert_eq!(owned, [2, 1]);
    }

    #[test]
    fn what_is_no_listener_is_told_with_its_number_and_name() {
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = Passed {
            number: 5,
            name: "dns".into(),
            listed: None,
            socket: datagram.into(),
        };
        let error = open(Settings::default().listen, 1, vec![udp]).unwrap_err();
        let text = error.to_string();
        let wanted = "the socket passed as descriptor 5 (\"dns\"): it is a UDP socket; needed is";
        assert!(text.starts_with(wanted), "{text}");
    }
}
