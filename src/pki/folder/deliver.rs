//! A bundle on its way out of the folder: into the index, to its place, and what is known of it when
//! that was cut short.

use super::super::bundle::{Bundle, Order};
use super::super::layout::{Content, Layout};
use super::super::output::{self, Form, Rendered};
use super::super::{KeyKind, Moment, Name, PkiError, pem, request};
use super::index::{Event, Issue, Outcome, To};
use super::manifest::{self, Manifest};
use super::{Folder, Locked, absolute, place, read};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How and where to write.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// How.
    pub form: Form,
    /// Where.
    pub to: To,
    /// The folder around that which is handed over: what was there before is kept beside it, since the
    /// old key is nobody else's. None: beside the place itself.
    pub handed: Option<PathBuf>,
}

/// Where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// A folder of files.
    Folder(PathBuf),
    /// One file.
    File(PathBuf),
    /// The caller's writer.
    Written,
}

/// What was made.
#[derive(Debug)]
pub struct Receipt {
    /// As it stands in the index.
    pub issue: Issue,
    /// Where it went.
    pub placed: Placed,
    /// Names and contents of the files, in the layout's order.
    pub files: Vec<(&'static str, Content)>,
    /// Where what was there before is kept.
    pub old: Option<PathBuf>,
    /// What became of the bundle's [`MANIFEST`](super::MANIFEST), if there is one; or why nothing did.
    pub manifest: ManifestOutcome,
    /// The owner that the files should have and do not, since only root gives files away.
    pub to_chown: Option<u32>,
}

impl Receipt {
    /// The kind of the keys.
    pub fn key(&self) -> Option<KeyKind> {
        request::kind_of(&self.issue.certificates[0].pem)
    }
}

type ManifestOutcome = Result<Option<Manifest>, PkiError>;

/// What an operator said of an issue, to be written down with it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByWord<'w> {
    /// The hub's names that a party is given.
    pub(super) hubs: &'w [Name],
    /// As [`Issue::organization_said`].
    pub(super) organization: bool,
}

impl Locked {
    /// Writes the bundle down in the index and then where it is to go.
    pub(super) fn deliver(
        &mut self,
        order: &Order,
        bundle: &Bundle,
        said: ByWord<'_>,
        delivery: &Delivery,
        writer: &mut dyn Write,
    ) -> Result<Receipt, PkiError> {
        delivery.form.check(order.layout())?;
        let to = match &delivery.to {
            To::Path(path) => To::Path(absolute(path)?),
            other => other.clone(),
        };
        let issue = Issue {
            time: Moment::now(),
            layout: order.layout(),
            primary: order.primary(),
            by_request: bundle.keyless(),
            organization_said: said.organization,
            form: delivery.form.clone(),
            to,
            handed: delivery.handed.as_deref().map(absolute).transpose()?,
            certificates: bundle.certificates.clone(),
            hub_names: said.hubs.iter().map(ToString::to_string).collect(),
        };
        let path = self.folder.place_of(&issue);
        let old = self.old(&issue, path.as_ref())?;
        let rendered = issue.form.render(bundle)?;
        self.append(Event::Issue(issue.clone()))?;
        let written = write(&issue, path.as_ref(), old.as_ref(), &rendered, writer);
        // Also after an error: it may have left all the same.
        let settled = match (&path, &written) {
            // Whatever came of it, nobody has it whole; it can be taken back all the same.
            (None, Err(_)) => self.lose(&issue),
            _ => self.settle(&issue),
        };
        written?;
        let manifest = settled?;
        let owner = issue.layout.spec().owner;
        let away = matches!(issue.form, Form::Files) && !rustix::process::geteuid().is_root();
        Ok(Receipt {
            placed: match (path, &rendered) {
                (None, _) => Placed::Written,
                (Some(path), Rendered::Folder(_)) => Placed::Folder(path),
                (Some(path), Rendered::File(_)) => Placed::File(path),
            },
            files: bundle
                .files
                .iter()
                .map(|file| (file.name, file.content))
                .collect(),
            old,
            manifest,
            to_chown: owner.filter(|_| away),
            issue,
        })
    }

    /// Where what is in the way goes, if it is this name's and layout's own from before.
    fn old(&self, issue: &Issue, path: Option<&PathBuf>) -> Result<Option<PathBuf>, PkiError> {
        let Some(path) = path else { return Ok(None) };
        let (layout, primary) = (issue.layout, &issue.primary);
        match self.folder.fits(path, layout, primary, &issue.form) {
            Fits::Free => Ok(None),
            Fits::Own => Ok(Some(before(path, issue))),
            Fits::Not => Err(PkiError::Exists {
                path: path.clone(),
                hint: "Move it away, or say where to write with --out PATH",
            }),
        }
    }

    /// What was begun either was delivered or is given up.
    pub(super) fn recover(&mut self) -> Result<(), PkiError> {
        let begun = |entry: &&(Issue, Outcome)| entry.1 == Outcome::Begun;
        let begun: Vec<Issue> = self
            .folder
            .state
            .issues
            .iter()
            .filter(begun)
            .map(|e| e.0.clone())
            .collect();
        begun
            .iter()
            .try_for_each(|issue| self.settle(issue).map(drop))
    }

    /// Writes down whether a bundle was delivered, brings along what else has it, and tidies up beside
    /// its place. The answer is of the manifest.
    fn settle(&mut self, issue: &Issue) -> Result<ManifestOutcome, PkiError> {
        let (id, time) = (issue.id(), Moment::now());
        let Some(path) = self.folder.place_of(issue) else {
            // It may have left: that nobody may say otherwise is the safe side.
            return self.append(Event::Done { id, time }).map(|()| Ok(None));
        };
        // What cannot be tidied up must not stop every later command: the next one that writes there
        // tries again.
        if is_there(issue, &path) {
            let before = before(&path, issue);
            let _ = place::finish_exchange(&path, &before);
            match manifest::bring(issue, &path, &before) {
                Ok(manifest) => {
                    let done = self.append(Event::Done { id, time });
                    done.map(|()| Ok(manifest))
                }
                // Not done: whoever locks the folder next tries again.
                Err(error) => Ok(Err(error)),
            }
        } else {
            // Not even a half of it is left; its number stays used.
            let _ = place::remove(&place::beside(&path));
            self.lose(issue)
        }
    }

    fn lose(&mut self, issue: &Issue) -> Result<ManifestOutcome, PkiError> {
        let (id, time) = (issue.id(), Moment::now());
        self.append(Event::Lost { id, time }).map(|()| Ok(None))
    }
}

/// Whether a bundle may go to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// Nothing is there.
    Free,
    /// What was delivered there is this name's and layout's own from before.
    Own,
    /// Something else is there.
    Not,
}

impl Folder {
    /// Whether a bundle of this name and layout may go to `path`, an absolute one.
    pub fn fits(&self, path: &Path, layout: Layout, primary: &str, form: &Form) -> Fits {
        let free = match fs::read_dir(path) {
            // rename(2) takes the place of an empty folder.
            Ok(mut entries) => entries.next().is_none() && *form == Form::Files,
            Err(_) => fs::symlink_metadata(path).is_err(),
        };
        let own = |before: &Issue| {
            let same = before.layout == layout && before.primary == primary;
            same && before.form == *form && self.place_of(before).as_deref() == Some(path)
        };
        match free {
            true => Fits::Free,
            // Also what is on its way, or was when that was cut short.
            false if self.state.kept().any(own) => Fits::Own,
            false => Fits::Not,
        }
    }

    /// Where an issue was written to; none for the caller's writer.
    pub fn place_of(&self, issue: &Issue) -> Option<PathBuf> {
        match &issue.to {
            To::Writer => None,
            To::Path(path) => Some(path.clone()),
            To::Default => {
                let layout = issue.layout.spec().name;
                let name = format!("{}{}", issue.primary, issue.form.suffix());
                Some(self.path().join("issued").join(layout).join(name))
            }
        }
    }
}

fn write(
    issue: &Issue,
    path: Option<&PathBuf>,
    old: Option<&PathBuf>,
    rendered: &Rendered,
    writer: &mut dyn Write,
) -> Result<(), PkiError> {
    let Some(path) = path else {
        let Rendered::File(bytes) = rendered else {
            return Err(PkiError::Layout {
                layout: issue.layout.spec().name,
                why: "files cannot go to stdout: choose --as tar or --as secret".to_owned(),
            });
        };
        let written = writer.write_all(bytes).and_then(|()| writer.flush());
        return written.map_err(PkiError::io("write to it", Path::new("stdout")));
    };
    if let Some(parent) = path.parent() {
        place::make_folders(parent).map_err(PkiError::io("make the folder", parent))?;
    }
    let owner = issue.layout.spec().owner;
    let written = match rendered {
        Rendered::Folder(files) => place::put_folder(path, files, owner, old.map(PathBuf::as_path)),
        Rendered::File(bytes) => match old {
            Some(old) => {
                fs::hard_link(path, old).and_then(|()| place::put_file(path, bytes, 0o600))
            }
            None => place::put_file(path, bytes, 0o600),
        },
    };
    written.map_err(PkiError::io("write it", path))
}

/// Where what this issue takes the place of is kept.
fn before(path: &Path, issue: &Issue) -> PathBuf {
    let around = issue.handed.as_deref().unwrap_or(path);
    place::before(around, &issue.id().to_string()[..8])
}

/// Whether the bundle is where it was to go.
fn is_there(issue: &Issue, path: &PathBuf) -> bool {
    let certificate = &issue.certificates[0].pem;
    let holds = |path: &PathBuf| {
        // No bundle is longer; what is cannot be ours.
        let bytes = read(path, pem::MOST_BYTES as u64).ok().flatten();
        bytes.is_some_and(|bytes| output::holds(&issue.form, issue.layout, &bytes, certificate))
    };
    match issue.form {
        Form::Files => {
            let files = issue.layout.spec().files.iter();
            let mut first = files
                .filter(|file| matches!(file.content, Content::Certificate(0) | Content::Chain(0)));
            first.any(|file| holds(&path.join(file.name)))
        }
        Form::Secret { .. } | Form::Tar => holds(path),
    }
}
