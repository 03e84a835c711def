//! A prepared `/opt/ml`: configuration files and the channels' data, as the
//! container contract lays them out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_base::objects::{ListObjects, ObjectError, Objects};
use tokio::io::AsyncWriteExt;

use super::spec::{Channel, Compression, Distribution, S3Place, Source, Spec};

/// The name of the only host of a job, until jobs have several.
pub const HOST: &str = "algo-1";

/// A manifest names objects, it does not hold them.
const LARGEST_MANIFEST: u64 = 64 << 20;

const PAGE: usize = 1000;

/// Why the data of a job could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The caller can mend it.
    #[error("ClientError: Data download failed:{0}")]
    Data(String),
    /// The machine's fault: disk full, a store that fails.
    #[error("InternalServerError: {0}")]
    Machine(String),
}

/// The folder that stands for `/opt/ml`.
pub struct OptMl(pub PathBuf);

impl OptMl {
    pub fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    pub fn output_data(&self) -> PathBuf {
        self.0.join("output/data")
    }

    pub fn failure(&self) -> PathBuf {
        self.0.join("output/failure")
    }

    /// Lays out everything anew: what an earlier try left is gone.
    pub async fn prepare(&self, spec: &Spec, objects: &dyn Objects) -> Result<(), InputError> {
        self.remove().await.map_err(|cause| machine(&self.0, &cause))?;
        for folder in ["input/config", "input/data", "model", "output/data", "code", "tmp"] {
            let folder = self.0.join(folder);
            tokio::fs::create_dir_all(&folder).await.map_err(|cause| machine(&folder, &cause))?;
        }
        for (name, content) in [
            ("hyperparameters", json!(spec.hyperparameters)),
            ("inputdataconfig", input_data_config(&spec.channels)),
            ("resourceconfig", resource_config(&spec.instance_type)),
        ] {
            let file = self.0.join("input/config").join(format!("{name}.json"));
            let text = format!("{content:#}\n");
            tokio::fs::write(&file, text).await.map_err(|cause| machine(&file, &cause))?;
        }
        for channel in &spec.channels {
            let folder = self.0.join("input/data").join(channel.name.as_str());
            tokio::fs::create_dir_all(&folder).await.map_err(|cause| machine(&folder, &cause))?;
            fetch(channel, &folder, objects).await?;
        }
        Ok(())
    }

    pub async fn remove(&self) -> io::Result<()> {
        match tokio::fs::remove_dir_all(&self.0).await {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }
}

fn input_data_config(channels: &[Channel]) -> Value {
    let config = channels.iter().map(|channel| {
        let mut config = json!({
            "TrainingInputMode": "File",
            "RecordWrapperType": "None",
            "S3DistributionType": match channel.distribution {
                Distribution::FullyReplicated => "FullyReplicated",
                Distribution::ShardedByS3Key => "ShardedByS3Key",
            },
            "CompressionType": match channel.compression {
                Compression::None => "None",
                Compression::Gzip => "Gzip",
            },
        });
        if !channel.content_type.is_empty() {
            config["ContentType"] = json!(channel.content_type);
        }
        (channel.name.as_str().to_string(), config)
    });
    Value::Object(config.collect())
}

fn resource_config(instance_type: &str) -> Value {
    json!({
        "current_host": HOST,
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": [HOST],
        "instance_groups": [{
            "instance_group_name": "homogeneousCluster",
            "instance_type": instance_type,
            "hosts": [HOST],
        }],
        "network_interface_name": "lo",
    })
}

async fn fetch(channel: &Channel, folder: &Path, objects: &dyn Objects) -> Result<(), InputError> {
    let mut target = Target { folder, objects, taken: BTreeMap::new() };
    match &channel.source {
        Source::Prefix(place) => {
            let mut found = false;
            let mut query = ListObjects {
                bucket: place.bucket.clone(),
                prefix: place.key.clone(),
                limit: PAGE,
                ..ListObjects::default()
            };
            loop {
                let page = objects.list(&query).await.map_err(store)?;
                for object in page.objects {
                    // What the console makes to show a folder.
                    if object.key.ends_with('/') {
                        continue;
                    }
                    found = true;
                    let below = object.key.get(place.key.len()..).unwrap_or_default().trim_start_matches('/');
                    let below = if below.is_empty() { last_part(&object.key) } else { below };
                    target.fetch(&place.bucket, &object.key, below).await?;
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            if !found {
                return Err(InputError::Data(format!("NoSuchKey (404): no object starts with {place}")));
            }
        }
        Source::Manifest(place) => {
            let (prefix, names) = manifest(place, objects).await?;
            for name in names {
                let key = format!("{}{name}", prefix.key);
                target.fetch(&prefix.bucket, &key, name.trim_start_matches('/')).await?;
            }
        }
    }
    Ok(())
}

fn last_part(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// Reads `[{"prefix": "s3://bucket/folder/"}, "name", ...]`.
async fn manifest(place: &S3Place, objects: &dyn Objects) -> Result<(S3Place, Vec<String>), InputError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item {
        Prefix { prefix: String },
        Name(String),
    }

    let bad = |cause: String| InputError::Data(format!("manifest {place}: {cause}"));
    let (info, mut body) = objects.get(&place.bucket, &place.key, None).await.map_err(store)?;
    if info.size > LARGEST_MANIFEST {
        return Err(bad(format!("{} bytes are too many, the limit is {LARGEST_MANIFEST}", info.size)));
    }
    let mut bytes = Vec::with_capacity(info.size as usize);
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|cause| InputError::Machine(cause.to_string()))?);
    }
    let items: Vec<Item> = serde_json::from_slice(&bytes).map_err(|cause| {
        bad(format!("{cause}; it must be a JSON list: a {{\"prefix\": ...}} and then names below it"))
    })?;
    let mut items = items.into_iter();
    let Some(Item::Prefix { prefix }) = items.next() else {
        return Err(bad("its first item must be {\"prefix\": \"s3://BUCKET/KEY\"}".into()));
    };
    let prefix = S3Place::try_from(prefix).map_err(bad)?;
    let names = items
        .map(|item| match item {
            Item::Name(name) => Ok(name),
            Item::Prefix { .. } => Err(bad("only its first item may be a prefix".into())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(bad("it names no object".into()));
    }
    Ok((prefix, names))
}

/// A channel's folder as it fills.
struct Target<'a> {
    folder: &'a Path,
    objects: &'a dyn Objects,
    /// Which key each file came from.
    taken: BTreeMap<PathBuf, String>,
}

impl Target<'_> {
    /// Puts the object at `below` the folder. The program only reads it: built-in algorithms
    /// share the object store's own file through a hard link, at no cost.
    async fn fetch(&mut self, bucket: &str, key: &str, below: &str) -> Result<(), InputError> {
        let below = safe(below).ok_or_else(|| {
            InputError::Data(format!("key {key:?} cannot be a file: \"..\" and NUL may not be part of it"))
        })?;
        let file = self.folder.join(&below);
        if let Some(other) = self.taken.insert(below, key.to_string()) {
            let cause = format!("keys {other:?} and {key:?} mean the same file");
            return Err(InputError::Data(cause));
        }
        if let Some(parent) = file.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(|cause| clash(key, &file, &cause))?;
        }
        // Once more where the object was replaced between the look-up and the link.
        for _ in 0..2 {
            let Some((_, stored)) = self.objects.file(bucket, key).await.map_err(store)? else { break };
            match tokio::fs::hard_link(&stored, &file).await {
                Ok(()) => return Ok(()),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                // Another file system, or one without links.
                Err(_) => break,
            }
        }
        let (_, mut body) = self.objects.get(bucket, key, None).await.map_err(store)?;
        let mut out = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)
            .await
            .map_err(|cause| clash(key, &file, &cause))?;
        while let Some(piece) = body.next().await {
            let piece =
                piece.map_err(|cause| InputError::Machine(format!("s3://{bucket}/{key}: {cause}")))?;
            out.write_all(&piece).await.map_err(|cause| machine(&file, &cause))?;
        }
        out.flush().await.map_err(|cause| machine(&file, &cause))
    }
}

/// A relative path that stays below its folder.
fn safe(key: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in key.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part if part.contains('\0') => return None,
            part => path.push(part),
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

fn store(error: ObjectError) -> InputError {
    match error {
        ObjectError::NoBucket(bucket) => {
            InputError::Data(format!("NoSuchBucket (404): bucket {bucket:?} does not exist"))
        }
        ObjectError::NoObject { bucket, key } => {
            InputError::Data(format!("NoSuchKey (404): s3://{bucket}/{key} does not exist"))
        }
        other => InputError::Machine(other.to_string()),
    }
}

/// A key that is a name of its own and a folder of others, or too long, is the caller's matter.
fn clash(key: &str, file: &Path, cause: &io::Error) -> InputError {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    match cause.kind() {
        AlreadyExists | IsADirectory | NotADirectory => InputError::Data(format!(
            "key {key:?} is an object and also the folder of other objects; files cannot be both"
        )),
        InvalidFilename | InvalidInput => InputError::Data(format!("key {key:?} cannot be a file: {cause}")),
        _ => machine(file, cause),
    }
}

fn machine(path: &Path, cause: &io::Error) -> InputError {
    InputError::Machine(format!("{}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::training::fakes::MemoryObjects;
    use crate::training::spec::ChannelName;

    fn channel(name: &str, source: Source) -> Channel {
        Channel {
            name: ChannelName::try_from(name.to_string()).expect("a name"),
            source,
            content_type: "text/csv;label_size=0".into(),
            compression: Compression::Gzip,
            distribution: Distribution::ShardedByS3Key,
        }
    }

    fn place(uri: &str) -> S3Place {
        S3Place::try_from(uri.to_string()).expect("an S3 URI")
    }

    fn spec(channels: Vec<Channel>) -> Spec {
        Spec { channels, ..crate::training::fakes::spec("job") }
    }

    /// Lays out one channel; answers its files with their content.
    async fn laid_out(objects: &MemoryObjects, source: Source) -> Result<Vec<(String, String)>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let opt = OptMl(folder.path().join("job"));
        opt.prepare(&spec(vec![channel("train", source)]), objects)
            .await
            .map_err(|cause| cause.to_string())?;
        let root = opt.0.join("input/data/train");
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = std::fs::read_to_string(&path).expect("text");
                    found.push((path.strip_prefix(&root).expect("below").display().to_string(), text));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn pairs(files: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
    }

    #[tokio::test]
    async fn configuration_files_follow_the_contract() {
        let folder = tempfile::tempdir().expect("a folder");
        let opt = OptMl(folder.path().join("job"));
        let objects = MemoryObjects::with("b", &[("t/a", "1")]);
        let spec = spec(vec![channel("train", Source::Prefix(place("s3://b/t")))]);
        opt.prepare(&spec, &objects).await.expect("it is laid out");
        let read = |name: &str| {
            let path = opt.0.join("input/config").join(name);
            serde_json::from_str::<Value>(&std::fs::read_to_string(path).expect("the file")).expect("json")
        };
        assert_eq!(read("hyperparameters.json"), json!({"rounds": "3"}));
        assert_eq!(
            read("inputdataconfig.json"),
            json!({"train": {"TrainingInputMode": "File", "RecordWrapperType": "None", "ContentType": "text/csv;label_size=0",
                             "S3DistributionType": "ShardedByS3Key", "CompressionType": "Gzip"}})
        );
        let resources = read("resourceconfig.json");
        assert_eq!((&resources["current_host"], &resources["hosts"]), (&json!("algo-1"), &json!(["algo-1"])));
        for folder in ["model", "output/data", "code", "tmp"] {
            assert!(opt.0.join(folder).is_dir(), "{folder}");
        }
        // A second try starts from nothing.
        std::fs::write(opt.0.join("model/half"), "x").expect("write");
        opt.prepare(&spec, &objects).await.expect("it is laid out");
        assert!(!opt.0.join("model/half").exists());
    }

    #[tokio::test]
    async fn a_prefix_means_all_that_starts_with_it() {
        let objects = MemoryObjects::with(
            "b",
            &[
                ("data/train/a.csv", "1"),
                ("data/train/deep/b.csv", "2"),
                ("data/train/", ""),
                ("data/x", "no"),
            ],
        );
        let prefix = |uri: &str| Source::Prefix(place(uri));
        let all = pairs(&[("a.csv", "1"), ("deep/b.csv", "2")]);
        assert_eq!(laid_out(&objects, prefix("s3://b/data/train")).await, all);
        assert_eq!(laid_out(&objects, prefix("s3://b/data/train/")).await, all);
        assert_eq!(laid_out(&objects, prefix("s3://b/data/train/a.csv")).await, pairs(&[("a.csv", "1")]));
        assert_eq!(
            laid_out(&objects, prefix("s3://b/none")).await,
            Err("ClientError: Data download failed:NoSuchKey (404): no object starts with s3://b/none".into())
        );
        assert_eq!(
            laid_out(&objects, prefix("s3://other/none")).await,
            Err("ClientError: Data download failed:NoSuchBucket (404): bucket \"other\" does not exist"
                .into())
        );
    }

    #[tokio::test]
    async fn more_objects_than_a_page() {
        let keys: Vec<String> = (0..PAGE * 2 + 1).map(|i| format!("t/{i:05}")).collect();
        let content: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
        let objects = MemoryObjects::with("b", &content);
        let files = laid_out(&objects, Source::Prefix(place("s3://b/t/"))).await.expect("files");
        assert_eq!(files.len(), PAGE * 2 + 1);
    }

    #[tokio::test]
    async fn keys_cannot_leave_the_folder_or_clash() {
        for (keys, part) in [
            (&["t/../../x"][..], "\"..\" and NUL"),
            (&["t/a//b", "t/a/b"], "mean the same file"),
            (&["t/a", "t/a/b"], "cannot be both"),
        ] {
            let content: Vec<(&str, &str)> = keys.iter().map(|key| (*key, "x")).collect();
            let objects = MemoryObjects::with("b", &content);
            let why = laid_out(&objects, Source::Prefix(place("s3://b/t/"))).await.expect_err("a clash");
            assert!(why.starts_with("ClientError: Data download failed:") && why.contains(part), "{why}");
        }
    }

    #[tokio::test]
    async fn a_manifest_lists_the_files() {
        let objects = MemoryObjects::with(
            "b",
            &[
                ("m", r#"[{"prefix": "s3://b/data/"}, "a.csv", "deep/b.csv"]"#),
                ("missing", r#"[{"prefix": "s3://b/data/"}, "nothing.csv"]"#),
                ("empty", r#"[{"prefix": "s3://b/data/"}]"#),
                ("names", r#"["a.csv"]"#),
                ("text", "hello"),
                ("data/a.csv", "1"),
                ("data/deep/b.csv", "2"),
            ],
        );
        let lay_out =
            async |key: &str| laid_out(&objects, Source::Manifest(place(&format!("s3://b/{key}")))).await;
        assert_eq!(lay_out("m").await, pairs(&[("a.csv", "1"), ("deep/b.csv", "2")]));
        for (key, part) in [
            ("missing", "NoSuchKey (404): s3://b/data/nothing.csv"),
            ("empty", "it names no object"),
            ("names", "first item must be"),
            ("text", "it must be a JSON list"),
            ("gone", "NoSuchKey (404): s3://b/gone"),
        ] {
            let why = lay_out(key).await.expect_err(key);
            assert!(why.starts_with("ClientError: ") && why.contains(part), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_key_leaves_its_folder(key in "[a./\\\\\0-]{0,12}|.*") {
            if let Some(path) = safe(&key) {
                prop_assert!(path.is_relative());
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
