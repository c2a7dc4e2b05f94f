//! From readings to tables: what is counted, and how fast it grows.

use super::asking::Reading;
use crate::cli::columns::{bytes, time};
use crate::cli::hub::{number, rows, text};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Rates are over about this time.
const WINDOW: Duration = Duration::from_secs(6);
/// A caller whose address is of no party, or of several.
const UNKNOWN: &str = "(not known)";

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Parties,
    Links,
    Tunnels,
    Refusals,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Parties, Kind::Links, Kind::Tunnels, Kind::Refusals];

    pub(super) fn title(self) -> &'static str {
        match self {
            Kind::Parties => "parties",
            Kind::Links => "links",
            Kind::Tunnels => "tunnels",
            Kind::Refusals => "refusals",
        }
    }

    /// Heading and width; 0: what is left, shared.
    pub(super) fn columns(self) -> &'static [(&'static str, u16)] {
        match self {
            Kind::Parties => &[
                ("party", 0),
                ("state", 7),
                ("tunnels", 8),
                ("sends", 10),
                ("gets", 10),
                ("refused", 8),
                ("failed", 7),
            ],
            Kind::Links => &[
                ("from", 0),
                ("to", 0),
                ("state", 7),
                ("tunnels", 8),
                ("there", 10),
                ("back", 10),
            ],
            Kind::Tunnels => &[
                ("id", 8),
                ("from", 0),
                ("to", 0),
                ("age", 6),
                ("idle", 6),
                ("there", 10),
                ("back", 10),
            ],
            Kind::Refusals => &[("at", 8), ("who", 0), ("asked for", 0), ("why", 0)],
        }
    }

    /// The column that is sorted by, until a key says otherwise.
    pub(super) fn first_order(self) -> usize {
        match self {
            Kind::Parties | Kind::Links => 3,
            Kind::Tunnels => 5,
            Kind::Refusals => 0,
        }
    }
}

/// One field of a table.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Text(String),
    /// What it is sorted by, and what stands there.
    Number(u64, String),
}

impl Cell {
    pub(super) fn text(&self) -> &str {
        match self {
            Cell::Text(text) | Cell::Number(_, text) => text,
        }
    }

    /// Numbers: the largest first. Texts: by the alphabet.
    pub(super) fn order(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Number(a, _), Cell::Number(b, _)) => b.cmp(a),
            (a, b) => a.text().cmp(b.text()),
        }
    }
}

fn count(n: u64) -> Cell {
    Cell::Number(n, n.to_string())
}

fn rate(n: Option<u64>) -> Cell {
    match n {
        Some(n) => Cell::Number(n, format!("{}/s", bytes(n))),
        None => Cell::Number(0, "...".to_owned()),
    }
}

fn ms(n: u64) -> Cell {
    Cell::Number(n, time(n))
}

/// A row, and how it does: `up`, `refused`, `failing`, `idle`.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) state: String,
}

/// Remembers earlier counters.
#[derive(Default)]
pub(super) struct Rates {
    started: u64,
    before: VecDeque<Counted>,
}

struct Counted {
    at: Instant,
    links: HashMap<(String, String), [u64; 2]>,
    total: u64,
}

/// The tables of one reading.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) parties: Vec<Row>,
    pub(super) links: Vec<Row>,
    pub(super) refusals: Vec<Row>,
    /// Of the whole hub.
    pub(super) rate: Option<u64>,
}

impl Rates {
    pub(super) fn take(&mut self, reading: &Reading) -> Tables {
        let started = number(&reading.status["started_unix_ms"]);
        if self.started != started {
            self.before.clear();
        }
        self.started = started;
        let now = Counted::of(reading);
        while self.before.len() > 1 && now.at - self.before[1].at >= WINDOW {
            self.before.pop_front();
        }
        let base = self.before.front();
        let per = |now_n: u64, then: u64| {
            let passed = (now.at - base?.at).as_secs_f64();
            let grown = now_n.saturating_sub(then) as f64;
            (passed > 0.0).then(|| (grown / passed) as u64)
        };
        let flows: Vec<Flow<'_>> = rows(&reading.table, "links")
            .iter()
            .map(|link| {
                let key = key(link);
                let then = base.and_then(|base| base.links.get(&key));
                let [there, back] = then.copied().unwrap_or_default();
                let counted = now.links[&key];
                let [from, to] = [key.0, key.1];
                let rates = [per(counted[0], there), per(counted[1], back)];
                Flow {
                    link,
                    from,
                    to,
                    rates,
                }
            })
            .collect();
        let tables = Tables {
            parties: parties(rows(&reading.table, "routes"), &flows),
            links: flows.iter().map(Flow::row).collect(),
            refusals: rows(&reading.refusals, "refusals")
                .iter()
                .map(refusal)
                .collect(),
            rate: per(now.total, base.map_or(0, |base| base.total)),
        };
        self.before.push_back(now);
        tables
    }
}

impl Counted {
    fn of(reading: &Reading) -> Counted {
        let bytes =
            |row: &Value| ["client_to_upstream", "upstream_to_client"].map(|way| number(&row[way]));
        let links = rows(&reading.table, "links");
        Counted {
            at: reading.at,
            links: links.iter().map(|link| (key(link), bytes(link))).collect(),
            total: bytes(&reading.status).iter().sum(),
        }
    }
}

fn key(link: &Value) -> (String, String) {
    let from = match &link["party"] {
        Value::Null => UNKNOWN.to_owned(),
        party => text(party),
    };
    (from, text(&link["route"]))
}

struct Flow<'r> {
    link: &'r Value,
    from: String,
    to: String,
    rates: [Option<u64>; 2],
}

impl Flow<'_> {
    fn state(&self) -> String {
        text(&self.link["state"])
    }

    fn row(&self) -> Row {
        let state = self.state();
        Row {
            cells: vec![
                Cell::Text(self.from.clone()),
                Cell::Text(self.to.clone()),
                Cell::Text(state.clone()),
                count(number(&self.link["tunnels_open"])),
                rate(self.rates[0]),
                rate(self.rates[1]),
            ],
            state,
        }
    }
}

/// A party as it is called and as it calls.
#[derive(Default)]
struct Party {
    failing: bool,
    refused_of_late: bool,
    tunnels: u64,
    sends: Option<u64>,
    gets: Option<u64>,
    refused: u64,
    failed: u64,
}

fn parties(routes: &[Value], flows: &[Flow<'_>]) -> Vec<Row> {
    let mut all: BTreeMap<String, Party> = BTreeMap::new();
    for route in routes {
        let party = all.entry(text(&route["id"])).or_default();
        party.failing = [route, &route["probe"]]
            .iter()
            .any(|one| one["state"] == "failing");
        party.refused_of_late = route["state"] == "refused";
        party.failed = number(&route["dial_errors"]);
    }
    let add = |sum: &mut Option<u64>, more: Option<u64>| {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0) + more);
        }
    };
    for flow in flows {
        let tunnels = number(&flow.link["tunnels_open"]);
        let caller = all.entry(flow.from.clone()).or_default();
        caller.tunnels += tunnels;
        caller.refused += number(&flow.link["refused"]);
        caller.refused_of_late |= flow.link["state"] == "refused";
        add(&mut caller.sends, flow.rates[0]);
        add(&mut caller.gets, flow.rates[1]);
        let called = all.entry(flow.to.clone()).or_default();
        if flow.from != flow.to {
            called.tunnels += tunnels;
        }
        add(&mut called.sends, flow.rates[1]);
        add(&mut called.gets, flow.rates[0]);
    }
    all.into_iter()
        .map(|(name, party)| party.row(name))
        .collect()
}

impl Party {
    fn row(self, name: String) -> Row {
        let state = match (self.failing, self.refused_of_late, self.tunnels) {
            (true, ..) => "failing",
            (_, true, _) => "refused",
            (.., 0) => "idle",
            _ => "up",
        };
        let known = |rate: Option<u64>| rate.or((self.tunnels == 0).then_some(0));
        Row {
            cells: vec![
                Cell::Text(name),
                Cell::Text(state.to_owned()),
                count(self.tunnels),
                rate(known(self.sends)),
                rate(known(self.gets)),
                count(self.refused),
                count(self.failed),
            ],
            state: state.to_owned(),
        }
    }
}

pub(super) fn tunnels(body: &Value) -> Vec<Row> {
    let row = |tunnel: &Value| {
        let from = match &tunnel["party"] {
            Value::Null => text(&tunnel["source"]),
            party => text(party),
        };
        let idle = number(&tunnel["idle_ms"]);
        let way = |key: &str| rate(Some(number(&tunnel[key])));
        Row {
            cells: vec![
                Cell::Text(text(&tunnel["id"])),
                Cell::Text(from),
                Cell::Text(text(&tunnel["route"])),
                ms(number(&tunnel["age_ms"])),
                ms(idle),
                way("client_to_upstream_per_second"),
                way("upstream_to_client_per_second"),
            ],
            state: "up".to_owned(),
        }
    };
    rows(body, "tunnels").iter().map(row).collect()
}

fn refusal(one: &Value) -> Row {
    let at = number(&one["at_unix_ms"]);
    let who = match &one["party"] {
        Value::Null => text(&one["source"]),
        party => text(party),
    };
    let of_day = at / 1000 % 86_400;
    let clock = format!(
        "{:02}:{:02}:{:02}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    );
    Row {
        cells: vec![
            Cell::Number(at, clock),
            Cell::Text(who),
            Cell::Text(text(&one["name"])),
            Cell::Text(text(&one["why"])),
        ],
        state: match one["by"] == "upstream" {
            true => "failing",
            false => "refused",
        }
        .to_owned(),
    }
}
