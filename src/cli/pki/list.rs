//! `snihub pki list`.

use super::receipt::{WIDTH, layout_name, shown};
use super::{Place, Stop, passphrase};
use crate::cli::Format;
use crate::cli::advice;
use crate::cli::columns::wrap;
use crate::cli::exit::{self, Exit};
use crate::pki::{Entry, Folder, Listing, Moment, RevocationList, SUCCESSION, Standing, days_of};
use serde::Serialize;
use std::fmt::Write;

/// What the authority issued, and how many days each has left.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Also what is over, revoked, renewed, or was not found where it was to go
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let folder = args.place.open()?;
    let listing = folder.listing();
    let text = match args.format {
        Format::Text => text(&folder, &listing, args.all)?,
        Format::Json => json(&folder, &listing)?,
    };
    Ok(exit::answer(&text, Exit::Ok))
}

fn text(folder: &Folder, listing: &Listing<'_>, all: bool) -> Result<String, Stop> {
    let mut text = authority(folder)?;
    let shown = |entry: &&Entry<'_>| {
        // What nobody looked after is to be seen.
        let forgotten = match entry.standing {
            Standing::Half => true,
            Standing::Ended => !entry.newer,
            _ => false,
        };
        all || entry.standing.stands() || forgotten
    };
    let entries: Vec<_> = listing.entries.iter().filter(shown).collect();
    let hidden = listing.entries.len() - entries.len();
    text.push('\n');
    if entries.is_empty() {
        text.push_str("no certificates yet\n");
    } else {
        table(&mut text, &entries);
    }
    if hidden > 0 {
        let _ = writeln!(text, "{hidden} more with --all");
    }
    text.push('\n');
    let over = folder.standing()?.0 == Standing::Ended;
    text.push_str(&advice::aimed(&told_list(listing.list.as_ref(), over)));
    Ok(text)
}

/// The authority first: nothing that it signed is better than it.
fn authority(folder: &Folder) -> Result<String, Stop> {
    let (ends, (standing, days)) = (folder.ends()?, folder.standing()?);
    let path = shown(folder.path()).display();
    let mut text = format!("authority {path}, until {ends} ({} left)", days_of(days));
    let both = folder.trust_file().map_or(String::new(), |file| {
        format!(
            "  bundles hold {}, two authorities: delete it when the older one is used no more\n",
            shown(&file).display()
        )
    });
    let both = match passphrase::exposed(folder) {
        Some(exposed) => format!("{both}  {exposed}\n"),
        None => both,
    };
    let (word, why) = match standing {
        Standing::Ended => (
            "OVER",
            "no verifier takes what it signed, and it signs nothing more",
        ),
        Standing::Due => (
            "DUE",
            "what it signs ends with it: `snihub pki renew` gives nothing beyond that day",
        ),
        _ => return Ok(text + "\n" + &both),
    };
    let _ = writeln!(text, ": {word}");
    for line in [why, &format!("next: {SUCCESSION}")] {
        wrap(&mut text, "  ", 4, WIDTH, line);
    }
    Ok(text + &both)
}

fn table(text: &mut String, entries: &[&Entry<'_>]) {
    let mut rows = vec![["name", "layout", "for", "days left", "", "serial"].map(str::to_owned)];
    for entry in entries {
        let certified = &entry.issue.certificates[entry.at];
        let first = certified.names.first().unwrap_or(&certified.common_name);
        let more = certified.names.len().saturating_sub(1);
        let name = if more == 0 {
            first.clone()
        } else {
            format!("{first} +{more}")
        };
        rows.push([
            name,
            layout_name(entry.issue.layout).to_owned(),
            certified.role.clone(),
            entry.days_left.to_string(),
            standing(entry),
            certified.serial.to_string(),
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    for row in &rows {
        let [name, layout, role, days, standing, serial] = row;
        let line = format!(
            "{name:<0$}  {layout:<1$}  {role:<2$}  {days:>3$}  {standing:<4$}  {serial}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn standing(entry: &Entry<'_>) -> String {
    match entry.standing {
        Standing::Valid => "valid".to_owned(),
        Standing::Due => "RENEW IT".to_owned(),
        Standing::AuthorityDue => "ends with the authority".to_owned(),
        Standing::Renewed => "renewed".to_owned(),
        Standing::Half => "REVOKE IT: its other half is".to_owned(),
        Standing::Ended => "OVER".to_owned(),
        Standing::Lost => "not found where it was to go".to_owned(),
        Standing::Revoked => match entry.revoked {
            Some((_, reason)) => format!("revoked, {}", reason.name()),
            None => "revoked".to_owned(),
        },
    }
}

/// `over`: the authority, which signs no list either.
fn told_list(list: Option<&RevocationList>, over: bool) -> String {
    let remedy = match over {
        true => "nobody can make it anew, the authority is over",
        false => "`snihub pki crl` makes it anew",
    };
    let Some(list) = list else {
        return format!("revocation list: NONE that can be read; {remedy}\n");
    };
    let days = list.next_update.days_after(Moment::now());
    let path = shown(&list.path).display();
    let mut text = format!(
        "revocation list {path}: {} revoked, {} left",
        list.count,
        days_of(days)
    );
    if !list.complete {
        let _ = write!(text, "; NOT ALL that was revoked: {remedy}");
    } else if days < crate::pki::DUE_DAYS {
        let _ = write!(text, "; {remedy}");
    }
    text + "\n"
}

#[derive(Serialize)]
struct Report<'f> {
    authority: String,
    not_after: Moment,
    days_left: i64,
    standing: Standing,
    certificates: Vec<Certificate<'f>>,
    revocation_list: Option<List>,
}

#[derive(Serialize)]
struct Certificate<'f> {
    names: &'f [String],
    primary: &'f str,
    layout: &'static str,
    role: &'f str,
    serial: String,
    organization: Option<&'f str>,
    /// Seconds since 1970.
    not_before: Moment,
    not_after: Moment,
    days_left: i64,
    standing: Standing,
    revoked_since: Option<Moment>,
    reason: Option<&'static str>,
    by_request: bool,
}

#[derive(Serialize)]
struct List {
    file: String,
    number: u64,
    revoked: usize,
    next_update: Moment,
    complete: bool,
}

fn json(folder: &Folder, listing: &Listing<'_>) -> Result<String, Stop> {
    let (ends, (standing, days_left)) = (folder.ends()?, folder.standing()?);
    let certificates = listing.entries.iter().map(|entry| {
        let certified = &entry.issue.certificates[entry.at];
        Certificate {
            names: &certified.names,
            primary: &entry.issue.primary,
            layout: layout_name(entry.issue.layout),
            role: &certified.role,
            serial: certified.serial.to_string(),
            organization: certified.organization.as_deref(),
            not_before: certified.not_before,
            not_after: certified.not_after,
            days_left: entry.days_left,
            standing: entry.standing,
            revoked_since: entry.revoked.map(|(since, _)| since),
            reason: entry.revoked.map(|(_, reason)| reason.name()),
            by_request: entry.issue.by_request,
        }
    });
    let report = Report {
        authority: folder.path().display().to_string(),
        not_after: ends,
        days_left,
        standing,
        certificates: certificates.collect(),
        revocation_list: listing.list.as_ref().map(|list| List {
            file: list.path.display().to_string(),
            number: list.number,
            revoked: list.count,
            next_update: list.next_update,
            complete: list.complete,
        }),
    };
    // Plain strings and numbers: nothing in it can fail to serialize.
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    Ok(format!("{text}\n"))
}
