//! A party's certificate: the one that stands, and its files in the bundle.

use super::replace::{self, Looks};
use super::{CERTIFICATES, LAYOUTS, PartyError, made_for};
use crate::pki::{
    Certificate, Content, Entry, FileSpec, Fits, Folder, Form, Issue, Layout, Order, Request,
};
use crate::regular::{ReadError, read_file};
use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// None of a bundle's files is longer.
const MOST_BYTES: u64 = 4 << 20;

/// Names and texts of a layout's files; without the key where that never was here.
pub type Files = Vec<(FileSpec, String)>;

/// The certificate that stands for a name in a layout: not over, nothing of it revoked, the newest.
pub fn standing<'f>(folder: &'f Folder, order: &Order) -> Option<&'f Issue> {
    let (layout, primary) = (order.layout(), order.primary());
    let mut entries = folder.listing().entries.into_iter();
    let entry = entries.find(|entry| {
        let own = entry.issue.layout == layout && entry.issue.primary == primary;
        own && entry.standing.stands()
    });
    entry.map(|entry| entry.issue)
}

/// Why the certificate that stands is not what is asked for; what is not said counts as said so.
pub fn differs(issue: &Issue, order: &Order, request: Option<&Request>) -> Option<String> {
    let certified = &issue.certificates[0];
    let has: BTreeSet<String> = certified.names.iter().cloned().collect();
    let asked: BTreeSet<String> = order.names().iter().map(ToString::to_string).collect();
    let (name, serial, layout) = (&issue.primary, issue.id(), issue.layout.spec().name);
    let what = if has != asked {
        let listed =
            |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        format!("is for {}, not for {}", listed(&has), listed(&asked))
    } else if request.is_some_and(|request| !request.is_for(&certified.pem)) {
        "is for another key than the request's".to_owned()
    } else {
        return None;
    };
    let lent = match issue.hub_names.iter().all(|hub| asked.contains(hub)) {
        true => "",
        false => " To keep it, say --cpp-clients as before.",
    };
    Some(format!(
        "the certificate that {name} has (layout {layout}, serial {serial}) {what}.{lent} To begin \
         anew: `snihub pki revoke {serial}` first"
    ))
}

/// What has to be said again beside party and route to have the same bundle: the layout and whether
/// the hub's name was given. The rest is remembered where it was made.
pub fn again(folder: &Folder, primary: &str) -> String {
    let entries = folder.listing().entries.into_iter().rev();
    let mut own = entries.filter(|entry| {
        entry.standing.stands()
            && entry.issue.primary == primary
            && LAYOUTS.contains(&entry.issue.layout)
    });
    let Some(Entry { issue, .. }) = own.next() else {
        return String::new();
    };
    let layout = match issue.layout {
        Layout::Pulsar => String::new(),
        layout => format!(" --layout {}", layout.spec().name),
    };
    let lent = if issue.hub_names.is_empty() {
        ""
    } else {
        " --cpp-clients"
    };
    layout + lent
}

/// Whether a party's certificate may go to `place`: nothing is there, or what is there is its own. A
/// key that is written over is gone for good.
///
/// # Errors
/// [`PartyError::Refused`] with whose it is; [`PartyError::Io`].
pub fn check_place(folder: &Folder, order: &Order, place: &Path) -> Result<(), PartyError> {
    let (layout, primary) = (order.layout(), order.primary());
    let refused = |what: String| {
        PartyError::Refused(format!(
            "{}: {what}: nothing was done. Say another folder for bundles with --parties DIR",
            place.display()
        ))
    };
    let mut files = layout.spec().files.iter();
    let first =
        |file: &&FileSpec| matches!(file.content, Content::Certificate(0) | Content::Chain(0));
    let there = files.find(first).map(|file| place.join(file.name));
    let there = there.map_or(Ok(None), |path| read_if_there(&path))?;
    let entries = folder.listing().entries;
    let mut own = entries.iter().map(|entry| entry.issue);
    let is_own = own.any(|issue| {
        let pem = issue.certificates[0].pem.as_bytes();
        let same = issue.layout == layout && issue.primary == primary;
        same && there.as_ref().is_some_and(|bytes| bytes.starts_with(pem))
    });
    if !is_own {
        // Without keys: those may be elsewhere.
        let lies = |other: &Layout| {
            let mut files = other.spec().files.iter();
            let is_key = |file: &FileSpec| matches!(file.content, Content::Key(_));
            files.all(|file| is_key(file) || place.join(file.name).exists())
        };
        let mut others = Layout::ALL.into_iter().filter(|other| *other != layout);
        if let Some(other) = others.find(lies) {
            let (other, layout) = (other.spec().name, layout.spec().name);
            return Err(refused(format!(
                "a certificate of the layout {other} is there, and this is for {layout} (--layout)"
            )));
        }
        if let Some(bytes) = there {
            let names = Certificate::read_pem(&bytes).map(|read| read.names);
            return Err(refused(
                match names.is_ok_and(|names| names.contains(&primary)) {
                    true => format!("a certificate for {primary} of another authority is there"),
                    false => format!("another certificate than {primary}'s is there"),
                },
            ));
        }
    }
    let place = std::path::absolute(place).map_err(PartyError::io("find it", place))?;
    let fits = folder.fits(&place, layout, &primary, &Form::Files);
    // One that stands is brought there file by file.
    if fits == Fits::Not && standing(folder, order).is_none() {
        return Err(refused(format!("files that are not {primary}'s are there")));
    }
    Ok(())
}

/// The files of a standing certificate in `place`: they are there, or are brought there from where
/// they were delivered.
///
/// # Errors
/// [`PartyError::Refused`] where they are gone; [`PartyError::Io`].
pub fn collect(folder: &Folder, issue: &Issue, place: &Path) -> Result<Files, PartyError> {
    let delivered = folder.place_of(issue);
    let there = std::path::absolute(place).map_err(PartyError::io("find it", place))?;
    let from = delivered.as_ref().filter(|from| **from != there);
    let files = read(issue, from.map_or(place, |from| from))?.ok_or_else(|| gone(issue, place))?;
    if from.is_some() {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(place);
        made.map_err(PartyError::io("make the folder", place))?;
        let place_of = |name| place.join(name);
        let leaf = |file: &FileSpec| !matches!(file.content, Content::Key(_) | Content::Authority);
        let alone = !files
            .iter()
            .any(|(file, _)| leaf(file) && place_of(file.name).exists());
        for (file, text) in &files {
            let key = matches!(file.content, Content::Key(_)) && alone;
            let other = key
                && read_if_there(&place_of(file.name))?
                    .is_some_and(|bytes| bytes != text.as_bytes());
            if other {
                return Err(PartyError::Refused(format!(
                    "{}: another private key than {}'s is there: move it away, or say another folder \
                     for bundles with --parties DIR",
                    place_of(file.name).display(),
                    issue.primary
                )));
            }
        }
        for (file, text) in &files {
            let path = place.join(file.name);
            if read_if_there(&path)?.is_some_and(|bytes| bytes == text.as_bytes()) {
                continue;
            }
            let looks = Looks::new(file.content.mode());
            replace::put(&path, text.as_bytes(), looks)
                .map_err(PartyError::io("write it", &path))?;
        }
    }
    Ok(files)
}

/// The bundle that a certificate's folder is in; none where it is no bundle's.
pub fn bundle_of(place: &Path) -> Option<&Path> {
    let bundle = place.parent()?;
    let certificates = place.file_name()? == CERTIFICATES;
    (certificates && made_for(bundle).is_some()).then_some(bundle)
}

/// `None`: they are not all there, or are not this certificate's.
fn read(issue: &Issue, from: &Path) -> Result<Option<Files>, PartyError> {
    let mut files = Files::new();
    for &FileSpec { name, content } in issue.layout.spec().files {
        if matches!(content, Content::Key(_)) && issue.by_request {
            continue;
        }
        let path = from.join(name);
        let bytes = read_if_there(&path)?;
        let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return Ok(None);
        };
        let own = match content {
            Content::Certificate(leaf) | Content::Chain(leaf) => {
                text.starts_with(&issue.certificates[leaf].pem)
            }
            Content::Authority | Content::Key(_) => true,
        };
        if !own {
            return Ok(None);
        }
        files.push((FileSpec { name, content }, text));
    }
    Ok(Some(files))
}

/// One of a bundle's files.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, PartyError> {
    match read_file(path, MOST_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_absent() => Ok(None),
        Err(ReadError::Io(source)) => Err(PartyError::io("read it", path)(source)),
        Err(error) => Err(PartyError::Refused(format!("{}: {error}", path.display()))),
    }
}

fn gone(issue: &Issue, place: &Path) -> PartyError {
    let (name, layout, serial) = (&issue.primary, issue.layout.spec().name, issue.id());
    PartyError::Refused(format!(
        "{name} has a certificate (layout {layout}, serial {serial}), and its files are not where they \
         were delivered. Bring them back, or make new ones with `snihub pki renew {name} --layout \
         {layout} --as files --out {}`; then run this again",
        place.display()
    ))
}
