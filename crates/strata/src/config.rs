//! Where the data folder is, which keys open the cloud, and where it listens.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strata_platform::access::RootKey;

const ACCESS_KEY_VARIABLE: &str = "STRATA_ROOT_ACCESS_KEY_ID";
const SECRET_KEY_VARIABLE: &str = "STRATA_ROOT_SECRET_ACCESS_KEY";
pub const DEFAULT_URL: &str = "http://127.0.0.1:7410";

/// Where the running cloud can be reached; written by `up`, removed when it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub url: String,
    pub pid: u32,
}

/// The data folder: the one given, else the platform's own place for data.
pub fn data_dir(given: Option<PathBuf>) -> Result<PathBuf, String> {
    if let Some(folder) = given {
        return std::path::absolute(&folder).map_err(|cause| format!("data folder {folder:?}: {cause}"));
    }
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let base = if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else {
        std::env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| home().map(|home| home.join(".local/share")))
    };
    base.map(|base| base.join("strata"))
        .ok_or_else(|| "no home folder to put data in: give --data-dir or set STRATA_DATA_DIR".into())
}

/// The root key pair: from the environment where the operator gives one, else the data
/// folder's, which is made if it has none.
pub fn keys(data: &Path) -> Result<RootKey, String> {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let given = match (variable(ACCESS_KEY_VARIABLE), variable(SECRET_KEY_VARIABLE)) {
        (Some(id), Some(secret)) => Some(RootKey::given(&id, &secret).map_err(|cause| cause.to_string())?),
        (None, None) => None,
        _ => return Err(format!("set both {ACCESS_KEY_VARIABLE} and {SECRET_KEY_VARIABLE}, or neither")),
    };
    fs::create_dir_all(data).map_err(|cause| format!("data folder {}: {cause}", data.display()))?;
    RootKey::open(data, given).map_err(|cause| cause.to_string())
}

impl Running {
    fn path(data: &Path) -> PathBuf {
        data.join("running.json")
    }

    pub fn save(&self, data: &Path) -> Result<(), String> {
        let path = Self::path(data);
        let text = serde_json::to_string(self).map_err(|cause| cause.to_string())?;
        fs::write(&path, text).map_err(|cause| format!("could not write {}: {cause}", path.display()))
    }

    pub fn load(data: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(Self::path(data)).ok()?).ok()
    }

    pub fn remove(data: &Path) {
        let _ = fs::remove_file(Self::path(data));
    }
}
