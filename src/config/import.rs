//! ATS's folder as files of the hub's own: hub.yaml and sni.yaml that route alike.

use super::files::{FileSet, MAX_ROUTES_FILE};
use super::load::Load;
use super::problem::{Problem, Severity};
use super::settings::{ListenSpec, ProxyProtocol};
use super::text::{self, Decoded};
use crate::route::ConnectPorts;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

/// What a folder of ATS comes to.
#[derive(Debug)]
pub struct Imported {
    /// hub.yaml; what became of each line of ATS's files stands in it as comments.
    pub hub: String,
    /// sni.yaml: ATS's own, with a comment before it.
    pub sni: String,
    /// `"@file"`s of sni.yaml, to be beside it by these relative paths.
    pub lists: Vec<(PathBuf, Vec<u8>)>,
}

/// What `load`, made of folders of ATS, says as files; `None` where it has errors.
///
/// # Errors
/// A `"@file"` of sni.yaml that cannot be taken along, as it leads out of its folder.
pub fn import(load: &Load) -> Result<Option<Imported>, Problem> {
    let Some(loaded) = &load.loaded else {
        return Ok(None);
    };
    let path = &loaded.routes_file;
    let bytes = FileSet::new().read(path, MAX_ROUTES_FILE);
    let source = match bytes.as_deref().map(|bytes| text::decode("", bytes)) {
        Ok(Decoded::Text(source)) => source,
        // It is not there (it has been read a moment ago): a table without routes.
        _ => "sni:\n",
    };
    let mut sni = format!("# What `snihub import` took from {}.\n", shown(path));
    sni.push_str(source);
    let lists = lists(load, path, source)?;
    Ok(Some(Imported {
        hub: hub(load),
        sni,
        lists,
    }))
}

fn hub(load: &Load) -> String {
    let mut hub = "# What `snihub import` made of Apache Traffic Server's records.config. Every key with its\n\
                   # default: config/hub.yaml of the hub's source.\n"
        .to_owned();
    if let Some(loaded) = &load.loaded {
        let settings = &loaded.settings;
        hub.push_str("listen:\n");
        settings
            .listen
            .iter()
            .for_each(|spec| listen(&mut hub, spec));
        if let ConnectPorts::Written(ports) = &settings.connect_ports {
            // Writing to a String does not fail, here and below.
            let _ = writeln!(hub, "connect_ports: \"{ports}\"");
        }
        hub.push_str("routes: sni.yaml\n");
    }
    hub.push_str("\n# What became of each line of the files, sni.yaml apart:\n");
    let of_routes = load.routes.as_ref().map(|(path, _)| shown(path));
    for problem in &load.problems {
        if Some(&*problem.file) != of_routes.as_deref() || problem.severity == Severity::Note {
            let _ = writeln!(hub, "# {}", problem.headline());
        }
    }
    hub
}

fn listen(hub: &mut String, spec: &ListenSpec) {
    let address = spec.address;
    let _ = match spec.proxy_protocol {
        ProxyProtocol::Off => writeln!(hub, "- \"{address}\""),
        ProxyProtocol::Required => {
            let trusted: Vec<String> = spec
                .trusted
                .iter()
                .map(|net| format!("\"{net}\""))
                .collect();
            let trusted = trusted.join(", ");
            writeln!(
                hub,
                "- {{address: \"{address}\", proxy_protocol: required, trusted: [{trusted}]}}"
            )
        }
    };
}

/// A path as a comment has it: one line.
fn shown(path: &Path) -> String {
    let problem = Problem::of_file(Severity::Note, &path.to_string_lossy(), "", "");
    problem.file.to_string()
}

/// The relative `"@file"`s; absolute ones are found from anywhere.
fn lists(load: &Load, path: &Path, source: &str) -> Result<Vec<(PathBuf, Vec<u8>)>, Problem> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut lists = Vec::new();
    for file in load.files.paths().filter(|file| *file != path) {
        let Ok(relative) = file.strip_prefix(directory) else {
            continue;
        };
        // As it is written; those of ATS's own files are not.
        if !source.contains(&format!("@{}", relative.display())) {
            continue;
        }
        if relative
            .components()
            .any(|part| part == Component::ParentDir)
        {
            let text = format!(
                "\"@{}\" leads out of its folder, and cannot be taken along; write its whole path",
                relative.display()
            );
            let file = path.to_string_lossy();
            return Err(Problem::of_file(Severity::Error, &file, "", text));
        }
        if let Ok(bytes) = FileSet::new().read(file, MAX_ROUTES_FILE) {
            lists.push((relative.to_owned(), bytes));
        }
    }
    Ok(lists)
}
