//! Takes the files that are needed out of a wheel, which is a zip archive. The archive's hash is
//! checked before; the bounds hold all the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::{FrameworkError, Wheel};

/// The most that one package may take on disk.
const LARGEST: u64 = 1 << 30;

pub fn unpack(path: &Path, wheel: &Wheel, folder: &Path) -> Result<(), FrameworkError> {
    let wrong = |cause: String| FrameworkError::Archive { file: wheel.file.clone(), cause };
    let file = File::open(path).map_err(FrameworkError::io(path))?;
    let mut archive = ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
    let mut left = LARGEST;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| wrong(error.to_string()))?;
        let name = entry.name().map_err(|error| wrong(error.to_string()))?.into_owned();
        if entry.is_dir() || !is_wanted(&name, &wheel.unpack) {
            continue;
        }
        let inside = match entry.enclosed_name() {
            Some(inside) if !entry.is_symlink() => folder.join(inside),
            _ => return Err(wrong(format!("entry {name:?} leads out of the archive"))),
        };
        if let Some(parent) = inside.parent() {
            fs::create_dir_all(parent).map_err(FrameworkError::io(parent))?;
        }
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&inside)
            .map_err(FrameworkError::io(&inside))?;
        let written = io::copy(&mut entry.take(left), &mut target).map_err(FrameworkError::io(&inside))?;
        target.sync_all().map_err(FrameworkError::io(&inside))?;
        left = left.saturating_sub(written);
        if left == 0 {
            return Err(wrong(format!("unpacks to more than {LARGEST} bytes")));
        }
    }
    Ok(())
}

fn is_wanted(name: &str, parts: &[String]) -> bool {
    parts.iter().any(|part| if part.ends_with('/') { name.starts_with(part.as_str()) } else { name == part })
}
