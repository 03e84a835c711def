//! Which packages exist, as `frameworks/*.toml` say.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::FrameworkError;

/// The text of every package file; one line each.
const FILES: &[&str] = &[include_str!("../../../frameworks/xgboost.toml")];

static PACKAGES: LazyLock<Vec<Package>> =
    LazyLock::new(|| FILES.iter().filter_map(|text| toml::from_str(text).ok()).collect());

/// Every package, in alphabetical order.
pub fn packages() -> &'static [Package] {
    &PACKAGES
}

pub fn find(name: &str) -> Result<&'static Package, FrameworkError> {
    let known = || packages().iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    packages()
        .iter()
        .find(|package| package.name == name)
        .ok_or_else(|| FrameworkError::Unknown { name: name.to_owned(), known: known() })
}

/// A framework at one version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// SPDX.
    pub licence: String,
    #[serde(rename = "wheel")]
    pub wheels: Vec<Wheel>,
}

/// The file that holds the package for one kind of machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// As `std::env::consts` names them.
    pub os: String,
    pub arch: String,
    /// The name on the package index.
    pub package: String,
    /// pip's name of the kind of machine.
    pub platform: String,
    pub file: String,
    /// Of the whole file, lower-case hexadecimal.
    pub sha256: String,
    /// The library to load, a path inside the wheel.
    pub library: String,
    /// What is unpacked: files, and folders that end with `/`.
    pub unpack: Vec<String>,
}

impl Package {
    /// The wheel for the machine this runs on.
    pub fn wheel(&self) -> Result<&Wheel, FrameworkError> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        self.wheels.iter().find(|wheel| wheel.os == os && wheel.arch == arch).ok_or_else(|| {
            FrameworkError::Unsupported { package: self.title(), machine: format!("{os} on {arch}") }
        })
    }

    /// Name and version.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_package_and_every_pin_is_whole() {
        assert_eq!(packages().len(), FILES.len());
        assert!(packages().is_sorted_by_key(|package| &package.name));
        for wheel in packages().iter().flat_map(|package| &package.wheels) {
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
            assert!(wheel.file.ends_with(&format!("{}.whl", wheel.platform)), "{}", wheel.file);
            assert!(wheel.unpack.iter().any(|part| wheel.library.starts_with(part)), "{}", wheel.file);
        }
    }

    #[test]
    fn an_unknown_package_is_told_with_the_known_ones() {
        let sentence = find("xgbost").unwrap_err().to_string();
        assert!(sentence.starts_with("no framework package \"xgbost\"; there are: xgboost"), "{sentence}");
    }
}
