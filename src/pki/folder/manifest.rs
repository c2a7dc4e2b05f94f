//! The Secret beside a certificate's folder in a bundle: the same certificate in another form, which a
//! renewal brings along.

use super::super::output::secret;
use super::super::{PkiError, pem};
use super::{Issue, place, read};
use std::path::{Path, PathBuf};

/// What it is called in a bundle.
pub const MANIFEST: &str = "secret.yaml";

/// Makes it anew from the files in `folder`; none where there is none, or where the key is elsewhere.
///
/// # Errors
/// [`PkiError::Io`], [`PkiError::BadFile`].
pub(super) fn bring(issue: &Issue, folder: &Path) -> Result<Option<PathBuf>, PkiError> {
    let place = issue.handed.as_ref().map(|bundle| bundle.join(MANIFEST));
    let there = place.filter(|path| !issue.by_request && path.exists());
    let Some(place) = there else { return Ok(None) };
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
    Ok(Some(place))
}
