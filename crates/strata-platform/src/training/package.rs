//! What a program left behind, as a `tar.gz`: the same files give the same bytes,
//! streamed at constant memory.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use strata_base::objects::{Attributes, ByteStream, Expected, ObjectError, Objects, Precondition};
use tokio::sync::mpsc;

use super::spec::S3Place;

/// Bytes between the packer and the store: a few pieces, so that neither waits for each byte.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 8;

/// Most files in one archive; a list of their names is held in memory.
const MOST_FILES: usize = 1_000_000;

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("could not pack {path}: {cause}")]
    Pack { path: String, cause: String },
    #[error("could not store {place}: {cause}")]
    Store { place: S3Place, cause: ObjectError },
}

/// What was packed, and what could not be.
pub struct Packed {
    /// Names that were left out: links that lead outside, sockets and the like.
    pub left_out: Vec<String>,
}

/// Packs the files of a folder and stores them at `place`. `None` where there are no files.
pub async fn store(
    folder: &Path,
    place: &S3Place,
    objects: &dyn Objects,
) -> Result<Option<Packed>, PackageError> {
    let failed = |cause: String| PackageError::Pack { path: folder.display().to_string(), cause };
    let root = folder.to_path_buf();
    let entries = tokio::task::spawn_blocking(move || entries(&root))
        .await
        .map_err(|cause| failed(cause.to_string()))?
        .map_err(|cause| failed(cause.to_string()))?;
    let Entries { files, left_out } = entries;
    if files.is_empty() {
        return Ok(None);
    }
    let (sender, receiver) = mpsc::channel(PIECES);
    let packer = tokio::task::spawn_blocking(move || {
        let out = Pieces { sender: sender.clone(), buffer: BytesMut::with_capacity(PIECE) };
        if let Err(cause) = pack(&files, out) {
            // Ends the body with an error, so that nothing is stored. Nobody listens when
            // the store gave up first.
            let _ = sender.blocking_send(Err(cause));
        }
    });
    let body: ByteStream = Box::pin(futures::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (piece, receiver))
    }));
    let attributes = Attributes { content_type: Some("application/x-gzip".into()), ..Attributes::default() };
    let put = objects
        .put(&place.bucket, &place.key, body, attributes, Expected::default(), Precondition::default())
        .await;
    packer.await.map_err(|cause| failed(cause.to_string()))?;
    put.map_err(|cause| match cause {
        ObjectError::Body(cause) => failed(cause),
        cause => PackageError::Store { place: place.clone(), cause },
    })?;
    Ok(Some(Packed { left_out }))
}

struct Entries {
    /// Name in the archive and the file on disk, sorted by name.
    files: Vec<(String, PathBuf)>,
    left_out: Vec<String>,
}

fn entries(root: &Path) -> io::Result<Entries> {
    let mut found = Entries { files: Vec::new(), left_out: Vec::new() };
    if !root.is_dir() {
        return Ok(found);
    }
    let inside = root.canonicalize()?;
    let mut folders = vec![(String::new(), root.to_path_buf())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                found
                    .left_out
                    .push(format!("{prefix}{} (its name is not UTF-8)", entry.file_name().display()));
                continue;
            };
            let name = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((format!("{name}/"), path));
            } else if kind.is_file() {
                found.files.push((name, path));
            } else if kind.is_symlink() {
                // Followed to a file within; otherwise a link would carry out what the cloud may
                // read and the caller may not. Links to folders could form rings.
                match path.canonicalize() {
                    Ok(real) if real.starts_with(&inside) && real.is_file() => found.files.push((name, real)),
                    _ => found.left_out.push(format!("{name} (a link to no file of the folder)")),
                }
            } else {
                found.left_out.push(format!("{name} (neither a file nor a folder)"));
            }
            if found.files.len() > MOST_FILES {
                return Err(io::Error::other(format!("more than {MOST_FILES} files")));
            }
        }
    }
    found.files.sort();
    found.left_out.sort();
    Ok(found)
}

fn pack(files: &[(String, PathBuf)], out: impl Write) -> io::Result<()> {
    // Fast: models are mostly numbers, on which the higher levels take three times as long
    // for a few percent. No time and no name go into the gzip header.
    let gzip = GzEncoder::new(BufWriter::with_capacity(PIECE, out), Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    for (name, path) in files {
        let named = |cause: io::Error| io::Error::new(cause.kind(), format!("{name}: {cause}"));
        let file = File::open(path).map_err(named)?;
        let mut header = header(&file.metadata().map_err(named)?);
        archive.append_data(&mut header, name, file).map_err(named)?;
    }
    archive.into_inner()?.finish()?.into_inner().map_err(|cause| cause.into_error())?.flush()
}

/// Only what the content says: no times, owners or permissions of this machine.
fn header(metadata: &Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(metadata.len());
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

/// Writes into a bounded channel; blocks while it is full.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: BytesMut,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Makes sure that the files of a folder survive a power cut, before a record says they exist.
pub fn sync(folder: &Path) -> io::Result<()> {
    for (_, path) in entries(folder)?.files {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::training::fakes::MemoryObjects;

    fn place() -> S3Place {
        S3Place { bucket: "b".into(), key: "out/model.tar.gz".into() }
    }

    fn unpacked(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let entries = archive.entries().expect("entries").map(|entry| {
            let mut entry = entry.expect("an entry");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            (entry.path().expect("a path").display().to_string(), content)
        });
        entries.collect()
    }

    #[tokio::test]
    async fn the_same_files_give_the_same_bytes() {
        let objects = MemoryObjects::with("b", &[]);
        let mut archives = Vec::new();
        for order in [["b", "a/deep/x", "a.json"], ["a.json", "a/deep/x", "b"]] {
            let folder = tempfile::tempdir().expect("a folder");
            for name in order {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
                std::fs::write(&path, name.repeat(100_000)).expect("write");
            }
            assert!(store(folder.path(), &place(), &objects).await.expect("stored").is_some());
            archives.push(objects.content("b", "out/model.tar.gz").expect("the archive"));
        }
        assert_eq!(archives[0], archives[1]);
        let files = unpacked(&archives[0]);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.json", "a/deep/x", "b"]);
        assert_eq!(files[2].1, "b".repeat(100_000).as_bytes());
    }

    #[tokio::test]
    async fn nothing_outside_gets_in() {
        let objects = MemoryObjects::with("b", &[]);
        let folder = tempfile::tempdir().expect("a folder");
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(folder.path().join("real"), "content").expect("write");
        let link =
            |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).expect("a link");
        link(Path::new("real"), "alias");
        link(secret.path(), "outward");
        link(Path::new("/etc"), "folder");
        link(Path::new("."), "ring");
        link(Path::new("nowhere"), "broken");
        let packed = store(folder.path(), &place(), &objects).await.expect("stored").expect("files");
        assert_eq!(packed.left_out.len(), 4, "{:?}", packed.left_out);
        let files = unpacked(&objects.content("b", "out/model.tar.gz").expect("the archive"));
        assert_eq!(files, [("alias".into(), b"content".to_vec()), ("real".into(), b"content".to_vec())]);
    }

    #[tokio::test]
    async fn no_files_make_no_archive() {
        let objects = MemoryObjects::with("b", &[]);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("empty")).expect("a folder");
        assert!(store(folder.path(), &place(), &objects).await.expect("nothing").is_none());
        assert!(store(&folder.path().join("missing"), &place(), &objects).await.expect("nothing").is_none());
        assert_eq!(objects.content("b", "out/model.tar.gz"), None);
    }

    #[tokio::test]
    async fn a_store_that_refuses_is_named() {
        let objects = MemoryObjects::with("other", &[]);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("big"), vec![7; PIECE * PIECES * 4]).expect("write");
        let why = store(folder.path(), &place(), &objects).await.err().expect("an error").to_string();
        assert_eq!(why, "could not store s3://b/out/model.tar.gz: bucket \"b\" does not exist");
    }
}
