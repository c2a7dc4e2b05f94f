//! `listen` of hub.yaml: where clients are accepted, and whose PROXY headers are believed.

use super::hub_yaml::LISTEN;
use super::keys::{unknown, word};
use super::problem::Reporter;
use super::settings::{ListenSpec, ProxyProtocol};
use super::value::scalar;
use super::yaml::{Node, Value};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// `listen`: an item, or a list of them.
pub(super) fn listen(node: Node<'_>, reporter: &mut Reporter<'_>) -> Option<Vec<ListenSpec>> {
    let items: Vec<Node<'_>> = match node.value() {
        Value::Sequence(list) => list.items().collect(),
        _ => vec![node],
    };
    if items.is_empty() {
        reporter.error(
            node.at(),
            "listen",
            "an empty list; give at least one address",
        );
    }
    let mut specs = Vec::new();
    for item in items {
        let Some(spec) = listen_item(item, reporter) else {
            continue;
        };
        let at = item.at();
        check_overlap(&specs, &spec, |text| reporter.error(at, "listen", text));
        if let Some(name) = &spec.name
            && specs.iter().any(|old| old.name == spec.name)
        {
            reporter.error(at, "name", format!("two items have the name {name:?}"));
        }
        specs.push(spec);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Two sockets cannot share an address, nor one of its addresses with a wildcard: the second
/// `bind` would find it in use.
pub(super) fn check_overlap(
    specs: &[ListenSpec],
    new: &ListenSpec,
    mut complain: impl FnMut(String),
) {
    let port = new.address.port();
    if port == 0 {
        return;
    }
    for old in specs.iter().filter(|old| old.address.port() == port) {
        let pair = [old.address, new.address];
        let ips = pair.map(|address| address.ip().to_canonical());
        if ips[0] == ips[1] {
            complain(format!("{} is listed twice", new.address));
        } else if let Some(n) = (0..2).find(|&n| takes_all_of(ips[n], ips[1 - n])) {
            let (all, one) = (pair[n], pair[1 - n]);
            let too = match ips {
                [IpAddr::V6(_), IpAddr::V6(_)] | [IpAddr::V4(_), IpAddr::V4(_)] => {
                    "takes every address"
                }
                _ => "takes IPv4, too",
            };
            complain(format!("{all} {too}; remove {one}"));
        }
    }
}

/// Whether two sockets cannot listen there both.
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let [a, b] = [one, other].map(|address| address.ip().to_canonical());
    one.port() == other.port() && (a == b || takes_all_of(a, b) || takes_all_of(b, a))
}

/// Whether a socket that listens on `all` has the family of `one`: ours are dual-stack
/// (IPV6_V6ONLY off, ipv6(7)), so `[::]` takes IPv4 as well.
fn takes_all_of(all: IpAddr, one: IpAddr) -> bool {
    match all {
        IpAddr::V6(v6) => v6.is_unspecified(),
        IpAddr::V4(v4) => v4.is_unspecified() && one.is_ipv4(),
    }
}

fn listen_item(item: Node<'_>, reporter: &mut Reporter<'_>) -> Option<ListenSpec> {
    let Value::Mapping(mapping) = item.value() else {
        return address("listen", item, reporter);
    };
    let (mut spec, mut named, mut proxy, mut trusted) = (None, None, None, None);
    let errors = reporter.errors();
    for (key, at, node) in mapping.entries() {
        match key {
            "address" => spec = address(key, node, reporter),
            "name" => named = name(key, node, reporter),
            "proxy_protocol" => {
                let words = [
                    ("off", ProxyProtocol::Off),
                    ("required", ProxyProtocol::Required),
                ];
                proxy = word(key, node, &words, reporter).map(|value| (value, node.at()));
            }
            "trusted" => trusted = Some((networks(key, node, reporter), node.at())),
            key => unknown(key, at, &LISTEN, reporter),
        }
    }
    if reporter.errors() > errors {
        return None;
    }
    let Some(mut spec) = spec else {
        reporter.error(item.at(), "listen", "an item without address");
        return None;
    };
    spec.name = named;
    match (proxy, trusted) {
        (Some((ProxyProtocol::Required, at)), None) => {
            let text = "required needs `trusted`: the CIDRs of those who may send a PROXY header";
            reporter.error(at, "proxy_protocol", text);
        }
        (Some((ProxyProtocol::Required, _)), Some((networks, at))) => {
            if networks.is_empty() {
                reporter.error(at, "trusted", "an empty list trusts nobody");
            }
            spec.proxy_protocol = ProxyProtocol::Required;
            spec.trusted = networks;
        }
        (_, Some((_, at))) => {
            reporter.warning(at, "trusted", "no effect without proxy_protocol: required");
        }
        (_, None) => {}
    }
    Some(spec)
}

fn address(key: &str, node: Node<'_>, reporter: &mut Reporter<'_>) -> Option<ListenSpec> {
    let mut value = scalar(reporter, key, node)?;
    ListenSpec::parse(value.text).map_or_else(|why| value.refuse(&why), Some)
}

/// As systemd takes names of descriptors (fdname_is_valid of its fd-util.c).
fn name(key: &str, node: Node<'_>, reporter: &mut Reporter<'_>) -> Option<String> {
    let mut value = scalar(reporter, key, node)?;
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    if (1..=255).contains(&value.text.len()) && value.text.bytes().all(printable) {
        return Some(value.text.to_owned());
    }
    value.refuse(
        "is not a name of sockets (FileDescriptorName= of a socket unit): 1 to 255 printable ASCII \
         characters without \":\"",
    )
}

fn networks(key: &str, node: Node<'_>, reporter: &mut Reporter<'_>) -> Vec<IpNet> {
    let items: Vec<Node<'_>> = match node.value() {
        Value::Sequence(list) => list.items().collect(),
        _ => vec![node],
    };
    let mut networks = Vec::new();
    for item in items {
        let Some(mut value) = scalar(reporter, key, item) else {
            continue;
        };
        match network(value.text.trim()) {
            Ok(network) => networks.push(network),
            Err(why) => {
                value.refuse::<()>(&why);
            }
        }
    }
    networks
}

/// An address or a CIDR; else what is wrong with it.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(network) if network.network() == network.addr() => Ok(network),
        Ok(network) => {
            let meant = network.trunc();
            Err(format!(
                "has bits set after its prefix; did you mean {meant}?"
            ))
        }
        Err(_) => Err("is not an address or a CIDR like 10.0.0.0/8".into()),
    }
}
