//! `snihub import`: ATS's folder as hub.yaml and sni.yaml.

use super::check::plural;
use super::exit::{self, Exit, answer, complain};
use crate::config::{self, Imported, Severity, Sources};
use crate::party::replace::{self, Beside, Looks};
use std::io;
use std::path::{Path, PathBuf};

/// Writes what a folder of Apache Traffic Server says as hub.yaml and sni.yaml.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub import --ats /etc/trafficserver                      prints both files
  snihub import --ats /etc/trafficserver --out /etc/snihub    writes them

hub.yaml tells in comments what became of each line; sni.yaml is ATS's own, and
files that its ip_allow names are taken along.
Exit codes: 0 written; 1 a file is there already; 77 not permitted; 78 the files
are wrong.")]
pub(super) struct Args {
    /// The folder with records.config, and sni.yaml or sni.config; given several times, a file is
    /// looked for in each in turn
    #[arg(long, value_name = "DIR", required = true)]
    ats: Vec<PathBuf>,
    /// Where hub.yaml and sni.yaml are to be [default: they are printed]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the place of files that are there; they are kept as hub.yaml.bak and sni.yaml.bak
    #[arg(long, requires = "out")]
    force: bool,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    let sources = Sources {
        ats: args.ats,
        ..Sources::default()
    };
    let load = config::load(&sources);
    let imported = match config::import(&load) {
        Ok(Some(imported)) => imported,
        Ok(None) => return exit::problems(&load.problems),
        Err(problem) => return exit::problems(&[problem]),
    };
    let Some(out) = args.out else {
        let Imported { hub, sni, .. } = imported;
        return answer(
            &format!("# ==> hub.yaml <==\n{hub}\n# ==> sni.yaml <==\n{sni}"),
            Exit::Ok,
        );
    };
    for warning in load
        .problems
        .iter()
        .filter(|p| p.severity == Severity::Warning)
    {
        complain(&format!("{}\n", warning.headline()));
    }
    let files = files(&imported);
    if !args.force
        && let Some((there, _)) = files.iter().find(|(name, _)| out.join(name).exists())
    {
        complain(&format!(
            "snihub: {} is there already; nothing was written. --force keeps it as .bak and takes its place\n",
            out.join(there).display()
        ));
        return Exit::No;
    }
    if let Err((place, error)) = write(&out, &files) {
        return exit::system(&format!("cannot write {}", place.display()), &error);
    }
    let (_, routes) = load.routes.unwrap_or_default();
    let hub = out.join("hub.yaml").display().to_string();
    answer(
        &format!(
            "{} in {}, {}\nsnihub check --config {hub}\nsnihub run --config {hub}\n",
            plural(files.len(), "file"),
            out.display(),
            plural(routes, "route")
        ),
        Exit::Ok,
    )
}

/// sni.yaml before the hub.yaml that names it.
fn files(imported: &Imported) -> Vec<(&Path, &[u8])> {
    let lists = imported.lists.iter();
    let mut files: Vec<(&Path, &[u8])> = lists.map(|(name, bytes)| (&**name, &**bytes)).collect();
    files.push((Path::new("sni.yaml"), imported.sni.as_bytes()));
    files.push((Path::new("hub.yaml"), imported.hub.as_bytes()));
    files
}

/// All of them or, where the disk is full, none: each gets its name when every one is written.
fn write(out: &Path, files: &[(&Path, &[u8])]) -> Result<(), (PathBuf, io::Error)> {
    let mut written = Vec::new();
    for (name, bytes) in files {
        let place = out.join(name);
        match beside(&place, bytes) {
            Ok(beside) => written.push((place, beside)),
            Err(error) => return Err((place, error)),
        }
    }
    written
        .into_iter()
        .try_for_each(|(place, beside)| beside.commit().map_err(|error| (place, error)))
}

fn beside(place: &Path, bytes: &[u8]) -> io::Result<Beside> {
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let looks = match place.exists() {
        true => {
            let looks = Looks::of(place)?;
            replace::put(&replace::backup(place), &std::fs::read(place)?, looks)?;
            looks
        }
        false => Looks::new(0o644),
    };
    Beside::write(place, bytes, looks)
}
