//! Endpoint configurations: the variants that an endpoint serves.

use serde::Deserialize;
use serde_json::{Value, json};
use strata_platform::endpoints::{ConfigError, NewConfig, VariantSpec};
use strata_wire::Fault;

use super::listing::ListRequest;
use super::model;
use super::tags::{self, Tag};
use crate::operation::{Answer, Cx, refuse_members};

const REFUSED: &[(&str, &str)] = &[
    ("AsyncInferenceConfig", "asynchronous endpoints cannot be made yet; call InvokeEndpoint"),
    ("CrossRegionTrafficConfig", "there is one region; leave it out"),
    ("ExecutionRoleArn", "it goes with inference components, which cannot be made yet; name a model instead"),
    ("ExplainerConfig", "explanations cannot be given yet; leave it out"),
    (
        "EnableNetworkIsolation",
        "it goes with inference components, which cannot be made yet; set it on the model",
    ),
    ("KmsKeyId", "data is not encrypted with keys of this API; encrypt the disk beneath the data folder"),
    ("MetricsConfig", "metrics are published within seconds already; leave it out"),
    ("ShadowProductionVariants", "shadow variants cannot be made yet; compare production variants by weight"),
    ("VpcConfig", "it goes with inference components, which cannot be made yet; set it on the model"),
];

/// `VolumeSizeInGB`, `InferenceAmiVersion` and `VariantInstanceProvisionTimeoutInSeconds` speak
/// of machines that are not rented here; they are kept, echoed, and change no answer.
const REFUSED_OF_VARIANT: &[(&str, &str)] = &[
    ("AcceleratorPartitionLayouts", "there are no accelerators to divide; leave it out"),
    ("AcceleratorType", "there are no elastic accelerators; leave it out"),
    ("CapacityReservationConfig", "capacity is this machine; leave it out"),
    ("CoreDumpConfig", "built-in models dump no core; leave it out"),
    ("EnableSSMAccess", "variants have no machine of their own to log into; leave it out"),
    ("InstancePools", "name one InstanceType instead"),
    ("ServerlessConfig", "name InstanceType and InitialInstanceCount: a loaded model idles at no cost"),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateEndpointConfig {
    endpoint_config_name: String,
    production_variants: Vec<ProductionVariant>,
    data_capture_config: Option<DataCaptureConfig>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataCaptureConfig {
    #[serde(default)]
    enable_capture: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProductionVariant {
    variant_name: String,
    model_name: Option<String>,
    initial_instance_count: Option<u32>,
    instance_type: Option<String>,
    initial_variant_weight: Option<f64>,
    model_data_download_timeout_in_seconds: Option<u64>,
    container_startup_health_check_timeout_in_seconds: Option<u64>,
    routing_config: Option<RoutingConfig>,
    managed_instance_scaling: Option<ManagedInstanceScaling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingConfig {
    routing_strategy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManagedInstanceScaling {
    status: Option<String>,
}

pub async fn create(cx: Cx, req: CreateEndpointConfig) -> Answer {
    let document = &cx.call.document;
    refuse_members(document, REFUSED)?;
    if req.data_capture_config.is_some_and(|config| config.enable_capture) {
        return Err(Fault::validation(
            "DataCaptureConfig is not honoured by this cloud: requests cannot be captured yet; set EnableCapture \
             to false or leave it out",
        ));
    }
    let mut variants = Vec::new();
    for (at, variant) in req.production_variants.into_iter().enumerate() {
        refuse_members(&document["ProductionVariants"][at], REFUSED_OF_VARIANT)?;
        variants.push(variant.into_spec()?);
    }
    let new = NewConfig {
        name: req.endpoint_config_name,
        variants,
        tags: tags::pairs(req.tags),
        document: document.clone(),
    };
    let arn = cx.platform.endpoints.configs.create(new).await.map_err(fault)?;
    Ok(json!({ "EndpointConfigArn": arn }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    endpoint_config_name: String,
}

pub async fn describe(cx: Cx, req: Named) -> Answer {
    let config = cx.platform.endpoints.configs.describe(&req.endpoint_config_name).await.map_err(fault)?;
    let mut document = config.document;
    if let Value::Object(members) = &mut document {
        members.remove("Tags");
        members.entry("EnableNetworkIsolation").or_insert(false.into());
        members.insert("EndpointConfigName".into(), config.name.into());
        members.insert("EndpointConfigArn".into(), config.arn.into());
        members.insert("CreationTime".into(), config.created.seconds().into());
    }
    let shown = document["ProductionVariants"].as_array_mut().into_iter().flatten();
    for variant in shown.filter_map(Value::as_object_mut) {
        variant.entry("InitialVariantWeight").or_insert(1.0.into());
    }
    Ok(document.into())
}

/// Removes the configuration; endpoints made with it go on.
pub async fn delete(cx: Cx, req: Named) -> Answer {
    cx.platform.endpoints.configs.delete(&req.endpoint_config_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

pub async fn list(cx: Cx, req: ListRequest) -> Answer {
    let page = cx.platform.endpoints.configs.list(req.newest_first()).await.map_err(fault)?;
    let configs = page.records.into_iter().map(|record| {
        json!({
            "EndpointConfigName": record.name,
            "EndpointConfigArn": record.arn,
            "CreationTime": record.created.seconds(),
        })
    });
    let mut answer = json!({ "EndpointConfigs": configs.collect::<Vec<_>>() });
    if let Some(next) = page.next {
        answer["NextToken"] = next.into();
    }
    Ok(answer.into())
}

impl ProductionVariant {
    fn into_spec(self) -> Result<VariantSpec, Fault> {
        let name = &self.variant_name;
        let needs = |member: &str| Fault::validation(format!("Variant {name:?} needs {member}."));
        let Some(model) = self.model_name else {
            return Err(Fault::validation(format!(
                "Variant {name:?} needs ModelName: inference components cannot be made yet."
            )));
        };
        let instance_type = self.instance_type.ok_or_else(|| needs("InstanceType"))?;
        let instances = self.initial_instance_count.ok_or_else(|| needs("InitialInstanceCount"))?;
        if instances == 0 {
            return Err(Fault::validation(format!(
                "InitialInstanceCount of variant {name:?} must be at least 1."
            )));
        }
        let strategy = self.routing_config.as_ref().map(|config| config.routing_strategy.as_str());
        // All instances of a variant are one loaded model, so every request meets the same queue.
        if !matches!(strategy, None | Some("RANDOM" | "LEAST_OUTSTANDING_REQUESTS")) {
            return Err(Fault::validation(format!(
                "RoutingStrategy of variant {name:?} is not honoured by this cloud: there are no caches to route \
                 by; use LEAST_OUTSTANDING_REQUESTS or leave RoutingConfig out"
            )));
        }
        if self.managed_instance_scaling.is_some_and(|scaling| scaling.status.as_deref() != Some("DISABLED"))
        {
            return Err(Fault::validation(format!(
                "ManagedInstanceScaling of variant {name:?} is not honoured by this cloud: instances do not scale \
                 by themselves; leave it out"
            )));
        }
        // AWS's defaults for the two steps of a start.
        let download = self.model_data_download_timeout_in_seconds.unwrap_or(3600);
        let startup = self.container_startup_health_check_timeout_in_seconds.unwrap_or(600);
        Ok(VariantSpec {
            model,
            weight: self.initial_variant_weight.unwrap_or(1.0),
            instances,
            instance_type,
            patience: download.saturating_add(startup),
            name: self.variant_name,
        })
    }
}

pub fn fault(error: ConfigError) -> Fault {
    match error {
        ConfigError::Store(cause) => Fault::internal(cause),
        ConfigError::Model(error) => model::fault(error),
        ConfigError::Tags(error) => tags::fault(error),
        error => Fault::validation(error.to_string()),
    }
}
