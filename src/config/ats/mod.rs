//! Folders of Apache Traffic Server, read in its place: records.config for where to listen and
//! what may be dialled, sni.yaml or sni.config for the routes. Every line of the others, and every
//! record that the hub has no use for, is told.

mod meaning;
mod ports;
mod records;

use super::files::{MAX_HUB_FILE, MAX_ROUTES_FILE};
use super::listen_keys::{check_overlap, network};
use super::load::{Loading, NAMES, Taken};
use super::problem::{At, Problem, Reporter, Severity, seen};
use super::settings::{ListenSpec, ProxyProtocol, Settings};
use super::text;
use crate::regular::ReadError;
use crate::route::{ConnectPorts, PortSet, RouteTable};
use ipnet::IpNet;
use meaning::Meaning;
use ports::Port;
use records::{Line, Record};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

const RECORDS: &str = "records.config";
const CERTIFICATES: &str = "ssl_multicert.config";
/// Who may come, as ATS 9 and as it was before.
const ALLOWED: [&str; 2] = ["ip_allow.yaml", "ip_allow.config"];
const SERVER_PORTS: &str = "proxy.config.http.server_ports";

/// Keys of hub.yaml that these files speak of, and where.
pub(super) const IN_PLACE: [(&str, &str); 3] = [
    ("listen", "proxy.config.http.server_ports"),
    ("connect_ports", "proxy.config.http.connect_ports"),
    ("routes", "proxy.config.ssl.servername.filename"),
];

/// What records.config says; `None`: nothing, or something that has been reported.
#[derive(Default)]
struct Said {
    listen: Option<Vec<ListenSpec>>,
    connect_ports: Option<PortSet>,
    routes: Option<String>,
    certificates: Option<String>,
}

impl Loading {
    /// Reads records.config and what is told of; returns the name of the routes file, if one is
    /// written. Each file is the one in the first of `folders` that has it. `listens`: somebody
    /// else says where to listen.
    pub(super) fn ats_settings(
        &mut self,
        folders: &[PathBuf],
        listens: bool,
        settings: &mut Settings,
    ) -> Option<String> {
        let said = self.ats_records(folders, listens).unwrap_or_default();
        if let Some(listen) = said.listen {
            settings.listen = listen;
        }
        if let Some(ports) = said.connect_ports {
            settings.connect_ports = ConnectPorts::Written(ports);
        }
        self.ats_certificates(folders, said.certificates.as_deref());
        self.ats_allowed(folders);
        said.routes
    }

    /// The routes: of the file that records.config names, else sni.yaml or sni.config. A file that
    /// is not there is a table without routes: the first party may come later.
    pub(super) fn ats_routes(
        &mut self,
        folders: &[PathBuf],
        named: Option<&str>,
        settings: &Settings,
    ) -> Option<Taken> {
        let names: Vec<&str> = named.map_or(NAMES.to_vec(), |name| vec![name]);
        for folder in folders {
            let there = |loading: &mut Loading, name: &&str| {
                let read = loading.files.read(&folder.join(name), MAX_ROUTES_FILE);
                !read.as_ref().is_err_and(ReadError::is_absent)
            };
            // All are read: one that is not there is waited for.
            let found = names.iter().filter(|name| there(self, name)).count();
            if found == 0 {
                continue;
            }
            let path = match named {
                Some(name) => folder.join(name),
                None => folder.clone(),
            };
            return self.routes(&path, settings);
        }
        let path = folders.first()?.join(names[0]);
        self.no_routes(&path, folders, &names);
        let table = RouteTable::new(Vec::new(), settings.connect_ports.clone());
        Some(Taken {
            path,
            table: table.ok(),
            entries: 0,
        })
    }

    fn no_routes(&mut self, path: &Path, folders: &[PathBuf], names: &[&str]) {
        let others: Vec<String> = folders
            .iter()
            .flat_map(|folder| names.iter().map(|name| folder.join(name)))
            .filter(|other| other != path)
            .map(|other| other.display().to_string())
            .collect();
        let nor = match others.is_empty() {
            true => String::new(),
            false => format!(" (nor {})", others.join(", ")),
        };
        let text = format!("there is no such file{nor}: no routes until it is there");
        self.told(Severity::Warning, path, "", text);
    }

    fn ats_records(&mut self, folders: &[PathBuf], listens: bool) -> Option<Said> {
        let Some((path, bytes)) = self.first(folders, RECORDS) else {
            let path = folders.first()?.join(RECORDS);
            let of_10 = folders.iter().any(|f| f.join("records.yaml").exists());
            let text = match of_10 {
                true => {
                    "there is no such file; records.yaml, of ATS 10, is not read: write hub.yaml \
                         in its place"
                }
                false => "there is no such file: --ats names the folder of ATS's configuration",
            };
            self.told(Severity::Error, &path, "", text.into());
            return None;
        };
        let bytes = self.read_or_report(&path, bytes)?;
        // A comment in another encoding is nobody's mistake.
        let source = String::from_utf8_lossy(&bytes);
        let mut reporter = Reporter::new(&path.to_string_lossy(), &source);
        let said = say(&source, listens, &mut reporter);
        self.collected.push(reporter.finish());
        Some(said)
    }

    fn ats_certificates(&mut self, folders: &[PathBuf], named: Option<&str>) {
        let Some((path, Ok(bytes))) = self.first(folders, named.unwrap_or(CERTIFICATES)) else {
            return;
        };
        let source = String::from_utf8_lossy(&bytes);
        let mut reporter = Reporter::new(&path.to_string_lossy(), &source);
        for (number, line) in records::physical_lines(&source) {
            let text = line.trim_start();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let at = At {
                line: number,
                column: 1,
            };
            match text.split_whitespace().any(|word| word == "action=tunnel") {
                true => reporter.warning(
                    at,
                    "",
                    "not taken: by address no tunnel is made, only by name, in sni.yaml",
                ),
                false => reporter.note(
                    at,
                    "",
                    "not needed: TLS ends at the parties; who meets no route gets a TLS alert, \
                     not this certificate",
                ),
            }
        }
        self.collected.push(reporter.finish());
    }

    fn ats_allowed(&mut self, folders: &[PathBuf]) {
        for name in ALLOWED {
            let path = folders.iter().map(|folder| folder.join(name));
            if let Some(path) = path.into_iter().find(|path| path.is_file()) {
                let text = "not read: who may come says ip_allow of each entry in sni.yaml; where \
                            this file lets only some in, write it there";
                self.told(Severity::Warning, &path, "", text.into());
            }
        }
    }

    /// The file of that name in the first folder that has it.
    fn first(
        &mut self,
        folders: &[PathBuf],
        name: &str,
    ) -> Option<(PathBuf, Result<Vec<u8>, ReadError>)> {
        folders.iter().find_map(|folder| {
            let path = folder.join(name);
            match self.files.read(&path, MAX_HUB_FILE) {
                Err(error) if error.is_absent() => None,
                outcome => Some((path, outcome)),
            }
        })
    }

    fn told(&mut self, severity: Severity, path: &Path, key: &str, text: String) {
        let problem = Problem::of_file(severity, &path.to_string_lossy(), key, text);
        self.collected.push(text::one(problem));
    }
}

fn say(source: &str, listens: bool, reporter: &mut Reporter<'_>) -> Said {
    let records = told_records(source, reporter);
    let find = |wanted| records.iter().find(|(_, meaning)| *meaning == wanted);
    let trusted = find(Meaning::Trusted).map(|(record, _)| trusted(record, reporter));
    let mut said = Said::default();
    match find(Meaning::ServerPorts) {
        Some((record, _)) => {
            said.listen = listeners(record, trusted.as_deref(), listens, reporter);
        }
        None if listens => {}
        None => reporter.file_error(
            SERVER_PORTS,
            "not set: ATS's own, 8080, has no TLS; write one with ssl, such as 443:ssl, or give \
             --listen",
        ),
    }
    for (record, meaning) in &records {
        let Record { name, value, .. } = *record;
        match meaning {
            Meaning::ConnectPorts => said.connect_ports = connect_ports(record, reporter),
            Meaning::RoutesFile => {
                reporter.note(
                    record.at,
                    name,
                    format!("taken: the routes are in {}", seen(value)),
                );
                said.routes = Some(value.to_owned());
            }
            Meaning::CertificatesFile => {
                reporter.note(record.at, name, "no effect: certificates are not needed");
                said.certificates = Some(value.to_owned());
            }
            Meaning::Told(severity, text) => match severity {
                Severity::Warning => reporter.warning(record.at, name, *text),
                Severity::Note | Severity::Error => reporter.note(record.at, name, *text),
            },
            Meaning::ServerPorts | Meaning::Trusted => {}
        }
    }
    said
}

/// The records that count: of several with one name the last. `NULL` is as good as none.
fn told_records<'t>(source: &'t str, reporter: &mut Reporter<'_>) -> Vec<(Record<'t>, Meaning)> {
    let mut all = Vec::new();
    for line in records::lines(source) {
        match line {
            Line::Record(record) => all.push(record),
            Line::Skipped { at, why } => {
                reporter.note(at, "", format!("skipped, as ATS does: {why}"));
            }
        }
    }
    let mut last: HashMap<&str, u32> = HashMap::new();
    last.extend(all.iter().map(|record| (record.name, record.at.line)));
    let mut counted = Vec::with_capacity(all.len());
    for record in all {
        let line = last.get(record.name).copied().unwrap_or(record.at.line);
        if line != record.at.line {
            let text = format!("no effect: line {line} says it again, and counts (as in ATS)");
            reporter.note(record.at, record.name, text);
        } else if record.value == "NULL" {
            reporter.note(record.at, record.name, "NULL: as if it were not written");
        } else {
            counted.push((record, Meaning::of(record.name)));
        }
    }
    counted
}

fn connect_ports(record: &Record<'_>, reporter: &mut Reporter<'_>) -> Option<PortSet> {
    match PortSet::parse(record.value) {
        Ok(ports) => {
            let text = format!("taken: routes may lead to ports {ports}");
            reporter.note(record.at, record.name, text);
            Some(ports)
        }
        Err(error) => {
            reporter.error(record.value_at, record.name, error.to_string());
            None
        }
    }
}

fn trusted(record: &Record<'_>, reporter: &mut Reporter<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for item in record.value.split(',').map(str::trim) {
        match network(item) {
            Ok(network) => networks.push(network),
            Err(why) => {
                let text = format!("{} {why}", seen(item));
                reporter.error(record.value_at, record.name, text);
            }
        }
    }
    networks
}

/// The entries with `ssl`, as what to listen on.
fn listeners(
    record: &Record<'_>,
    trusted: Option<&[IpNet]>,
    listens: bool,
    reporter: &mut Reporter<'_>,
) -> Option<Vec<ListenSpec>> {
    let mut specs: Vec<ListenSpec> = Vec::new();
    let entries: Vec<Port<'_>> = ports::entries(record.value).collect();
    for entry in &entries {
        let before = record.value.get(..entry.offset).unwrap_or("");
        let at = At {
            line: record.value_at.line,
            column: record.value_at.column + before.chars().count() as u32,
        };
        if let Some(spec) = listener(entry, at, trusted, reporter) {
            add(&mut specs, spec, at, reporter);
        }
    }
    if specs.is_empty() && !listens {
        let text = "no entry is for TLS: write one with ssl, such as 443:ssl, or give --listen";
        reporter.error(record.value_at, record.name, text);
    }
    (!specs.is_empty()).then_some(specs)
}

fn listener(
    entry: &Port<'_>,
    at: At,
    trusted: Option<&[IpNet]>,
    reporter: &mut Reporter<'_>,
) -> Option<ListenSpec> {
    let shown = seen(entry.text);
    if !entry.tls {
        let text = format!("{shown} is not opened: it is not for TLS");
        reporter.note(at, SERVER_PORTS, text);
        return None;
    }
    for option in &entry.ignored {
        let text = format!("{} of {shown} has no effect", seen(option));
        reporter.warning(at, SERVER_PORTS, text);
    }
    for option in &entry.wrong {
        let text = format!(
            "{} of {shown} is no option, or its value is wrong",
            seen(option)
        );
        reporter.error(at, SERVER_PORTS, text);
    }
    let Some(port) = entry.port else {
        if entry.wrong.is_empty() {
            reporter.error(
                at,
                SERVER_PORTS,
                format!("{shown} has no port in 1..=65535"),
            );
        }
        return None;
    };
    let any = match entry.ipv6 {
        true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let address = SocketAddr::new(entry.address.unwrap_or(any), port);
    let mut spec = ListenSpec::at(address);
    if entry.proxy {
        spec.trusted = trusted.map(<[IpNet]>::to_vec).unwrap_or_default();
        spec.proxy_protocol = ProxyProtocol::Required;
        match spec.trusted.is_empty() {
            true => reporter.error(
                at,
                SERVER_PORTS,
                format!(
                    "pp of {shown} needs proxy.config.http.proxy_protocol_allowlist: without it \
                     (ATS then trusts everyone) any client could say where it comes from"
                ),
            ),
            false => reporter.warning(
                at,
                SERVER_PORTS,
                format!("pp of {shown}: each connection has to begin with a PROXY header (ATS takes those without, too)"),
            ),
        }
    }
    let and = match any {
        IpAddr::V6(_) if entry.address.is_none() => ", IPv4 too (ATS: IPv6 alone)",
        _ => "",
    };
    let text = format!("{shown} taken: listens on {address}{and}");
    reporter.note(at, SERVER_PORTS, text);
    Some(spec)
}

/// `443:ssl 443:ssl:ipv6` is one socket here: `[::]` takes IPv4, too.
fn add(specs: &mut Vec<ListenSpec>, spec: ListenSpec, at: At, reporter: &mut Reporter<'_>) {
    let any = |spec: &ListenSpec| spec.address.ip().is_unspecified();
    let twin = specs.iter().position(|old| {
        let families = old.address.is_ipv4() != spec.address.is_ipv4();
        let same = old.address.port() == spec.address.port();
        same && families && any(old) && any(&spec) && old.proxy_protocol == spec.proxy_protocol
    });
    match twin {
        Some(twin) => specs[twin].address = ListenSpec::any(spec.address.port()).address,
        None => {
            check_overlap(specs, &spec, |text| reporter.error(at, SERVER_PORTS, text));
            specs.push(spec);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(source: &str) -> (Said, Vec<Problem>) {
        let mut reporter = Reporter::new("records.config", source);
        let said = say(source, false, &mut reporter);
        (said, reporter.finish().problems)
    }

    fn listen(ports: &str) -> (Vec<String>, Vec<Problem>) {
        let source = format!(
            "CONFIG {SERVER_PORTS} STRING {ports}\n\
             CONFIG proxy.config.http.proxy_protocol_allowlist STRING 10.0.0.0/8, 192.168.1.1\n"
        );
        let (said, problems) = load(&source);
        let shown = |spec: &ListenSpec| {
            let proxy = match spec.proxy_protocol {
                ProxyProtocol::Off => "",
                ProxyProtocol::Required => " pp",
            };
            format!("{}{proxy}", spec.address)
        };
        let listen = said.listen.unwrap_or_default();
        (listen.iter().map(shown).collect(), problems)
    }

    #[test]
    fn the_entries_with_ssl_are_listened_on() {
        for (ports, listened) in [
            ("8080 8080:ipv6 443:ssl", &["0.0.0.0:443"][..]),
            ("443:ssl:ipv6", &["[::]:443"]),
            ("443:ssl 443:ipv6:ssl", &["[::]:443"]),
            ("443:ssl:ipv6 443:ssl:ipv4", &["[::]:443"]),
            (
                "443:ssl,8443:ssl:ip-in=10.0.0.1",
                &["0.0.0.0:443", "10.0.0.1:8443"],
            ),
            ("443:ssl:pp 444:ssl", &["0.0.0.0:443 pp", "0.0.0.0:444"]),
        ] {
            let (seen, problems) = listen(ports);
            assert_eq!(seen, listened, "{ports}");
            let errors = problems.iter().filter(|p| p.severity == Severity::Error);
            assert_eq!(errors.count(), 0, "{problems:?}");
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_an_error_with_its_place() {
        for (ports, column, part) in [
            ("8080 8080:ipv6", 46, "no entry is for TLS"),
            ("8080 ssl", 51, "has no port"),
            ("70000:ssl", 46, "\"70000\""),
            ("443:ssl:bogus", 46, "\"bogus\""),
            ("443:ssl 443:ssl:ip-in=127.0.0.1", 54, "takes every address"),
        ] {
            let (_, problems) = listen(ports);
            let error = problems.iter().find(|p| p.severity == Severity::Error);
            let error = error.unwrap_or_else(|| panic!("{ports}: {problems:?}"));
            assert_eq!(error.column, column, "{error}");
            assert!(error.text.contains(part), "{error}");
        }
        let (_, problems) = load(&format!("CONFIG {SERVER_PORTS} STRING 443:ssl:pp\n"));
        assert!(
            problems[0].text.contains("proxy_protocol_allowlist"),
            "{problems:?}"
        );
        let (_, problems) = load("");
        assert!(problems[0].text.starts_with("not set"), "{problems:?}");
    }

    #[test]
    fn of_two_lines_the_later_counts_and_null_is_none() {
        let (said, problems) = load(&format!(
            "CONFIG {SERVER_PORTS} STRING 1:ssl\n\
             CONFIG proxy.config.http.connect_ports STRING 1\n\
             CONFIG {SERVER_PORTS} STRING 2:ssl\n\
             CONFIG proxy.config.http.connect_ports STRING NULL\n"
        ));
        assert_eq!(said.listen.expect("a listener")[0].address.port(), 2);
        assert_eq!(said.connect_ports, None);
        let told: Vec<_> = problems
            .iter()
            .map(|p| (p.line, &p.text[..9.min(p.text.len())]))
            .collect();
        assert!(
            told.contains(&(1, "no effect")) && told.contains(&(4, "NULL: as ")),
            "{told:?}"
        );
    }
}
