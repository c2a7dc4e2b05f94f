//! What the hub that runs here says: its doors, its routes, and its records of late.

use super::NOBODY;
use super::finding::{Finding, counted};
use crate::admin::client::{ClientError, ask_within};
use crate::config::{ProxyProtocol, Settings};
use crate::party::{Party, Routes};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Refusals that are looked at, the latest.
const LATEST: &str = "1000";

/// Seconds: what was refused before may be mended since.
const RECENT: u64 = 15 * 60;

/// Who got no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    /// The party itself.
    Itself,
    /// Somebody else.
    Others,
    /// Somebody on the hub's own machine.
    Here,
}

/// What the hub said before anybody was asked through it.
#[derive(Debug)]
pub struct Heard {
    status: Value,
    config: Value,
    routes: Value,
    refusals: Value,
}

impl Heard {
    /// Asks the hub behind its socket; `patience`: for each step of an exchange.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(socket: &Path, patience: Duration) -> Result<Heard, ClientError> {
        let get = |path, parameters: &[_]| ask_within(socket, patience, "GET", path, parameters);
        Ok(Heard {
            status: get("/api/status", &[])?.body,
            config: get("/api/config", &[])?.body,
            routes: get("/api/routes", &[])?.body,
            refusals: get("/api/refusals", &[("limit", LATEST)])?.body,
        })
    }

    /// Where it takes clients that send no PROXY header, from this machine.
    pub fn door(&self) -> Option<SocketAddr> {
        let listens = self.config["settings"]["listen"].as_array()?;
        let proxied: Vec<&Value> = listens
            .iter()
            .filter(|item| item["proxy_protocol"] == "required")
            .map(|item| &item["address"])
            .collect();
        let mut doors = self.status["listen"].as_array()?.iter();
        let door = doors.find(|door| !proxied.contains(door) && proxied.len() < listens.len())?;
        door.as_str()?.parse().ok().map(from_here)
    }

    /// Of the hub itself.
    pub(super) fn health(&self) -> Vec<Finding> {
        let status = &self.status;
        let mut findings = Vec::new();
        let (version, generation) = (text(&status["version"]), &status["generation"]);
        let seen = format!(
            "snihub {version} runs, generation {generation}, {}, {} open",
            counted(number(&status["routes"]), "route", "routes"),
            counted(number(&status["tunnels_open"]), "tunnel", "tunnels")
        );
        findings.push(match status["not_ready"].as_str() {
            None => Finding::ok("hub.running", seen),
            Some(why) => Finding::error("hub.running", format!("{seen}; not ready: {why}"))
                .why("a balancer or Kubernetes sends nobody to it")
                .fix("its log says more: `journalctl -u snihub`"),
        });
        if status["last_reload"]["result"] == "refused" {
            findings.push(
                Finding::error(
                    "hub.reload",
                    "the last reload was refused: its old files are in force",
                )
                .why("what was changed in sni.yaml or hub.yaml since does not count")
                .fix("`snihub check` shows what is wrong"),
            );
        }
        findings
    }

    /// Whether it has the route that the file has.
    pub(super) fn route(&self, party: &Party, id: &str, target: &str) -> Finding {
        let generation = &self.routes["generation"];
        let row =
            rows(&self.routes, "routes").find(|row| row["id"] == id && !row["line"].is_null());
        let reload = "`snihub reload` says why it keeps its old configuration";
        match row {
            Some(row) if row["target"] == target => Finding::ok(
                "hub.route",
                format!("the hub that runs has the route (generation {generation})"),
            ),
            Some(row) => Finding::error(
                "hub.route",
                format!(
                    "the hub that runs leads to {}, not to {target}",
                    text(&row["target"])
                ),
            )
            .why("it has not taken the file as it is now, or runs with another one")
            .fix(reload),
            None => Finding::error(
                "hub.route",
                format!("the hub that runs has no route for {}", party.name),
            )
            .why("every call to this party ends there, with TLS alert 112")
            .fix(reload),
        }
    }

    /// What its records say of the party of late.
    ///
    /// `routes`: who calls from an address, where the hub had not yet read a name.
    pub(super) fn records(&self, party: &Party, routes: &Routes) -> Vec<Finding> {
        let mut findings = vec![self.tunnels(party)];
        findings.extend(self.refusals(party, routes));
        findings
    }

    fn tunnels(&self, party: &Party) -> Finding {
        let name = &*party.name;
        let sum = |side: &str, key: &str| -> u64 {
            let own = rows(&self.routes, "links").filter(|link| link[side] == name);
            own.map(|link| link[key].as_u64().unwrap_or(0)).sum()
        };
        let (to, from) = (sum("route", "tunnels_open"), sum("party", "tunnels_open"));
        let (ever_to, ever_from) = (
            sum("route", "tunnels_opened"),
            sum("party", "tunnels_opened"),
        );
        let seen = format!(
            "tunnels: {to} open to it ({ever_to} since the hub's start), {from} from it ({ever_from})"
        );
        if ever_from == 0 && ever_to > 0 {
            return Finding::note("records.tunnels", seen)
                .why(
                    "others call it, and it calls nobody: its broker may go past the hub, or call \
                     from an address that the hub does not know for its own",
                )
                .fix(
                    "brokerClientTlsEnabled=true in its broker.conf; else `sources` in its entry of \
                     sni.yaml",
                );
        }
        Finding::ok("records.tunnels", seen)
    }

    /// One finding for each reason.
    fn refusals(&self, party: &Party, routes: &Routes) -> Vec<Finding> {
        let name = &*party.name;
        let mut by_reason: BTreeMap<(Caller, &str), (u64, &Value)> = BTreeMap::new();
        let source = |row: &Value| text(&row["source"]).parse::<SocketAddr>().ok();
        let calls = |row: &Value| {
            row["party"] == name || source(row).is_some_and(|from| routes.is_source(name, from))
        };
        let of_it = |row: &&Value| row["name"] == name || row["route"] == name || calls(row);
        // A doctor's own question.
        let real = |row: &&Value| row["name"] != NOBODY;
        // The latest first.
        for row in rows(&self.refusals, "refusals").filter(of_it).filter(real) {
            let caller = match source(row) {
                _ if calls(row) => Caller::Itself,
                Some(from) if from.ip().is_loopback() => Caller::Here,
                _ => Caller::Others,
            };
            let reason = text(&row["reason"]);
            by_reason.entry((caller, reason)).or_insert((0, row)).0 += 1;
        }
        let rows = by_reason.into_iter();
        rows.map(|((caller, reason), (times, latest))| {
            let ago = ago(&latest["at_unix_ms"]);
            let who = match caller {
                Caller::Itself => "its own calls",
                Caller::Here => "calls to it from this machine, perhaps a doctor's,",
                Caller::Others => "calls to it",
            };
            let seen = format!(
                "{who} got no tunnel {} ({reason}), the last {} ago from {}: {}",
                counted(times, "time", "times"),
                shown(ago),
                text(&latest["source"]),
                text(&latest["why"])
            );
            let check = "records.refused";
            let finding = match caller {
                Caller::Itself | Caller::Others if ago < RECENT => Finding::warning(check, seen),
                _ => Finding::note(check, seen),
            };
            match hint(reason) {
                Some(fix) => finding.fix(fix),
                None => finding,
            }
        })
        .collect()
    }
}

/// Where a hub that does not say takes clients that send no PROXY header, from this machine.
pub fn written_door(settings: &Settings) -> Option<SocketAddr> {
    let mut listens = settings.listen.iter();
    let door = listens
        .find(|one| one.proxy_protocol == ProxyProtocol::Off && one.address.port() != 0)?
        .address;
    Some(from_here(door))
}

fn from_here(mut door: SocketAddr) -> SocketAddr {
    door.set_ip(match door.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    });
    door
}

/// What to do about a reason, where the hub's own words do not say.
fn hint(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "not_tls" => "the caller's broker.conf: brokerClientTlsEnabled=true",
        "no_server_name" => {
            "the caller has an address where a name belongs, in its cluster entry or route table"
        }
        "unknown_server_name" => "`snihub party list` shows the names that have a route",
        "not_allowed" => "ip_allow of the entry in sni.yaml",
        "client_left" | "too_slow" => "the caller's network, or a scanner",
        _ => return None,
    })
}

fn rows<'v>(body: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    body[key].as_array().into_iter().flatten()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// Seconds since then.
fn ago(at: &Value) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_millis();
    let since = now.saturating_sub(u128::from(at.as_u64().unwrap_or(0)));
    u64::try_from(since / 1000).unwrap_or(u64::MAX)
}

fn shown(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
