//! Models: an image with its data, under a name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use strata_platform::models::{Container, Data, ModelError, NewModel};
use strata_wire::Fault;

use super::listing::ListRequest;
use super::tags::{self, Tag};
use crate::operation::{Answer, Cx, refuse_members};

/// Members of CreateModel that would change what is served. `VpcConfig` and
/// `EnableNetworkIsolation` are kept and echoed: built-in models reach no network at all.
const REFUSED: &[(&str, &str)] = &[(
    "InferenceExecutionConfig",
    "it goes with several containers, which a model cannot have here yet; leave it out",
)];

/// Members of a container that would change what is served. `ContainerHostname` tells
/// containers apart and changes nothing for a single one; it is kept and echoed.
const REFUSED_OF_CONTAINER: &[(&str, &str)] = &[
    ("AdditionalModelDataSources", "put all of a model's files into one archive or S3 prefix"),
    ("ContainerMetricsConfig", "built-in models have no metrics page; see the metrics of the endpoint"),
    ("ModelPackageName", "there is no model registry yet; name Image and ModelDataUrl instead"),
    ("InferenceSpecificationName", "there is no model registry yet; name Image and ModelDataUrl instead"),
    ("MultiModelConfig", "multi-model containers cannot be served yet; make one model for each archive"),
];

/// Environment variables that select the program or the form of its answers.
const REFUSED_ENVIRONMENT: &[(&str, &str)] = &[
    ("SAGEMAKER_PROGRAM", "inference scripts cannot be run yet; the built-in algorithm answers by itself"),
    (
        "SAGEMAKER_SUBMIT_DIRECTORY",
        "inference scripts cannot be run yet; the built-in algorithm answers by itself",
    ),
    ("SAGEMAKER_INFERENCE_OUTPUT", "selectable answers cannot be given yet; choose a form with Accept"),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateModel {
    model_name: String,
    primary_container: Option<ContainerDefinition>,
    #[serde(default)]
    containers: Vec<ContainerDefinition>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerDefinition {
    image: Option<String>,
    mode: Option<String>,
    model_data_url: Option<String>,
    model_data_source: Option<ModelDataSource>,
    image_config: Option<ImageConfig>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    repository_access_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModelDataSource {
    s3_data_source: Option<Value>,
}

/// Records a model, after a look whether this cloud can serve its image and finds its data.
pub async fn create(cx: Cx, req: CreateModel) -> Answer {
    let document = &cx.call.document;
    refuse_members(document, REFUSED)?;
    let (definition, source) = the_container(req.primary_container, req.containers, document)?;
    refuse_members(source, REFUSED_OF_CONTAINER)?;
    let new = NewModel {
        name: req.model_name,
        container: container(definition)?,
        tags: tags::pairs(req.tags),
        document: document.clone(),
    };
    let arn = cx.platform.models.create(new).await.map_err(fault)?;
    Ok(json!({ "ModelArn": arn }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    model_name: String,
}

pub async fn describe(cx: Cx, req: Named) -> Answer {
    let model = cx.platform.models.describe(&req.model_name).await.map_err(fault)?;
    let mut document = model.document;
    if let Value::Object(members) = &mut document {
        members.remove("Tags");
        members.entry("EnableNetworkIsolation").or_insert(false.into());
        members.insert("ModelName".into(), model.name.into());
        members.insert("ModelArn".into(), model.arn.into());
        members.insert("CreationTime".into(), model.created.seconds().into());
    }
    Ok(document.into())
}

/// Removes the model; endpoints that serve it go on.
pub async fn delete(cx: Cx, req: Named) -> Answer {
    cx.platform.models.delete(&req.model_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

pub async fn list(cx: Cx, req: ListRequest) -> Answer {
    let page = cx.platform.models.list(req.newest_first()).await.map_err(fault)?;
    let models = page.records.into_iter().map(|record| {
        json!({
            "ModelName": record.name,
            "ModelArn": record.arn,
            "CreationTime": record.created.seconds(),
        })
    });
    let mut answer = json!({ "Models": models.collect::<Vec<_>>() });
    if let Some(next) = page.next {
        answer["NextToken"] = next.into();
    }
    Ok(answer.into())
}

/// The only container, and its document.
fn the_container(
    primary: Option<ContainerDefinition>,
    several: Vec<ContainerDefinition>,
    document: &Value,
) -> Result<(ContainerDefinition, &Value), Fault> {
    let count = several.len();
    match (primary, several.into_iter().next()) {
        (Some(primary), None) => Ok((primary, &document["PrimaryContainer"])),
        (None, Some(only)) if count == 1 => Ok((only, &document["Containers"][0])),
        (None, Some(_)) => Err(Fault::validation(format!(
            "Containers has {count} entries: inference pipelines are not honoured by this cloud yet; give one \
             container, or one model for each"
        ))),
        (Some(_), Some(_)) => {
            Err(Fault::validation("Both PrimaryContainer and Containers are given: give one of them."))
        }
        (None, None) => Err(Fault::validation("Either PrimaryContainer or Containers must be given.")),
    }
}

fn container(definition: ContainerDefinition) -> Result<Container, Fault> {
    let Some(image) = definition.image else {
        return Err(Fault::validation("Container has no Image: name the image of a built-in algorithm."));
    };
    if definition.mode.as_deref() == Some("MultiModel") {
        return Err(Fault::validation(
            "Mode MultiModel is not honoured by this cloud yet: make one model for each archive",
        ));
    }
    if definition.image_config.is_some_and(|config| config.repository_access_mode == "Vpc") {
        return Err(Fault::validation(
            "RepositoryAccessMode Vpc is not honoured by this cloud: images choose built-in programs by their \
             name and are not pulled; leave ImageConfig out",
        ));
    }
    for (variable, sentence) in REFUSED_ENVIRONMENT {
        if definition.environment.get(*variable).is_some_and(|value| !value.is_empty()) {
            return Err(Fault::validation(format!(
                "Environment variable {variable} is not honoured by this cloud: {sentence}"
            )));
        }
    }
    let source = definition.model_data_source.and_then(|source| source.s3_data_source);
    let data = match (definition.model_data_url.filter(|url| !url.is_empty()), source) {
        (Some(_), Some(_)) => {
            return Err(Fault::validation(
                "Both ModelDataUrl and ModelDataSource are given: give one of them.",
            ));
        }
        (Some(url), None) => Some(Data::Archive(url)),
        (None, Some(source)) => Some(data_source(&source)?),
        (None, None) => None,
    };
    Ok(Container { image, data, environment: definition.environment })
}

fn data_source(source: &Value) -> Result<Data, Fault> {
    refuse_members(
        source,
        &[
            ("ManifestS3Uri", "name a prefix with S3DataType S3Prefix instead"),
            ("HubAccessConfig", "there is no model hub; name the data's S3 URI"),
            ("ETag", "the object's present content is served; leave ETag out"),
            ("ManifestEtag", "name a prefix with S3DataType S3Prefix instead"),
        ],
    )?;
    let text = |member: &str| source.get(member).and_then(Value::as_str).unwrap_or_default();
    let uri = text("S3Uri").to_string();
    match (text("S3DataType"), text("CompressionType")) {
        ("S3Object", "Gzip") => Ok(Data::Archive(uri)),
        ("S3Object", "None") => Ok(Data::File(uri)),
        ("S3Prefix", "None") if uri.ends_with('/') => Ok(Data::Folder(uri)),
        ("S3Prefix", "None") => Err(Fault::validation(format!(
            "S3Uri {uri} must end with a forward slash (/) when S3DataType is S3Prefix."
        ))),
        (kind, compression) => Err(Fault::validation(format!(
            "S3DataType {kind} with CompressionType {compression} is not possible: use S3Object with Gzip for an \
             archive, or S3Prefix with None for a folder."
        ))),
    }
}

pub fn fault(error: ModelError) -> Fault {
    match error {
        ModelError::Store(cause) => Fault::internal(cause),
        error => Fault::validation(error.to_string()),
    }
}
