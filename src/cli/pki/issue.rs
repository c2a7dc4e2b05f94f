//! `snihub pki issue`.

use super::{Making, Stop, keys, layouts, receipt};
use crate::cli::exit::Exit;
use crate::pki::{KeyKind, Layout, Name, Order, Wish};

/// Makes keys and certificates, as the files that a system reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub pki issue pulsar 9998.fate.org broker-0.9998.fate.org
  snihub pki issue pulsar 9998 --as secret --namespace fate-9998
  snihub pki issue flower superlink.fate.org 10.0.0.5
  snihub pki issue substra-backend org1.example.org --org Org1MSP
  snihub pki issue podvm --as tar --out - | ssh worker tar -xC /etc/tls")]
pub(super) struct Args {
    /// Who will read it
    #[arg(value_name = "LAYOUT", value_parser = layouts())]
    layout: Layout,
    /// What it is called: first its own name, then the others that it answers to
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Completes a party's NAME without a dot [default: the authority's]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The subject's O=; the MSP id of a Substra organisation
    #[arg(long, value_name = "TEXT")]
    org: Option<String>,
    /// Put the hub's name HUB into a party's certificate: for C++ and Python clients straight through
    /// the hub. It gives away that this party can pose as the hub
    #[arg(long, value_name = "HUB")]
    cpp_clients: Option<String>,
    /// Kind of the keys [default: rsa2048 for pulsar, else p256]
    #[arg(long, value_parser = keys())]
    key: Option<KeyKind>,
    #[command(flatten)]
    making: Making,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let folder = args.making.place.open()?;
    let hub = args.cpp_clients.as_deref().map(Name::dns).transpose()?;
    if hub.is_some() && args.layout != Layout::Pulsar {
        let text = "--cpp-clients is for the layout pulsar alone".to_owned();
        return Err(Stop::Said(Exit::Usage, text));
    }
    let mut names = args.names;
    let mut notes = Vec::from_iter(args.making.lifetime.note(&folder)?);
    if let Some(hub) = &hub {
        // After the party's own.
        names.push(hub.to_string());
        notes.push(format!(
            "the certificate carries {hub}, the hub's name: whoever has this key can pose as the hub to \
             every C++ and Python client"
        ));
    }
    let wish = Wish {
        names: &names,
        domain: args.domain.as_deref().or(folder.domain()),
        organization: args.org.as_deref(),
        key: args.key,
    };
    let order = Order::new(args.layout, &wish, args.making.lifetime.span())?;
    let delivery = args.making.delivery.delivery(None)?;
    let (authority, mut locked) = args.making.passphrase.ready(&folder)?;
    let receipt = locked.issue(
        &authority,
        &order,
        hub.as_ref(),
        &delivery,
        &mut std::io::stdout(),
    )?;
    Ok(receipt::tell(&receipt, &notes))
}
