//! `snihub pki renew`.

use super::receipt::{aside, shown};
use super::{Making, Stop, layouts, receipt};
use crate::cli::exit::Exit;
use crate::pki::{Issue, Layout, MANIFEST, Manifest, Moment, Receipt};

/// Makes a new certificate with the old one's names and layout, and a new key; for a signed request,
/// for the same key. The old one stays valid until it ends or is revoked; the names of one that has
/// ended may be another's by now
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The certificate's first name, or its serial number
    #[arg(value_name = "NAME")]
    name: String,
    /// Which one, where several systems have the name
    #[arg(long, value_parser = layouts())]
    layout: Option<Layout>,
    #[command(flatten)]
    making: Making,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let folder = args.making.place.open()?;
    let old = folder.find(&args.name, args.layout)?;
    let delivery = args
        .making
        .delivery
        .delivery(Some((old.form.clone(), old.to.clone())))?;
    let (authority, mut locked) = args.making.passphrase.ready(&folder)?;
    let span = args.making.lifetime.span();
    let receipt = locked.renew(&authority, old, span, &delivery, &mut std::io::stdout())?;
    let organization = old.certificates[0].organization.as_deref();
    let mut notes: Vec<String> = organization
        .map(receipt::organization)
        .into_iter()
        .collect();
    notes.extend(args.making.lifetime.note(&folder)?);
    notes.push(before(old));
    let (handed, done) = handed(&receipt);
    notes.extend(handed);
    match receipt::tell(&receipt, &notes) {
        Exit::Ok => Ok(done),
        other => Ok(other),
    }
}

/// What becomes of the old one.
fn before(old: &Issue) -> String {
    let (ends, serial) = (old.ends(), old.id());
    match ends > Moment::now() {
        true => format!(
            "the one before is valid until {ends}; when nobody uses it any more: `snihub pki \
             revoke {serial} --reason superseded`"
        ),
        false => format!("the one before is over since {ends}"),
    }
}

/// The party's bundle that it is in.
fn handed(receipt: &Receipt) -> (Option<String>, Exit) {
    let Some(bundle) = &receipt.issue.handed else {
        return (None, Exit::Ok);
    };
    let place = shown(bundle).display();
    let again = "send it to the party again; its README.md says what to do with it";
    match &receipt.manifest {
        Ok(Some(Manifest::Aside(kept))) => (
            Some(format!("{place} has it: {again}. {}", aside(kept))),
            Exit::Ok,
        ),
        Ok(Some(Manifest::Renewed)) => (
            Some(format!("{place} has it, its {MANIFEST} too: {again}")),
            Exit::Ok,
        ),
        Ok(None) => (Some(format!("{place} has it: {again}")), Exit::Ok),
        Err(error) => (
            Some(format!(
                "{MANIFEST} of {place} has the certificate before: {error}; `snihub party add` with what \
                 was said before makes it anew"
            )),
            Exit::System,
        ),
    }
}
