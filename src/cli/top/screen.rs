//! What is looked at, in which order, and what the keys do to that.

use super::asking::Reading;
use super::tables::{self, Kind, Rates, Row, Tables};
use crate::admin::client;
use crate::cli::columns::{bytes, time};
use crate::cli::hub::{number, printable, text};
use crate::server::Silent;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Characters of what is looked for.
const LONGEST_FIND: usize = 60;
/// How much later than asked for a reading may come, before that is told.
const GRACE: Duration = Duration::from_secs(3);
/// Rows that PgUp and PgDn move by.
const PAGE: usize = 15;

/// The order of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) column: usize,
    pub(super) reversed: bool,
}

pub(super) struct Screen {
    pub(super) kind: Kind,
    orders: [Order; Kind::ALL.len()],
    /// What is looked for, in lower case.
    pub(super) find: String,
    /// Letters go there.
    pub(super) finding: bool,
    pub(super) place: TableState,
    rates: Rates,
    tables: Tables,
    /// `None`: not asked for yet.
    tunnels: Option<Vec<Row>>,
    /// Whose tunnels are not among them.
    silent: Vec<Silent>,
    status: Value,
    /// When it was read; `None`: not yet.
    read: Option<Instant>,
    /// Between two readings, as asked for.
    interval: Duration,
    /// Why the hub is silent.
    pub(super) silence: Option<String>,
}

impl Screen {
    pub(super) fn new(interval: Duration) -> Screen {
        Screen {
            kind: Kind::Parties,
            orders: Kind::ALL.map(|kind| Order {
                column: kind.first_order(),
                reversed: false,
            }),
            find: String::new(),
            finding: false,
            place: TableState::new().with_selected(0),
            rates: Rates::default(),
            tables: Tables::default(),
            tunnels: None,
            silent: Vec::new(),
            status: Value::Null,
            read: None,
            interval,
            silence: None,
        }
    }

    pub(super) fn take(&mut self, reading: &Reading) {
        self.tables = self.rates.take(reading);
        self.status = reading.status.clone();
        self.read = Some(reading.at);
        self.silence = None;
    }

    pub(super) fn list(&mut self, listed: &Value) {
        self.tunnels = Some(tables::tunnels(listed));
        self.silent = client::silent(listed);
    }

    pub(super) fn miss(&mut self, why: String) {
        self.silence = Some(printable(&why));
    }

    /// Seconds since the figures that are shown were read, where that is longer than it should be.
    pub(super) fn overdue(&self) -> Option<u64> {
        let age = self.read?.elapsed();
        (age > self.interval + GRACE).then_some(age.as_secs())
    }

    pub(super) fn wants_tunnels(&self) -> bool {
        self.kind == Kind::Tunnels
    }

    /// The line at the top; `false`: it is bad news.
    pub(super) fn headline(&self) -> (String, bool) {
        let age = self.overdue();
        let age = age.map(|age| format!("these figures are {} old", time(age * 1000)));
        match (&self.silence, age) {
            (Some(why), Some(age)) => return (format!("{age}: {why}"), false),
            (Some(why), None) => return (why.clone(), false),
            (None, Some(age)) => return (format!("{age}: the hub does not answer"), false),
            (None, None) => {}
        }
        if self.status.is_null() {
            return ("asking the hub ...".to_owned(), true);
        }
        let n = |key: &str| number(&self.status[key]);
        let (state, well) = match &self.status["not_ready"] {
            Value::Null => ("ready".to_owned(), true),
            why => (format!("NOT READY: {}", text(why)), false),
        };
        let rate = self
            .tables
            .rate
            .map_or("...".to_owned(), |rate| format!("{}/s", bytes(rate)));
        let line = format!(
            "{state}, up {}, {} tunnels, {rate}, {} routes, {} refused, {} failed",
            time(n("uptime_s") * 1000),
            n("tunnels_open"),
            n("routes"),
            n("refused"),
            n("dial_errors"),
        );
        (line, well)
    }

    /// What the table lacks; or the last reload's fault, if it was refused.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(first) = self.silent.first().filter(|_| self.wants_tunnels()) {
            return Some(first.to_string());
        }
        let last = &self.status["last_reload"];
        if last["result"] != "refused" {
            return None;
        }
        let first = text(&last["problems"][0]);
        Some(format!("the last reload was refused: {first}"))
    }

    pub(super) fn order(&self) -> Order {
        self.orders[self.kind as usize]
    }

    /// The rows to show, sorted; of how many. `None`: not there yet.
    pub(super) fn rows(&self) -> Option<(Vec<&Row>, usize)> {
        let all = match self.kind {
            Kind::Parties => &self.tables.parties,
            Kind::Links => &self.tables.links,
            Kind::Tunnels => self.tunnels.as_ref()?,
            Kind::Refusals => &self.tables.refusals,
        };
        let found = |row: &&Row| {
            let fits = |text: &str| text.to_lowercase().contains(&self.find);
            self.find.is_empty() || row.cells.iter().any(|cell| fits(cell.text()))
        };
        let mut rows: Vec<&Row> = all.iter().filter(found).collect();
        let Order { column, reversed } = self.order();
        // By the first column where the others say nothing, so that rows stay where they are.
        rows.sort_by(|a, b| {
            let order = a.cells[column].order(&b.cells[column]);
            let order = if reversed { order.reverse() } else { order };
            order.then_with(|| a.cells[0].text().cmp(b.cells[0].text()))
        });
        Some((rows, all.len()))
    }

    /// What a key does; `true`: it ends the program.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c' | 'd'));
        }
        if self.finding {
            self.find_key(key.code);
            return false;
        }
        match key.code {
            KeyCode::Char('q') => return true,
            KeyCode::Char('/') => self.finding = true,
            KeyCode::Esc => self.find.clear(),
            KeyCode::Char(digit @ '1'..='4') => self.look_at(digit as usize - '1' as usize),
            KeyCode::Tab => self.look_at(self.kind as usize + 1),
            KeyCode::BackTab => self.look_at(self.kind as usize + Kind::ALL.len() - 1),
            KeyCode::Char('s') | KeyCode::Right => self.sort_by(1),
            KeyCode::Char('S') | KeyCode::Left => self.sort_by(self.kind.columns().len() - 1),
            KeyCode::Char('r') => {
                let order = &mut self.orders[self.kind as usize];
                order.reversed = !order.reversed;
            }
            KeyCode::Up | KeyCode::Char('k') => self.place.select_previous(),
            KeyCode::Down | KeyCode::Char('j') => self.place.select_next(),
            KeyCode::PageUp => self.place.scroll_up_by(PAGE as u16),
            KeyCode::PageDown => self.place.scroll_down_by(PAGE as u16),
            KeyCode::Home => self.place.select_first(),
            KeyCode::End => self.place.select_last(),
            _ => {}
        }
        false
    }

    fn find_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.finding = false,
            KeyCode::Esc => {
                self.finding = false;
                self.find.clear();
            }
            KeyCode::Backspace => drop(self.find.pop()),
            KeyCode::Char(c) if self.find.chars().count() < LONGEST_FIND => {
                self.find.extend(c.to_lowercase());
                self.place.select_first();
            }
            _ => {}
        }
    }

    fn look_at(&mut self, place: usize) {
        let before = std::mem::replace(&mut self.kind, Kind::ALL[place % Kind::ALL.len()]);
        if before != self.kind {
            // They are asked for while somebody looks at them.
            (self.tunnels, self.silent) = (None, Vec::new());
        }
        self.place = TableState::new().with_selected(0);
    }

    /// So many columns further.
    fn sort_by(&mut self, further: usize) {
        let columns = self.kind.columns().len();
        let order = &mut self.orders[self.kind as usize];
        order.column = (order.column + further) % columns;
        order.reversed = false;
    }
}
