//! What several promises need: hellos to send, the committed cases, a judge, a running hub, a party.

pub(crate) mod corpus;
pub(crate) mod hello;
pub(crate) mod judge;
pub(crate) mod mutation;
pub(crate) mod oracles;
