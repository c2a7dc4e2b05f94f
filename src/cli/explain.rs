//! `snihub explain`: where a server name would go, and why.

use super::exit::{self, Exit, answer};
use super::{Files, Format, check};
use crate::config::{self, Loaded};
use crate::net::addr::{Fence, Host, Target};
use crate::refusal::Refusal;
use crate::route::{Action, ProbeKind, Query, Route, Timeouts};
use crate::tls::{NameError, ServerName};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Tells which entry takes a server name, where it leads, or why it is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub explain 10000.fate.org    which line takes it, and where it leads
  snihub explain a.org --from 10.1.2.3 --port 6651
  snihub explain --no-sni          a hello without a server name

The name is judged as if it came in a hello; without --from, source rules are
told and not judged. With --format json, files that are wrong are answered with
the report of `snihub check`.
Exit codes: 0 routed; 1 refused, or a destination that cannot be reached; 78 the
files are wrong.")]
pub(super) struct Args {
    /// The server name
    #[arg(
        value_name = "NAME",
        required_unless_present = "no_sni",
        conflicts_with = "no_sni"
    )]
    name: Option<String>,
    /// A hello without a server name
    #[arg(long)]
    no_sni: bool,
    #[command(flatten)]
    files: Files,
    /// The hub's port that is connected to [default: the first of `listen`]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Where the connection comes from
    #[arg(long, value_name = "ADDR")]
    from: Option<IpAddr>,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    let Args {
        name,
        files,
        port,
        from,
        format,
        ..
    } = args;
    let load = config::load(&files.sources());
    let Some(loaded) = &load.loaded else {
        return match format {
            Format::Text => exit::problems(&load.problems),
            Format::Json => {
                let exit = Exit::of_problems(&load.problems, false);
                answer(&check::json(&load), exit)
            }
        };
    };
    let port = port.unwrap_or_else(|| match loaded.settings.listen.first() {
        Some(spec) if spec.address.port() != 0 => spec.address.port(),
        _ => 443,
    });
    let from = from.map(|from| from.to_canonical());
    let explanation = explain(loaded, name.as_deref(), port, from);
    let exit = if explanation.routed {
        Exit::Ok
    } else {
        Exit::No
    };
    match format {
        Format::Text => answer(&explanation, exit),
        Format::Json => {
            // Plain strings and numbers: nothing in it can fail to serialize.
            let text = serde_json::to_string_pretty(&explanation).unwrap_or_default();
            answer(&format!("{text}\n"), exit)
        }
    }
}

/// Everything that decides about a connection.
#[derive(Debug, Serialize)]
struct Explanation {
    /// An entry takes it, and its destination can be dialled.
    routed: bool,
    /// As it is judged: lower case, without trailing dot. `None`: no name.
    name: Option<String>,
    port: u16,
    /// Canonical, as it is judged.
    from: Option<IpAddr>,
    /// Whose `sources` hold `from`.
    party: Option<String>,
    note: Option<&'static str>,
    entry: Option<EntryReport>,
    target: Option<TargetReport>,
    refusal: Option<RefusalReport>,
}

#[derive(Debug, Serialize)]
struct EntryReport {
    file: String,
    line: u32,
    id: String,
    fqdn: String,
    /// `tunnel` or `none`.
    action: &'static str,
    tunnel_route: Option<String>,
    /// What each `*` took: `$1`, `$2`...
    captures: Vec<String>,
    inbound_port_ranges: Option<String>,
    ip_allow: Option<String>,
    sources: Option<String>,
    send_proxy: Option<&'static str>,
    /// Where the entry says it: `off`, `tcp` or `tls`.
    probe: Option<&'static str>,
    /// Those that the entry sets, in milliseconds; 0 is off.
    timeouts_ms: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct TargetReport {
    address: String,
    fence: &'static str,
}

#[derive(Debug, Serialize)]
struct RefusalReport {
    label: &'static str,
    text: String,
    alert: Option<u8>,
}

fn explain(loaded: &Loaded, name: Option<&str>, port: u16, from: Option<IpAddr>) -> Explanation {
    let mut report = Explanation {
        routed: false,
        name: None,
        port,
        from,
        party: from
            .and_then(|from| loaded.routes.party_of(from))
            .map(|route| route.id.to_string()),
        note: None,
        entry: None,
        target: None,
        refusal: None,
    };
    let server_name = match name.map(|name| ServerName::parse(name.as_bytes())) {
        None => None,
        Some(Ok(name)) => Some(name),
        Some(Err(NameError::IpLiteral)) => {
            report.note = Some("an IP address is no server name (RFC 6066): judged as no name");
            None
        }
        Some(Err(NameError::Invalid(why))) => {
            report.refusal = Some(RefusalReport::of(&Refusal::Malformed(why)));
            return report;
        }
    };
    report.name = server_name.map(|name| name.as_str().to_owned());
    decide(loaded, server_name.as_ref(), &mut report);
    report
}

fn decide(loaded: &Loaded, name: Option<&ServerName>, report: &mut Explanation) {
    let decided = match report.from {
        // Without --from the source rule is told, not judged.
        None => loaded.routes.decide_for_some(name, report.port),
        Some(source) => loaded.routes.decide(&Query {
            name,
            source,
            inbound_port: report.port,
            proxy_port: None,
        }),
    };
    let name = report.name.clone().unwrap_or_default();
    match decided {
        Ok(decision) => {
            let nowhere = leads_nowhere(&decision.target);
            report.routed = nowhere.is_none();
            report.note = nowhere.or(report.note);
            report.entry = Some(EntryReport::of(loaded, decision.route, &name));
            report.target = Some(TargetReport::of(&decision.target));
        }
        Err(denied) => {
            report.entry = denied
                .route
                .map(|route| EntryReport::of(loaded, route, &name));
            report.refusal = Some(RefusalReport::of(&denied.refusal));
        }
    }
}

/// Why each connection to this destination fails, where that is certain without asking DNS.
fn leads_nowhere(target: &Target) -> Option<&'static str> {
    match &target.host {
        Host::Name(name) if name.contains('$') => Some(
            "no host of this name can be resolved: a '$' that is no group of the fqdn stays as it \
             is (as in ATS)",
        ),
        Host::Ip(ip) if !target.fence.permits(*ip) => {
            Some("the client chose this address, and it lies outside the fence: never dialled")
        }
        Host::Name(_) | Host::Ip(_) => None,
    }
}

impl EntryReport {
    fn of(loaded: &Loaded, route: &Arc<Route>, name: &str) -> EntryReport {
        let (action, tunnel_route) = match route.action() {
            Action::Tunnel(target) => ("tunnel", Some(target.to_string())),
            Action::None => ("none", None),
        };
        let captures = route.pattern().capture(name).unwrap_or_default();
        EntryReport {
            file: loaded.routes_file.display().to_string(),
            line: loaded.routes.line_of(route).unwrap_or(0),
            id: route.id.to_string(),
            fqdn: route.pattern().to_string(),
            action,
            tunnel_route,
            captures: captures.into_iter().map(str::to_owned).collect(),
            inbound_port_ranges: route.inbound_ports().map(ToString::to_string),
            ip_allow: route.ip_allow().map(ToString::to_string),
            sources: route.sources().map(ToString::to_string),
            send_proxy: route.send_proxy.map(|version| match version {
                crate::net::addr::ProxyVersion::V1 => "v1",
                crate::net::addr::ProxyVersion::V2 => "v2",
            }),
            probe: route.probe.map(ProbeKind::label),
            timeouts_ms: timeouts(&route.timeouts),
        }
    }
}

fn timeouts(timeouts: &Timeouts) -> BTreeMap<&'static str, u64> {
    let all: [(&'static str, Option<Duration>); 4] = [
        ("dial_timeout", timeouts.dial),
        ("idle_timeout", timeouts.idle),
        ("half_open_timeout", timeouts.half_open),
        ("write_stall_timeout", timeouts.write_stall),
    ];
    all.iter()
        // At most a year, by the rules of the file.
        .filter_map(|(key, value)| Some((*key, (*value)?.as_millis() as u64)))
        .collect()
}

impl TargetReport {
    fn of(target: &Target) -> TargetReport {
        let fence = match target.fence {
            Fence::Open => "open: any address",
            Fence::NoLocal => "no loopback, link-local, unspecified or multicast address",
            Fence::NoPrivate => "no private or local address (allow_private: true would permit)",
        };
        TargetReport {
            address: target.to_string(),
            fence,
        }
    }
}

impl RefusalReport {
    fn of(refusal: &Refusal) -> RefusalReport {
        RefusalReport {
            label: refusal.label(),
            text: refusal.to_string(),
            alert: refusal.alert().map(|alert| alert as u8),
        }
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => writeln!(f, "name      {name}")?,
            None if self
                .refusal
                .as_ref()
                .is_some_and(|r| r.label == "malformed") => {}
            None => writeln!(f, "name      none in the hello")?,
        }
        // Of the name, or else of a target that leads nowhere: then it stands there.
        let of_target = self.target.is_some() && !self.routed;
        if let (Some(note), false) = (self.note, of_target) {
            writeln!(f, "          {note}")?;
        }
        writeln!(f, "inbound   port {}", self.port)?;
        if let Some(from) = self.from {
            let party = self.party.as_deref().unwrap_or("other");
            writeln!(f, "from      {from}, party {party}")?;
        }
        if let Some(entry) = &self.entry {
            entry.fmt(f)?;
        }
        if let Some(target) = &self.target {
            writeln!(
                f,
                "target    {}\nfence     {}",
                target.address, target.fence
            )?;
        }
        if let (Some(note), true) = (self.note, of_target) {
            writeln!(f, "nowhere   {note}")?;
        }
        if let Some(refusal) = &self.refusal {
            let alert = refusal.alert.map_or_else(
                || "connection closed".to_owned(),
                |alert| format!("TLS alert {alert}"),
            );
            writeln!(f, "refused   {} ({alert})", refusal.text)?;
        }
        Ok(())
    }
}

impl Display for EntryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "entry     {}:{}: fqdn {:?}",
            self.file, self.line, self.fqdn
        )?;
        match &self.tunnel_route {
            Some(route) => writeln!(f, "action    tunnel_route {route}")?,
            None => writeln!(f, "action    none: the search ends here")?,
        }
        for (number, capture) in (1..).zip(&self.captures) {
            writeln!(f, "${number:<9}{capture:?}")?;
        }
        if let Some(ports) = &self.inbound_port_ranges {
            writeln!(f, "ports     only connections to {ports} of the hub")?;
        }
        match &self.ip_allow {
            Some(allowed) => writeln!(f, "sources   only from {allowed} (ip_allow)")?,
            None => writeln!(f, "sources   from everywhere (no ip_allow)")?,
        }
        if let Some(sources) = &self.sources {
            writeln!(f, "party     its own addresses are {sources} (sources)")?;
        }
        if let Some(version) = self.send_proxy {
            writeln!(f, "header    PROXY {version} before the hello")?;
        }
        if let Some(kind) = self.probe {
            writeln!(f, "probe     {kind}")?;
        }
        for (key, millis) in &self.timeouts_ms {
            let value = if *millis == 0 {
                "off".to_owned()
            } else {
                format!("{millis} ms")
            };
            writeln!(f, "timeout   {key} {value}")?;
        }
        Ok(())
    }
}
