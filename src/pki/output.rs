//! A bundle as what is handed over: a folder of files, a Kubernetes Secret, or a tar.

use super::bundle::{Bundle, BundleFile};
use super::layout::Content;
use super::{Layout, Moment, PkiError, pem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a bundle is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A folder with the layout's files.
    Files,
    /// One manifest of a Kubernetes Secret whose keys are the file names.
    Secret {
        /// The layout's own if there is none.
        name: Option<String>,
        /// Left to `kubectl` if there is none.
        namespace: Option<String>,
    },
    /// One tar of the files, without a folder, so that it can be unpacked where they are read.
    Tar,
}

/// A file with what it is written by.
pub(super) struct OutFile {
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
}

/// A bundle, ready to be written.
pub(super) enum Rendered {
    Folder(Vec<OutFile>),
    /// Has keys in it: for its owner alone.
    File(Vec<u8>),
}

impl Form {
    /// Behind the name in a default path.
    pub(super) fn suffix(&self) -> &'static str {
        match self {
            Form::Files => "",
            Form::Secret { .. } => ".secret.yaml",
            Form::Tar => ".tar",
        }
    }

    /// The Secret's name.
    pub fn secret_name(&self, layout: Layout) -> Option<&str> {
        match self {
            Form::Secret { name, .. } => Some(name.as_deref().unwrap_or(layout.spec().secret)),
            Form::Files | Form::Tar => None,
        }
    }

    /// # Errors
    /// [`PkiError::Layout`] where a name is none that Kubernetes takes (RFC 1123 names).
    pub(super) fn check(&self, layout: Layout) -> Result<(), PkiError> {
        let Form::Secret { namespace, .. } = self else {
            return Ok(());
        };
        let name = self.secret_name(layout).unwrap_or_default();
        for (what, text, dots) in [
            ("Secret", Some(name), true),
            ("namespace", namespace.as_deref(), false),
        ] {
            if !text.is_none_or(|text| is_kubernetes_name(text, dots)) {
                return Err(PkiError::Layout {
                    layout: layout.spec().name,
                    why: format!(
                        "{text:?} is no name of a {what}: lower-case letters, digits and '-', from \
                         letter or digit to letter or digit",
                        text = text.unwrap_or_default()
                    ),
                });
            }
        }
        Ok(())
    }

    pub(super) fn render(&self, bundle: &Bundle) -> Result<Rendered, PkiError> {
        Ok(match self {
            Form::Files => Rendered::Folder(bundle.files.iter().map(OutFile::of).collect()),
            Form::Secret { namespace, .. } => {
                let name = self.secret_name(bundle.layout).unwrap_or_default();
                let files = bundle.files.iter().map(|file| (file.name, &*file.text));
                Rendered::File(secret(files, name, namespace.as_deref())?.into_bytes())
            }
            Form::Tar => Rendered::File(tar(bundle)?),
        })
    }
}

impl OutFile {
    fn of(file: &BundleFile) -> OutFile {
        OutFile {
            name: file.name,
            mode: file.content.mode(),
            bytes: file.text.clone().into_bytes(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'m> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'m>,
    r#type: &'static str,
    data: BTreeMap<&'m str, String>,
}

#[derive(Serialize)]
struct Metadata<'m> {
    name: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'m str>,
}

/// The manifest of a Kubernetes Secret with these files, by name and text.
///
/// # Errors
/// [`PkiError::Crypto`].
pub fn secret<'f>(
    files: impl Iterator<Item = (&'f str, &'f str)>,
    name: &'f str,
    namespace: Option<&'f str>,
) -> Result<String, PkiError> {
    let manifest = Manifest {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata { name, namespace },
        r#type: "Opaque",
        data: files
            .map(|(name, text)| (name, pem::base64(text.as_bytes())))
            .collect(),
    };
    let text = serde_yaml::to_string(&manifest);
    text.map_err(|e| PkiError::Crypto(e.to_string()))
}

fn tar(bundle: &Bundle) -> Result<Vec<u8>, PkiError> {
    let owner = u64::from(bundle.layout.spec().owner.unwrap_or(0));
    let mut tar = tar::Builder::new(Vec::new());
    let write = |file: &BundleFile, tar: &mut tar::Builder<Vec<u8>>| {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.text.len() as u64);
        header.set_mode(file.content.mode());
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(u64::try_from(Moment::now().0).unwrap_or(0));
        tar.append_data(&mut header, file.name, file.text.as_bytes())
    };
    let failed = |e: std::io::Error| PkiError::Crypto(format!("no tar: {e}"));
    for file in &bundle.files {
        write(file, &mut tar).map_err(failed)?;
    }
    tar.into_inner().map_err(failed)
}

/// Whether something that was written this way holds this certificate.
pub(super) fn holds(form: &Form, layout: Layout, written: &[u8], certificate: &str) -> bool {
    let mark = match form {
        // A tar holds its files as they are.
        Form::Files | Form::Tar => certificate.to_owned(),
        Form::Secret { .. } => {
            let first = layout.spec().files.iter().map(|file| file.content);
            let chain = first.into_iter().any(|c| c == Content::Chain(0));
            let whole = pem::base64(certificate.as_bytes());
            // What follows in a chain changes the last group of four.
            if chain {
                whole[..whole.len() - 4].to_owned()
            } else {
                whole
            }
        }
    };
    let mark = mark.as_bytes();
    written.windows(mark.len()).any(|window| window == mark)
}

/// RFC 1123 section 2.1, as Kubernetes takes it: at most 63 bytes a label, 253 in all.
fn is_kubernetes_name(text: &str, dots: bool) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label) && (dots || !text.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_kubernetes_own() {
        for good in ["pulsar-cert", "a", "9", "a.b"] {
            assert!(is_kubernetes_name(good, true), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", "a\nb", &"x".repeat(64)] {
            assert!(!is_kubernetes_name(bad, true), "{bad}");
        }
        assert!(!is_kubernetes_name("a.b", false));
    }

    #[test]
    fn every_layouts_secret_has_such_a_name() {
        for layout in Layout::ALL {
            assert!(is_kubernetes_name(layout.spec().secret, true));
        }
    }
}
