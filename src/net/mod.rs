//! Sockets: addresses, listeners (opened, or passed by a service manager, who is told of it), dialling,
//! options, the PROXY header.
//!
//! Mechanism without rules: everything here takes numbers and addresses and returns values; the
//! session decides and counts.

pub mod addr;
pub mod dial;
mod fence;
pub mod linger;
pub mod listener;
pub mod packets;
pub mod passed;
pub mod preface;
pub mod proxy_protocol;
pub mod resolve;
pub mod sd_notify;
pub mod sockopt;
pub mod unix;

pub use addr::{Endpoints, Fence, Host, ProxyVersion, SourceKey, Target};
pub use dial::{DialError, DialOptions, Dialed, dial};
pub use linger::{farewell, farewell_in_passing};
pub use listener::{AcceptPause, Accepted, ListenError, Listener};
pub use packets::{PacketListener, PacketSocket, PacketStream};
pub use passed::{Passed, PassedDoor, PassedError};
pub use preface::{HelloMemory, MemoryPermit, Preface};
pub use proxy_protocol::{ProxyHeader, Trusted};
pub use resolve::{ResolveClient, ResolveError, Resolver, ResolverFiles};
pub use sd_notify::{Barrier, NotifySocket};
pub use sockopt::Keepalive;
