//! The root key pair: given by the operator, or made at the first start and kept in the data
//! folder, where `strata env` finds it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Name of the file in the data folder.
const FILE: &str = "credentials.json";

/// The key pair that may do everything.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: std::io::Error },
    #[error("{path}: {cause}; remove the file to have a new key pair made")]
    Content { path: PathBuf, cause: serde_json::Error },
    #[error("root access key id {0:?}: 3 to 128 letters, digits or underscores are needed")]
    AccessKey(String),
    #[error("root secret access key: at least 8 visible ASCII characters are needed")]
    Secret,
}

impl RootKey {
    /// A key pair from the operator, checked.
    pub fn given(access_key_id: &str, secret_access_key: &str) -> Result<Self, KeyError> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !(3..=128).contains(&access_key_id.len()) || !access_key_id.chars().all(word) {
            return Err(KeyError::AccessKey(access_key_id.into()));
        }
        if secret_access_key.len() < 8 || !secret_access_key.chars().all(|c| c.is_ascii_graphic()) {
            return Err(KeyError::Secret);
        }
        Ok(Self { access_key_id: access_key_id.into(), secret_access_key: secret_access_key.into() })
    }

    /// A new key pair.
    pub fn random() -> Self {
        Self { access_key_id: access_key("AKIA"), secret_access_key: secret() }
    }

    /// The key pair of a data folder: `given` if the operator gave one, else what the folder
    /// holds, else a new one. The folder holds it afterwards, readable by its owner only.
    pub fn open(folder: &Path, given: Option<Self>) -> Result<Self, KeyError> {
        let held = Self::read(folder)?;
        let key = given.or_else(|| held.clone()).unwrap_or_else(Self::random);
        if held.as_ref() != Some(&key) {
            key.write(folder)?;
        }
        Ok(key)
    }

    /// The key pair that a data folder holds.
    pub fn read(folder: &Path) -> Result<Option<Self>, KeyError> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(key) => Ok(Some(key)),
                Err(cause) => Err(KeyError::Content { path, cause }),
            },
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(KeyError::File { path, cause }),
        }
    }

    /// Writes a temporary file and renames it: a crash leaves the old key pair or the new one.
    fn write(&self, folder: &Path) -> Result<(), KeyError> {
        let path = folder.join(FILE);
        let temporary = folder.join(format!(".{FILE}.new"));
        let written = || {
            match std::fs::remove_file(&temporary) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
                _ => (),
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            serde_json::to_writer_pretty(&file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(folder)?.sync_all()
        };
        written().map_err(|cause| KeyError::File { path: path.clone(), cause })
    }
}

impl fmt::Debug for RootKey {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// AWS also uses `+` and `/`; without them a key survives any URL and shell.
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An id in AWS's form: a prefix that tells its sort (`AKIA`, `ASIA`, `AROA`), and 16 characters.
pub(super) fn access_key(prefix: &str) -> String {
    format!("{prefix}{}", random_text(16, BASE32))
}

pub(super) fn secret() -> String {
    random_text(40, ALPHANUMERIC)
}

pub(super) fn session_token() -> String {
    random_text(256, ALPHANUMERIC)
}

/// `rand::rng` is cryptographically secure (ChaCha12, seeded by the system).
fn random_text(length: usize, alphabet: &[u8]) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(RootKey::read(folder.path()).unwrap(), None);
        let made = RootKey::open(folder.path(), None).unwrap();
        assert_eq!(RootKey::open(folder.path(), None).unwrap(), made);
        let given = RootKey::given("test", "test-secret").unwrap();
        assert_eq!(RootKey::open(folder.path(), Some(given.clone())).unwrap(), given);
        assert_eq!(RootKey::read(folder.path()).unwrap(), Some(given));
        let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_spoilt_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let error = RootKey::open(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("remove the file"), "{error}");
    }

    #[test]
    fn keys_look_like_awss() {
        let key = RootKey::random();
        assert_eq!(key.access_key_id.len(), 20);
        assert!(key.access_key_id.starts_with("AKIA"));
        assert!(key.access_key_id.bytes().skip(4).all(|byte| BASE32.contains(&byte)));
        assert_eq!(key.secret_access_key.len(), 40);
        assert_ne!(key, RootKey::random());
        assert!(!format!("{key:?}").contains(&key.secret_access_key));
    }

    #[test]
    fn poor_keys_are_refused() {
        for (access_key, secret) in
            [("ab", "long enough"), ("a-b-c", "12345678"), ("abc", "1234567"), ("abc", "12345678\n")]
        {
            assert!(RootKey::given(access_key, secret).is_err(), "{access_key} {secret}");
        }
    }
}
