//! `snihub compare`: asks Traffic Server and the hub for the same names, and lists where they lead
//! elsewhere.

use super::Format;
use super::check::plural;
use super::columns::Columns;
use super::exit::{self, Exit, answer, complain};
use super::hub::printable;
use crate::net::addr::{Fence, Host, Target};
use crate::probe::{Answer, NoTls, Prober, Question, Tls};
use crate::tls::{LooksLike, ServerName};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Most names of a file.
const MOST_NAMES: usize = 10_000;
/// Bytes of a file of them: each at most 253 (RFC 1035 section 2.3.4), and comments.
const MOST_BYTES: u64 = 4 << 20;
/// A name that no table has but by `*`: what answers then is Traffic Server itself.
const NOBODY: &str = "snihub-compare.invalid";

/// Asks Traffic Server and the hub for the same names, and lists where routing differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub compare --ats 10.0.0.1:443 --names names    the hub is at 127.0.0.1:443
  snihub compare --ats 127.0.0.1:443 --hub 127.0.0.1:8443 --names names

Each name is asked for by a TLS handshake, and two answers are alike if the same
certificate comes from behind both, or neither leads anywhere. A certificate
that several names show is listed as alike?: routes that are crossed among them
look the same. What Traffic Server shows for a name that nobody has is its own
certificate, and means no route.
Exit codes: 0 all alike; 1 some differ; 71 one of them cannot be asked; 78 the
file is wrong.")]
pub(super) struct Args {
    /// Traffic Server
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    ats: Target,
    /// The hub
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:443", value_parser = address)]
    hub: Target,
    /// The server names to ask for, one a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    names: PathBuf,
    /// List those that are alike, too
    #[arg(long)]
    all: bool,
    /// For each step of each answer, 1 to 60
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// `HOST:PORT`, or `[IPv6]:PORT`.
fn address(text: &str) -> Result<Target, String> {
    let wrong = || format!("{text:?} is not HOST:PORT");
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok(target(Host::Ip(address.ip()), address.port()));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port != 0);
    match (port, host.is_empty() || host.contains(':')) {
        (Some(port), false) => Ok(target(Host::Name(host.into()), port)),
        _ => Err(wrong()),
    }
}

fn target(host: Host, port: u16) -> Target {
    Target {
        host,
        port,
        fence: Fence::Open,
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    let names = match names(args) {
        Ok(names) => names,
        Err(exit) => return exit,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::system("cannot start", &error),
    };
    match runtime.block_on(compare(args, names)) {
        Ok(rows) => tell(args, &rows),
        Err(why) => {
            complain(&format!("snihub: {}\n", printable(&why)));
            Exit::System
        }
    }
}

/// Once each, in the file's order.
fn names(args: &Args) -> Result<Vec<ServerName>, Exit> {
    let file = args.names.display();
    let text = std::fs::File::open(&args.names).and_then(|file| {
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text)?;
        Ok(text)
    });
    let text = text.map_err(|error| exit::system(&format!("{file} cannot be read"), &error))?;
    // As editors of Windows begin a file.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    let (mut names, mut seen, mut wrong) = (Vec::new(), HashSet::new(), String::new());
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match ServerName::parse(line) {
            Ok(name) if seen.insert(name.as_str().to_owned()) => names.push(name),
            Ok(_) => {}
            Err(error) => {
                let line = printable(&String::from_utf8_lossy(line));
                wrong.push_str(&format!(
                    "{file}:{number}: {line}: no server name: {error}\n"
                ));
            }
        }
    }
    if names.is_empty() && wrong.is_empty() {
        wrong = format!("{file}: no names in it\n");
    }
    if names.len() > MOST_NAMES {
        wrong = format!(
            "{file}: {} names; at most {MOST_NAMES} are asked for\n",
            names.len()
        );
    }
    if wrong.is_empty() {
        return Ok(names);
    }
    complain(&wrong);
    Err(Exit::Config)
}

/// What one of the two did with a name.
#[derive(Debug, Clone)]
enum Outcome {
    /// TLS with somebody: the certificate, DER, and what it says.
    Led { der: Vec<u8>, shown: String },
    /// No route.
    NoRoute(String),
    /// Not for whom asked.
    NotAllowed(String),
    /// A route, and nobody at its end; or nothing to be told from that.
    NotReached(String),
}

/// One name.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    alike: bool,
    /// Whether that says where the name leads: no other name shows the same.
    proven: bool,
    ats: String,
    hub: String,
}

async fn compare(args: &Args, names: Vec<ServerName>) -> Result<Vec<Row>, String> {
    let prober = Prober::open();
    let nobody = ServerName::parse(NOBODY.as_bytes()).map_err(|error| error.to_string())?;
    let (ats, hub) = ask_both(&prober, args, &nobody).await?;
    // Where `*` has a route, that is who answers at both.
    let own = match (ats, of_hub(hub)) {
        (Ok(tls), Outcome::Led { der, .. }) if tls.der == der => None,
        (Ok(tls), _) => Some(tls.der),
        (Err(_), _) => None,
    };
    let mut asked = Vec::with_capacity(names.len());
    for name in names {
        let (ats, hub) = ask_both(&prober, args, &name).await?;
        asked.push((name, of_ats(ats, own.as_deref()), of_hub(hub)));
    }
    Ok(rows(&asked))
}

/// In the same order.
fn rows(asked: &[(ServerName, Outcome, Outcome)]) -> Vec<Row> {
    let mut shown = HashMap::<&[u8], usize>::new();
    for (_, ats, hub) in asked {
        let both: HashSet<_> = [ats, hub].into_iter().filter_map(Outcome::der).collect();
        both.into_iter()
            .for_each(|der| *shown.entry(der).or_default() += 1);
    }
    let shows_who = |der: &[u8]| !der.is_empty() && shown.get(der) == Some(&1);
    asked
        .iter()
        .map(|(name, ats, hub)| {
            let alike = alike(ats, hub);
            Row {
                name: name.as_str().to_owned(),
                alike,
                proven: !alike || ats.der().is_none_or(shows_who),
                ats: ats.to_string(),
                hub: hub.to_string(),
            }
        })
        .collect()
}

type Tried = Result<Tls, NoTls>;

async fn ask_both(
    prober: &Prober,
    args: &Args,
    name: &ServerName,
) -> Result<(Tried, Tried), String> {
    let patience = Duration::from_secs(args.timeout);
    let question = |target| Question::plain(target, name, patience);
    let (to_ats, to_hub) = (question(&args.ats), question(&args.hub));
    let (ats, hub) = tokio::join!(prober.ask(&to_ats), prober.ask(&to_hub));
    let tried = |answer: Answer, what: &str, target: &Target| match (answer.tcp, answer.tls) {
        (Ok(_), Some(tls)) => Ok(tls),
        (Err(error), _) => Err(format!("{what} at {target} cannot be asked: {error}")),
        (Ok(_), None) => Err(format!("{what} at {target} was not asked")),
    };
    Ok((
        tried(ats, "Traffic Server", &args.ats)?,
        tried(hub, "the hub", &args.hub)?,
    ))
}

/// By the alerts that the hub gives ([`crate::refusal`]).
fn of_hub(tried: Tried) -> Outcome {
    match tried {
        Ok(tls) => led(tls),
        Err(NoTls::CertificateRequired) => client_wanted(),
        Err(NoTls::Alert(112)) => Outcome::NoRoute("no route".into()),
        Err(NoTls::Alert(49)) => Outcome::NotAllowed("not allowed from here".into()),
        Err(NoTls::Alert(80)) => Outcome::NotReached("not reached, or no port for it".into()),
        Err(other) => Outcome::NotReached(other.to_string()),
    }
}

/// `own`: the certificate that Traffic Server ends TLS with where it has no route.
fn of_ats(tried: Tried, own: Option<&[u8]>) -> Outcome {
    match tried {
        Ok(tls) if own == Some(&tls.der[..]) => {
            Outcome::NoRoute("no route (its own certificate)".into())
        }
        Ok(tls) => led(tls),
        Err(NoTls::CertificateRequired) => client_wanted(),
        // What 9.2 gives to whom ip_allow keeps out.
        Err(NoTls::Alert(80)) => Outcome::NotAllowed("not allowed from here (TLS alert 80)".into()),
        // What it has for no route is its certificate; a hub in its place has this.
        Err(NoTls::Alert(112)) => Outcome::NoRoute("no route (TLS alert 112)".into()),
        Err(NoTls::NotTls(LooksLike::Http)) => {
            Outcome::NotReached("not reached (an HTML page)".into())
        }
        Err(NoTls::TimedOut) => Outcome::NotReached(
            "no answer in time (ATS 9 hangs, too, when a hello comes in two segments)".into(),
        ),
        Err(other) => Outcome::NotReached(other.to_string()),
    }
}

fn led(tls: Tls) -> Outcome {
    let shown = match &tls.certificate {
        Ok(read) => {
            let whose = read.names.first().unwrap_or(&read.subject);
            format!(
                "{}, by {}, until {}",
                printable(whose),
                printable(&read.issuer),
                read.not_after
            )
        }
        Err(why) => format!("a certificate that cannot be read: {}", printable(why)),
    };
    Outcome::Led {
        der: tls.der,
        shown,
    }
}

/// Somebody, but not who.
fn client_wanted() -> Outcome {
    Outcome::Led {
        der: Vec::new(),
        shown: "somebody who requires a client certificate".into(),
    }
}

fn alike(ats: &Outcome, hub: &Outcome) -> bool {
    match (ats, hub) {
        (Outcome::Led { der: one, .. }, Outcome::Led { der: other, .. }) => one == other,
        _ => std::mem::discriminant(ats) == std::mem::discriminant(hub),
    }
}

impl Outcome {
    /// Of whoever has answered; empty: of somebody who has shown none.
    fn der(&self) -> Option<&[u8]> {
        match self {
            Outcome::Led { der, .. } => Some(der),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Led { shown: text, .. }
            | Outcome::NoRoute(text)
            | Outcome::NotAllowed(text)
            | Outcome::NotReached(text) => f.write_str(text),
        }
    }
}

fn tell(args: &Args, rows: &[Row]) -> Exit {
    let differ = rows.iter().filter(|row| !row.alike).count();
    let exit = match differ {
        0 => Exit::Ok,
        _ => Exit::No,
    };
    if args.format == Format::Json {
        // Plain strings and truths: nothing in it can fail to serialize.
        let text = serde_json::to_string_pretty(rows).unwrap_or_default();
        return answer(&format!("{text}\n"), exit);
    }
    let ats = format!("Traffic Server at {}", args.ats);
    let hub = format!("hub at {}", args.hub);
    let mut columns = Columns::new(&["name", "", &ats, &hub]);
    let listed = rows.iter().filter(|row| args.all || !row.alike);
    for row in listed.clone() {
        let word = match (row.alike, row.proven) {
            (true, true) => "alike",
            (true, false) => "alike?",
            (false, _) => "DIFFERS",
        };
        columns.row(vec![
            row.name.clone(),
            word.into(),
            row.ats.clone(),
            row.hub.clone(),
        ]);
    }
    let table = match listed.count() {
        0 => String::new(),
        _ => columns.print() + "\n",
    };
    let sum = format!(
        "{}: {} alike, {differ} different\n",
        plural(rows.len(), "name"),
        rows.len() - differ
    );
    let note = match rows.iter().filter(|row| !row.proven).count() {
        0 => String::new(),
        unproven => format!(
            "{unproven} of these are alike?: several names show one certificate, or none is shown, and \
             routes that are crossed among them look the same; compare where they lead by `explain`\n"
        ),
    };
    answer(&(table + &sum + &note), exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (text, shown) in [
            ("proxy.fate.org:443", "proxy.fate.org:443"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("[::1]:443", "[::1]:443"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), shown);
        }
        for text in ["", "a", ":443", "a:0", "a:65536", "::1:443", "a:b"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_certificate_that_several_names_show_proves_nothing() {
        let led = |der: &str| Outcome::Led {
            der: der.as_bytes().to_vec(),
            shown: String::new(),
        };
        let row = |name: &str, ats, hub| (ServerName::parse(name.as_bytes()).unwrap(), ats, hub);
        let rows = rows(&[
            row("a.example", led("shared"), led("shared")),
            row("b.example", led("shared"), led("shared")),
            row("c.example", led("own"), led("own")),
            row("d.example", client_wanted(), client_wanted()),
            row("e.example", led("e"), led("f")),
            // Another name leads there at the hub alone.
            row("f.example", led("f"), led("f")),
            row(
                "g.example",
                Outcome::NoRoute(String::new()),
                Outcome::NoRoute(String::new()),
            ),
        ]);
        let seen: Vec<_> = rows.iter().map(|row| (row.alike, row.proven)).collect();
        let wanted = [
            (true, false),
            (true, false),
            (true, true),
            (true, false),
            (false, true),
            (true, false),
            (true, true),
        ];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn how_each_says_no_is_alike() {
        let (ats, hub) = (|why| of_ats(Err(why), None), |why| of_hub(Err(why)));
        let html = || NoTls::NotTls(LooksLike::Http);
        assert!(alike(&ats(html()), &hub(NoTls::Alert(80))));
        assert!(alike(&ats(NoTls::Closed), &hub(NoTls::Alert(80))));
        assert!(alike(&ats(NoTls::Alert(80)), &hub(NoTls::Alert(49))));
        assert!(!alike(&ats(html()), &hub(NoTls::Alert(112))));
        assert!(!alike(
            &ats(NoTls::TimedOut),
            &hub(NoTls::CertificateRequired)
        ));
        assert!(alike(
            &ats(NoTls::CertificateRequired),
            &hub(NoTls::CertificateRequired)
        ));
    }
}
