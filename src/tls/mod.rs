//! The TLS wire as far as the hub reads it: one ClientHello, one alert. Sans-I/O; knows nothing of
//! the rest of the house.

mod alert;
mod client_hello;
mod looks_like;
mod message;
mod reader;
mod record;
mod server_name;

pub use alert::Alert;
pub use client_hello::{ClientHello, HelloError, HelloParser, Step};
pub use looks_like::{LooksLike, looks_like};
pub use server_name::{NameError, ServerName};
