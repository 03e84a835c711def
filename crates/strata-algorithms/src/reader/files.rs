//! Which files make up a channel, and how each is opened.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::ReadError;
use crate::algorithm::Channel;

/// Folders deeper than this are not data (AWS's containers stop at 3).
const DEEPEST: usize = 16;

/// The data files of a channel, nested folders included, in the order of their paths. Files that
/// programs leave behind (`_SUCCESS`, `.DS_Store`) and empty ones are left out.
pub fn list(channel: &Channel) -> Result<Vec<DataFile>, ReadError> {
    if !channel.folder.exists() {
        let folder = channel.folder.display().to_string();
        return Err(ReadError::Missing { channel: channel.name.clone(), folder });
    }
    let mut files = Vec::new();
    collect(channel, &channel.folder, DEEPEST, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[derive(Clone, Debug)]
pub struct DataFile {
    pub path: PathBuf,
    /// The path inside the channel's folder, for messages.
    pub name: String,
}

impl DataFile {
    /// The text of the file; what begins like gzip is unpacked on the way.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = BufReader::with_capacity(64 * 1024, File::open(&self.path)?);
        if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            return Ok(Box::new(MultiGzDecoder::new(file)));
        }
        Ok(Box::new(file))
    }
}

fn collect(channel: &Channel, path: &Path, depth: usize, files: &mut Vec<DataFile>) -> Result<(), ReadError> {
    let failed = |cause: io::Error| ReadError::File {
        channel: channel.name.clone(),
        file: path.display().to_string(),
        cause,
    };
    let about = fs::metadata(path).map_err(failed)?;
    if about.is_file() {
        if about.len() > 0 {
            let inside = path.strip_prefix(&channel.folder).unwrap_or(path);
            let named = if inside.as_os_str().is_empty() { path } else { inside };
            files.push(DataFile { path: path.to_owned(), name: named.display().to_string() });
        }
    } else if about.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".")
                && !entry.file_name().as_encoded_bytes().starts_with(b"_")
            {
                collect(channel, &entry.path(), depth - 1, files)?;
            }
        }
    }
    Ok(())
}
