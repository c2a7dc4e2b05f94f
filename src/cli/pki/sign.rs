//! `snihub pki sign`.

use super::{Making, Stop, layouts, receipt};
use crate::cli::exit::Exit;
use crate::pki::{Layout, MOST_REQUEST_BYTES, Order, Request, Wish, normal};
use crate::terminal::escaped;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Signs a certificate request: the private key stays with whoever made it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub pki sign 9998.csr    names as the request asks, if they are one party's
                              below the authority's domain, and nobody else's
  snihub pki sign 9998.csr 9998.fate.org
                              these names, whatever the request asks for
  snihub pki sign org1.csr org1.example.org --layout substra-backend

Of the request stay its key and its O=. A CN= that is another party's than the
names is refused, any other is replaced by the first name, or what the layout
has. What it says about being an authority, about usage and lifetime is not
taken, nor is a name that is not the party's.")]
pub(super) struct Args {
    /// The request, PEM or DER; - for stdin
    #[arg(value_name = "CSR")]
    request: PathBuf,
    /// The names of the certificate [default: those that the request asks for]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Who will read it
    #[arg(long, default_value = "pulsar", value_parser = layouts())]
    layout: Layout,
    /// Completes a party's NAME without a dot [default: the authority's]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// What the request's O= has to be, or the one to put in where it has none
    #[arg(long, value_name = "TEXT")]
    org: Option<String>,
    #[command(flatten)]
    making: Making,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let folder = args.making.place.open()?;
    let request = read(&args.request)?;
    let domain = args.domain.as_deref().or(folder.domain());
    let said = !args.names.is_empty();
    let names = match said {
        true => args.names,
        false => request.names_by_policy(domain)?,
    };
    let organization = request.organization_by_policy(args.org.as_deref())?;
    let wish = Wish {
        names: &names,
        domain,
        organization: organization.as_deref(),
        key: None,
    };
    let order = Order::new(args.layout, &wish, args.making.lifetime.span())?;
    let delivery = args.making.delivery.delivery(None)?;
    let mut notes = notes(&request, &order, organization.as_deref());
    notes.extend(args.making.lifetime.note(&folder)?);
    let (authority, mut locked) = args.making.passphrase.ready(&folder)?;
    let said = (said, args.org.is_some());
    let mut stdout = std::io::stdout();
    let receipt = locked.sign(&authority, &order, &request, said, &delivery, &mut stdout)?;
    Ok(receipt::tell(&receipt, &notes))
}

pub(in crate::cli) fn read(path: &Path) -> Result<Request, Stop> {
    let mut bytes = Vec::new();
    // One byte more tells what is too long.
    let most = MOST_REQUEST_BYTES as u64 + 1;
    let (name, read) = if path.as_os_str() == "-" {
        (
            "stdin".to_owned(),
            std::io::stdin().lock().take(most).read_to_end(&mut bytes),
        )
    } else {
        let file = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        (path.display().to_string(), file)
    };
    read.map_err(|error| Stop::unread(path, &error))?;
    Ok(Request::read(&bytes, &name)?)
}

/// That the certificate's common name is another. Where the request has no other name, that one was told
/// with the names.
fn renamed(request: &Request, order: &Order, given: &[String]) -> Option<String> {
    let (asked, own) = (request.common_name()?, order.common_name()?);
    let told = request.names() == [asked];
    let same = |name: &String| name.eq_ignore_ascii_case(&normal(asked));
    (!told && !same(&own) && !given.iter().any(same)).then(|| {
        format!(
            "the request says CN={}: not taken, it is CN={own}",
            escaped(asked)
        )
    })
}

/// What the certificate has not of the request, and what it has.
pub(in crate::cli) fn notes(
    request: &Request,
    order: &Order,
    organization: Option<&str>,
) -> Vec<String> {
    let given: Vec<String> = order.names().iter().map(ToString::to_string).collect();
    let asked = request.names();
    let left_out = asked.iter().filter(|name| !given.contains(&normal(name)));
    let mut notes: Vec<String> = left_out
        .map(|name| format!("the request asks for {}: not given", name.escape_debug()))
        .collect();
    notes.extend(renamed(request, order, &given));
    let ignored = request.ignored().iter();
    notes.extend(
        ignored.map(|what| format!("the request asks for {}: not taken", what.escape_debug())),
    );
    notes.extend(organization.map(receipt::organization));
    notes.push(
        "the private key is where the request was made; it has to be PKCS#8 there".to_owned(),
    );
    notes
}
