//! Where a bundle goes, and what is said when it is there.

use super::Stop;
use crate::cli::columns::wrap;
use crate::cli::exit::{self, Exit};
use crate::party;
use crate::pki::{
    Content, Delivery, Form, KeyKind, Layout, MANIFEST, Placed, Receipt, To, days_of,
};
use crate::terminal::escaped;
use std::fmt::Write;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Columns of a terminal that nobody made wider.
pub(super) const WIDTH: usize = 100;

/// How and where to write.
#[derive(Debug, clap::Args)]
pub(super) struct Destination {
    /// How to write them
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Option<Shape>,
    /// Where: the folder or file to make, or - for stdout [default: issued/LAYOUT/NAME in the
    /// authority's folder]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Name of the Secret [default: what the layout's charts look for]
    #[arg(long, value_name = "NAME")]
    secret_name: Option<String>,
    /// Namespace of the Secret
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    /// A folder with the layout's files
    Files,
    /// The manifest of a Kubernetes Secret
    Secret,
    /// A tar of the files, to be unpacked where they are read
    Tar,
}

impl Destination {
    /// `before`: how and where the last one was written, for a renewal.
    pub(super) fn delivery(self, before: Option<(Form, To)>) -> Result<Delivery, Stop> {
        let of_secret = self.secret_name.is_some() || self.namespace.is_some();
        let secret = Form::Secret {
            name: self.secret_name,
            namespace: self.namespace,
        };
        let form = match (self.form, &before) {
            (Some(Shape::Files), _) => Form::Files,
            (Some(Shape::Tar), _) => Form::Tar,
            (Some(Shape::Secret), _) => secret.clone(),
            (None, Some((form, _))) => form.clone(),
            (None, None) => Form::Files,
        };
        if of_secret && form != secret {
            let text = "--secret-name and --namespace go with --as secret".to_owned();
            return Err(Stop::Said(Exit::Usage, text));
        }
        let to = match (self.out, before) {
            (Some(path), _) if path.as_os_str() == "-" => To::Writer,
            (Some(path), _) => To::Path(path),
            (None, Some((before, to))) if before == form => to,
            (None, _) => To::Default,
        };
        if to == To::Writer && form == Form::Files {
            let text = "files cannot go to stdout: --as tar or --as secret can".to_owned();
            return Err(Stop::Said(Exit::Usage, text));
        }
        if to == To::Writer && leads_nowhere(&std::io::stdout()) {
            // What std opens where there is no stdout: the only copy of a key would be gone.
            let text = "stdout is closed, or /dev/null: the key would be gone".to_owned();
            return Err(Stop::Said(Exit::Usage, text));
        }
        let handed = match &to {
            To::Path(path) => {
                // `certs` alone is in a bundle, too, where that is the working directory.
                let path = std::path::absolute(path).ok();
                path.and_then(|path| party::bundle_of(&path).map(Path::to_owned))
            }
            To::Default | To::Writer => None,
        };
        Ok(Delivery { form, to, handed })
    }
}

/// Whether what is written there is nobody's.
fn leads_nowhere(stdout: &impl AsFd) -> bool {
    let device = |meta: std::fs::Metadata| meta.file_type().is_char_device().then(|| meta.rdev());
    let own = stdout.as_fd().try_clone_to_owned().map(File::from);
    let own = own.and_then(|file| file.metadata()).ok().and_then(device);
    let null = std::fs::metadata("/dev/null").ok().and_then(device);
    own.is_some() && own == null
}

/// Tells what was made: on stdout, or on stderr where stdout has the bundle.
pub(super) fn tell(receipt: &Receipt, notes: &[String]) -> Exit {
    let text = text(receipt, notes);
    if receipt.placed == Placed::Written {
        exit::complain(&text);
        return Exit::Ok;
    }
    exit::answer(&text, Exit::Ok)
}

fn text(receipt: &Receipt, notes: &[String]) -> String {
    let mut text = String::new();
    let issue = &receipt.issue;
    let spec = issue.layout.spec();
    let _ = match &receipt.placed {
        Placed::Folder(path) => writeln!(text, "{}/", shown(path).display()),
        Placed::File(path) => {
            let path = shown(path);
            match issue.form.secret_name(issue.layout) {
                Some(name) => writeln!(text, "{} (0600), Secret {name} with", path.display()),
                None => writeln!(text, "{} (0600) with", path.display()),
            }
        }
        Placed::Written => writeln!(text, "stdout, with"),
    };
    let width = receipt
        .files
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    for (name, content) in &receipt.files {
        let what = what(receipt, *content);
        let mode = content.mode();
        let _ = writeln!(text, "  {name:<width$}  {mode:04o}  {what}");
    }
    text.push('\n');
    for (certified, leaf) in issue.certificates.iter().zip(spec.leaves) {
        let days = certified.not_after.days_after(certified.not_before);
        let (until, uses) = (certified.not_after, leaf.uses.text());
        let _ = writeln!(
            text,
            "serial  {}, for {uses}, until {until} ({})",
            certified.serial,
            days_of(days)
        );
    }
    for note in notes {
        paragraph(&mut text, "note", note);
    }
    if let Some(old) = &receipt.old {
        let old = shown(old).display();
        let kept = format!("{old} is kept; delete it when the new one works");
        paragraph(&mut text, "before", &kept);
    }
    paragraph(&mut text, "next", spec.next);
    if let Some(uid) = receipt.to_chown
        && let Placed::Folder(path) = &receipt.placed
    {
        let path = shown(path);
        let _ = writeln!(text, "        sudo chown -R {uid}:{uid} {}", path.display());
    }
    text
}

fn what(receipt: &Receipt, content: Content) -> String {
    let names = |leaf: usize| receipt.issue.certificates[leaf].names.join(", ");
    match content {
        Content::Authority => "the authority's certificate".to_owned(),
        Content::Certificate(leaf) => format!("certificate for {}", names(leaf)),
        Content::Chain(leaf) => format!("certificate for {}, and the authority's", names(leaf)),
        Content::Key(_) => {
            let kind = match receipt.key() {
                Some(KeyKind::P256) | None => "ECDSA P-256",
                Some(KeyKind::Rsa2048) => "RSA 2048",
                Some(KeyKind::Rsa4096) => "RSA 4096",
            };
            format!("private key, PKCS#8, {kind}: nobody else has it")
        }
    }
}

/// A word, and a text beside it in lines that fit a terminal.
pub(in crate::cli) fn paragraph(to: &mut String, word: &str, text: &str) {
    wrap(to, &format!("{word:<8}"), 8, WIDTH, text);
}

/// Below the working directory as people would type it.
pub(in crate::cli) fn shown(path: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
}

/// The note of a Secret with the key before, where the new one is elsewhere.
pub(in crate::cli) fn aside(kept: &Path) -> String {
    let kept = shown(kept).display();
    format!("its {MANIFEST} had the key before, and is {kept} now")
}

/// The note of who the certificate says one is.
pub(super) fn organization(organization: &str) -> String {
    format!("O={}", escaped(organization))
}

/// What a renewal or a list calls a certificate.
pub(super) fn layout_name(layout: Layout) -> &'static str {
    layout.spec().name
}
