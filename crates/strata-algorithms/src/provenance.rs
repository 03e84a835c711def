//! Where a model comes from: the digest of every file it was trained on, its hyperparameters and
//! the version that trained it. No times and no machine, so that the same job gives the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::thread::JoinHandle;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::reader::data_files;
use crate::{Channel, Job};

/// A dot file, because AWS's containers take every other file of a model for a part of it.
const NAME: &str = ".provenance.json";

/// Digests are taken beside the training, on a thread of their own.
pub struct Provenance {
    origin: Origin,
    digests: JoinHandle<io::Result<BTreeMap<String, Vec<FileDigest>>>>,
}

#[derive(Serialize)]
struct Origin {
    algorithm: &'static str,
    /// Of Strata.
    version: &'static str,
    /// Name and version of the framework that did the work, if it was not Strata itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    library: Option<String>,
    hyperparameters: BTreeMap<String, String>,
    channels: BTreeMap<String, Vec<FileDigest>>,
}

#[derive(Serialize)]
struct FileDigest {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Provenance {
    pub fn start(algorithm: &'static str, library: Option<String>, job: &Job) -> Self {
        let channels: Vec<Channel> = job.channels.values().cloned().collect();
        let origin = Origin {
            algorithm,
            version: env!("CARGO_PKG_VERSION"),
            library,
            hyperparameters: job.hyperparameters.clone(),
            channels: BTreeMap::new(),
        };
        let digests = std::thread::spawn(move || {
            let of = |channel: &Channel| Ok((channel.name.clone(), digests(channel)?));
            channels.iter().map(of).collect()
        });
        Self { origin, digests }
    }

    /// Writes it beside the model, where there is a model.
    pub fn write(mut self, model: &Path) -> io::Result<()> {
        let digests = self.digests.join().map_err(|_| io::Error::other("the digests were not taken"))?;
        self.origin.channels = digests?;
        let has_model = fs::read_dir(model).is_ok_and(|mut entries| entries.next().is_some());
        if !has_model {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(&self.origin)?;
        text.push(b'\n');
        fs::write(model.join(NAME), text)
    }
}

fn digests(channel: &Channel) -> io::Result<Vec<FileDigest>> {
    let files = data_files(channel).map_err(io::Error::other)?;
    let mut buffer = vec![0; 256 * 1024];
    let digest = |(name, path): (String, std::path::PathBuf)| {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => {
                    bytes += count as u64;
                    hash.update(buffer.get(..count).unwrap_or_default());
                }
            }
        }
        Ok(FileDigest { name, bytes, sha256: hex::encode(hash.finalize()) })
    };
    files.into_iter().map(digest).collect()
}
