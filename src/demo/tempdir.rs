//! A private directory that is gone when its owner is.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Owned by this user alone (0700); removed with all its files on drop.
#[derive(Debug)]
pub(super) struct TempDir(PathBuf);

impl TempDir {
    /// `snihub-demo-<pid>` under [`std::env::temp_dir`], with a number behind it if that is taken.
    ///
    /// # Errors
    /// When no directory can be made there.
    pub(super) fn new() -> io::Result<TempDir> {
        let parent = std::env::temp_dir();
        let own = format!("snihub-demo-{}", std::process::id());
        let names = std::iter::once(own.clone()).chain((1..100).map(|n| format!("{own}-{n}")));
        let mut last = io::ErrorKind::AlreadyExists.into();
        for path in names.map(|name| parent.join(name)) {
            // mkdir follows no link and takes over nothing that is there (mkdir(2), EEXIST).
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(TempDir(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file there whole: beside its place first, then renamed into it, as editors do.
    ///
    /// # Errors
    /// Of writing or renaming.
    pub(super) fn put(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let place = self.0.join(name);
        let beside = self.0.join(format!(".{name}.new"));
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &place)?;
        Ok(place)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_private_and_leaves_nothing() {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        assert_ne!(one.path(), two.path());
        let mode = std::fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let file = one.put("sni.yaml", "sni: []\n").unwrap();
        one.put("sni.yaml", "sni:\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "sni:\n");
        assert_eq!(std::fs::read_dir(one.path()).unwrap().count(), 1);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().exists());
    }
}
