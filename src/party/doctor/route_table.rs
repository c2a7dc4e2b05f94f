//! A party's route table for FATE: FATE makes a cluster entry of it for each other party, and whom
//! that leads past the hub replicates past it.

use super::finding::Finding;
use crate::config::{FateEntry, Problem, fate_table};
use crate::net::{Host, Target};
use crate::party::{Hub, Party};
use std::net::IpAddr;
use std::path::Path;

/// A file, and what it says or why it says nothing.
#[derive(Debug)]
pub(super) struct RouteTable<'t> {
    file: &'t Path,
    read: Result<Vec<FateEntry>, String>,
}

impl<'t> RouteTable<'t> {
    pub(super) fn parse(file: &'t Path, text: &str) -> RouteTable<'t> {
        let read = fate_table(&file.to_string_lossy(), text);
        let first = |problems: Vec<Problem>| {
            let first = problems.first().map(|one| one.headline().to_string());
            first.unwrap_or_default()
        };
        RouteTable {
            file,
            read: read.map_err(first),
        }
    }

    /// `own`: whose it is; `hub`: where that was asked.
    pub(super) fn judge(&self, own: &Party, hub: &Target) -> Vec<Finding> {
        let entries = match &self.read {
            Ok(entries) => entries,
            Err(why) => {
                return vec![
                    Finding::warning("route_table", format!("not looked at: {why}"))
                        .why("FATE may read it otherwise, or not at all"),
                ];
            }
        };
        let mut findings = Vec::new();
        for entry in entries {
            if !entry.found {
                findings.push(self.unseen(entry));
            } else if !entry.is_default() && entry.key != own.id {
                findings.extend(self.listed(entry, hub));
            }
        }
        match entries.iter().find(|entry| entry.is_default()) {
            Some(default) => findings.extend(self.default(default, own, hub)),
            None => findings.push(
                Finding::error(
                    "route_table.default",
                    format!("{} has no `default`", self.file.display()),
                )
                .why("FATE fails on each party that the file does not list")
                .fix(format!(
                    "default: {{proxy: \"{hub}\", domain: {}}}",
                    own.domain
                )),
            ),
        }
        if findings.is_empty() {
            let seen = "every party but this one is called by way of the hub";
            findings.push(Finding::ok("route_table", seen));
        }
        findings
    }

    fn at(&self, entry: &FateEntry, says: &str) -> String {
        let (file, line, key) = (self.file.display(), entry.line, &entry.key);
        format!("{file}:{line}: {key}: {says}")
    }

    fn unseen(&self, entry: &FateEntry) -> Finding {
        let digits = entry.key.bytes().all(|byte| byte.is_ascii_digit());
        let finding = Finding::warning(
            "route_table.unseen",
            self.at(entry, "FATE never finds this entry"),
        )
        .why("it looks for numbers, and this is a text: `default` counts for that party");
        match digits {
            true => finding.fix(format!("{}: without quotes, or no such entry", entry.key)),
            false => finding.fix("take the entry out"),
        }
    }

    /// Of another party.
    fn listed(&self, entry: &FateEntry, hub: &Target) -> Option<Finding> {
        // As Python has it.
        let host = entry.get("host").unwrap_or("None");
        let gone = format!(
            "take the entry out, `default` has the hub for it; and the cluster that FATE has made of \
             it, since it never changes one: `pulsar-admin clusters delete {}`",
            entry.key
        );
        let Some(proxy) = entry.get("proxy") else {
            let port = entry.get("sslPort").unwrap_or("6651");
            let seen = self.at(entry, &format!("{host}:{port} without a proxy"));
            return Some(
                Finding::error("route_table.bypass", seen)
                    .why("that party is called directly, past the hub")
                    .fix(gone),
            );
        };
        if entry.get("host").is_none() || host.parse::<IpAddr>().is_ok() {
            let seen = self.at(entry, &format!("{host} by way of {proxy}"));
            return Some(
                Finding::error("route_table.address", seen)
                    .why("the hub is asked for that host, and it is no server name (RFC 6066)")
                    .fix(gone),
            );
        }
        self.proxy(entry, proxy, hub)
    }

    fn default(&self, entry: &FateEntry, own: &Party, hub: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        match entry.get("proxy") {
            Some(proxy) => findings.extend(self.proxy(entry, proxy, hub)),
            None => findings.push(
                Finding::error("route_table.bypass", self.at(entry, "no proxy"))
                    .why("parties that the file does not list are called directly, past the hub")
                    .fix(format!("proxy: \"{hub}\"")),
            ),
        }
        let (domain, line) = (entry.get("domain"), format!("domain: {}", own.domain));
        findings.extend(match domain {
            Some(domain) if domain.eq_ignore_ascii_case(&own.domain) => None,
            Some(domain) => Some(
                Finding::warning(
                    "route_table.domain",
                    self.at(entry, &format!("domain: {domain}")),
                )
                .why(format!(
                    "the hub is asked for PARTY.{domain}, and this party is {}",
                    own.name
                ))
                .fix(line),
            ),
            None => Some(
                Finding::error("route_table.domain", self.at(entry, "no domain"))
                    .why("the hub is asked for PARTY.None")
                    .fix(line),
            ),
        });
        findings
    }

    /// Whether an entry's proxy is the hub that was asked.
    fn proxy(&self, entry: &FateEntry, proxy: &str, hub: &Target) -> Option<Finding> {
        let seen = self.at(entry, &format!("proxy: {proxy}"));
        let port = proxy.rsplit_once(':').map(|(_, port)| port);
        let named = Hub::parse(proxy).ok();
        let (Some(named), true) = (named, port.is_some_and(|port| !port.ends_with(']'))) else {
            return Some(
                Finding::error("route_table.proxy", seen)
                    .why("the broker wants HOST:PORT there, and no scheme")
                    .fix(format!("proxy: \"{hub}\"")),
            );
        };
        let same = named.port == hub.port
            && match &hub.host {
                Host::Name(name) => !named.is_named() || named.host.eq_ignore_ascii_case(name),
                Host::Ip(ip) => named.is_named() || named.host.parse() == Ok(*ip),
            };
        (!same).then(|| {
            Finding::warning("route_table.proxy", seen)
                .why(format!(
                    "{hub} was asked here, and FATE goes by another way"
                ))
                .fix(format!("proxy: \"{hub}\", or --via {proxy}"))
        })
    }
}
