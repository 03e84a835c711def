//! Where a wheel comes from: a local folder, else the package index by way of pip.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tracing::info;

use crate::{FrameworkError, Package, Wheel};

/// The wheel among local files and folders, its hash checked; `None` where none has it.
pub fn local(wheel: &Wheel, places: &[PathBuf]) -> Result<Option<PathBuf>, FrameworkError> {
    for place in places {
        let path = if place.is_dir() { place.join(&wheel.file) } else { place.clone() };
        if path.file_name().is_some_and(|name| name == wheel.file.as_str()) && path.is_file() {
            check(&path, wheel)?;
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Downloads the wheel into `folder`; its hash is checked.
pub fn download(package: &Package, wheel: &Wheel, folder: &Path) -> Result<PathBuf, FrameworkError> {
    info!(package = package.title(), file = wheel.file, "fetching framework package");
    let mut causes = Vec::new();
    for program in programs() {
        match run_pip(&program, wheel, &package.version, folder) {
            Ok(()) => {
                let path = folder.join(&wheel.file);
                if !path.is_file() {
                    causes.push(format!("{} left no file {}", program.join(" "), wheel.file));
                    continue;
                }
                check(&path, wheel)?;
                return Ok(path);
            }
            Err(cause) => causes.push(cause),
        }
    }
    // the first that got as far as an answer of pip tells most
    let telling = causes.iter().find(|cause| cause.contains("ERROR")).or(causes.first());
    let cause = telling.cloned().unwrap_or_else(|| "no Python was found".to_owned());
    Err(FrameworkError::Fetch { package: package.title(), file: wheel.file.clone(), cause })
}

/// How pip may be called here, best first. `STRATA_PYTHON` names a Python of the user's choice.
fn programs() -> Vec<Vec<String>> {
    let module = |python: &str| vec![python.to_owned(), "-m".to_owned(), "pip".to_owned()];
    let chosen = std::env::var("STRATA_PYTHON").ok().filter(|python| !python.is_empty());
    let mut programs: Vec<_> = chosen.iter().map(|python| module(python)).collect();
    programs.extend([module("python3"), module("python"), vec!["pip3".to_owned()]]);
    programs
}

fn run_pip(program: &[String], wheel: &Wheel, version: &str, folder: &Path) -> Result<(), String> {
    let said = program.join(" ");
    let Some((first, rest)) = program.split_first() else { return Err("no program".to_owned()) };
    let output = Command::new(first)
        .args(rest)
        .args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"])
        .args(["--progress-bar=off", "--timeout=20", "--retries=2"])
        // the library does not depend on the Python that fetches it
        .args(["--python-version=3.12", "--platform", &wheel.platform])
        .arg("--dest")
        .arg(folder)
        .arg(format!("{}=={version}", wheel.package))
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| format!("{said}: {cause}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let telling = words.lines().rev().find(|line| line.contains("ERROR")).or(words.lines().last());
    Err(format!("{said}: {}", telling.unwrap_or("failed without a word").trim()))
}

fn check(path: &Path, wheel: &Wheel) -> Result<(), FrameworkError> {
    let found = sha256(path).map_err(FrameworkError::io(path))?;
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(FrameworkError::Hash { path: path.to_owned(), found, expected: wheel.sha256.clone() })
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
