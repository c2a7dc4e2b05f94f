//! `snihub party add`.

use super::added::Added;
use super::{Bundles, Star, Stop, say};
use crate::cli::Format;
use crate::cli::exit::{Exit, answer, document};
use crate::cli::pki::receipt::{self, shown};
use crate::cli::pki::{Lifetime, passphrase, sign};
use crate::party::{
    self, CERTIFICATES, Expected, Facts, Hub, LAYOUTS, Party, PartyError, Plan, Routes, Wish,
};
use crate::pki::{
    Authority, Delivery, Folder, Form, Issue, Layout, Locked, Manifest, Name, Order, Request, To,
};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Adds a party: its route in sni.yaml, its certificate, and the folder that it is given. Said again,
/// it completes what is missing and changes nothing else.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The party's number, or its full name
    #[arg(value_name = "PARTY")]
    party: String,
    /// Where the hub finds its broker
    #[arg(long, value_name = "HOST:PORT")]
    route: String,
    /// Completes a number to a name [default: the authority's]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Where the parties find the hub [default: as its bundle says, else proxy.DOMAIN:443]
    #[arg(long, value_name = "HOST:PORT")]
    hub: Option<String>,
    /// What it runs
    #[arg(long, default_value = "pulsar", value_parser = layouts())]
    layout: Layout,
    /// Its certificate request, PEM or DER: its private key stays with it. Only the key counts: it is
    /// signed for PARTY, whatever names it asks for, and a note says which it does not get
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Where its connections come from, if that is not where it listens; more than once
    #[arg(long, value_name = "CIDR")]
    source: Vec<String>,
    /// Who may call it [default: everybody]; more than once
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<String>,
    /// Put the hub's name into its certificate: for C++ and Python clients straight through the hub.
    /// It gives away that this party can pose as the hub
    #[arg(long, conflicts_with = "csr")]
    cpp_clients: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    lifetime: Lifetime,
    #[command(flatten)]
    passphrase: passphrase::Source,
    #[command(flatten)]
    bundles: Bundles,
    #[command(flatten)]
    star: Star,
}

/// What the arguments come to, before anything is looked at that changes.
struct Asked {
    party: Party,
    hub: Hub,
    order: Order,
    request: Option<Request>,
    /// The hub's name in the certificate.
    hub_name: Option<Name>,
    bundle: PathBuf,
    /// That the authority ends before the certificate would.
    cut: Option<String>,
}

pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    let folder = args.star.authority.open()?;
    let asked = asked(&args, &folder)?;
    let wish = Wish {
        party: &asked.party,
        route: &args.route,
        sources: &args.source,
        allow_from: &args.allow_from,
    };
    let sources = args.star.sources();
    if args.dry_run {
        let plan = party::add(&Routes::read(&sources)?, &wish)?;
        return would(&args, &folder, &asked, plan);
    }
    let place = asked.bundle.join(CERTIFICATES);
    // Before the locks: somebody may type for a while.
    let authority = match standing(&folder, &asked)? {
        Some(_) => None,
        None => Some(args.passphrase.unlock(&folder)?),
    };
    let routes = Routes::lock(&sources)?;
    let plan = party::add(&routes, &wish)?;
    let prepared = plan.change.map(party::Change::prepare).transpose()?;
    let mut locked = folder.lock()?;
    // What a crash left undone is done by now.
    let there = standing(locked.folder(), &asked)?.cloned();
    party::check_place(locked.folder(), &asked.order, &place)?;
    let issued = there.is_none();
    let (issue, aside) = match there {
        Some(issue) => (issue, None),
        None => {
            let authority = match authority {
                Some(authority) => authority,
                None => args.passphrase.unlock(&folder)?,
            };
            issue(&mut locked, &authority, &asked, &place)?
        }
    };
    let files = party::collect(locked.folder(), &issue, &place)?;
    let facts = Facts {
        party: &asked.party,
        hub: &asked.hub,
        route: &args.route,
        layout: args.layout,
        files: &files,
    };
    let all = party::files(&facts)?;
    let written = party::write(&asked.bundle, &all)?;
    let open = party::close(&asked.bundle, &all, &files)?;
    // Only now: `pki renew` writes there, too.
    drop(locked);
    let changed = prepared.is_some();
    let backup = prepared.map(party::Prepared::commit).transpose()?.flatten();
    let path = routes.path.clone();
    drop(routes);
    let done = Added {
        party: &asked.party,
        hub_name: asked.hub_name.as_ref(),
        route: &args.route,
        bundle: &asked.bundle,
        format: args.format,
        issue: &issue,
        issued,
        written,
        changed,
        backup,
        path: &path,
        notes: [
            plan.notes,
            asked.notes(issued),
            aside.into_iter().collect(),
            open,
        ]
        .concat(),
    };
    done.tell(|| {
        args.star.live(&Expected {
            name: &asked.party.name,
            target: Some(&args.route),
            file: &path,
            before: None,
        })
    })
}

impl Asked {
    /// What a certificate that is issued now has not of the request, and what it has.
    fn notes(&self, issued: bool) -> Vec<String> {
        if !issued {
            return Vec::new();
        }
        let (request, order) = (self.request.iter(), &self.order);
        let notes = request.flat_map(|request| sign::notes(request, order, order.organization()));
        notes.chain(self.cut.clone()).collect()
    }
}

fn asked(args: &Args, folder: &Folder) -> Result<Asked, Stop> {
    let domain = args.domain.as_deref().or(folder.domain());
    let party = Party::new(&args.party, domain)?;
    let bundle = args.bundles.of(&party, Some(folder));
    let hub = match (&args.hub, party::made_for(&bundle)) {
        (Some(text), _) => Hub::parse(text)?,
        (None, Some(before)) => before,
        (None, None) => {
            let own = folder.domain().is_none_or(|domain| domain == party.domain);
            let host = folder.hub().filter(|_| own);
            let host = host.unwrap_or_else(|| format!("proxy.{}", party.domain));
            Hub::parse(&format!("{host}:443"))?
        }
    };
    if hub.host == party.name {
        let text = format!(
            "{} cannot be the hub and a party: say --hub HOST:PORT",
            hub.host
        );
        return Err(PartyError::Usage(text).into());
    }
    if args.cpp_clients && args.layout != Layout::Pulsar {
        let text = "--cpp-clients is for the layout pulsar alone".to_owned();
        return Err(PartyError::Usage(text).into());
    }
    let hub_name = args.cpp_clients.then(|| Name::dns(&hub.host)).transpose()?;
    let names: Vec<String> = [party.name.clone()]
        .into_iter()
        .chain(hub_name.as_ref().map(ToString::to_string))
        .collect();
    let request = args.csr.as_deref().map(sign::read).transpose()?;
    let organization = match &request {
        Some(request) => request.organization_by_policy(None)?,
        None => None,
    };
    let order = Order::new(
        args.layout,
        &crate::pki::Wish {
            names: &names,
            organization: organization.as_deref(),
            ..crate::pki::Wish::default()
        },
        args.lifetime.span(),
    )?;
    if let Some(request) = &request {
        request.check_layout(args.layout)?;
    }
    Ok(Asked {
        bundle,
        party,
        hub,
        order,
        request,
        hub_name,
        cut: args.lifetime.note(folder)?,
    })
}

fn issue(
    locked: &mut Locked,
    authority: &Authority,
    asked: &Asked,
    place: &Path,
) -> Result<(Issue, Option<String>), Stop> {
    locked.complete_list(authority)?;
    let delivery = Delivery {
        form: Form::Files,
        to: To::Path(place.to_owned()),
        handed: Some(asked.bundle.clone()),
    };
    let (order, mut nobody) = (&asked.order, std::io::sink());
    let receipt = match &asked.request {
        Some(request) => {
            let said = (true, false);
            locked.sign(authority, order, request, said, &delivery, &mut nobody)
        }
        None => {
            let hub = asked.hub_name.as_ref();
            locked.issue(authority, order, hub, &delivery, &mut nobody)
        }
    };
    let receipt = receipt?;
    let aside = match &receipt.manifest {
        Ok(Some(Manifest::Aside(kept))) => Some(receipt::aside(kept)),
        // It is looked at once more with the bundle.
        Ok(_) | Err(_) => None,
    };
    Ok((receipt.issue, aside))
}

/// The certificate that is there; one that is not what is asked for is an error.
fn standing<'f>(folder: &'f Folder, asked: &Asked) -> Result<Option<&'f Issue>, Stop> {
    let Some(issue) = party::standing(folder, &asked.order) else {
        return Ok(None);
    };
    match party::differs(issue, &asked.order, asked.request.as_ref()) {
        Some(why) => Err(PartyError::Refused(why).into()),
        None => Ok(Some(issue)),
    }
}

/// What `--dry-run` says.
fn would(args: &Args, folder: &Folder, asked: &Asked, plan: Plan) -> Result<Exit, Stop> {
    let there = standing(folder, asked)?.is_some();
    if !there {
        folder.check(
            &asked.order,
            asked.hub_name.as_ref(),
            asked.request.as_ref(),
        )?;
    }
    party::check_place(folder, &asked.order, &asked.bundle.join(CERTIFICATES))?;
    let notes = [plan.notes, asked.notes(!there)].concat();
    let diff = plan
        .change
        .as_ref()
        .map(party::Change::diff)
        .unwrap_or_default();
    let bundle = shown(&asked.bundle).display();
    if args.format == Format::Json {
        let body = json!({
            "dry_run": true,
            "party": asked.party.id,
            "name": asked.party.name,
            "diff": diff,
            "certificate_issued": !there,
            "bundle": asked.bundle,
            "notes": notes,
        });
        return Ok(document(body, Exit::Ok));
    }
    let mut text = diff.clone();
    if diff.is_empty() {
        say(&mut text, "route", "is there already");
    }
    let name = &asked.party.name;
    let certificate = match there {
        true => format!("the one that {name} has stays"),
        false => format!("one for {name} would be issued"),
    };
    say(&mut text, "cert", &certificate);
    say(
        &mut text,
        "bundle",
        &format!("{bundle} would be made, or completed"),
    );
    notes.iter().for_each(|note| say(&mut text, "note", note));
    Ok(answer(&text, Exit::Ok))
}

fn layouts() -> impl TypedValueParser<Value = Layout> {
    let values = LAYOUTS.map(|layout| {
        let spec = layout.spec();
        PossibleValue::new(spec.name).help(spec.about)
    });
    PossibleValuesParser::new(values).try_map(|name| Layout::named(&name).ok_or("not a layout"))
}
