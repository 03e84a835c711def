//! What a model is made of: an image, its data in the object store, its environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strata_base::objects::split_s3_uri;

/// One container of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub image: String,
    pub data: Option<Data>,
    pub environment: BTreeMap<String, String>,
}

/// Where the model's files come from; each holds an S3 URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Data {
    /// One object, an archive that is unpacked (`model.tar.gz`).
    Archive(String),
    /// One object, taken as it is under the last part of its key.
    File(String),
    /// All objects whose keys start with the URI's key, kept in their folders.
    Folder(String),
}

impl Data {
    pub fn uri(&self) -> &str {
        match self {
            Self::Archive(uri) | Self::File(uri) | Self::Folder(uri) => uri,
        }
    }

    /// Bucket and key; `None` where the URI names no object. A folder's prefix ends with `/`,
    /// as AWS requires it, so that `model` does not take `model-2/...` along.
    pub fn location(&self) -> Option<(&str, &str)> {
        let (bucket, key) = split_s3_uri(self.uri())?;
        match self {
            Self::Archive(_) | Self::File(_) if key.is_empty() || key.ends_with('/') => None,
            Self::Folder(_) if !key.is_empty() && !key.ends_with('/') => None,
            _ => Some((bucket, key)),
        }
    }
}

impl Container {
    /// The `Accept` that answers follow when a caller leaves the choice open.
    pub fn default_accept(&self) -> Option<&str> {
        self.environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT").map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::Data;

    #[test]
    fn uris_name_an_object_or_a_folder() {
        let archive = |uri: &str| Data::Archive(uri.into()).location().map(|(b, k)| format!("{b} {k}"));
        assert_eq!(archive("s3://b/m/model.tar.gz").as_deref(), Some("b m/model.tar.gz"));
        assert_eq!(
            archive("https://s3-us-east-1.amazonaws.com/b/model.tar.gz").as_deref(),
            Some("b model.tar.gz")
        );
        assert_eq!(archive("s3://b/m/"), None);
        assert_eq!(archive("s3://b"), None);
        assert_eq!(Data::Folder("s3://b/m/".into()).location(), Some(("b", "m/")));
        assert_eq!(Data::Folder("s3://b/m".into()).location(), None);
    }
}
