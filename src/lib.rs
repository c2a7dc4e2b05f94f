//! snihub: the hub of a star of TLS brokers.
//!
//! A broker connects with TLS and names the party it wants in the ClientHello's server name. The
//! hub reads that one message, looks the name up in `sni.yaml`, dials the party's broker, sends the
//! hello on untouched and passes bytes both ways without ever decrypting.
//!
//! # The life of a connection
//!
//! [`session`] tells it in one screen. Every arrow consumes what is left of it:
//!
//! ```text
//! accept  -> Accepted{stream, endpoints, inbound}
//! peek    -> Peeked{hello, preface, stream}                     | Refusal
//! decide  -> Decision{route, target}                            | Refusal
//! dial    -> Dialed{upstream}     (takes the preface by value)  | DialError
//! tunnel  -> Transfer{bytes each way, ended}                    never an error: it always has counts
//! record  -> one closed line, one set of counters
//! ```
//!
//! The bytes that were read and are still owed to the upstream are a `Preface`, which only the dial
//! takes: losing a client's first bytes does not compile. A session holds the [`snapshot`] it was
//! accepted under until its upstream is dialled, then lets it go: links live for months, and must
//! not pin a routing table each.
//!
//! # The threads
//!
//! One [`worker`] per core, each a current-thread runtime that owns its listeners (SO_REUSEPORT),
//! its sessions, its pipes and scratch: while bytes flow nothing is locked and nothing is shared.
//! The thread that called [`server::run`] is the control thread: it resolves names, notices changed
//! files, [reloads](reload), asks upstreams for their [health], hears signals and [ends](shutdown) the
//! whole. Orders go to the workers
//! as [`worker::Command`]s.
//!
//! A third kind answers the [`admin`] doors: it reads the workers' counters where they write them,
//! asks them for their tunnels by a command, and the control thread for a reload.
//!
//! After an [upgrade](takeover) the process before this one takes orders as a worker does, over a
//! socket: its counters are among those that are added up, and its tunnels are listed, killed and
//! drained with the others.
//!
//! # The map
//!
//! | module | what it is | knows |
//! |---|---|---|
//! | [`tls`] | the wire, sans-I/O: ClientHello, server name, alert | nothing |
//! | [`refusal`] | why a client is declined, and what it is told | `tls` |
//! | [`terminal`] | which characters of other people play tricks on a terminal | nothing |
//! | [`regular`] | a file that an operator names: no FIFO, no device, bounded | nothing |
//! | [`meter`] | numbers with one writer each | nothing |
//! | [`net`] | sockets: listen, resolve, dial, options, PROXY header | `net::addr` |
//! | [`peek`] | from a socket to a server name, bounded, one deadline | `tls`, `net` |
//! | [`tunnel`] | the relay: `splice(2)` or copy, half-close, RST, timeouts | `meter`, `net::sockopt` |
//! | [`route`] | policy as pure values: `RouteTable::decide` | `tls`, `net::addr` |
//! | [`config`] | files to meaning, ours and ATS's; every mistake with its line | constructors of `route` |
//! | [`snapshot`] | what a session decides and dials by | `config`, `route` |
//! | [`permits`] | process-wide caps and counts | `net::addr` |
//! | [`telemetry`] | records, counters, log | values of the above |
//! | [`session`], [`worker`], [`server`] | one connection; one core; the whole | all stages |
//! | [`reload`], [`shutdown`] | notice, load, validate, swap; tell, then wait | `server` |
//! | [`takeover`] | hands listeners to a successor, and does its orders until the last tunnel ends | `server` |
//! | [`service`] | what a service manager is told: ready, status, watchdog | `server` |
//! | [`admin`] | the doors for people and scrapers: metrics, health, API, the page; the client | `server` |
//! | [`pki`] | an authority, its folder, and the certificates that each system reads | `tls`, `regular` |
//! | [`probe`] | asks a party: TCP, TLS, certificates, Pulsar CONNECT; findings as values | `net`, `pki` |
//! | [`health`] | asks the upstreams in turns, and tells how they do | `probe`, `snapshot` |
//! | [`party`] | a party of the star: its route, its certificate, its bundle, its doctor | `config`, `pki`, `probe`, `admin` |
//! | [`demo`] | parties and the real hub in one process | `server`, `pki` |
//! | [`cli`] | clap; one file per command; decides nothing | everything |
//!
//! `peek`, `net` and `tunnel` are mechanism: they take numbers and return values and never import
//! `route`, `config` or `telemetry`. `tls` and `route` import no runtime. `tests/it/house.rs` holds
//! these arrows.

pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod health;
pub mod meter;
pub mod net;
pub mod party;
pub mod peek;
pub mod permits;
pub mod pki;
pub mod probe;
pub mod refusal;
pub mod regular;
pub mod reload;
pub mod route;
pub mod server;
pub mod service;
pub mod session;
pub mod shutdown;
pub mod snapshot;
pub mod takeover;
pub mod telemetry;
pub mod terminal;
pub mod tls;
pub mod tunnel;
pub mod worker;
