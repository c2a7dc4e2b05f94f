//! `snihub pki init`.

use super::receipt::shown;
use super::{Place, Stop, keys, passphrase};
use crate::cli::exit::{self, Exit};
use crate::pki::{Authority, DAY, Folder, KeyKind, Name};

/// Makes an authority in a folder of its own; its key is encrypted by a passphrase.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// The domain that parties' names are below: completes `9998` to 9998.DOMAIN, and bounds what
    /// requests may ask for
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// What the parties call the hub: no party's certificate carries it, unless --cpp-clients says so
    /// [default: proxy.DOMAIN]
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
    /// The authority's common name [default: DOMAIN star CA, or snihub star CA]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Kind of its key
    #[arg(long, default_value = "p256", value_parser = keys())]
    key: KeyKind,
    /// Valid for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 3652, value_parser = super::days())]
    days: u32,
    /// Do not encrypt the key: only its file's mode (0600) keeps it
    #[arg(long, conflicts_with = "passphrase_file")]
    plain_key: bool,
    #[command(flatten)]
    passphrase: passphrase::Source,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let path = &args.place.folder;
    Folder::check_free(path)?;
    let domain = match &args.domain {
        Some(domain) => Some(Name::dns(domain)?.to_string()),
        None => None,
    };
    let hub = match &args.hub {
        Some(hub) => Some(Name::dns(hub)?.to_string()),
        None => None,
    };
    let name = args.name.unwrap_or_else(|| match &domain {
        // RFC 5280 appendix A: 64 characters.
        Some(domain) if domain.len() <= 56 => format!("{domain} star CA"),
        _ => "snihub star CA".to_owned(),
    });
    let passphrase = match args.plain_key {
        true => None,
        false => Some(args.passphrase.new_one()?),
    };
    let authority = Authority::with_key(&name, args.key, DAY * args.days)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let folder = Folder::create(
        path,
        &authority,
        passphrase,
        (domain.as_deref(), hub.as_deref()),
    )?;
    let ca = match path.as_os_str() == "pki" {
        true => String::new(),
        false => format!(" --ca {}", path.display()),
    };
    let key = match passphrase {
        Some(_) => {
            "encrypted: the passphrase is needed for each signature, and nobody can recover it"
        }
        None => "NOT encrypted: whoever reads it can pose as every party",
    };
    let party = if domain.is_some() {
        "9998"
    } else {
        "9998.fate.org"
    };
    let text = format!(
        "{}/\n  ca.cert.pem  0644  certificate of {name:?}, until {}: every party trusts it\n  ca.key.pem   \
         0600  its key, {key}\n  crl.pem      0644  what is revoked: nothing yet\n  index.jsonl  0600  what is \
         issued: keep a backup of the whole folder\n\nnext    snihub pki issue pulsar {party}{ca}\n        \
         snihub pki sign REQUEST{ca}\n",
        shown(folder.path()).display(),
        authority.ends(),
    );
    Ok(exit::answer(&text, Exit::Ok))
}
