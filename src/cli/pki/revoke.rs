//! `snihub pki revoke` and `snihub pki crl`.

use super::receipt::{layout_name, paragraph, shown};
use super::{Lifetime, Place, Stop, layouts, passphrase};
use crate::cli::exit::{self, Exit};
use crate::pki::{Folder, Layout, Reason, ambiguous};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::fmt::Write;

/// Takes a certificate back: it is on the revocation list from now on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The certificate's first name, or its serial number. What was made in one go, as a layout's two
    /// pairs, is taken back together
    #[arg(value_name = "NAME")]
    name: String,
    /// Which one, where several systems have the name
    #[arg(long, value_parser = layouts())]
    layout: Option<Layout>,
    /// All valid certificates of the name, the renewed ones too
    #[arg(long)]
    all: bool,
    /// Why
    #[arg(long, default_value = "unspecified", value_parser = reasons())]
    reason: Reason,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    passphrase: passphrase::Source,
}

/// Makes the revocation list anew, before it is too old for verifiers.
#[derive(Debug, clap::Args)]
pub(super) struct CrlArgs {
    #[command(flatten)]
    lifetime: Lifetime,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    passphrase: passphrase::Source,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let folder = args.place.open()?;
    let found = folder.find_live(&args.name, args.layout)?;
    if found.len() > 1 && !args.all {
        return Err(ambiguous(&args.name, &found).into());
    }
    let serials: Vec<_> = found.iter().flat_map(|issue| issue.serials()).collect();
    let authority = args.passphrase.unlock(&folder)?;
    let mut locked = folder.lock()?;
    let taken = locked.revoke(&authority, &serials, args.reason)?;
    let mut text = String::new();
    for issue in &found {
        let layout = layout_name(issue.layout);
        for certified in &issue.certificates {
            let (serial, role) = (certified.serial, &certified.role);
            let before = match taken.contains(&serial) || taken.is_empty() {
                true => "",
                false => ", before",
            };
            let name = certified.names.first().unwrap_or(&certified.common_name);
            let _ = writeln!(text, "revoked {serial}  {name} ({layout}, {role}){before}");
        }
    }
    if taken.is_empty() {
        text.push_str("note    it was revoked before\n");
    }
    told_list(&mut text, locked.folder());
    Ok(exit::answer(&text, Exit::Ok))
}

pub(super) fn crl(args: CrlArgs) -> Result<Exit, Stop> {
    let folder = args.place.open()?;
    let authority = args.passphrase.unlock(&folder)?;
    let mut locked = folder.lock()?;
    locked.write_list(&authority, args.lifetime.span())?;
    let mut text = String::new();
    told_list(&mut text, locked.folder());
    Ok(exit::answer(&text, Exit::Ok))
}

fn told_list(text: &mut String, folder: &Folder) {
    if let Some(list) = folder.revocation_list() {
        let (path, until) = (shown(&list.path).display(), list.next_update);
        let _ = writeln!(
            text,
            "list    {path}, number {}, {} revoked, good until {until}",
            list.number, list.count
        );
    }
    let next = "give the list to whoever verifies: nobody fetches it by itself, and without it a revoked \
                certificate is still taken. The hub refuses a party when its route is gone from sni.yaml";
    paragraph(text, "next", next);
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::name)).try_map(|name| {
        let mut all = Reason::ALL.into_iter();
        all.find(|reason| reason.name() == name)
            .ok_or("not a reason")
    })
}
