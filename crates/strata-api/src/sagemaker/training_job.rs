//! Training jobs: a program, its data and its hyperparameters become a model.

mod members;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use strata_base::metadata::ListQuery;
use strata_platform::training::spec::{
    Channel, Compression, DEFAULT_RUNTIME, Distribution, MetricDefinition, Source, Spec,
};
use strata_platform::training::{Job, Phase, TrainingError, Transition};
use strata_wire::Fault;

use super::listing::ListRequest;
use super::tags::{Tag, pairs};
use crate::operation::{Answer, Cx};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateTrainingJob {
    training_job_name: String,
    #[serde(default)]
    hyper_parameters: BTreeMap<String, String>,
    algorithm_specification: Option<AlgorithmSpecification>,
    #[serde(default)]
    input_data_config: Vec<InputChannel>,
    output_data_config: OutputDataConfig,
    resource_config: Option<ResourceConfig>,
    #[serde(default)]
    stopping_condition: StoppingCondition,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AlgorithmSpecification {
    training_image: Option<String>,
    training_input_mode: String,
    #[serde(default)]
    metric_definitions: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: String,
    regex: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InputChannel {
    channel_name: String,
    data_source: DataSource,
    content_type: Option<String>,
    compression_type: Option<String>,
    input_mode: Option<String>,
}

#[derive(Deserialize)]
struct DataSource {
    #[serde(rename = "S3DataSource")]
    s3: Option<S3DataSource>,
}

#[derive(Deserialize)]
struct S3DataSource {
    #[serde(rename = "S3DataType")]
    data_type: String,
    #[serde(rename = "S3Uri")]
    uri: String,
    #[serde(rename = "S3DataDistributionType")]
    distribution: Option<String>,
}

#[derive(Deserialize)]
struct OutputDataConfig {
    #[serde(rename = "S3OutputPath")]
    path: String,
}

#[derive(Deserialize)]
struct ResourceConfig {
    #[serde(rename = "InstanceType")]
    instance_type: Option<String>,
    #[serde(rename = "InstanceCount")]
    instance_count: Option<i64>,
    #[serde(rename = "VolumeSizeInGB")]
    volume_size: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StoppingCondition {
    max_runtime_in_seconds: Option<i64>,
}

/// Starts a training job and returns at once; `describe` follows its progress.
pub async fn create(cx: Cx, req: CreateTrainingJob) -> Answer {
    members::check(&cx.call.document)?;
    let (spec, tags) = req.into_spec()?;
    let arn =
        cx.platform.training.create(spec, &pairs(tags), cx.call.document.clone()).await.map_err(fault)?;
    Ok(json!({ "TrainingJobArn": arn }).into())
}

impl CreateTrainingJob {
    fn into_spec(self) -> Result<(Spec, Vec<Tag>), Fault> {
        let required = |member: &str| Fault::validation(format!("{member} is required by this cloud"));
        let algorithm = self.algorithm_specification.ok_or_else(|| required("AlgorithmSpecification"))?;
        let image = algorithm.training_image.filter(|image| !image.is_empty());
        let image = image.ok_or_else(|| required("AlgorithmSpecification.TrainingImage"))?;
        let resources = self.resource_config.ok_or_else(|| required("ResourceConfig"))?;
        let instance_type = resources.instance_type.ok_or_else(|| required("ResourceConfig.InstanceType"))?;
        match resources.instance_count {
            None => return Err(required("ResourceConfig.InstanceCount")),
            Some(1) => {}
            Some(count) if count < 1 => {
                return Err(Fault::validation(format!("InstanceCount must be at least 1, not {count}")));
            }
            Some(count) => {
                return Err(Fault::validation(format!(
                    "InstanceCount {count} is not honoured by this cloud yet: a job runs on one host and may use all \
                     of its cores; set it to 1"
                )));
            }
        }
        if resources.volume_size.is_some_and(|size| size < 1) {
            return Err(Fault::validation("VolumeSizeInGB must be at least 1"));
        }
        let channels =
            self.input_data_config.into_iter().map(|channel| channel.parse(&algorithm.training_input_mode));
        let max_runtime_seconds = match self.stopping_condition.max_runtime_in_seconds {
            None => DEFAULT_RUNTIME,
            // What is out of range is told by the platform; a negative number is out of range too.
            Some(seconds) => u64::try_from(seconds).unwrap_or(0),
        };
        let metrics = algorithm.metric_definitions.into_iter();
        let spec = Spec {
            name: self.training_job_name.try_into().map_err(Fault::validation)?,
            image,
            hyperparameters: self.hyper_parameters,
            channels: channels.collect::<Result<_, _>>()?,
            output: self.output_data_config.path.try_into().map_err(Fault::validation)?,
            instance_type,
            max_runtime_seconds,
            environment: self.environment,
            metrics: metrics.map(|Metric { name, regex }| MetricDefinition { name, regex }).collect(),
        };
        Ok((spec, self.tags))
    }
}

impl InputChannel {
    fn parse(self, mode: &str) -> Result<Channel, Fault> {
        let name = self.channel_name;
        // FastFile shows the files of a channel at the same paths as File does, before all of
        // them are there; here all of them are there before the program starts.
        let mode = self.input_mode.as_deref().unwrap_or(mode);
        if mode == "Pipe" {
            return Err(Fault::validation(format!(
                "input mode Pipe of channel {name:?} is not honoured by this cloud yet: use File or FastFile"
            )));
        }
        let source = self.data_source.s3.ok_or_else(|| {
            Fault::validation(format!("channel {name:?} has no S3DataSource: data is read from S3 here"))
        })?;
        let place =
            source.uri.try_into().map_err(|cause| Fault::validation(format!("channel {name:?}: {cause}")))?;
        Ok(Channel {
            source: match source.data_type.as_str() {
                "S3Prefix" => Source::Prefix(place),
                "ManifestFile" => Source::Manifest(place),
                other => {
                    return Err(Fault::validation(format!(
                        "S3DataType {other} of channel {name:?} is not honoured by this cloud yet: use S3Prefix or \
                         ManifestFile"
                    )));
                }
            },
            content_type: self.content_type.unwrap_or_default(),
            compression: match self.compression_type.as_deref() {
                Some("Gzip") => Compression::Gzip,
                _ => Compression::None,
            },
            distribution: match source.distribution.as_deref() {
                Some("ShardedByS3Key") => Distribution::ShardedByS3Key,
                _ => Distribution::FullyReplicated,
            },
            name: name.try_into().map_err(Fault::validation)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    training_job_name: String,
}

/// What the caller said, and what became of it.
pub async fn describe(cx: Cx, req: Named) -> Answer {
    let training = &cx.platform.training;
    let (job, history) = training.describe(&req.training_job_name).await.map_err(fault)?;
    let definitions = training.metric_definitions(&job);
    Ok(described(job, &history, &definitions).into())
}

fn described(job: Job, history: &[Transition], definitions: &[MetricDefinition]) -> Value {
    let seconds = job.seconds();
    let mut document = match job.document {
        Value::Object(members) => members,
        _ => Default::default(),
    };
    document.remove("Tags");
    for switch in
        ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"]
    {
        document.entry(switch).or_insert(false.into());
    }
    document.entry("StoppingCondition").or_insert(json!({ "MaxRuntimeInSeconds": DEFAULT_RUNTIME }));
    if let Some(Value::Object(algorithm)) = document.get_mut("AlgorithmSpecification") {
        algorithm.entry("EnableSageMakerMetricsTimeSeries").or_insert(false.into());
        if !definitions.is_empty() {
            // The SDK's TrainingJobAnalytics takes the names of the metrics from here.
            let shown =
                definitions.iter().map(|metric| json!({ "Name": metric.name, "Regex": metric.regex }));
            algorithm.insert("MetricDefinitions".into(), shown.collect());
        }
    }
    let state = job.state;
    let phase = &state.phase;
    let transitions = history.iter().map(|transition| {
        let mut shown = json!({
            "Status": transition.status,
            "StartTime": transition.start.seconds(),
            "StatusMessage": transition.message,
        });
        if let Some(end) = transition.end {
            shown["EndTime"] = end.seconds().into();
        }
        shown
    });
    let mut set = |member: &str, value: Value| drop(document.insert(member.into(), value));
    set("TrainingJobName", job.name.into());
    set("TrainingJobArn", job.arn.into());
    set("TrainingJobStatus", phase.status().into());
    set("SecondaryStatus", phase.secondary().into());
    set("SecondaryStatusTransitions", transitions.collect());
    set("CreationTime", job.created.seconds().into());
    set("LastModifiedTime", job.modified.seconds().into());
    set("ProfilingStatus", "Disabled".into());
    if let Phase::Failed(reason) = phase {
        set("FailureReason", reason.clone().into());
    }
    if let Some(started) = state.started {
        set("TrainingStartTime", started.seconds().into());
    }
    if let Some(ended) = state.ended {
        set("TrainingEndTime", ended.seconds().into());
    }
    if let Some(seconds) = seconds {
        set("TrainingTimeInSeconds", seconds.into());
        set("BillableTimeInSeconds", seconds.into());
    }
    if let Some(model) = state.model {
        set("ModelArtifacts", json!({ "S3ModelArtifacts": model }));
    }
    if !state.metrics.is_empty() {
        let shown = state.metrics.iter().map(
            |(name, last)| json!({ "MetricName": name, "Value": last.value, "Timestamp": last.at.seconds() }),
        );
        set("FinalMetricDataList", shown.collect());
    }
    Value::Object(document)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTrainingJobs {
    #[serde(flatten)]
    common: ListRequest,
    warm_pool_status_equals: Option<String>,
    training_plan_arn_equals: Option<String>,
}

pub async fn list(cx: Cx, req: ListTrainingJobs) -> Answer {
    // There are no warm pools and no training plans here, so no job has one.
    if req.warm_pool_status_equals.is_some() || req.training_plan_arn_equals.is_some() {
        return Ok(json!({ "TrainingJobSummaries": [] }).into());
    }
    // The other lists begin with the newest; of this one the default is documented as ascending.
    let descending = cx.call.document["SortOrder"] == "Descending";
    let query = ListQuery { descending, ..req.common.newest_first() };
    let (jobs, next) = cx.platform.training.list(query).await.map_err(fault)?;
    let summaries = jobs.into_iter().map(|job| {
        let mut summary = json!({
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "CreationTime": job.created.seconds(),
            "LastModifiedTime": job.modified.seconds(),
            "TrainingJobStatus": job.state.phase.status(),
            "SecondaryStatus": job.state.phase.secondary(),
        });
        if let Some(ended) = job.state.ended {
            summary["TrainingEndTime"] = ended.seconds().into();
        }
        summary
    });
    let mut answer = json!({ "TrainingJobSummaries": summaries.collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer.into())
}

/// Asks the job to end; what it has saved is kept.
pub async fn stop(cx: Cx, req: Named) -> Answer {
    cx.platform.training.stop(&req.training_job_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

/// Forgets a job that is over; its artefacts stay.
pub async fn delete(cx: Cx, req: Named) -> Answer {
    cx.platform.training.delete(&req.training_job_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

fn fault(error: TrainingError) -> Fault {
    let code = match &error {
        TrainingError::Exists(_) | TrainingError::NotOver(_) => "ResourceInUse",
        TrainingError::TooMany(_) => "ResourceLimitExceeded",
        TrainingError::Missing
        | TrainingError::Invalid(_)
        | TrainingError::Over(_)
        | TrainingError::Token(_) => "ValidationException",
        TrainingError::Store(cause) => return Fault::internal(cause),
    };
    Fault::new(400, code, error.to_string())
}

#[cfg(test)]
mod tests;
