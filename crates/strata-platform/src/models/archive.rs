//! Unpacks a model's archive (`model.tar.gz`, or a plain tar) into a folder of its own,
//! trusting nothing in it.
//!
//! The tar crate reads the headers in raw form: its own handling of long names would read
//! them into memory at whatever size the archive claims.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

/// Bounds that keep a hostile archive from filling disk or memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of all files together.
    pub bytes: u64,
    pub entries: usize,
    /// Most bytes of one path.
    pub path: usize,
}

impl Limits {
    /// For an archive of `packed` bytes. Model files seldom shrink to less than a tenth;
    /// zeros shrink to a thousandth, so beyond a modest size the ratio gives a bomb away
    /// long before the disk is full.
    pub fn for_archive(packed: u64) -> Self {
        const MODEST: u64 = 256 << 20;
        const MOST: u64 = 20 << 30;
        Self { bytes: packed.saturating_mul(100).clamp(MODEST, MOST), entries: 100_000, path: 1024 }
    }
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unpacked {
    pub files: usize,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it is empty")]
    Empty,
    #[error("it is neither a gzip-compressed nor a plain tar archive")]
    NotTar,
    #[error("it is truncated or damaged ({0})")]
    Damaged(String),
    #[error("it holds more than {0} bytes when unpacked, which this cloud does not unpack")]
    TooLarge(u64),
    #[error("it holds more than {0} entries")]
    TooMany(usize),
    #[error("it holds a path of more than {0} bytes")]
    LongPath(usize),
    #[error("entry {0:?} leads outside of the archive's folder")]
    Outward(String),
    #[error("entry {name:?} is a {what}: only regular files and folders may be in a model archive")]
    Kind { name: String, what: &'static str },
    #[error("entry {0:?} is both a file and a folder")]
    Clash(String),
    #[error("it holds no files")]
    NoFiles,
    #[error("could not write {path:?}: {cause}")]
    Write { path: String, cause: io::Error },
    /// The archive itself could not be read to its end.
    #[error("could not read it: {0}")]
    Read(String),
}

/// Unpacks into `folder`, which exists and is empty. After an error the folder holds
/// leftovers; it is the caller's to remove.
pub fn unpack(source: impl Read, folder: &Path, limits: Limits) -> Result<Unpacked, ArchiveError> {
    let mut source = BufReader::with_capacity(128 << 10, source);
    let start = source.fill_buf().map_err(|cause| ArchiveError::Read(cause.to_string()))?;
    match start {
        [] => Err(ArchiveError::Empty),
        [0x1f, 0x8b, ..] => unpack_tar(MultiGzDecoder::new(source), folder, limits),
        _ => unpack_tar(source, folder, limits),
    }
}

fn unpack_tar(source: impl Read, folder: &Path, limits: Limits) -> Result<Unpacked, ArchiveError> {
    // Headers and padding take at most 1 KiB an entry and 10 KiB at the end, so this bounds
    // the bytes that are decompressed at all, whatever the headers say.
    let all = limits.bytes.saturating_add(limits.entries as u64 * 1024).saturating_add(1 << 20);
    let mut archive = Archive::new(Bounded { inner: source, left: all });
    let mut done = Unpacked::default();
    let mut long_name: Option<Vec<u8>> = None;
    let entries = archive.entries().map_err(|cause| damaged(&cause, 0, limits))?.raw(true);
    for (seen, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|cause| damaged(&cause, seen, limits))?;
        if seen >= limits.entries {
            return Err(ArchiveError::TooMany(limits.entries));
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XGlobalHeader => continue,
            EntryType::GNULongName => {
                long_name = Some(read_long_name(&mut entry, limits)?);
                continue;
            }
            EntryType::XHeader => {
                if let Some(name) = read_pax_path(&mut entry, limits)? {
                    long_name = Some(name);
                }
                continue;
            }
            _ => {}
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let path = inward(&name, limits)?;
        match kind {
            EntryType::Directory => make_folder(&folder.join(path))?,
            // Old archives mark a folder by a slash at the end of its name only.
            EntryType::Regular if name.ends_with(b"/") => make_folder(&folder.join(path))?,
            EntryType::Regular | EntryType::Continuous => {
                if path.as_os_str().is_empty() {
                    return Err(ArchiveError::Outward(lossy(&name)));
                }
                let size = entry.size();
                if size > limits.bytes - done.bytes {
                    return Err(ArchiveError::TooLarge(limits.bytes));
                }
                write_file(&mut entry, &folder.join(path), seen, limits)?;
                done.files += 1;
                done.bytes += size;
            }
            other => return Err(ArchiveError::Kind { name: lossy(&name), what: described(other) }),
        }
    }
    if done.files == 0 { Err(ArchiveError::NoFiles) } else { Ok(done) }
}

/// The path below the folder that this name means, or why it is refused.
fn inward(name: &[u8], limits: Limits) -> Result<PathBuf, ArchiveError> {
    if name.len() > limits.path {
        return Err(ArchiveError::LongPath(limits.path));
    }
    let outward = || ArchiveError::Outward(lossy(name));
    if name.first() == Some(&b'/') || name.contains(&0) {
        return Err(outward());
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(outward()),
            part if part.len() > 255 => return Err(ArchiveError::LongPath(255)),
            part => path.push(OsString::from_vec(part.to_vec())),
        }
    }
    Ok(path)
}

fn make_folder(path: &Path) -> Result<(), ArchiveError> {
    fs::create_dir_all(path).map_err(|cause| unwritten(path, cause))
}

fn write_file(
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
    seen: usize,
    limits: Limits,
) -> Result<(), ArchiveError> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    // No link was ever made in this folder, so a second file of the same name replaces the
    // first and nothing else, as tar does.
    let mut file = File::create(path).map_err(|cause| unwritten(path, cause))?;
    let size = entry.size();
    let mut buffer = [0; 64 << 10];
    let mut written = 0;
    loop {
        let count = entry.read(&mut buffer).map_err(|cause| damaged(&cause, seen + 1, limits))?;
        if count == 0 {
            break;
        }
        io::Write::write_all(&mut file, &buffer[..count]).map_err(|cause| unwritten(path, cause))?;
        written += count as u64;
    }
    if written == size { Ok(()) } else { Err(ArchiveError::Damaged("it ends within a file".into())) }
}

/// GNU tar writes a name of more than 100 bytes as an entry of its own.
fn read_long_name(entry: &mut Entry<'_, impl Read>, limits: Limits) -> Result<Vec<u8>, ArchiveError> {
    if entry.size() > limits.path as u64 + 1 {
        return Err(ArchiveError::LongPath(limits.path));
    }
    let mut name = read_small(entry)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// Pax (Python's default) writes what does not fit the header as `LENGTH KEY=VALUE\n` records.
fn read_pax_path(entry: &mut Entry<'_, impl Read>, limits: Limits) -> Result<Option<Vec<u8>>, ArchiveError> {
    if entry.size() > 64 << 10 {
        return Err(ArchiveError::LongPath(limits.path));
    }
    let text = read_small(entry)?;
    let mut rest = text.as_slice();
    let mut path = None;
    let broken = || ArchiveError::Damaged("a pax header is malformed".into());
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize =
            std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
        let record = rest.get(space + 1..length).ok_or_else(broken)?;
        rest = &rest[length..];
        let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        match &record[..equals] {
            b"path" => path = Some(record[equals + 1..].to_vec()),
            b"size" => {
                return Err(ArchiveError::Damaged("files of 8 GiB and more need GNU format".into()));
            }
            key if key.starts_with(b"GNU.sparse") => {
                return Err(ArchiveError::Kind { name: lossy(&record[equals + 1..]), what: "sparse file" });
            }
            _ => {}
        }
    }
    Ok(path)
}

fn read_small(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let size = entry.size();
    entry.read_to_end(&mut bytes).map_err(|cause| ArchiveError::Damaged(cause.to_string()))?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(ArchiveError::Damaged("it ends within a header".into()))
    }
}

/// Reading failed after `seen` good headers: the first one tells a broken archive from
/// something that never was one.
fn damaged(cause: &io::Error, seen: usize, limits: Limits) -> ArchiveError {
    match cause.get_ref().and_then(|inner| inner.downcast_ref::<Stop>()) {
        Some(Stop::Bound) => ArchiveError::TooLarge(limits.bytes),
        None if cause.kind() == io::ErrorKind::UnexpectedEof => {
            ArchiveError::Damaged("it ends too early".into())
        }
        None if seen == 0 => ArchiveError::NotTar,
        None => ArchiveError::Damaged(cause.to_string()),
    }
}

fn unwritten(path: &Path, cause: io::Error) -> ArchiveError {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match cause.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            ArchiveError::Clash(name)
        }
        _ => ArchiveError::Write { path: name, cause },
    }
}

fn described(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "hard link",
        EntryType::Symlink | EntryType::GNULongLink => "symbolic link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "named pipe",
        EntryType::GNUSparse => "sparse file",
        _ => "special entry",
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(200)]).into_owned()
}

/// A reader that fails, rather than ends, after a number of bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("too many bytes")]
    Bound,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(Stop::Bound))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    const SMALL: Limits = Limits { bytes: 1 << 20, entries: 10, path: 300 };

    fn header(kind: EntryType, name: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        // Written by hand: the builder refuses the names we want to see refused.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    fn tar_of(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, name, body) in entries {
            builder.append(&header(*kind, name, body.len() as u64), *body).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What unpacking says, and the files that are there afterwards.
    fn check(archive: &[u8], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let said = match unpack(archive, folder.path(), SMALL) {
            Ok(done) => format!("{} files, {} bytes", done.files, done.bytes),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn plain_and_compressed_archives() {
        let entries: &[(EntryType, &str, &[u8])] = &[
            (EntryType::Directory, "./", b""),
            (EntryType::Regular, "./xgboost-model", b"trees"),
            (EntryType::Regular, "code/a/b.py", b"pass"),
        ];
        let plain = tar_of(entries);
        check(&plain, "2 files, 9 bytes");
        let folder = tempfile::tempdir().unwrap();
        unpack(gzip(&plain).as_slice(), folder.path(), SMALL).unwrap();
        assert_eq!(fs::read(folder.path().join("xgboost-model")).unwrap(), b"trees");
        assert_eq!(fs::read(folder.path().join("code/a/b.py")).unwrap(), b"pass");
    }

    #[test]
    fn long_names_of_gnu_and_pax() {
        let name = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let mut builder = Builder::new(Vec::new());
        let mut plain = header(EntryType::Regular, "", 2);
        builder.append_data(&mut plain, &name, b"ok".as_slice()).unwrap();
        check(&builder.into_inner().unwrap(), "1 files, 2 bytes");

        let record = |key: &str, value: &str| {
            let body = format!(" {key}={value}\n");
            let mut length = body.len();
            while length != body.len() + length.to_string().len() {
                length = body.len() + length.to_string().len();
            }
            format!("{length}{body}")
        };
        let pax = |text: &str| {
            tar_of(&[(EntryType::XHeader, "x", text.as_bytes()), (EntryType::Regular, "short", b"ok")])
        };
        check(&pax(&(record("mtime", "1.5") + &record("path", "ü/file"))), "1 files, 2 bytes");
        check(&pax(&record("path", "../file")), r#"entry "../file" leads outside of the archive's folder"#);
        check(&pax("999 path=x\n"), "it is truncated or damaged (a pax header is malformed)");
        let huge = record("path", &"p".repeat(301));
        check(&pax(&huge), "it holds a path of more than 300 bytes");
    }

    #[test]
    fn attacks_are_refused_by_name() {
        for (kind, name, body, expected) in [
            (EntryType::Regular, "../x", "a", r#"entry "../x" leads outside of the archive's folder"#),
            (
                EntryType::Regular,
                "a/../../x",
                "a",
                r#"entry "a/../../x" leads outside of the archive's folder"#,
            ),
            (EntryType::Regular, "/etc/x", "a", r#"entry "/etc/x" leads outside of the archive's folder"#),
            (EntryType::Regular, "./", "a", "it holds no files"),
            (
                EntryType::Symlink,
                "l",
                "",
                r#"entry "l" is a symbolic link: only regular files and folders may be in a model archive"#,
            ),
            (
                EntryType::Link,
                "l",
                "",
                r#"entry "l" is a hard link: only regular files and folders may be in a model archive"#,
            ),
            (
                EntryType::Char,
                "tty",
                "",
                r#"entry "tty" is a device: only regular files and folders may be in a model archive"#,
            ),
            (
                EntryType::Fifo,
                "p",
                "",
                r#"entry "p" is a named pipe: only regular files and folders may be in a model archive"#,
            ),
        ] {
            check(&tar_of(&[(kind, name, body.as_bytes())]), expected);
        }
        check(
            &tar_of(&[(EntryType::Regular, "a", b"x"), (EntryType::Regular, "a/b", b"x")]),
            r#"entry "a" is both a file and a folder"#,
        );
    }

    #[test]
    fn bombs_stop_at_the_bounds() {
        let zeros = vec![0; 2 << 20];
        check(
            &gzip(&tar_of(&[(EntryType::Regular, "zeros", &zeros)])),
            "it holds more than 1048576 bytes when unpacked, which this cloud does not unpack",
        );
        // A header that promises much, with nothing behind it.
        let mut liar = header(EntryType::GNULongName, "long", 1 << 40).as_bytes().to_vec();
        liar.extend([0; 1024]);
        check(&liar, "it holds a path of more than 300 bytes");
        // An entry that is skipped, not written, still has to be decompressed.
        let mut skipped = header(EntryType::XGlobalHeader, "g", 8 << 20).as_bytes().to_vec();
        skipped.extend(vec![0; 8 << 20]);
        check(
            &gzip(&skipped),
            "it holds more than 1048576 bytes when unpacked, which this cloud does not unpack",
        );
        let many: Vec<(EntryType, &str, &[u8])> = vec![(EntryType::Regular, "same", b""); 11];
        check(&tar_of(&many), "it holds more than 10 entries");
    }

    #[test]
    fn broken_archives_say_how() {
        let whole = gzip(&tar_of(&[(EntryType::Regular, "model", &vec![7; 5000])]));
        check(&whole[..whole.len() / 2], "it is truncated or damaged (it ends too early)");
        let plain = tar_of(&[(EntryType::Regular, "model", &vec![7; 5000])]);
        check(&plain[..2000], "it is truncated or damaged (it ends within a file)");
        check(b"", "it is empty");
        check(b"{\"not\": \"a tar\"}", "it is neither a gzip-compressed nor a plain tar archive");
        check(&[b'x'; 4096], "it is neither a gzip-compressed nor a plain tar archive");
        check(&gzip(&[b'x'; 4096]), "it is neither a gzip-compressed nor a plain tar archive");
        check(&tar_of(&[]), "it holds no files");
        check(&tar_of(&[(EntryType::Directory, "only", b"")]), "it holds no files");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_leave_the_folder(bytes in proptest::collection::vec(0u8.., 0..3000)) {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join("inner");
            fs::create_dir(&inner).unwrap();
            let _ = unpack(bytes.as_slice(), &inner, SMALL);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }

        #[test]
        fn no_name_leads_outward(name in "[a./]{0,20}") {
            if let Ok(path) = inward(name.as_bytes(), SMALL) {
                proptest::prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
