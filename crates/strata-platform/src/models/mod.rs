//! Models: a name for an image with its data. Nothing runs until an endpoint uses it.

pub mod archive;
mod container;
mod loader;

use std::sync::Arc;

use serde_json::{Value, json};
use strata_algorithms::Algorithm;
use strata_base::metadata::{ListQuery, Metadata, MetadataError, Page, Record};
use strata_base::objects::{ListObjects, ObjectError, Objects};
use strata_base::{Cloud, Timestamp};

pub use container::{Container, Data};
pub use loader::{LoadError, Loaded, Loader};

use crate::Ports;
use crate::images::ImageUri;
use crate::tags::{TagError, Tags};

const KIND: &str = "model";

/// Finds the built-in algorithm that an image means.
pub type Resolver = Arc<dyn Fn(&str) -> Option<&'static dyn Algorithm> + Send + Sync>;

pub struct Models {
    cloud: Cloud,
    metadata: Arc<dyn Metadata>,
    objects: Arc<dyn Objects>,
    tags: Tags,
    resolver: Resolver,
    /// Turns containers into models in memory; shared by everything that serves.
    pub loader: Arc<Loader>,
}

/// What CreateModel asks for.
#[derive(Clone, Debug)]
pub struct NewModel {
    pub name: String,
    pub container: Container,
    pub tags: Vec<(String, String)>,
    /// The whole request, echoed by Describe.
    pub document: Value,
}

/// A model as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub name: String,
    pub arn: String,
    pub created: Timestamp,
    pub container: Container,
    pub document: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("Cannot create already existing model {0:?}.")]
    Exists(String),
    #[error("Could not find model {0:?}.")]
    Missing(String),
    #[error(
        "Image {image:?} cannot be served by this cloud yet: it names no built-in algorithm. \
         Possible are {known}, under any registry host and tag"
    )]
    Image { image: String, known: String },
    #[error(
        "Container with image {0:?} needs ModelDataUrl or ModelDataSource: a built-in algorithm serves what a training job stored"
    )]
    NoData(String),
    #[error("Could not find model data at {0}.")]
    NoSuchData(String),
    #[error(transparent)]
    Tags(TagError),
    #[error("NextToken {0:?} is not one that this operation returned")]
    Token(String),
    #[error("{0}")]
    Store(String),
}

impl From<MetadataError> for ModelError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Cursor(token) => Self::Token(token),
            error => Self::Store(error.to_string()),
        }
    }
}

impl From<TagError> for ModelError {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Store(error) => error.into(),
            error => Self::Tags(error),
        }
    }
}

impl Models {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self::with_resolver(ports, Arc::new(|image| ImageUri::parse(image).algorithm()))
    }

    /// With a choice of algorithms other than the built-in list.
    pub fn with_resolver(ports: Arc<Ports>, resolver: Resolver) -> Self {
        Self {
            cloud: ports.cloud.clone(),
            metadata: ports.metadata.clone(),
            objects: ports.objects.clone(),
            tags: Tags::new(ports.clone()),
            loader: Arc::new(Loader::new(&ports, resolver.clone())),
            resolver,
        }
    }

    pub fn arn(&self, name: &str) -> String {
        self.cloud.sagemaker_arn(KIND, name)
    }

    /// Records a model, after a look whether it could be served at all. Returns its ARN.
    pub async fn create(&self, new: NewModel) -> Result<String, ModelError> {
        Tags::check(&new.tags)?;
        let image = &new.container.image;
        if (self.resolver)(image).is_none() {
            return Err(ModelError::Image { image: image.clone(), known: known_algorithms() });
        }
        let data = new.container.data.as_ref().ok_or_else(|| ModelError::NoData(image.clone()))?;
        self.check_data(data).await?;
        let arn = self.arn(&new.name);
        let record = Record::new(KIND, &new.name, arn.clone(), "", new.document, json!(new.container));
        match self.metadata.create(&record, Some(&json!({ "event": "Created" }))).await {
            Ok(()) => {}
            Err(MetadataError::Exists { .. }) => return Err(ModelError::Exists(arn)),
            Err(error) => return Err(error.into()),
        }
        self.tags.put(&arn, &new.tags).await?;
        Ok(arn)
    }

    pub async fn describe(&self, name: &str) -> Result<Model, ModelError> {
        let record = self.metadata.get(KIND, name).await?;
        parsed(record.ok_or_else(|| ModelError::Missing(self.arn(name)))?)
    }

    /// Endpoints that serve the model keep serving it.
    pub async fn delete(&self, name: &str) -> Result<(), ModelError> {
        let arn = self.arn(name);
        match self.metadata.delete(KIND, name, None).await {
            Ok(()) => Ok(self.tags.remove(&arn).await?),
            Err(MetadataError::Missing { .. }) => Err(ModelError::Missing(arn)),
            Err(error) => Err(error.into()),
        }
    }

    /// `kind` of the query is ours to set.
    pub async fn list(&self, query: ListQuery) -> Result<Page, ModelError> {
        Ok(self.metadata.list(&ListQuery { kind: KIND.into(), ..query }).await?)
    }

    /// AWS, too, looks for the data when the model is made: a wrong path is better known now
    /// than after a deployment.
    async fn check_data(&self, data: &Data) -> Result<(), ModelError> {
        let missing = || ModelError::NoSuchData(data.uri().into());
        let (bucket, key) = data.location().ok_or_else(missing)?;
        let found = match data {
            Data::Archive(_) | Data::File(_) => self.objects.head(bucket, key).await.map(|_| true),
            Data::Folder(_) => {
                let query = ListObjects {
                    bucket: bucket.into(),
                    prefix: key.into(),
                    limit: 1,
                    ..ListObjects::default()
                };
                self.objects.list(&query).await.map(|listing| !listing.objects.is_empty())
            }
        };
        match found {
            Ok(true) => Ok(()),
            Ok(false)
            | Err(ObjectError::NoBucket(_) | ObjectError::NoObject { .. } | ObjectError::InvalidName(_)) => {
                Err(missing())
            }
            Err(error) => Err(ModelError::Store(error.to_string())),
        }
    }
}

fn parsed(record: Record) -> Result<Model, ModelError> {
    let container = serde_json::from_value(record.state)
        .map_err(|cause| ModelError::Store(format!("record of model {:?}: {cause}", record.name)))?;
    Ok(Model {
        name: record.name,
        arn: record.arn,
        created: record.created,
        container,
        document: record.document,
    })
}

fn known_algorithms() -> String {
    let names: Vec<&str> = strata_algorithms::ALGORITHMS.iter().map(|known| known.card().name).collect();
    names.join(", ")
}
