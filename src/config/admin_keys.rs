//! The keys of hub.yaml about who may look at the hub, and steer it.

use super::hub_yaml::METRICS;
use super::keys::{count, mapping, put, unknown};
use super::problem::{At, Reporter};
use super::settings::{ListenSpec, Settings};
use super::value::{Scalar, scalar};
use super::yaml::Node;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The longest path of a socket: `sun_path` of unix(7), less the byte that ends it.
const LONGEST_SOCKET: usize = 107;

/// `admin`: `None` is off.
pub(super) fn socket(
    key: &str,
    node: Node<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Option<PathBuf>> {
    let mut value = scalar(reporter, key, node)?;
    match socket_path(value.text) {
        Ok(path) => Some(path),
        Err(why) => value.refuse(&why),
    }
}

/// A path for a socket, or off.
pub(super) fn socket_path(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "off" => Ok(None),
        "" => Err("is no path: give one for the socket, or off".into()),
        text if text.len() > LONGEST_SOCKET => Err(format!(
            "is too long for a socket: at most {LONGEST_SOCKET} bytes"
        )),
        text => Ok(Some(PathBuf::from(text))),
    }
}

/// `admin_listen`.
pub(super) fn loopback(
    key: &str,
    node: Node<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Option<SocketAddr>> {
    let mut value = scalar(reporter, key, node)?;
    let address = address(&mut value)?;
    match address {
        Some(address) if !address.ip().to_canonical().is_loopback() => value.refuse(
            "is not a loopback address: the admin door tells who talks to whom. Use 127.0.0.1 or \
             [::1] and reach it by `ssh -L`; ops_listen is for others",
        ),
        address => Some(address),
    }
}

/// `ops_listen`.
pub(super) fn anywhere(
    key: &str,
    node: Node<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<Option<SocketAddr>> {
    address(&mut scalar(reporter, key, node)?)
}

fn address(value: &mut Scalar<'_, '_, '_>) -> Option<Option<SocketAddr>> {
    if value.text == "off" {
        return Some(None);
    }
    match ListenSpec::parse(value.text) {
        Ok(spec) => Some(Some(spec.address)),
        Err(why) => value.refuse(&format!("{why}; or off")),
    }
}

/// `admin_token_file`.
pub(super) fn file(key: &str, node: Node<'_>, reporter: &mut Reporter<'_>) -> Option<PathBuf> {
    let mut value = scalar(reporter, key, node)?;
    match value.text {
        "" => value.refuse("is no path: give a file, or remove the key"),
        text => Some(PathBuf::from(text)),
    }
}

/// `metrics`.
pub(super) fn metrics(settings: &mut Settings, node: Node<'_>, reporter: &mut Reporter<'_>) {
    let metrics = &mut settings.metrics;
    for (key, at, node) in mapping("metrics", node, &METRICS, reporter) {
        match key {
            "max_routes" => {
                let most = count(key, node, 0..=100_000, None, reporter);
                put(&mut metrics.max_routes, most.flatten());
            }
            "routes_on_ops" => {
                let value = scalar(reporter, key, node).and_then(Scalar::truth);
                if value == Some(true) {
                    let text = "true tells everyone who can connect to ops_listen which parties \
                                there are and who talks to whom";
                    reporter.warning(node.at(), key, text);
                }
                put(&mut metrics.routes_on_ops, value);
            }
            key => unknown(key, at, &METRICS, reporter),
        }
    }
}

/// What no key can know alone. `token_file`: where that key stands.
pub(super) fn relations(settings: &Settings, token_file: Option<At>, reporter: &mut Reporter<'_>) {
    if let (None, Some(at)) = (settings.admin_listen, token_file) {
        let text = "no effect without admin_listen";
        reporter.warning(at, "admin_token_file", text);
    }
}
