//! Endpoints: models in service behind a name.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strata_platform::endpoints::{
    Adjustment, Deployment, Endpoint, EndpointError, NewEndpoint, Phase, Update,
};
use strata_wire::Fault;

use super::endpoint_config;
use super::listing::ListRequest;
use super::tags::{self, Tag};
use crate::operation::{Answer, Cx, refuse_members};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateEndpoint {
    endpoint_name: String,
    endpoint_config_name: String,
    deployment_config: Option<Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// Records an endpoint and returns at once; `describe` tells when it is in service.
pub async fn create(cx: Cx, req: CreateEndpoint) -> Answer {
    check_policy(req.deployment_config.as_ref())?;
    let new = NewEndpoint {
        name: req.endpoint_name,
        config: req.endpoint_config_name,
        tags: tags::pairs(req.tags),
        policy: req.deployment_config,
        document: cx.call.document.clone(),
    };
    let arn = cx.platform.endpoints.create(new).await.map_err(fault)?;
    Ok(json!({ "EndpointArn": arn }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    endpoint_name: String,
}

pub async fn describe(cx: Cx, req: Named) -> Answer {
    let endpoint = cx.platform.endpoints.describe(&req.endpoint_name).await.map_err(fault)?;
    Ok(shown(endpoint).into())
}

/// Removes the endpoint; requests that it has are still answered.
pub async fn delete(cx: Cx, req: Named) -> Answer {
    cx.platform.endpoints.delete(&req.endpoint_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

pub async fn list(cx: Cx, req: ListRequest) -> Answer {
    let page = cx.platform.endpoints.list(req.newest_first()).await.map_err(fault)?;
    let endpoints = page.records.into_iter().map(|record| {
        json!({
            "EndpointName": record.name,
            "EndpointArn": record.arn,
            "CreationTime": record.created.seconds(),
            "LastModifiedTime": record.modified.seconds(),
            "EndpointStatus": record.phase,
        })
    });
    let mut answer = json!({ "Endpoints": endpoints.collect::<Vec<_>>() });
    if let Some(next) = page.next {
        answer["NextToken"] = next.into();
    }
    Ok(answer.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateEndpoint {
    endpoint_name: String,
    endpoint_config_name: String,
    #[serde(default)]
    retain_all_variant_properties: bool,
    #[serde(default)]
    exclude_retained_variant_properties: Vec<VariantProperty>,
    deployment_config: Option<Value>,
    #[serde(default)]
    retain_deployment_config: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VariantProperty {
    variant_property_type: String,
}

/// Asks for other variants and returns at once; the present ones serve until the others can.
pub async fn update(cx: Cx, req: UpdateEndpoint) -> Answer {
    check_policy(req.deployment_config.as_ref())?;
    let excluded = &req.exclude_retained_variant_properties;
    let retain = |property: &str| {
        req.retain_all_variant_properties
            && !excluded.iter().any(|excluded| excluded.variant_property_type == property)
    };
    let update = Update {
        retain_weights: retain("DesiredWeight"),
        retain_instances: retain("DesiredInstanceCount"),
        name: req.endpoint_name,
        config: req.endpoint_config_name,
        policy: req.deployment_config,
        retain_policy: req.retain_deployment_config,
    };
    let arn = cx.platform.endpoints.update(update).await.map_err(fault)?;
    Ok(json!({ "EndpointArn": arn }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateWeights {
    endpoint_name: String,
    desired_weights_and_capacities: Vec<DesiredWeightAndCapacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DesiredWeightAndCapacity {
    variant_name: String,
    desired_weight: Option<f64>,
    desired_instance_count: Option<u32>,
    serverless_update_config: Option<Value>,
}

/// Sets weights and instance counts; they hold as soon as this returns.
pub async fn update_weights(cx: Cx, req: UpdateWeights) -> Answer {
    let mut changes = Vec::new();
    for desired in req.desired_weights_and_capacities {
        if desired.serverless_update_config.is_some() {
            return Err(Fault::validation(
                "ServerlessUpdateConfig is not honoured by this cloud: variants have instances here; use \
                 DesiredInstanceCount",
            ));
        }
        changes.push(Adjustment {
            variant: desired.variant_name,
            weight: desired.desired_weight,
            instances: desired.desired_instance_count,
        });
    }
    let arn = cx.platform.endpoints.adjust(&req.endpoint_name, changes).await.map_err(fault)?;
    Ok(json!({ "EndpointArn": arn }).into())
}

/// Everything at once, with the old variants serving until the new ones can, is the only
/// way an update goes here, and needs no policy.
fn check_policy(policy: Option<&Value>) -> Result<(), Fault> {
    let Some(policy) = policy else { return Ok(()) };
    refuse_members(
        policy,
        &[
            (
                "AutoRollbackConfiguration",
                "there are no alarms yet; a model that does not load is rolled back",
            ),
            ("RollingUpdatePolicy", "new variants take over all at once; leave it out"),
        ],
    )?;
    let routing = &policy["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"];
    match routing.as_str() {
        None | Some("ALL_AT_ONCE") => Ok(()),
        Some(other) => Err(Fault::validation(format!(
            "Traffic routing of type {other} is not honoured by this cloud yet: use ALL_AT_ONCE, or two variants \
             whose weights you move with UpdateEndpointWeightsAndCapacities"
        ))),
    }
}

fn shown(endpoint: Endpoint) -> Value {
    let state = endpoint.state;
    let shown_first = state.serving.as_ref().or(state.pending.as_ref());
    let mut answer = Map::new();
    let mut set = |member: &str, value: Value| {
        answer.insert(member.into(), value);
    };
    set("EndpointName", endpoint.name.into());
    set("EndpointArn", endpoint.arn.into());
    set("EndpointStatus", state.phase.word().into());
    set("CreationTime", endpoint.created.seconds().into());
    set("LastModifiedTime", endpoint.modified.seconds().into());
    if let Some(deployment) = shown_first {
        set("EndpointConfigName", deployment.config.clone().into());
        let served = state.serving.is_some() && state.phase != Phase::OutOfService;
        set("ProductionVariants", variants(deployment, served, state.phase == Phase::Creating));
        if let Some(policy) = &deployment.policy {
            set("LastDeploymentConfig", policy.clone());
        }
    }
    if let Some(reason) = state.failure {
        set("FailureReason", reason.into());
    }
    if let (Phase::Updating, Some(pending)) = (state.phase, &state.pending) {
        set(
            "PendingDeploymentSummary",
            json!({
                "EndpointConfigName": pending.config,
                "ProductionVariants": variants(pending, false, true),
                "StartTime": pending.asked.seconds(),
            }),
        );
    }
    Value::Object(answer)
}

/// Variants as Describe shows them: what is wanted of them, and whether it is so.
fn variants(deployment: &Deployment, served: bool, creating: bool) -> Value {
    let shown = deployment.variants.iter().map(|variant| {
        let mut shown = json!({
            "VariantName": variant.name,
            "DeployedImages": [{
                "SpecifiedImage": variant.container.image,
                "ResolvedImage": variant.container.image,
                "ResolutionTime": deployment.asked.seconds(),
            }],
            "CurrentWeight": if served { variant.weight } else { 0.0 },
            "DesiredWeight": variant.weight,
            "CurrentInstanceCount": if served { variant.instances } else { 0 },
            "DesiredInstanceCount": variant.instances,
        });
        if creating {
            shown["VariantStatus"] =
                json!([{ "Status": "Creating", "StartTime": deployment.asked.seconds() }]);
        }
        shown
    });
    Value::Array(shown.collect())
}

fn fault(error: EndpointError) -> Fault {
    match error {
        EndpointError::Store(cause) => Fault::internal(cause),
        EndpointError::Config(error) => endpoint_config::fault(error),
        EndpointError::Tags(error) => tags::fault(error),
        error => Fault::validation(error.to_string()),
    }
}
