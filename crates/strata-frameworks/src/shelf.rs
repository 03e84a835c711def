//! The folder where installed packages lie, and how one gets there.
//!
//! ```text
//! SHELF/xgboost-3.2.0-linux-x86_64-9c10b165/xgboost/lib/libxgboost.so
//! ```
//! A package is unpacked beside its place and renamed into it, so a folder that is there is
//! whole; a lock file keeps two processes from doing it at once.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use tracing::info;

use crate::unpack::unpack;
use crate::{FrameworkError, Package, Wheel, fetch};

#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
    /// Local wheels, or folders of them.
    wheels: Vec<PathBuf>,
    /// Whether to ask the package index for what is not local.
    online: bool,
}

/// What `strata doctor` shows of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub name: &'static str,
    pub version: &'static str,
    pub summary: &'static str,
    pub licence: &'static str,
    /// The library, where the package is installed.
    pub library: Option<PathBuf>,
    /// What is missing and how to get it; `None` where nothing is.
    pub remedy: Option<String>,
}

impl Shelf {
    pub fn new(folder: impl Into<PathBuf>, wheels: Vec<PathBuf>, online: bool) -> Self {
        Self { folder: folder.into(), wheels, online }
    }

    /// `STRATA_FRAMEWORKS_DIR`, else the user's cache folder; wheels from `STRATA_WHEELS` (files
    /// and folders, separated as in `PATH`); `STRATA_OFFLINE=1` never asks the index.
    pub fn from_env() -> Result<Self, FrameworkError> {
        let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = || {
            let home = || std::env::home_dir().filter(|home| home.is_absolute());
            let cache = given("XDG_CACHE_HOME").map(PathBuf::from).filter(|cache| cache.is_absolute());
            Some(cache.or_else(|| Some(home()?.join(".cache")))?.join("strata/frameworks"))
        };
        let folder = given("STRATA_FRAMEWORKS_DIR").map(PathBuf::from).or_else(cache);
        let wheels = given("STRATA_WHEELS").map(|list| std::env::split_paths(&list).collect());
        let online = given("STRATA_OFFLINE").is_none_or(|value| value == "0");
        Ok(Self::new(folder.ok_or(FrameworkError::NoFolder)?, wheels.unwrap_or_default(), online))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The library of the package, which is installed first where it is missing.
    pub fn install(&self, package: &Package) -> Result<PathBuf, FrameworkError> {
        let wheel = package.wheel()?;
        let place = self.place(package, wheel);
        let library = place.join(&wheel.library);
        if library.is_file() {
            return Ok(library);
        }
        fs::create_dir_all(&self.folder).map_err(FrameworkError::io(&self.folder))?;
        let _lock = self.lock(package)?;
        // another process may have done it while this one waited
        if library.is_file() {
            return Ok(library);
        }
        let work = tempfile::Builder::new().prefix(".installing-").tempdir_in(&self.folder);
        let work = work.map_err(FrameworkError::io(&self.folder))?;
        let file = match fetch::local(wheel, &self.wheels)? {
            Some(file) => file,
            None if self.online => fetch::download(package, wheel, work.path())?,
            None => return Err(self.absent(package, wheel, "STRATA_OFFLINE is set")),
        };
        let unpacked = work.path().join("package");
        fs::create_dir(&unpacked).map_err(FrameworkError::io(&unpacked))?;
        unpack(&file, wheel, &unpacked)?;
        if !unpacked.join(&wheel.library).is_file() {
            let cause = format!("does not hold {:?}", wheel.library);
            return Err(FrameworkError::Archive { file: wheel.file.clone(), cause });
        }
        if place.exists() {
            // without its library it is of no use
            fs::remove_dir_all(&place).map_err(FrameworkError::io(&place))?;
        }
        fs::rename(&unpacked, &place).map_err(FrameworkError::io(&place))?;
        info!(package = package.title(), folder = %place.display(), "framework package installed");
        Ok(library)
    }

    pub fn status(&self, package: &'static Package) -> Status {
        let wheel = package.wheel();
        let library = wheel.as_ref().ok().map(|wheel| self.place(package, wheel).join(&wheel.library));
        let library = library.filter(|library| library.is_file());
        let remedy = match wheel {
            Err(error) => Some(error.to_string()),
            Ok(_) if library.is_some() => None,
            Ok(wheel) => match fetch::local(wheel, &self.wheels) {
                Ok(Some(_)) => Some("installed on first use, from a local wheel".to_owned()),
                Err(error) => Some(error.to_string()),
                Ok(None) if self.online => Some("installed on first use, by pip".to_owned()),
                Ok(None) => Some(self.absent(package, wheel, "STRATA_OFFLINE is set").to_string()),
            },
        };
        let Package { name, version, summary, licence, .. } = package;
        Status { name, version, summary, licence, library, remedy }
    }

    /// Where the package lies once it is installed. A new pin is a new folder.
    fn place(&self, package: &Package, wheel: &Wheel) -> PathBuf {
        let pin = wheel.sha256.get(..8).unwrap_or(&wheel.sha256);
        self.folder.join(format!("{}-{}-{}-{}-{pin}", package.name, package.version, wheel.os, wheel.arch))
    }

    /// Waits until no other process installs this package.
    fn lock(&self, package: &Package) -> Result<File, FrameworkError> {
        let path = self.folder.join(format!(".{}.lock", package.name));
        let open = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(FrameworkError::io(&path))
    }

    fn absent(&self, package: &Package, wheel: &Wheel, cause: &str) -> FrameworkError {
        let (package, file) = (package.title(), wheel.file.clone());
        FrameworkError::Fetch { package, file, cause: cause.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use sha2::{Digest, Sha256};
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A package of one wheel for this machine, with these entries; and the folder it lies in.
    fn toy(entries: &[(&str, &str)]) -> (tempfile::TempDir, Package) {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, content) in entries {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content.as_bytes()).unwrap();
        }
        let bytes = archive.finish().unwrap().into_inner();
        fs::write(folder.path().join("toy-1.whl"), &bytes).unwrap();
        let wheel = Wheel {
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            package: "toy".into(),
            platform: "any".into(),
            file: "toy-1.whl".into(),
            sha256: hex::encode(Sha256::digest(&bytes)),
            library: "toy/lib/libtoy.so".into(),
            unpack: vec!["toy/lib/".into(), "toy.libs/".into()],
        };
        let package = Package {
            name: "toy".into(),
            version: "1".into(),
            summary: String::new(),
            licence: "MIT".into(),
            wheels: vec![wheel],
        };
        (folder, package)
    }

    const ENTRIES: &[(&str, &str)] =
        &[("toy/lib/libtoy.so", "machine code"), ("toy.libs/libomp.so", "more"), ("toy/__init__.py", "no")];

    fn shelf_of(wheels: &Path) -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("frameworks"), vec![wheels.to_owned()], false);
        (folder, shelf)
    }

    #[test]
    fn a_local_wheel_is_enough_and_only_what_is_needed_is_unpacked() {
        let (wheels, package) = toy(ENTRIES);
        let (_folder, shelf) = shelf_of(wheels.path());
        let library = shelf.install(&package).unwrap();
        assert_eq!(fs::read_to_string(&library).unwrap(), "machine code");
        let place = library.ancestors().nth(3).unwrap();
        assert!(place.join("toy.libs/libomp.so").is_file());
        assert!(!place.join("toy/__init__.py").exists());
        // the wheel is not needed a second time
        fs::remove_dir_all(wheels.path()).unwrap();
        assert_eq!(shelf.install(&package).unwrap(), library);
        let left: Vec<_> =
            fs::read_dir(shelf.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the package and its lock: {left:?}");
    }

    #[test]
    fn many_at_once_install_it_once() {
        let (wheels, package) = toy(ENTRIES);
        let (_folder, shelf) = shelf_of(wheels.path());
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| shelf.install(&package).unwrap())).collect();
            for thread in threads {
                assert!(thread.join().unwrap().is_file());
            }
        });
    }

    #[test]
    fn another_file_of_that_name_is_refused() {
        let (wheels, package) = toy(ENTRIES);
        fs::write(wheels.path().join("toy-1.whl"), "something else").unwrap();
        let (_folder, shelf) = shelf_of(wheels.path());
        let error = shelf.install(&package).unwrap_err();
        assert!(matches!(error, FrameworkError::Hash { .. }), "{error}");
        assert!(error.to_string().contains("is not the file that was pinned"), "{error}");
    }

    #[test]
    fn entries_that_lead_out_are_refused() {
        for name in ["toy/lib/../../../evil", "/toy/lib/evil"] {
            let (wheels, mut package) = toy(&[("toy/lib/libtoy.so", ""), (name, "")]);
            package.wheels[0].unpack.push("/toy/".into());
            let (_folder, shelf) = shelf_of(wheels.path());
            // an absolute name is made relative by the zip library, which is as safe
            if let Err(error) = shelf.install(&package) {
                assert!(error.to_string().contains("leads out of the archive"), "{error}");
            } else {
                assert!(!name.contains(".."), "{name}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_told_with_a_remedy() {
        let (_wheels, package) = toy(ENTRIES);
        let (_folder, shelf) = shelf_of(Path::new("/no/such/folder"));
        let sentence = shelf.install(&package).unwrap_err().to_string();
        assert!(sentence.contains("put it into a folder and set STRATA_WHEELS"), "{sentence}");
        let (wheels, package) = toy(&[("toy/lib/other.so", "")]);
        let (_other, shelf) = shelf_of(wheels.path());
        let sentence = shelf.install(&package).unwrap_err().to_string();
        assert_eq!(sentence, r#"toy-1.whl: does not hold "toy/lib/libtoy.so""#);
    }

    /// With pip and an index: the real package arrives, and its status says so.
    #[test]
    fn the_real_package_is_fetched_by_pip() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path(), Vec::new(), true);
        let package = crate::find("xgboost").unwrap();
        match shelf.install(package) {
            Ok(library) => {
                assert!(library.is_file());
                assert_eq!(shelf.status(package).library, Some(library));
            }
            Err(FrameworkError::Fetch { cause, .. }) => {
                println!("skipped the_real_package_is_fetched_by_pip: {cause}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
