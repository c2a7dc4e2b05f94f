//! The Secret beside a certificate's folder in a bundle: the same certificate in another form, which a
//! newer one brings along.

use super::super::output::secret;
use super::super::{PkiError, pem};
use super::{Issue, place, read};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What it is called in a bundle.
pub const MANIFEST: &str = "secret.yaml";

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// It has the certificate, and its key.
    Renewed,
    /// The key is elsewhere: what it had is kept there.
    Aside(PathBuf),
}

/// Makes it anew from the files in `folder`, or takes it out of the bundle, into `before`, where the key
/// is elsewhere; none where there is none.
///
/// # Errors
/// [`PkiError::Io`], [`PkiError::BadFile`].
pub(super) fn bring(
    issue: &Issue,
    folder: &Path,
    before: &Path,
) -> Result<Option<Manifest>, PkiError> {
    let place = issue.handed.as_ref().map(|bundle| bundle.join(MANIFEST));
    let Some(place) = place.filter(|path| path.exists()) else {
        return Ok(None);
    };
    if issue.by_request {
        let aside = before.join(MANIFEST);
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(before);
        made.and_then(|()| fs::rename(&place, &aside))
            .map_err(PkiError::io("take it out of the bundle", &place))?;
        return Ok(Some(Manifest::Aside(aside)));
    }
    let mut files = Vec::new();
    for file in issue.layout.spec().files {
        let path = folder.join(file.name);
        let bytes = read(&path, pem::MOST_BYTES as u64)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| PkiError::BadFile {
            path,
            what: "is not the file that was delivered".to_owned(),
        })?;
        files.push((file.name, text));
    }
    let all = files.iter().map(|(name, text)| (*name, &**text));
    let text = secret(all, issue.layout.spec().secret, None)?;
    place::put_file(&place, text.as_bytes(), 0o600).map_err(PkiError::io("write it", &place))?;
    Ok(Some(Manifest::Renewed))
}
