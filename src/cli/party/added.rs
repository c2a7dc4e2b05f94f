//! What `snihub party add` says when it is done.

use super::{Stop, Told, Words, say};
use crate::cli::Format;
use crate::cli::exit::Exit;
use crate::cli::pki::receipt::shown;
use crate::party::Party;
use crate::pki::{Issue, Moment, Name, days_of};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What `party add` did.
pub(super) struct Added<'a> {
    pub(super) party: &'a Party,
    /// The hub's name, if the certificate carries it.
    pub(super) hub_name: Option<&'a Name>,
    pub(super) route: &'a str,
    pub(super) bundle: &'a Path,
    pub(super) format: Format,
    pub(super) issue: &'a Issue,
    /// Just now.
    pub(super) issued: bool,
    /// Files of the bundle.
    pub(super) written: Vec<&'static str>,
    /// Whether sni.yaml is another one.
    pub(super) changed: bool,
    pub(super) backup: Option<PathBuf>,
    pub(super) path: &'a Path,
    pub(super) notes: Vec<String>,
}

impl Added<'_> {
    /// Says what is done, then asks the hub, and says what that makes of it.
    pub(super) fn tell(&self, ask: impl FnOnce() -> Result<Told, Stop>) -> Result<Exit, Stop> {
        let words = Words::done(self.format, &self.text());
        let told = ask()?;
        let mut text = String::new();
        say(&mut text, "hub", &told.text);
        Ok(words.end(&text, self.json(&told), told.exit))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let (file, name, route) = (self.path.display(), &self.party.name, self.route);
        let route = match (self.changed, &self.backup) {
            (false, _) => format!("{file} has {name} -> {route} already"),
            (true, None) => format!("{file} is new: {name} -> {route}"),
            (true, Some(old)) => {
                format!(
                    "{file} has {name} -> {route} now; before: {}",
                    shown(old).display()
                )
            }
        };
        say(&mut text, "route", &route);
        let ends = self.issue.ends();
        let days = days_of(ends.days_after(Moment::now()));
        let certificate = match self.issued {
            true => format!("for {name}, until {ends} ({days})"),
            false => format!("the one that {name} has stays, until {ends} ({days} left)"),
        };
        say(&mut text, "cert", &certificate);
        let bundle = shown(self.bundle).display();
        let bundle = match (self.issued, self.written.is_empty()) {
            (false, true) => format!("{bundle} is as it was"),
            _ => format!("{bundle}: README.md says what the party does with it"),
        };
        say(&mut text, "bundle", &bundle);
        if let Some(host) = self.hub_name {
            let note = format!(
                "the certificate carries {host}, the hub's name: whoever has this key can pose as the \
                 hub to every C++ and Python client"
            );
            say(&mut text, "note", &note);
        }
        self.notes
            .iter()
            .for_each(|note| say(&mut text, "note", note));
        text
    }

    fn json(&self, told: &Told) -> serde_json::Value {
        json!({
            "party": self.party.id,
            "name": self.party.name,
            "route": self.route,
            "file": self.path,
            "changed": self.changed,
            "backup": self.backup,
            "certificate": {
                "issued": self.issued,
                "serial": self.issue.id().to_string(),
                "names": self.issue.certificates[0].names,
                "not_after": self.issue.ends(),
            },
            "bundle": self.bundle,
            "written": self.written,
            "notes": self.notes,
            "hub": told.json,
        })
    }
}
