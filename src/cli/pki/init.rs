//! `snihub pki init`.

use super::receipt::{paragraph, shown};
use super::{Place, Stop, keys, passphrase};
use crate::cli::advice;
use crate::cli::exit::{self, Exit};
use crate::pki::{Authority, DAY, Folder, Founding, KeyKind, Moment, Name, PkiError, USUAL_NAME};
use std::path::{Path, PathBuf};

/// Makes an authority in a folder of its own; its key is encrypted by a passphrase.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Succeed the authority in this folder, which is soon over: it has the same domain and hub, and
    /// bundles trust both (trust.pem) until that file is deleted
    #[arg(long, value_name = "DIR")]
    succeed: Option<PathBuf>,
    /// The domain that parties' names are below: completes `9998` to 9998.DOMAIN, and bounds what
    /// requests may ask for
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// What the parties call the hub: no party's certificate carries it, unless --cpp-clients says so
    /// [default: proxy.DOMAIN]
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
    /// The authority's common name [default: DOMAIN star CA, or snihub star CA; a successor's with the
    /// day]
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
    let before = args.succeed.as_deref().map(before).transpose()?;
    let name = |said: &Option<String>, before: Option<String>| match said {
        Some(said) => Name::dns(said).map(|name| Some(name.to_string())),
        None => Ok(before),
    };
    let own = before.as_ref();
    let domain = name(
        &args.domain,
        own.and_then(Folder::domain).map(str::to_owned),
    )?;
    let hub = name(&args.hub, own.and_then(Folder::hub))?;
    let name = args.name.unwrap_or_else(|| usual(domain.as_deref(), own));
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
        Founding {
            domain: domain.as_deref(),
            hub: hub.as_deref(),
            before: own.map(Folder::certificate_pem),
        },
    )?;
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
    let mut text = format!(
        "{}/\n  ca.cert.pem  0644  certificate of {name:?}, until {}: every party trusts it\n  ca.key.pem   \
         0600  its key, {key}\n  crl.pem      0644  what is revoked: nothing yet\n  index.jsonl  0600  what is \
         issued: keep a backup of the whole folder\n",
        shown(folder.path()).display(),
        authority.ends(),
    );
    if before.is_some() {
        text += "  trust.pem    0644  both authorities' certificates\n\n";
        let next = "give trust.pem to every party in the place of the ca.cert.pem that it trusts; when all have \
             it, make each one's bundle anew: `snihub party add PARTY --route HOST:PORT --parties DIR`. \
             When the last one is in use, delete trust.pem: bundles then hold the new one alone";
        paragraph(&mut text, "next", next);
        return Ok(exit::answer(&text, Exit::Ok));
    }
    let issue = advice::line(&format!("snihub pki issue pulsar {party}"));
    let sign = advice::line("snihub pki sign REQUEST");
    text += &format!("\nnext    {issue}\n        {sign}\n");
    Ok(exit::answer(&text, Exit::Ok))
}

/// The authority to succeed.
fn before(path: &Path) -> Result<Folder, Stop> {
    Folder::open(path).map_err(|error| match error {
        PkiError::NoAuthority(path) => Stop::Said(
            Exit::Config,
            format!("--succeed {}: no authority there", path.display()),
        ),
        error => error.into(),
    })
}

/// RFC 5280 appendix A: 64 characters. Two of the same name would be hard to tell apart.
fn usual(domain: Option<&str>, before: Option<&Folder>) -> String {
    let day = match before {
        Some(_) => format!(" {:.10}", Moment::now().to_string()),
        None => String::new(),
    };
    let name = |of: &str| format!("{of} {USUAL_NAME}{day}");
    let own = domain.map(name).filter(|own| own.len() <= 64);
    own.unwrap_or_else(|| name("snihub"))
}
