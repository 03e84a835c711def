//! What becomes of each member of CreateTrainingJob: one line each, so that none is
//! forgotten and none is dropped in silence.

use serde_json::Value;
use strata_wire::Fault;

use crate::operation::is_asked;

/// A decision about a member and all that is below it.
enum Decision {
    /// It does what AWS says it does.
    Honoured,
    /// It is kept and echoed; why that changes nothing here.
    #[cfg_attr(not(test), allow(dead_code, reason = "the sentence is for the reader"))]
    Kept(&'static str),
    /// It would change the result: what to do instead.
    Refused(&'static str),
}

use Decision::{Honoured, Kept, Refused};

/// `[]` stands for each item of a list. A member is decided by the longest path that it is
/// below of.
const MEMBERS: &[(&str, Decision)] = &[
    ("AlgorithmSpecification.AlgorithmName", Refused("there is no marketplace; name a TrainingImage")),
    (
        "AlgorithmSpecification.ContainerArguments",
        Refused("built-in algorithms take no arguments; set HyperParameters"),
    ),
    (
        "AlgorithmSpecification.ContainerEntrypoint",
        Refused("built-in algorithms are programs of their own; leave it out"),
    ),
    (
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries",
        Kept("metrics are always kept as time series in CloudWatch"),
    ),
    ("AlgorithmSpecification.MetricDefinitions", Honoured),
    ("AlgorithmSpecification.TrainingImage", Honoured),
    (
        "AlgorithmSpecification.TrainingImageConfig.TrainingRepositoryAccessMode",
        Kept("images choose programs by their name and are not pulled"),
    ),
    (
        "AlgorithmSpecification.TrainingImageConfig.TrainingRepositoryAuthConfig",
        Refused("images choose programs by their name and are not pulled; leave it out"),
    ),
    // Pipe is refused by the parser, which also knows the mode of each channel.
    ("AlgorithmSpecification.TrainingInputMode", Honoured),
    ("CheckpointConfig", Refused("checkpoints are not copied to S3 yet; leave it out")),
    // The SDK sends a hook without collections with every job; it saves nothing.
    ("DebugHookConfig.CollectionConfigurations", Refused("tensors are not saved; leave DebugHookConfig out")),
    ("DebugHookConfig.HookParameters", Refused("tensors are not saved; leave DebugHookConfig out")),
    ("DebugHookConfig.LocalPath", Kept("a hook without collections saves nothing")),
    ("DebugHookConfig.S3OutputPath", Kept("a hook without collections saves nothing")),
    ("DebugRuleConfigurations", Refused("there is no Debugger; leave it out")),
    ("EnableInterContainerTrafficEncryption", Kept("a job is one process here, and no traffic")),
    (
        "EnableManagedSpotTraining",
        Refused("there are no spot instances; jobs that a restart interrupts begin again"),
    ),
    ("EnableNetworkIsolation", Kept("built-in algorithms open no connection while they train")),
    ("Environment", Honoured),
    ("ExperimentConfig", Refused("there are no experiments yet; leave it out, and use tags to group jobs")),
    ("HyperParameters", Honoured),
    ("InfraCheckConfig.EnableInfraCheck", Refused("there is no fleet to check; leave it out")),
    ("InputDataConfig[].ChannelName", Honoured),
    ("InputDataConfig[].CompressionType", Honoured),
    ("InputDataConfig[].ContentType", Honoured),
    ("InputDataConfig[].DataSource.DatasetSource", Refused("there is no hub; name an S3DataSource")),
    (
        "InputDataConfig[].DataSource.FileSystemDataSource",
        Refused("EFS and FSx cannot be mounted; put the data into S3 and name an S3DataSource"),
    ),
    (
        "InputDataConfig[].DataSource.S3DataSource.AttributeNames",
        Refused("it goes with AugmentedManifestFile, which is not read yet; use S3Prefix or ManifestFile"),
    ),
    (
        "InputDataConfig[].DataSource.S3DataSource.HubAccessConfig",
        Refused("there is no hub; name the data's own S3 URI"),
    ),
    (
        "InputDataConfig[].DataSource.S3DataSource.InstanceGroupNames",
        Refused("a job has one host and no instance groups; leave it out"),
    ),
    (
        "InputDataConfig[].DataSource.S3DataSource.ModelAccessConfig",
        Refused("there are no gated models; name the data's own S3 URI"),
    ),
    ("InputDataConfig[].DataSource.S3DataSource.S3DataDistributionType", Honoured),
    ("InputDataConfig[].DataSource.S3DataSource.S3DataType", Honoured),
    ("InputDataConfig[].DataSource.S3DataSource.S3Uri", Honoured),
    ("InputDataConfig[].InputMode", Honoured),
    ("InputDataConfig[].RecordWrapperType", Refused("records are read as they are stored; leave it out")),
    (
        "InputDataConfig[].ShuffleConfig",
        Refused("files are not shuffled between epochs; shuffle them before the upload"),
    ),
    ("MlflowConfig", Refused("there is no managed MLflow; leave it out")),
    ("ModelPackageConfig", Refused("there is no model registry yet; leave it out")),
    (
        "OutputDataConfig.CompressionType",
        Refused("artefacts are stored as model.tar.gz; use GZIP or leave it out"),
    ),
    (
        "OutputDataConfig.KmsKeyId",
        Refused("objects are not encrypted with keys of their own; encrypt the data folder's disk"),
    ),
    ("OutputDataConfig.S3OutputPath", Honoured),
    ("ProfilerConfig.DisableProfiler", Kept("there is no profiler to disable")),
    (
        "ProfilerConfig.ProfilingIntervalInMilliseconds",
        Kept("the SDK sends it with every job; Describe says Disabled"),
    ),
    ("ProfilerConfig.ProfilingParameters", Refused("there is no profiler; leave ProfilerConfig out")),
    // The SDK sends a place for the profiler's files with every job.
    ("ProfilerConfig.S3OutputPath", Kept("nothing is profiled; Describe says Disabled")),
    (
        "ProfilerRuleConfigurations",
        Refused("there is no profiler; leave it out (disable_profiler=True in the SageMaker SDK)"),
    ),
    ("RemoteDebugConfig.EnableRemoteDebug", Refused("jobs run on this machine; look at them from here")),
    // Looked at by the parser.
    ("ResourceConfig.InstanceCount", Honoured),
    ("ResourceConfig.InstanceGroups", Refused("a job has one host; set InstanceType and InstanceCount 1")),
    ("ResourceConfig.InstancePlacementConfig", Refused("a job has one host, this one; leave it out")),
    ("ResourceConfig.InstancePreferences", Refused("a job has one host, this one; set InstanceType")),
    ("ResourceConfig.InstanceType", Kept("the program is told; it has the cores and memory of this machine")),
    (
        "ResourceConfig.KeepAlivePeriodInSeconds",
        Refused("jobs start in milliseconds and need no warm pool; leave it out"),
    ),
    ("ResourceConfig.SelectedInstanceCount", Refused("it is part of answers only; leave it out")),
    ("ResourceConfig.SelectedInstanceType", Refused("it is part of answers only; leave it out")),
    ("ResourceConfig.TrainingPlanArn", Refused("there are no training plans; leave it out")),
    (
        "ResourceConfig.VolumeKmsKeyId",
        Refused("work folders are not encrypted; encrypt the data folder's disk"),
    ),
    ("ResourceConfig.VolumeSizeInGB", Kept("a job has the space of this machine's disk")),
    ("RetryStrategy", Refused("jobs are not tried again after a failure; create the job again")),
    ("RoleArn", Kept("jobs reach their own data only; it is checked for its form")),
    (
        "ServerlessJobConfig",
        Refused("there are no serverless jobs; set AlgorithmSpecification and ResourceConfig"),
    ),
    (
        "SessionChainingConfig.EnableSessionTagChaining",
        Refused("roles are not assumed by jobs; leave it out"),
    ),
    (
        "StoppingCondition.MaxPendingTimeInSeconds",
        Refused("jobs wait for a place as long as it takes; stop them with StopTrainingJob"),
    ),
    ("StoppingCondition.MaxRuntimeInSeconds", Honoured),
    (
        "StoppingCondition.MaxWaitTimeInSeconds",
        Refused("it goes with spot instances, of which there are none; leave it out"),
    ),
    ("Tags", Honoured),
    ("TensorBoardOutputConfig", Refused("built-in algorithms write no TensorBoard files; leave it out")),
    ("TrainingJobName", Honoured),
    ("VpcConfig", Refused("there are no VPCs; jobs run on this machine. Leave it out")),
];

/// Values of refused members that ask for nothing, beside absent, `false` and empty ones.
const HARMLESS: &[(&str, &str)] = &[
    ("InputDataConfig[].RecordWrapperType", "None"),
    ("OutputDataConfig.CompressionType", "GZIP"),
    ("OutputDataConfig.KmsKeyId", ""),
    ("ResourceConfig.KeepAlivePeriodInSeconds", "0"),
    ("ResourceConfig.VolumeKmsKeyId", ""),
];

/// Refuses the first member that would change the result and is not honoured.
pub fn check(document: &Value) -> Result<(), Fault> {
    for (path, decision) in MEMBERS {
        let Refused(sentence) = decision else { continue };
        for value in find(document, path) {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if is_asked(value) && !HARMLESS.contains(&(*path, text.as_str())) {
                let member = path.replace("[]", "");
                return Err(Fault::validation(format!("{member} is not honoured by this cloud: {sentence}")));
            }
        }
    }
    Ok(())
}

/// The values at a path.
fn find<'a>(document: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![document];
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        found = found.into_iter().filter_map(|value| value.get(name)).collect();
        if part.ends_with("[]") {
            found = found.into_iter().filter_map(Value::as_array).flatten().collect();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn refusal(document: Value) -> String {
        check(&document).map_or_else(|fault| fault.message, |()| "accepted".into())
    }

    #[test]
    fn what_is_not_honoured_is_refused_with_a_way_out() {
        assert_eq!(
            refusal(json!({"VpcConfig": {"Subnets": ["s"], "SecurityGroupIds": ["g"]}})),
            "VpcConfig is not honoured by this cloud: there are no VPCs; jobs run on this machine. Leave it out"
        );
        let channels = json!({"InputDataConfig": [{"ChannelName": "a"}, {"ShuffleConfig": {"Seed": 1}}]});
        assert!(refusal(channels).starts_with("InputDataConfig.ShuffleConfig is not honoured"));
        assert!(refusal(json!({"OutputDataConfig": {"CompressionType": "NONE"}})).contains("model.tar.gz"));
        assert!(refusal(json!({"ResourceConfig": {"KeepAlivePeriodInSeconds": 60}})).contains("warm pool"));
        assert!(refusal(json!({"EnableManagedSpotTraining": true})).contains("no spot instances"));
    }

    #[test]
    fn what_asks_for_nothing_passes() {
        for document in [
            json!({}),
            json!({"VpcConfig": {}, "EnableManagedSpotTraining": false, "DebugRuleConfigurations": []}),
            // What version 2 of the SageMaker SDK sends with every job.
            json!({"DebugHookConfig": {"S3OutputPath": "s3://b/o", "CollectionConfigurations": []},
                   "ProfilerConfig": {"S3OutputPath": "s3://b/o", "DisableProfiler": false}}),
            json!({"OutputDataConfig": {"CompressionType": "GZIP", "KmsKeyId": ""},
                   "ResourceConfig": {"KeepAlivePeriodInSeconds": 0},
                   "InputDataConfig": [{"RecordWrapperType": "None"}],
                   "RemoteDebugConfig": {"EnableRemoteDebug": false}}),
        ] {
            assert_eq!(refusal(document.clone()), "accepted", "{document}");
        }
    }

    #[test]
    fn the_table_is_in_order() {
        let paths: Vec<&str> = MEMBERS.iter().map(|(path, _)| *path).collect();
        assert!(paths.is_sorted_by(|a, b| a < b), "{paths:?}");
        for (path, decision) in MEMBERS {
            if let Kept(sentence) | Refused(sentence) = decision {
                assert!(sentence.len() > 10 && !sentence.ends_with('.'), "{path}");
            }
        }
        for (path, _) in HARMLESS {
            assert!(paths.contains(path), "{path}");
        }
    }

    #[test]
    fn every_member_of_the_model_is_decided() {
        const NAME: &str = "every_member_of_the_model_is_decided";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apis/sagemaker.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            println!("skipped {NAME}: {} is missing", file.display());
            return;
        };
        let model: Value = serde_json::from_str(&text).expect("json");
        let mut undecided = Vec::new();
        look(&model, "CreateTrainingJobRequest", "", &mut undecided);
        assert!(undecided.is_empty(), "{undecided:?}");
    }

    /// Walks down the shapes until a path is in the table.
    fn look(model: &Value, shape: &str, path: &str, undecided: &mut Vec<String>) {
        if MEMBERS.iter().any(|(decided, _)| *decided == path) {
            return;
        }
        let below = MEMBERS.iter().any(|(decided, _)| path.is_empty() || decided.starts_with(path));
        let shape = &model["shapes"][shape];
        let name = |value: &Value| value["shape"].as_str().unwrap_or_default().to_string();
        match (shape["type"].as_str(), below) {
            (Some("structure"), true) => {
                for (member, target) in shape["members"].as_object().into_iter().flatten() {
                    let dot = if path.is_empty() { "" } else { "." };
                    look(model, &name(target), &format!("{path}{dot}{member}"), undecided);
                }
            }
            (Some("list"), true) => look(model, &name(&shape["member"]), &format!("{path}[]"), undecided),
            _ => undecided.push(path.into()),
        }
    }
}
