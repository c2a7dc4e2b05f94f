//! `snihub pki`: an authority in a folder, and certificates as each system reads them.

mod init;
mod issue;
mod list;
pub(super) mod passphrase;
mod question;
pub(super) mod receipt;
mod renew;
mod revoke;
mod show;
pub(super) mod sign;

use super::exit::{self, Exit};
use crate::pki::{DAY, Fault, Folder, KeyKind, Layout, Moment, PkiError, days_of};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Certificates: an authority for the star, and what each party and system reads.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  snihub pki init --domain fate.org    an authority in ./pki, with a passphrase
  snihub pki issue pulsar 9998         its names: certificate, key, ca.cert.pem
  snihub pki sign 10000.csr            a party's request: its key stays with it
  snihub pki list                      what there is, and how many days are left
  snihub pki renew 9998                the same names, a new key
  snihub pki revoke 9998               taken back, and on pki/crl.pem
  snihub pki show FILE                 what a certificate, request or list says

The passphrase of the authority's key: at the terminal, --passphrase-file FILE,
or SNIHUB_PKI_PASSPHRASE. Times are UTC.

Exit codes: 0 done; 1 the authority's rules say no; 64 wrong usage, such as a
name that cannot be one; 71 the system would not; 77 a wrong passphrase, or a
file that may not be read; 78 no authority, or a file that is not what it should
be; 130 Ctrl-C at the passphrase.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Issue(issue::Args),
    Sign(sign::Args),
    Renew(renew::Args),
    Revoke(revoke::Args),
    Crl(revoke::CrlArgs),
    List(list::Args),
    Show(show::Args),
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    let done = match args.command {
        Command::Init(args) => init::run(args),
        Command::Issue(args) => issue::run(args),
        Command::Sign(args) => sign::run(args),
        Command::Renew(args) => renew::run(args),
        Command::Revoke(args) => revoke::run(args),
        Command::Crl(args) => revoke::crl(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
    };
    done.unwrap_or_else(Stop::told)
}

/// Why a command ended before it was done.
pub(super) enum Stop {
    Pki(PkiError),
    /// An exit code and a text.
    Said(Exit, String),
}

impl From<PkiError> for Stop {
    fn from(error: PkiError) -> Stop {
        Stop::Pki(error)
    }
}

impl Stop {
    fn told(self) -> Exit {
        let (exit, text) = match self {
            Stop::Pki(error) => (exit_of(error.fault()), error.to_string()),
            Stop::Said(exit, text) => (exit, text),
        };
        exit::complain(&format!("snihub pki: {text}\n"));
        exit
    }

    /// A file that could not be read.
    fn unread(file: &std::path::Path, error: &std::io::Error) -> Stop {
        let exit = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Config,
        };
        Stop::Said(exit, format!("{}: cannot read it: {error}", file.display()))
    }
}

pub(super) fn exit_of(fault: Fault) -> Exit {
    match fault {
        Fault::Usage => Exit::Usage,
        Fault::Refused => Exit::No,
        Fault::Config => Exit::Config,
        Fault::Denied => Exit::Permission,
        Fault::System => Exit::System,
    }
}

/// Which authority.
#[derive(Debug, ClapArgs)]
pub(super) struct Place {
    /// The authority's folder
    #[arg(long = "ca", value_name = "DIR", default_value = "pki")]
    folder: PathBuf,
}

impl Place {
    pub(super) fn open(&self) -> Result<Folder, Stop> {
        // As it was given, so that the answer speaks of the same paths.
        Ok(Folder::open(&self.folder)?)
    }
}

/// How long.
#[derive(Debug, ClapArgs)]
pub(super) struct Lifetime {
    /// Valid for so many days, but never longer than the authority
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = days())]
    days: u32,
}

impl Lifetime {
    pub(super) fn span(&self) -> Duration {
        DAY * self.days
    }

    /// Where the authority ends before what is issued now would.
    pub(super) fn note(&self, folder: &Folder) -> Result<Option<String>, Stop> {
        let ends = folder.ends()?;
        let (left, asked) = (ends.days_after(Moment::now()), i64::from(self.days));
        // A day that has begun is no news.
        Ok((left + 1 < asked).then(|| {
            format!(
                "it lasts {}, not {asked}: the authority itself ends {ends}; `snihub pki list` says what \
                 to do then",
                days_of(left)
            )
        }))
    }
}

/// What all that makes a certificate is told alike.
#[derive(Debug, ClapArgs)]
struct Making {
    #[command(flatten)]
    lifetime: Lifetime,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    passphrase: passphrase::Source,
    #[command(flatten)]
    delivery: receipt::Destination,
}

/// 1 day to 10 years.
fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=3652)
}

pub(super) fn layouts() -> impl TypedValueParser<Value = Layout> {
    let values = Layout::ALL.map(|layout| {
        let spec = layout.spec();
        PossibleValue::new(spec.name).help(spec.about)
    });
    PossibleValuesParser::new(values).try_map(|name| Layout::named(&name).ok_or("not a layout"))
}

fn keys() -> impl TypedValueParser<Value = KeyKind> {
    PossibleValuesParser::new(KeyKind::ALL.map(KeyKind::name)).try_map(|name| {
        let mut all = KeyKind::ALL.into_iter();
        all.find(|key| key.name() == name)
            .ok_or("not a kind of key")
    })
}
