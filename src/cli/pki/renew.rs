//! `snihub pki renew`.

use super::{Making, Stop, layouts, receipt};
use crate::cli::exit::Exit;
use crate::pki::Layout;

/// Makes a new certificate with the old one's names and layout, and a new key; for a signed request,
/// for the same key. The old one stays valid until it ends or is revoked.
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
    let authority = args.making.passphrase.unlock(&folder)?;
    let mut locked = folder.lock()?;
    locked.complete_list(&authority)?;
    let span = args.making.lifetime.span();
    let receipt = locked.renew(&authority, old, span, &delivery, &mut std::io::stdout())?;
    let before = format!(
        "the one before is valid until {}; when nobody uses it any more: snihub pki revoke {} --reason \
         superseded",
        old.ends(),
        old.id()
    );
    let notes = args
        .making
        .lifetime
        .note(&folder)?
        .into_iter()
        .chain([before]);
    Ok(receipt::tell(&receipt, &notes.collect::<Vec<_>>()))
}
