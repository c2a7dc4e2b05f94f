//! sni.yaml: ATS's routes. What ATS 9.2 and 10 make of each key, and where the hub differs on
//! purpose, an operator hears from the warnings here.

use super::directives::{DIRECTIVES, Directive};
use super::effects;
use super::files::FileSet;
use super::hub_yaml::{DIAL, HALF_OPEN, IDLE, WRITE_STALL, port_set, short_idle};
use super::ip_list::IpLists;
use super::lints;
use super::probe_keys::KINDS;
use super::problem::{At, Collected, Reporter, seen};
use super::settings::Settings;
use super::value::{DurationRule, Scalar, did_you_mean, scalar};
use super::yaml::{Node, Tree, Value};
use crate::net::addr::ProxyVersion;
use crate::route::{
    Action, ConnectPorts, Entry, FqdnPattern, IpSet, PortSet, ProbeKind, RouteTable,
    TargetTemplate, Timeouts,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The file's one key.
pub(super) const TOP: &str = "sni";

/// What a sni.yaml comes to.
pub(super) struct SniYaml {
    /// `None`: something is wrong.
    pub(super) table: Option<RouteTable>,
    /// How many entries the file has, right or wrong.
    pub(super) entries: usize,
    /// What is wrong in the `"@file"`s.
    pub(super) lists: Vec<Collected>,
}

/// Where an entry's parts stand, for what only the whole table can tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) fqdn: At,
    pub(super) target: At,
}

/// Reads the file at `path`, whose text is `source`; what is wrong in it goes to `reporter`.
pub(super) fn read(
    path: &Path,
    source: &str,
    settings: &Settings,
    files: &mut FileSet,
    reporter: &mut Reporter<'_>,
) -> SniYaml {
    if source.trim().is_empty() {
        // Not the same as `sni: []`: this is what a copy that failed leaves behind.
        reporter.file_error(
            "",
            "the file is empty; write `sni: []` if no route is wanted",
        );
        return SniYaml {
            table: None,
            entries: 0,
            lists: Vec::new(),
        };
    }
    let tree = Tree::parse(source, reporter);
    let mut reader = Reader {
        reporter,
        settings,
        lists: IpLists::of(path, files),
        entries: Vec::new(),
        places: Vec::new(),
    };
    let items = items(&tree, reader.reporter);
    let mut count = 0;
    for item in items.into_iter().flat_map(Node::items) {
        count += 1;
        reader.item(item);
    }
    drop(tree);
    let Reader {
        lists,
        entries,
        places,
        ..
    } = reader;
    let lists = lists.collected;
    let table = table(entries, &places, &settings.connect_ports, reporter);
    let right = reporter.errors() == 0 && lists.iter().all(|list| list.errors == 0);
    if right && count == 0 {
        reporter.file_warning(TOP, "no routes: every connection will be refused");
    }
    SniYaml {
        table: table.filter(|_| right),
        entries: count,
        lists,
    }
}

/// Whether the text is meant to have no entry: comments only, or `sni:` with nothing in it. One
/// without a byte, or with a mistake, is not: it was to be something.
pub(super) fn is_without_entries(source: &str) -> bool {
    if source.trim().is_empty() {
        return false;
    }
    let mut reporter = Reporter::new("", source);
    let tree = Tree::parse(source, &mut reporter);
    let list = items(&tree, &mut reporter);
    let none = list.is_none_or(|list| list.items().next().is_none());
    none && tree.complete() && reporter.errors() == 0
}

/// The list under `sni`; `None`: there is none, or it is null.
fn items<'t>(tree: &'t Tree, reporter: &mut Reporter<'_>) -> Option<Node<'t>> {
    let root = tree.root()?;
    let mapping = match root.value() {
        Value::Null => return None,
        Value::Mapping(mapping) => mapping,
        _ => {
            let text = format!("{} where `sni:` with a list is expected", root.seen());
            reporter.error(root.at(), "", text);
            return None;
        }
    };
    let mut list = None;
    for (key, at, node) in mapping.entries() {
        if key == TOP {
            list = Some(node);
        } else if did_you_mean(key, [TOP]).is_some() {
            reporter.error(
                at,
                "",
                format!("unknown key {}; did you mean {TOP}?", seen(key)),
            );
        } else {
            reporter.warning(at, "", format!("unknown key {}, ignored", seen(key)));
        }
    }
    let Some(list) = list else {
        if tree.complete() {
            reporter.error(root.at(), "", "no key `sni` with a list of entries");
        }
        return None;
    };
    match list.value() {
        Value::Sequence(list) => Some(list),
        Value::Null => None,
        _ => {
            let text = format!("{} where a list of entries is expected", list.seen());
            reporter.error(list.at(), TOP, text);
            None
        }
    }
}

fn table(
    entries: Vec<Entry>,
    places: &[Place],
    connect_ports: &ConnectPorts,
    reporter: &mut Reporter<'_>,
) -> Option<RouteTable> {
    match RouteTable::new(entries, connect_ports.clone()) {
        Ok(table) => {
            lints::report(&table, places, reporter);
            Some(table)
        }
        Err(errors) => {
            for error in errors {
                lints::table_error(&error, places, reporter);
            }
            None
        }
    }
}

struct Reader<'r, 's, 'f> {
    reporter: &'r mut Reporter<'s>,
    settings: &'r Settings,
    lists: IpLists<'f>,
    entries: Vec<Entry>,
    places: Vec<Place>,
}

/// The parts of an entry that need each other.
#[derive(Default)]
struct Parts<'t> {
    fqdn: Option<Node<'t>>,
    target: Option<Node<'t>>,
    ends_tls: Option<(&'t str, At)>,
    allow_private: Option<(bool, At)>,
    inbound_ports: Option<PortSet>,
    ip_allow: Option<Arc<IpSet>>,
    sources: Option<Arc<IpSet>>,
    timeouts: Timeouts,
    send_proxy: Option<ProxyVersion>,
    probe: Option<(ProbeKind, At)>,
}

impl Reader<'_, '_, '_> {
    fn item(&mut self, item: Node<'_>) {
        let Value::Mapping(mapping) = item.value() else {
            let text = format!("{} where an entry with fqdn is expected", item.seen());
            return self.reporter.error(item.at(), TOP, text);
        };
        let errors = self.reporter.errors();
        let mut parts = Parts::default();
        for (key, at, node) in mapping.entries() {
            match Directive::find(key) {
                Some(Directive::Fqdn) => parts.fqdn = Some(node),
                Some(Directive::TunnelRoute) => parts.target = Some(node),
                Some(Directive::EndsTls) => self.ends_tls(&mut parts, key, at),
                Some(directive) => self.directive(&mut parts, directive, key, node, at),
                None => self.unknown(key, at),
            }
        }
        let Some((entry, place)) = self.finish(item, parts) else {
            return;
        };
        if self.reporter.errors() == errors {
            self.entries.push(entry);
            self.places.push(place);
        }
    }

    /// The pattern first: the target counts its `*`.
    fn finish(&mut self, item: Node<'_>, parts: Parts<'_>) -> Option<(Entry, Place)> {
        let pattern = match parts.fqdn {
            Some(node) => self.pattern(node),
            None => {
                self.reporter
                    .error(item.at(), "fqdn", "an entry without fqdn");
                None
            }
        };
        let captures = pattern.as_ref().map(FqdnPattern::captures);
        let target = parts.target.and_then(|node| self.target(node, captures));
        let fqdn = parts.fqdn.map_or(item.at(), Node::at);
        match (parts.target, parts.ends_tls) {
            (Some(node), Some((key, _))) => {
                let text = format!("two actions in one entry: tunnel_route and {key}");
                self.reporter.error(node.at(), "tunnel_route", text);
            }
            (None, None) => {
                let text = "no tunnel_route: these names are refused, and the search ends here (as \
                            in ATS)";
                self.reporter.warning(fqdn, "fqdn", text);
            }
            _ => {}
        }
        if let Some(target) = &target {
            self.fence(target, &parts);
            let at = parts.target.map_or(fqdn, Node::at);
            effects::target_port(target, self.settings, at, self.reporter);
        }
        let asked = parts.probe.filter(|(kind, _)| *kind != ProbeKind::Off);
        if let (Some((_, at)), Some(pattern)) = (asked, &pattern) {
            effects::probe(pattern, target.as_ref(), at, self.reporter);
        }
        let entry = Entry {
            inbound_ports: parts.inbound_ports,
            ip_allow: parts.ip_allow,
            sources: parts.sources,
            allow_private: parts.allow_private.is_some_and(|(allowed, _)| allowed),
            timeouts: parts.timeouts,
            send_proxy: parts.send_proxy,
            probe: parts.probe.map(|(kind, _)| kind),
            ..Entry::new(
                fqdn.line,
                pattern?,
                target.map_or(Action::None, Action::Tunnel),
            )
        };
        Some((
            entry,
            Place {
                fqdn,
                target: parts.target.map_or(fqdn, Node::at),
            },
        ))
    }

    fn pattern(&mut self, node: Node<'_>) -> Option<FqdnPattern> {
        if matches!(node.value(), Value::Null) {
            let text = "has no value; write '' for hellos without a server name";
            self.reporter.error(node.at(), "fqdn", text);
            return None;
        }
        let mut value = scalar(self.reporter, "fqdn", node)?;
        let pattern = match FqdnPattern::parse(value.text) {
            Ok(pattern) => pattern,
            Err(error) => return value.refuse(&error.to_string()),
        };
        if let Some(why) = pattern.cannot_match() {
            let text = format!("{} can match no server name: {why}", seen(value.text));
            self.reporter.warning(node.at(), "fqdn", text);
        } else if value.text.len() > 1 && value.text.ends_with('.') {
            let text = "the dot at the end is ignored here, in names, too (ATS tells them apart)";
            self.reporter.warning(node.at(), "fqdn", text);
        }
        Some(pattern)
    }

    /// `captures`: of the pattern, if that is right; without it, nothing is said about `$N`.
    fn target(&mut self, node: Node<'_>, captures: Option<usize>) -> Option<TargetTemplate> {
        let key = "tunnel_route";
        let mut value = scalar(self.reporter, key, node)?;
        match TargetTemplate::parse(value.text, captures.unwrap_or(FqdnPattern::MAX_LEN)) {
            Ok((target, warnings)) => {
                for warning in warnings.iter().filter(|_| captures.is_some()) {
                    let at = node.inside(lints::warning_offset(warning));
                    self.reporter.warning(at, key, warning.to_string());
                }
                Some(target)
            }
            Err(error) => {
                match lints::target_offset(&error) {
                    Some(offset) => {
                        self.reporter
                            .error(node.inside(offset), key, error.to_string());
                    }
                    None => {
                        value.refuse::<()>(&format!("is no destination: {error}"));
                    }
                }
                None
            }
        }
    }

    /// What the fence around dynamic destinations means for this one.
    fn fence(&mut self, target: &TargetTemplate, parts: &Parts<'_>) {
        let bare = lints::is_bare(target);
        if let (false, Some((_, at))) = (bare, parts.allow_private) {
            let text = "no effect: only a host that is $N alone is kept out of private ranges";
            self.reporter.warning(at, "allow_private", text);
        }
        if let (true, None, Some(node)) = (bare, parts.allow_private, parts.target) {
            let text = "the client chooses this host: private addresses are refused (ATS dials \
                        them); say allow_private: true or false";
            self.reporter.warning(node.at(), "tunnel_route", text);
        }
    }

    fn ends_tls<'t>(&mut self, parts: &mut Parts<'t>, key: &'t str, at: At) {
        if let Some((other, _)) = parts.ends_tls {
            let text = format!("two actions in one entry: {other} and {key}");
            return self.reporter.error(at, key, text);
        }
        parts.ends_tls = Some((key, at));
        self.reporter
            .error(at, key, "not built yet: TLS cannot be ended at the hub");
    }

    fn directive(
        &mut self,
        parts: &mut Parts<'_>,
        directive: Directive,
        key: &str,
        node: Node<'_>,
        at: At,
    ) {
        match directive {
            Directive::IpAllow => parts.ip_allow = self.lists.read(key, node, self.reporter),
            Directive::Sources => parts.sources = self.lists.read(key, node, self.reporter),
            Directive::InboundPortRanges => {
                parts.inbound_ports = port_set(key, node, self.reporter);
                if let Some(ports) = &parts.inbound_ports {
                    effects::inbound_ports(ports, self.settings, node.at(), self.reporter);
                }
            }
            Directive::SendProxy => {
                let words = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];
                parts.send_proxy =
                    scalar(self.reporter, key, node).and_then(|value| value.word(&words));
            }
            Directive::AllowPrivate => {
                let truth = scalar(self.reporter, key, node).and_then(Scalar::truth);
                parts.allow_private = Some((truth.unwrap_or(false), at));
            }
            Directive::Probe => {
                let kind = scalar(self.reporter, key, node).and_then(|value| value.word(&KINDS));
                parts.probe = kind.map(|kind| (kind, at));
            }
            Directive::DialTimeout => {
                parts.timeouts.dial = self.time(key, node, &DIAL);
                if let Some(dial) = parts.timeouts.dial {
                    effects::dial_timeout(dial, self.settings, node.at(), self.reporter);
                }
            }
            Directive::IdleTimeout => {
                parts.timeouts.idle = self.time(key, node, &IDLE);
                if let Some(idle) = parts.timeouts.idle.filter(|idle| !idle.is_zero()) {
                    short_idle(idle, node.at(), self.reporter);
                }
            }
            Directive::HalfOpenTimeout => {
                parts.timeouts.half_open = self.time(key, node, &HALF_OPEN);
            }
            Directive::WriteStallTimeout => {
                parts.timeouts.write_stall = self.time(key, node, &WRITE_STALL);
            }
            Directive::OfEndedTls(words) => self.of_ended_tls(words, key, node, at),
            Directive::OfOtherProtocols => {
                let text = "no effect: the hub passes HTTP/2 and QUIC settings by";
                self.reporter.warning(at, key, text);
            }
            Directive::Prewarm => {
                let text = "no effect: the hub opens no connection ahead of need";
                self.reporter.warning(at, key, text);
            }
            Directive::Fqdn | Directive::TunnelRoute | Directive::EndsTls => {}
        }
    }

    /// Zero in an entry's timeouts is off.
    fn time(&mut self, key: &str, node: Node<'_>, rule: &DurationRule) -> Option<Duration> {
        let value = scalar(self.reporter, key, node)?.duration(rule)?;
        Some(value.unwrap_or_default())
    }

    fn of_ended_tls(&mut self, words: &[&str], key: &str, node: Node<'_>, at: At) {
        if let (Value::Text(text), false) = (node.value(), words.is_empty())
            && !words.contains(&text)
        {
            let text = format!("{} is not one of {}", seen(text), words.join(", "));
            return self.reporter.error(node.at(), key, text);
        }
        self.reporter
            .warning(at, key, "no effect on a tunnel_route, as in ATS");
    }

    /// ATS ignores what it does not know; a typo in `ip_allow` would so open the route to all.
    fn unknown(&mut self, key: &str, at: At) {
        match did_you_mean(key, DIRECTIVES.iter().map(|(name, _)| *name)) {
            Some(meant) => {
                let text = format!("unknown key {}; did you mean {meant}?", seen(key));
                self.reporter.error(at, "", text);
            }
            None => {
                let text = format!("unknown key {}, ignored (as in ATS)", seen(key));
                self.reporter.warning(at, "", text);
            }
        }
    }
}
