//! Endpoint configurations: which models an endpoint serves, with which weights. They never
//! change; an endpoint copies one when it is created or updated.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strata_base::metadata::{ListQuery, Metadata, MetadataError, Page, Record};
use strata_base::{Cloud, Timestamp};

use super::phase::{Deployment, Variant};
use crate::Ports;
use crate::models::{ModelError, Models};
use crate::tags::{TagError, Tags};

const KIND: &str = "endpoint-config";

pub struct EndpointConfigs {
    cloud: Cloud,
    metadata: Arc<dyn Metadata>,
    models: Arc<Models>,
    tags: Tags,
}

/// What CreateEndpointConfig asks for.
#[derive(Clone, Debug)]
pub struct NewConfig {
    pub name: String,
    pub variants: Vec<VariantSpec>,
    pub tags: Vec<(String, String)>,
    /// The whole request, echoed by Describe.
    pub document: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantSpec {
    pub name: String,
    pub model: String,
    pub weight: f64,
    pub instances: u32,
    pub instance_type: String,
    /// Most seconds that loading may take.
    pub patience: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EndpointConfig {
    pub name: String,
    pub arn: String,
    pub created: Timestamp,
    pub variants: Vec<VariantSpec>,
    pub document: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("Cannot create already existing endpoint configuration {0:?}.")]
    Exists(String),
    #[error("Could not find endpoint configuration {0:?}.")]
    Missing(String),
    #[error("Variant names must be unique within an endpoint configuration, {0:?} is used twice.")]
    TwinVariants(String),
    #[error("At least one production variant must have a weight above 0, else no request could be routed.")]
    NoWeight,
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Tags(TagError),
    #[error("NextToken {0:?} is not one that this operation returned")]
    Token(String),
    #[error("{0}")]
    Store(String),
}

impl From<MetadataError> for ConfigError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Cursor(token) => Self::Token(token),
            error => Self::Store(error.to_string()),
        }
    }
}

impl From<TagError> for ConfigError {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Store(error) => error.into(),
            error => Self::Tags(error),
        }
    }
}

impl EndpointConfigs {
    pub fn new(ports: Arc<Ports>, models: Arc<Models>) -> Self {
        Self { cloud: ports.cloud.clone(), metadata: ports.metadata.clone(), models, tags: Tags::new(ports) }
    }

    pub fn arn(&self, name: &str) -> String {
        self.cloud.sagemaker_arn(KIND, name)
    }

    /// Returns the ARN.
    pub async fn create(&self, new: NewConfig) -> Result<String, ConfigError> {
        Tags::check(&new.tags)?;
        let mut names = BTreeSet::new();
        if let Some(twin) = new.variants.iter().find(|variant| !names.insert(&variant.name)) {
            return Err(ConfigError::TwinVariants(twin.name.clone()));
        }
        if !new.variants.iter().any(|variant| variant.weight > 0.0) {
            return Err(ConfigError::NoWeight);
        }
        for variant in &new.variants {
            self.models.describe(&variant.model).await?;
        }
        let arn = self.arn(&new.name);
        let record = Record::new(KIND, &new.name, arn.clone(), "", new.document, json!(new.variants));
        match self.metadata.create(&record, Some(&json!({ "event": "Created" }))).await {
            Ok(()) => {}
            Err(MetadataError::Exists { .. }) => return Err(ConfigError::Exists(arn)),
            Err(error) => return Err(error.into()),
        }
        self.tags.put(&arn, &new.tags).await?;
        Ok(arn)
    }

    pub async fn describe(&self, name: &str) -> Result<EndpointConfig, ConfigError> {
        let record = self.metadata.get(KIND, name).await?;
        let record = record.ok_or_else(|| ConfigError::Missing(self.arn(name)))?;
        let variants = serde_json::from_value(record.state).map_err(|cause| {
            ConfigError::Store(format!("record of endpoint configuration {name:?}: {cause}"))
        })?;
        Ok(EndpointConfig {
            name: record.name,
            arn: record.arn,
            created: record.created,
            variants,
            document: record.document,
        })
    }

    /// Endpoints that were made with it go on.
    pub async fn delete(&self, name: &str) -> Result<(), ConfigError> {
        let arn = self.arn(name);
        match self.metadata.delete(KIND, name, None).await {
            Ok(()) => Ok(self.tags.remove(&arn).await?),
            Err(MetadataError::Missing { .. }) => Err(ConfigError::Missing(arn)),
            Err(error) => Err(error.into()),
        }
    }

    /// `kind` of the query is ours to set.
    pub async fn list(&self, query: ListQuery) -> Result<Page, ConfigError> {
        Ok(self.metadata.list(&ListQuery { kind: KIND.into(), ..query }).await?)
    }

    /// The configuration as an endpoint takes it over: with all its models written out.
    pub(super) async fn deployment(
        &self,
        name: &str,
        policy: Option<Value>,
    ) -> Result<Deployment, ConfigError> {
        let config = self.describe(name).await?;
        let mut variants = Vec::new();
        for spec in config.variants {
            let model = self.models.describe(&spec.model).await?;
            variants.push(Variant {
                name: spec.name,
                model: spec.model,
                container: model.container,
                weight: spec.weight,
                instances: spec.instances,
                instance_type: spec.instance_type,
                patience: spec.patience,
            });
        }
        Ok(Deployment { config: config.name, asked: Timestamp::now(), variants, policy })
    }
}
