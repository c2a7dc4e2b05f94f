//! What several promises need: hellos to send, the committed cases, a judge, a running hub, a party.

pub(crate) mod black_hole;
pub(crate) mod broken;
pub(crate) mod certs;
pub(crate) mod corpus;
pub(crate) mod dir;
pub(crate) mod hello;
pub(crate) mod hub;
pub(crate) mod imports;
pub(crate) mod judge;
pub(crate) mod log;
pub(crate) mod manager;
pub(crate) mod mutation;
pub(crate) mod oracles;
pub(crate) mod party;
pub(crate) mod program;
pub(crate) mod pulsar;
pub(crate) mod tap;
pub(crate) mod tls_server;
pub(crate) mod wire;
