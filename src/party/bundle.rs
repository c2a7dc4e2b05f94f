//! What a party is given: files made of values, the same bytes each time.

use super::certificate::read_if_there;
use super::replace::{self, Looks};
use super::{CERTIFICATES, Files, Hub, Party, PartyError};
use crate::pki::{Content, Layout, MANIFEST, secret};
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Also what `tests/interop` runs with real brokers.
const BROKER: &str = include_str!("templates/broker.conf");
const PULSAR_TABLE: &str = include_str!("templates/pulsar_route_table.yaml");
const CLUSTER: &str = include_str!("templates/cluster.json");
const README: &str = include_str!("templates/README.md");
const PULSAR_STEPS: &str = include_str!("templates/steps-pulsar.md");
const ROUTER_STEPS: &str = include_str!("templates/steps-router.md");

/// Where the settings look for the certificates on the party's machine.
const PLACE: &str = "/pulsar/certs";

/// What a bundle is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// Whose.
    pub party: &'f Party,
    /// Where it finds the hub.
    pub hub: &'f Hub,
    /// Where the hub finds it, `host:port`.
    pub route: &'f str,
    /// What it runs.
    pub layout: Layout,
    /// Its certificate's files.
    pub files: &'f Files,
}

/// One file.
#[derive(Debug)]
pub struct BundleFile {
    /// Its name in the bundle.
    pub name: &'static str,
    mode: u32,
    text: String,
}

/// The files of a bundle besides the certificate's own.
///
/// # Errors
/// [`PartyError::Pki`].
pub fn files(facts: &Facts<'_>) -> Result<Vec<BundleFile>, PartyError> {
    let public = |name, text| BundleFile {
        name,
        mode: 0o644,
        text,
    };
    let mut files = match facts.layout {
        Layout::Pulsar => vec![
            public("broker.conf", broker(facts)),
            public("pulsar_route_table.yaml", pulsar_table(facts)),
            public(
                "cluster.json",
                fill(
                    CLUSTER,
                    &[("name", &facts.party.name), ("hub", &facts.hub.authority())],
                ),
            ),
        ],
        _ => vec![public("route_table.json", router_table(facts))],
    };
    files.extend(hosts(facts).map(|text| public("hosts", text)));
    if has_key(facts) {
        let all = facts.files.iter().map(|(file, text)| (file.name, &**text));
        let text = secret(all, facts.layout.spec().secret, None)?;
        files.push(BundleFile {
            name: MANIFEST,
            mode: 0o600,
            text,
        });
    }
    files.push(public("README.md", readme(facts)));
    Ok(files)
}

/// Writes those files that are not there as they are to be; gives the names of what was written.
///
/// # Errors
/// [`PartyError::Io`].
pub fn write(folder: &Path, files: &[BundleFile]) -> Result<Vec<&'static str>, PartyError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o755).create(folder);
    made.map_err(PartyError::io("make the folder", folder))?;
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(file.name);
        if read_if_there(&path)?.is_some_and(|bytes| bytes == file.text.as_bytes()) {
            continue;
        }
        let put = replace::put(&path, file.text.as_bytes(), Looks::new(file.mode));
        put.map_err(PartyError::io("write it", &path))?;
        written.push(file.name);
    }
    Ok(written)
}

/// Takes from a bundle what others may do with it beyond what it was made with: a copy or an archive
/// may have opened it. Tells what was open.
///
/// # Errors
/// [`PartyError::Io`].
pub fn close(
    folder: &Path,
    files: &[BundleFile],
    certificates: &Files,
) -> Result<Vec<String>, PartyError> {
    let place = folder.join(CERTIFICATES);
    let of_bundle = files.iter().map(|file| (folder.join(file.name), file.mode));
    let of_certificate = certificates
        .iter()
        .map(|(file, _)| (place.join(file.name), file.content.mode()));
    let folders = [(folder.to_owned(), 0o755), (place.clone(), 0o755)];
    let mut open = Vec::new();
    for (path, most) in folders.into_iter().chain(of_bundle).chain(of_certificate) {
        let meta = fs::metadata(&path).map_err(PartyError::io("look at it", &path))?;
        let mode = meta.mode() & 0o7777;
        // Its owner's own bits are the owner's business.
        if mode & 0o077 & !most == 0 {
            continue;
        }
        let closed = mode & (most | 0o7700);
        let done = fs::set_permissions(&path, Permissions::from_mode(closed));
        done.map_err(PartyError::io("close it to others", &path))?;
        let secret = match most {
            0o600 => ": whoever has read it can pose as this party",
            _ => "",
        };
        open.push(format!(
            "{} was open to others ({mode:04o}) and is {closed:04o} now{secret}",
            path.display()
        ));
    }
    Ok(open)
}

/// What the README of a bundle says before and after the hub.
const HUB: [&str; 2] = ["The hub is ", "; it finds this party"];

/// The hub that the bundle in `folder` was made for; none where none was.
pub fn made_for(folder: &Path) -> Option<Hub> {
    let readme = read_if_there(&folder.join("README.md")).ok()??;
    let readme = String::from_utf8(readme).ok()?;
    let (_, rest) = readme.split_once(HUB[0])?;
    let (hub, _) = rest.split_once(HUB[1])?;
    Hub::parse(hub).ok()
}

fn broker(facts: &Facts<'_>) -> String {
    let path = |wanted: Content| {
        let mut files = facts.layout.spec().files.iter();
        let file = files.find(|file| file.content == wanted);
        format!("{PLACE}/{}", file.map_or("", |file| file.name))
    };
    fill(
        BROKER,
        &[
            ("party", &facts.party.id),
            ("name", &facts.party.name),
            ("address", "0.0.0.0"),
            ("certificate", &path(Content::Certificate(0))),
            ("key", &path(Content::Key(0))),
            ("authority", &path(Content::Authority)),
        ],
    )
}

fn pulsar_table(facts: &Facts<'_>) -> String {
    let host = route_host(facts.route);
    // Brackets begin a list in YAML, and not every reader takes colons in a plain scalar.
    let plain = |text: &str| match text.parse::<std::net::Ipv6Addr>().is_ok() || text.contains('[')
    {
        true => format!("\"{text}\""),
        false => text.to_owned(),
    };
    fill(
        PULSAR_TABLE,
        &[
            ("party", &facts.party.id),
            ("address", &plain(host)),
            ("hub", &plain(&facts.hub.authority())),
            ("domain", &facts.party.domain),
        ],
    )
}

/// What the others add to the `route_table` of their `route_table.json`: a name, since an address
/// sends no server name (RFC 6066 section 3).
fn router_table(facts: &Facts<'_>) -> String {
    let secure = match facts.layout {
        Layout::Osx => "useSSL",
        _ => "is_secure",
    };
    let (id, name, port) = (&facts.party.id, &facts.party.name, facts.hub.port);
    format!(
        "{{\n  \"{id}\": {{\n    \"default\": [\n      {{\n        \"ip\": \"{name}\",\n        \
         \"port\": {port},\n        \"{secure}\": true\n      }}\n    ]\n  }}\n}}\n"
    )
}

/// Names that have to lead to the hub; none where the hub goes by its address.
fn hosts(facts: &Facts<'_>) -> Option<String> {
    let address = match facts.hub.is_named() {
        true => "HUB_ADDRESS",
        false => &facts.hub.host,
    };
    let name = match facts.layout {
        Layout::Pulsar => facts.hub.is_named().then_some(&facts.hub.host)?,
        _ => &facts.party.name,
    };
    Some(format!("{address} {name}\n"))
}

fn readme(facts: &Facts<'_>) -> String {
    let spec = facts.layout.spec();
    let (route, name) = (facts.route, &facts.party.name);
    let names: Vec<_> = facts
        .files
        .iter()
        .map(|(file, _)| format!("`{}`", file.name))
        .collect();
    let key = match has_key(facts) {
        true => format!(
            "or, in Kubernetes, `kubectl apply -f secret.yaml`, which makes the Secret `{}`. Whoever \
             has `secret.yaml` or the key is {name} to everybody: send them by a way that is safe",
            spec.secret
        ),
        false => {
            "the private key is where the request was made and has to be there, PKCS#8, too".into()
        }
    };
    let steps = match facts.layout {
        Layout::Pulsar => PULSAR_STEPS,
        _ => ROUTER_STEPS,
    };
    let listens = match facts.layout {
        Layout::Pulsar => "6651 (brokerServicePortTls)",
        Layout::Osx => "the TLS port of OSX",
        _ => "the TLS port of rollsite",
    };
    let values: &[(&str, &str)] = &[
        ("party", &facts.party.id),
        ("name", name),
        ("hub", &facts.hub.authority()),
        ("host", &facts.hub.host),
        ("route", route),
        ("listens", listens),
        ("folder", CERTIFICATES),
        ("files", &names.join(", ")),
        ("place", PLACE),
        ("next", spec.next),
        ("key", &key),
    ];
    let steps = fill(steps, values);
    fill(README, &[values, &[("steps", steps.trim_end())]].concat())
}

fn has_key(facts: &Facts<'_>) -> bool {
    let mut files = facts.files.iter();
    files.any(|(file, _)| matches!(file.content, Content::Key(_)))
}

/// The host of a `host:port`, without brackets.
fn route_host(route: &str) -> &str {
    let host = route.rsplit_once(':').map_or(route, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

/// A template with its `{placeholders}` filled in; JSON and YAML have braces of their own, which stay.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        text.push_str(before);
        let value = from.find('}').and_then(|close| {
            let (_, value) = values.iter().find(|(key, _)| *key == &from[1..close])?;
            Some((close, value))
        });
        match value {
            Some((close, value)) => {
                text.push_str(value);
                rest = &from[close + 1..];
            }
            None => {
                text.push('{');
                rest = &from[1..];
            }
        }
    }
    text + rest
}
