//! Secrets as Kubernetes mounts them: one file a key.

use std::path::{Component, Path, PathBuf};

use stockwatch_crds::LoginFile;

use super::error::ConnectionError;

/// A certificate bundle or password beyond this is a mistake.
const MAX_SECRET_BYTES: u64 = 1024 * 1024;

/// One key of one mounted secret, and the field that asks for it.
pub(super) struct SecretFile<'a> {
    pub(super) field: &'static str,
    pub(super) name: &'a str,
    pub(super) key: &'a str,
}

impl SecretFile<'_> {
    /// Where it is, if something that can be read is there.
    pub(super) fn locate(&self, credentials: &Path) -> Result<PathBuf, ConnectionError> {
        for name in [self.name, self.key] {
            let mut parts = Path::new(name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
            {
                return Err(ConnectionError::NotAName { field: self.field, name: name.to_owned() });
            }
        }
        let path = credentials.join(self.name).join(self.key);
        let unreadable =
            |source| ConnectionError::Unreadable { field: self.field, path: path.clone(), source };
        let length = std::fs::metadata(&path).map_err(unreadable)?.len();
        // A key that this user may not read has a length all the same.
        std::fs::File::open(&path).map_err(unreadable)?;
        match length {
            0 => Err(self.unusable(path, "is empty")),
            1..=MAX_SECRET_BYTES => Ok(path),
            _ => Err(self.unusable(path, "is larger than 1 MiB")),
        }
    }

    /// Its path as a setting has it.
    pub(super) fn path(&self, credentials: &Path) -> Result<String, ConnectionError> {
        let path = self.locate(credentials)?;
        match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.unusable(path, "has a path that is not UTF-8")),
        }
    }

    /// The contents without the line end that `echo` leaves.
    pub(super) fn text(&self, credentials: &Path) -> Result<String, ConnectionError> {
        let path = self.locate(credentials)?;
        match std::fs::read_to_string(&path) {
            Ok(text) if text.contains('\0') => Err(self.unusable(path, "holds a zero byte")),
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(source) => Err(ConnectionError::Unreadable { field: self.field, path, source }),
        }
    }

    /// Who logs in and by what, where this key has both.
    pub(super) fn login(
        &self,
        file: LoginFile,
        credentials: &Path,
    ) -> Result<(String, String), ConnectionError> {
        match file.read(&self.text(credentials)?) {
            Some(login) => Ok(login),
            None => Err(self.unusable(self.locate(credentials)?, file.lacks())),
        }
    }

    fn unusable(&self, path: PathBuf, problem: &'static str) -> ConnectionError {
        ConnectionError::Unusable { field: self.field, path, problem }
    }
}
