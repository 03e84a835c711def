//! What a training job shall do, parsed: names that are safe as folders, places
//! in the object store, bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use strata_algorithms::Algorithm;
use strata_base::objects::split_s3_uri;

/// `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`, at most 63 characters: safe as a folder and in an ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrainingJobName(String);

/// `[A-Za-z0-9.\-_]+`, at most 64 characters, and neither `.` nor `..`: safe as a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(String);

/// `s3://bucket/key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct S3Place {
    pub bucket: String,
    pub key: String,
}

/// A training job as the runner needs it; recorded, so that it means the same after a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub name: TrainingJobName,
    /// Image URI as the caller said it.
    pub image: String,
    pub hyperparameters: BTreeMap<String, String>,
    pub channels: Vec<Channel>,
    /// Folder of artefacts: `OUTPUT/NAME/output/model.tar.gz`.
    pub output: S3Place,
    pub instance_type: String,
    pub max_runtime_seconds: u64,
    pub environment: BTreeMap<String, String>,
    /// Definitions of the caller; the algorithm's own are added when the job runs.
    pub metrics: Vec<MetricDefinition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub name: ChannelName,
    pub source: Source,
    /// Empty when absent.
    pub content_type: String,
    pub compression: Compression,
    pub distribution: Distribution,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// All objects whose keys start with it.
    Prefix(S3Place),
    /// An object that lists others.
    Manifest(S3Place),
}

/// Whether the files are compressed; it is the program that decompresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    #[default]
    None,
    Gzip,
}

/// With one host, both mean all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    #[default]
    FullyReplicated,
    ShardedByS3Key,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricDefinition {
    pub name: String,
    pub regex: String,
}

/// Default and limit of MaxRuntimeInSeconds: a day, and 28.
pub const DEFAULT_RUNTIME: u64 = 24 * 60 * 60;
pub const LONGEST_RUNTIME: u64 = 28 * DEFAULT_RUNTIME;

impl Spec {
    /// The first thing that is wrong with it, as a sentence for the caller.
    pub fn problem(&self, algorithm: &dyn Algorithm) -> Option<String> {
        let card = algorithm.card();
        let problems = algorithm.problems(&self.hyperparameters);
        if !problems.is_empty() {
            return Some(problems.join("; "));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.channels.iter().find(|channel| !seen.insert(&channel.name)) {
            return Some(format!("channel names must be unique, {:?} is given twice", twice.name.as_str()));
        }
        let missing = card
            .channels
            .iter()
            .find(|known| known.required && !self.channels.iter().any(|given| given.name.0 == known.name));
        if let Some(missing) = missing {
            return Some(format!(
                "algorithm {} needs a channel named {:?} in InputDataConfig, and there is none",
                card.name, missing.name
            ));
        }
        for channel in &self.channels {
            let known = card.channels.iter().find(|known| known.name == channel.name.0);
            let Some(known) = known else {
                let names: Vec<&str> = card.channels.iter().map(|known| known.name).collect();
                return Some(format!(
                    "algorithm {} has no channel named {:?}; its channels are {}",
                    card.name,
                    channel.name.as_str(),
                    names.join(", ")
                ));
            };
            let media = channel.content_type.split(';').next().unwrap_or("").trim();
            if !media.is_empty() && !known.content_types.iter().any(|type_| type_.eq_ignore_ascii_case(media))
            {
                return Some(format!(
                    "content type {:?} of channel {:?} is not one that algorithm {} reads; it reads {}",
                    channel.content_type,
                    channel.name.as_str(),
                    card.name,
                    known.content_types.join(", ")
                ));
            }
        }
        if self.max_runtime_seconds == 0 || self.max_runtime_seconds > LONGEST_RUNTIME {
            return Some(format!(
                "MaxRuntimeInSeconds must be between 1 and {LONGEST_RUNTIME} (28 days), not {}",
                self.max_runtime_seconds
            ));
        }
        if let Some(name) = self.environment.keys().find(|name| reserved(name)) {
            return Some(format!(
                "environment variable {name} is reserved: it would change how the algorithm's own program runs"
            ));
        }
        self.metrics.iter().find_map(|metric| {
            let cause = metric.compile().err()?;
            Some(format!("metric definition {:?}: {cause}", metric.name))
        })
    }
}

/// Variables that reach into a program behind its back, or are ours.
fn reserved(name: &str) -> bool {
    ["LD_", "DYLD_", "STRATA_"].iter().any(|prefix| name.starts_with(prefix)) || name == "PATH"
}

impl MetricDefinition {
    /// The compiled expression, of bounded size: it comes from the caller.
    pub fn compile(&self) -> Result<Regex, String> {
        RegexBuilder::new(&self.regex).size_limit(1 << 20).dfa_size_limit(1 << 20).build().map_err(|cause| {
            let last = cause.to_string();
            let last = last.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("regular expression {:?} cannot be used: {last}", self.regex)
        })
    }
}

impl TrainingJobName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChannelName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TrainingJobName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        let good = name.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        if good {
            Ok(Self(name))
        } else {
            Err(format!("training job name {name:?} must have 1 to 63 letters, digits and inner hyphens"))
        }
    }
}

impl TryFrom<String> for ChannelName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let good = (1..=64).contains(&name.len())
            && name != "."
            && name != ".."
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if good {
            Ok(Self(name))
        } else {
            Err(format!(
                "channel name {name:?} must have 1 to 64 letters, digits, dots, hyphens and underscores"
            ))
        }
    }
}

impl TryFrom<String> for S3Place {
    type Error = String;

    fn try_from(uri: String) -> Result<Self, String> {
        let (bucket, key) =
            split_s3_uri(&uri).ok_or_else(|| format!("{uri:?} is not an S3 URI; write s3://BUCKET/KEY"))?;
        Ok(Self { bucket: bucket.into(), key: key.into() })
    }
}

impl From<TrainingJobName> for String {
    fn from(name: TrainingJobName) -> Self {
        name.0
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> Self {
        name.0
    }
}

impl From<S3Place> for String {
    fn from(place: S3Place) -> Self {
        place.to_string()
    }
}

impl fmt::Display for TrainingJobName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl S3Place {
    /// The place `below` this folder.
    pub fn join(&self, below: &str) -> Self {
        let folder = self.key.trim_end_matches('/');
        let key = if folder.is_empty() { below.into() } else { format!("{folder}/{below}") };
        Self { bucket: self.bucket.clone(), key }
    }
}

impl Source {
    pub fn place(&self) -> &S3Place {
        match self {
            Self::Prefix(place) | Self::Manifest(place) => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_safe_as_folders() {
        let job = |name: &str| TrainingJobName::try_from(name.to_string()).is_ok();
        assert!(job("a") && job("xgb-2026-11-23--01") && job(&"a".repeat(63)));
        assert!(!job("") && !job("-a") && !job("a-") && !job("a_b") && !job("a/b") && !job("ä"));
        assert!(!job(&"a".repeat(64)) && !job(".."));
        let channel = |name: &str| ChannelName::try_from(name.to_string()).is_ok();
        assert!(channel("train") && channel("a.b_c-d") && channel("..."));
        assert!(!channel("") && !channel(".") && !channel("..") && !channel("a/b") && !channel("a\0"));
    }

    #[test]
    fn places_join() {
        let place = |uri: &str| S3Place::try_from(uri.to_string()).expect("an S3 URI");
        assert_eq!(place("s3://b/out/").join("j/output/m").to_string(), "s3://b/out/j/output/m");
        assert_eq!(place("s3://b").join("j").to_string(), "s3://b/j");
        assert_eq!(place("https://s3-us-east-1.amazonaws.com/b/k").to_string(), "s3://b/k");
        assert!(S3Place::try_from("http://b/k".to_string()).is_err());
    }

    #[test]
    fn expressions_are_bounded_and_explained() {
        let problem = |regex: &str| {
            MetricDefinition { name: "m".into(), regex: regex.into() }.compile().err().unwrap_or_default()
        };
        assert_eq!(problem("loss=([0-9.]+)"), "");
        assert!(problem("(?=x)y").contains("look-around"), "{}", problem("(?=x)y"));
        assert!(problem(r"(\w{100}){100}").contains("size limit"), "{}", problem(r"(\w{100}){100}"));
        assert!(problem("(").contains("unclosed group"), "{}", problem("("));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parsers(text in ".*") {
            let _ = TrainingJobName::try_from(text.clone());
            let _ = ChannelName::try_from(text.clone());
            if let Ok(place) = S3Place::try_from(text) {
                prop_assert_eq!(S3Place::try_from(place.to_string()), Ok(place));
            }
        }
    }
}
