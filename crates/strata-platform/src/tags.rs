//! Tags: key and value pairs on any resource, found by its ARN.
//!
//! The tags that a Create call gave are part of the resource's own document. A record of
//! kind `tags` overrides them from the first change on, so a crash between two writes loses
//! nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use strata_base::metadata::{ListQuery, Metadata, MetadataError, Record};

use crate::Ports;

const KIND: &str = "tags";
/// AWS's limit of tags on one resource.
pub const MOST: usize = 50;
/// Times a change is tried again because somebody else changed the tags first.
const ATTEMPTS: usize = 16;

pub struct Tags {
    metadata: Arc<dyn Metadata>,
}

#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// There is no resource of this ARN.
    #[error("Could not find {}.", described(.0))]
    Missing(String),
    #[error("tag keys must be unique, {0:?} is given twice")]
    Duplicate(String),
    #[error("tag key {0:?} is reserved: keys cannot start with \"aws:\"")]
    Reserved(String),
    #[error("{arn} would have {count} tags, the limit is {MOST}: remove some with DeleteTags first")]
    TooMany { arn: String, count: usize },
    #[error(transparent)]
    Store(#[from] MetadataError),
}

impl Tags {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self { metadata: ports.metadata.clone() }
    }

    /// Whether these may be the tags of a new resource. Every Create asks before it records.
    pub fn check(tags: &[(String, String)]) -> Result<(), TagError> {
        let mut seen = BTreeSet::new();
        for (key, _) in tags {
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(TagError::Reserved(key.clone()));
            }
            if !seen.insert(key) {
                return Err(TagError::Duplicate(key.clone()));
            }
        }
        if tags.len() > MOST {
            return Err(TagError::TooMany { arn: "the resource".into(), count: tags.len() });
        }
        Ok(())
    }

    /// Sets the tags of a new resource, whatever an earlier one of the same ARN left behind.
    pub async fn put(&self, arn: &str, tags: &[(String, String)]) -> Result<(), TagError> {
        Self::check(tags)?;
        match self.metadata.get(KIND, arn).await? {
            None if tags.is_empty() => Ok(()),
            None => Ok(self.metadata.create(&record(arn, tags), None).await?),
            Some(_) if tags.is_empty() => self.remove(arn).await,
            Some(before) => {
                self.metadata.update(&Record { document: document(tags), ..before }, None).await?;
                Ok(())
            }
        }
    }

    /// Forgets the tags of a resource that was deleted.
    pub async fn remove(&self, arn: &str) -> Result<(), TagError> {
        match self.metadata.delete(KIND, arn, None).await {
            Ok(()) | Err(MetadataError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn list(&self, arn: &str) -> Result<Vec<(String, String)>, TagError> {
        Ok(self.read(arn).await?.1)
    }

    /// Adds tags or changes their values; returns all the resource has then.
    pub async fn add(
        &self,
        arn: &str,
        added: &[(String, String)],
    ) -> Result<Vec<(String, String)>, TagError> {
        Self::check(added)?;
        self.change(arn, |tags| {
            for (key, value) in added {
                match tags.iter_mut().find(|(known, _)| known == key) {
                    Some((_, old)) => old.clone_from(value),
                    None => tags.push((key.clone(), value.clone())),
                }
            }
        })
        .await
    }

    /// Removes tags by key; keys that are not there are no error.
    pub async fn delete(&self, arn: &str, keys: &[String]) -> Result<(), TagError> {
        self.change(arn, |tags| tags.retain(|(key, _)| !keys.contains(key))).await?;
        Ok(())
    }

    async fn change(
        &self,
        arn: &str,
        edit: impl Fn(&mut Vec<(String, String)>),
    ) -> Result<Vec<(String, String)>, TagError> {
        let mut attempt = 0;
        loop {
            let (before, mut tags) = self.read(arn).await?;
            edit(&mut tags);
            if tags.len() > MOST {
                return Err(TagError::TooMany { arn: arn.into(), count: tags.len() });
            }
            let written = match before {
                None => self.metadata.create(&record(arn, &tags), None).await,
                Some(before) => {
                    let after = Record { document: document(&tags), ..before };
                    self.metadata.update(&after, None).await.map(|_| ())
                }
            };
            attempt += 1;
            match written {
                Ok(()) => return Ok(tags),
                Err(MetadataError::Stale { .. } | MetadataError::Exists { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The record of changed tags, where there is one, and the tags in force.
    async fn read(&self, arn: &str) -> Result<(Option<Record>, Vec<(String, String)>), TagError> {
        if let Some(record) = self.metadata.get(KIND, arn).await? {
            let tags = parsed(&record.document);
            return Ok((Some(record), tags));
        }
        let resource = self.resource(arn).await?.ok_or_else(|| TagError::Missing(arn.into()))?;
        Ok((None, parsed(&resource.document)))
    }

    /// ARNs carry names in lower case, so a name with capitals is found by looking through
    /// its kind.
    async fn resource(&self, arn: &str) -> Result<Option<Record>, MetadataError> {
        let Some((kind, name)) = split(arn) else { return Ok(None) };
        if let Some(record) = self.metadata.get(kind, name).await?.filter(|record| record.arn == arn) {
            return Ok(Some(record));
        }
        let mut query = ListQuery { kind: kind.into(), limit: 500, ..ListQuery::default() };
        loop {
            let page = self.metadata.list(&query).await?;
            if let Some(record) = page.records.into_iter().find(|record| record.arn == arn) {
                return Ok(Some(record));
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(None),
            }
        }
    }
}

/// Kind and name at the end of an ARN; `None` where it does not look like a resource of ours.
fn split(arn: &str) -> Option<(&str, &str)> {
    let (kind, name) = arn.splitn(6, ':').nth(5)?.split_once('/')?;
    (!kind.is_empty() && kind != KIND && !name.is_empty()).then_some((kind, name))
}

/// `model "arn:..."`, as AWS names what it cannot find.
fn described(arn: &str) -> String {
    match split(arn) {
        Some(("endpoint-config", _)) => format!("endpoint configuration {arn:?}"),
        Some((kind, _)) => format!("{} {arn:?}", kind.replace('-', " ")),
        None => format!("resource {arn:?}"),
    }
}

fn record(arn: &str, tags: &[(String, String)]) -> Record {
    Record::new(KIND, arn, arn.into(), "", document(tags), Value::Null)
}

fn document(tags: &[(String, String)]) -> Value {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({ "Tags": tags })
}

fn parsed(document: &Value) -> Vec<(String, String)> {
    let text = |tag: &Value, member: &str| tag.get(member).and_then(Value::as_str).unwrap_or_default().into();
    let tags = document.get("Tags").and_then(Value::as_array);
    tags.into_iter().flatten().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

#[cfg(test)]
mod tests {
    use strata_base::memory::MemoryMetadata;

    use super::*;

    const ARN: &str = "arn:aws:sagemaker:us-east-1:123456789012:model/my-model";

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.into(), value.into()));
        text.split_whitespace().filter_map(pair).collect()
    }

    /// A store with the model `My-Model`, created with these tags.
    async fn with_model(tags: &str) -> Tags {
        let tags_of = Tags { metadata: Arc::new(MemoryMetadata::default()) };
        let record = Record::new("model", "My-Model", ARN.into(), "", document(&pairs(tags)), Value::Null);
        tags_of.metadata.create(&record, None).await.unwrap();
        tags_of
    }

    #[tokio::test]
    async fn tags_of_the_create_call_are_kept_and_changed() {
        let tags = with_model("team=blue stage=test").await;
        assert_eq!(tags.list(ARN).await.unwrap(), pairs("team=blue stage=test"));
        let all = tags.add(ARN, &pairs("stage=prod owner=ada")).await.unwrap();
        assert_eq!(all, pairs("team=blue stage=prod owner=ada"));
        tags.delete(ARN, &["team".into(), "absent".into()]).await.unwrap();
        assert_eq!(tags.list(ARN).await.unwrap(), pairs("stage=prod owner=ada"));
    }

    #[tokio::test]
    async fn a_new_resource_does_not_inherit_tags() {
        let tags = with_model("").await;
        tags.add(ARN, &pairs("old=1")).await.unwrap();
        tags.put(ARN, &pairs("new=2")).await.unwrap();
        assert_eq!(tags.list(ARN).await.unwrap(), pairs("new=2"));
        tags.put(ARN, &[]).await.unwrap();
        assert_eq!(tags.list(ARN).await.unwrap(), []);
    }

    #[tokio::test]
    async fn limits_and_missing_resources_are_named() {
        let tags = with_model("").await;
        let fifty: Vec<_> = (0..50).map(|i| (format!("k{i}"), String::new())).collect();
        tags.add(ARN, &fifty).await.unwrap();
        let error = tags.add(ARN, &pairs("one=more")).await.unwrap_err();
        assert!(matches!(error, TagError::TooMany { count: 51, .. }), "{error}");
        assert!(matches!(tags.add(ARN, &pairs("a=1 a=2")).await, Err(TagError::Duplicate(_))));
        assert!(matches!(tags.add(ARN, &pairs("AWS:x=1")).await, Err(TagError::Reserved(_))));
        let missing = "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/none";
        insta::assert_snapshot!(
            tags.list(missing).await.unwrap_err(),
            @r#"Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/none"."#
        );
        assert!(matches!(tags.list("nonsense").await, Err(TagError::Missing(_))));
    }
}
