//! Checkpoints: the model after each round, as AWS's container keeps them, so that a job that was
//! interrupted goes on where it was.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "xgboost-checkpoint";
/// The newest that are kept.
const KEPT: i32 = 5;
/// Files with this ending are not uploaded to S3.
const UNFINISHED: &str = ".sagemaker-ignore";

/// A folder of checkpoints; the number in a name is the round, from 0.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Rounds that were saved, newest first.
    pub fn rounds(&self) -> Vec<i32> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let round = |name: &str| name.strip_prefix(NAME)?.strip_prefix('.')?.parse().ok();
        let mut rounds: Vec<i32> = entries
            .filter_map(|entry| round(entry.file_name().to_str()?))
            .filter(|round| *round >= 0)
            .collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        rounds
    }

    pub fn read(&self, round: i32) -> io::Result<Vec<u8>> {
        fs::read(self.path(round))
    }

    /// Saves the model after this round and removes what is too old.
    pub fn save(&self, round: i32, model: &[u8]) -> io::Result<()> {
        let path = self.path(round);
        write_whole(&path, &path.with_file_name(format!("{NAME}.{round}{UNFINISHED}")), model)?;
        if round >= KEPT {
            // AWS leaves what an earlier run made; one more file is no harm
            let _ = fs::remove_file(self.path(round - KEPT));
        }
        Ok(())
    }

    fn path(&self, round: i32) -> PathBuf {
        self.folder.join(format!("{NAME}.{round}"))
    }
}

/// Writes a file that is there whole or not at all.
pub fn write_whole(path: &Path, unfinished: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_five_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(&folder.path().join("not/yet"));
        assert!(checkpoints.rounds().is_empty());
        for round in 0..8 {
            checkpoints.save(round, &[round as u8]).unwrap();
        }
        assert_eq!(checkpoints.rounds(), [7, 6, 5, 4, 3]);
        assert_eq!(checkpoints.read(7).unwrap(), [7]);
    }

    #[test]
    fn other_files_are_no_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["xgboost-checkpoint.3.sagemaker-ignore", "xgboost-checkpoint", "xgboost-checkpoint.-1", "x.1"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(Checkpoints::new(folder.path()).rounds().is_empty());
    }
}
