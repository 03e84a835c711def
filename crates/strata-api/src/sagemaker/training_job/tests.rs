//! What callers read about training jobs. A shell script stands for the program.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use futures::stream;
use serde_json::{Value, json};
use strata_base::objects::{Attributes, Expected, Precondition};
use strata_compute::Local;

use crate::sagemaker::operations;
use crate::testing::{TestCloud, masked};

const TIMES: &[&str] = &[
    "CreationTime",
    "LastModifiedTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "StartTime",
    "EndTime",
    "Timestamp",
    // Both are the card's matter.
    "MetricDefinitions",
];

/// A cloud whose programs run this script in their `/opt/ml`, with data at `s3://data/train/`.
async fn cloud(script: &str) -> (TestCloud, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\ncd \"$5\" || exit 98\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let cloud = TestCloud::with(operations(), Arc::new(Local::new()), program).await;
    let body = Box::pin(stream::iter([Ok("1,2\n".into())]));
    let objects = &cloud.platform.ports.objects;
    objects
        .put("data", "train/a.csv", body, Attributes::default(), Expected::default(), Precondition::default())
        .await
        .unwrap();
    (cloud, folder)
}

fn request(name: &str) -> Value {
    json!({
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
            "TrainingInputMode": "File",
        },
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "HyperParameters": { "num_round": "3" },
        "InputDataConfig": [{
            "ChannelName": "train",
            "ContentType": "text/csv",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://data/train/" } },
        }],
        "OutputDataConfig": { "S3OutputPath": "s3://data/out/" },
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10 },
        "Tags": [{ "Key": "team", "Value": "blue" }],
    })
}

fn named(name: &str) -> Value {
    json!({ "TrainingJobName": name })
}

#[tokio::test]
async fn a_finished_job_is_described_as_aws_does() {
    let (cloud, _folder) = cloud("printf '[0]#011train-rmse:0.5\\n'; echo x > model/xgboost-model").await;
    let created = cloud.call("CreateTrainingJob", request("Job-1")).await.unwrap();
    let arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/job-1";
    assert_eq!(created, json!({ "TrainingJobArn": arn }));
    cloud.platform.training.idle().await;

    let described = cloud.call("DescribeTrainingJob", named("Job-1")).await.unwrap();
    assert!(described["CreationTime"].is_number() && described["TrainingEndTime"].is_number());
    let metrics = described["AlgorithmSpecification"]["MetricDefinitions"].as_array().unwrap();
    assert!(metrics.iter().any(|metric| metric["Name"] == "train:rmse"), "{metrics:?}");
    insta::assert_json_snapshot!(masked(described, TIMES));

    let tags = cloud.call("ListTags", json!({ "ResourceArn": arn })).await.unwrap();
    assert_eq!(tags, json!({ "Tags": [{ "Key": "team", "Value": "blue" }] }));
    assert_eq!(
        cloud.fault("StopTrainingJob", named("Job-1")).await,
        "ValidationException: The request was rejected because the training job is in status Completed."
    );
    assert_eq!(
        cloud.fault("CreateTrainingJob", request("Job-1")).await,
        format!(
            "ResourceInUse: Training job names must be unique within an AWS account and region, and a training job \
             with this name already exists ({arn})"
        )
    );
    cloud.call("DeleteTrainingJob", named("Job-1")).await.unwrap();
    assert_eq!(
        cloud.fault("DescribeTrainingJob", named("Job-1")).await,
        "ValidationException: Requested resource not found."
    );
}

#[tokio::test]
async fn a_failed_job_says_why() {
    let (cloud, _folder) = cloud("echo 'ClientError: row 17 is ragged' > output/failure; exit 1").await;
    cloud.call("CreateTrainingJob", request("bad")).await.unwrap();
    cloud.platform.training.idle().await;
    let described = cloud.call("DescribeTrainingJob", named("bad")).await.unwrap();
    assert_eq!(described["TrainingJobStatus"], "Failed");
    assert_eq!(described["FailureReason"], "ClientError: row 17 is ragged, exit code: 1");
    // Strict clients want absent structures absent.
    for member in ["ModelArtifacts", "FinalMetricDataList", "VpcConfig", "Tags"] {
        assert_eq!(described.get(member), None, "{member}");
    }
}

#[tokio::test]
async fn a_running_job_can_be_stopped_and_not_deleted() {
    let (cloud, _folder) = cloud("trap 'exit 0' TERM; while :; do sleep 1000 & wait; done").await;
    cloud.call("CreateTrainingJob", request("long")).await.unwrap();
    let refused = cloud.fault("DeleteTrainingJob", named("long")).await;
    assert!(refused.starts_with("ResourceInUse: The training job is in status InProgress."), "{refused}");
    cloud.call("StopTrainingJob", named("long")).await.unwrap();
    cloud.platform.training.idle().await;
    let described = cloud.call("DescribeTrainingJob", named("long")).await.unwrap();
    assert_eq!(described["TrainingJobStatus"], "Stopped");
    assert_eq!(described["SecondaryStatus"], "Stopped");
    for operation in ["StopTrainingJob", "DeleteTrainingJob", "DescribeTrainingJob"] {
        assert_eq!(
            cloud.fault(operation, named("nobody")).await,
            "ValidationException: Requested resource not found."
        );
    }
}

#[tokio::test]
async fn jobs_are_listed_in_pages() {
    let (cloud, _folder) = cloud("[ $TRAINING_JOB_NAME != n03 ] || exit 1").await;
    for i in 0..12 {
        cloud.call("CreateTrainingJob", request(&format!("n{i:02}"))).await.unwrap();
    }
    cloud.platform.training.idle().await;
    let list = async |query: Value| {
        let answer = cloud.call("ListTrainingJobs", query).await.unwrap();
        let jobs = answer["TrainingJobSummaries"].as_array().unwrap().clone();
        let names: Vec<String> =
            jobs.iter().map(|job| job["TrainingJobName"].as_str().unwrap().into()).collect();
        (names, answer["NextToken"].as_str().map(String::from), jobs)
    };
    let by_name = json!({ "SortBy": "Name", "SortOrder": "Ascending" });
    let (first, token, jobs) = list(by_name.clone()).await;
    assert_eq!((first.len(), first[0].as_str()), (10, "n00"));
    insta::assert_json_snapshot!(masked(jobs[0].clone(), TIMES));
    let mut next = by_name;
    next["NextToken"] = token.unwrap().into();
    let (second, end, _) = list(next).await;
    assert_eq!((second, end), (vec!["n10".to_string(), "n11".into()], None));
    assert_eq!(list(json!({ "StatusEquals": "Failed" })).await.0, ["n03"]);
    assert_eq!(list(json!({ "NameContains": "n1", "SortBy": "Name" })).await.0, ["n10", "n11"]);
    assert_eq!(list(json!({ "CreationTimeAfter": 32_503_680_000_i64 })).await.0, [""; 0]);
    assert_eq!(list(json!({ "WarmPoolStatusEquals": "Available" })).await.0, [""; 0]);
    let bad = cloud.fault("ListTrainingJobs", json!({ "NextToken": "?" })).await;
    assert_eq!(bad, "ValidationException: NextToken \"?\" is not one that this operation returned");
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_way_out() {
    let (cloud, _folder) = cloud("exit 0").await;
    let check = async |path: &str, value: Value, expected: &str| {
        let mut request = request("job");
        *request.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        let why = cloud.fault("CreateTrainingJob", request).await;
        assert!(why.starts_with("ValidationException: ") && why.contains(expected), "{why}");
    };
    check("/ResourceConfig/InstanceCount", json!(0), "InstanceCount must be at least 1, not 0").await;
    check("/ResourceConfig/InstanceCount", json!(2), "set it to 1").await;
    check("/ResourceConfig/VolumeSizeInGB", json!(0), "VolumeSizeInGB").await;
    check("/ResourceConfig", json!(null), "ResourceConfig is required").await;
    check("/AlgorithmSpecification/TrainingInputMode", json!("Pipe"), "use File or FastFile").await;
    check(
        "/AlgorithmSpecification/TrainingImage",
        json!("host/mine:1"),
        "\"mine\" names no built-in algorithm",
    )
    .await;
    check(
        "/AlgorithmSpecification",
        json!({ "AlgorithmName": "market", "TrainingInputMode": "File" }),
        "there is no marketplace",
    )
    .await;
    check("/HyperParameters", json!({ "num_round": "many" }), "num_round").await;
    check("/InputDataConfig/0/ChannelName", json!(".."), "channel name \"..\"").await;
    check("/InputDataConfig/0/DataSource", json!({}), "has no S3DataSource").await;
    check(
        "/InputDataConfig/0/DataSource/S3DataSource/S3Uri",
        json!("s3://data/nothing"),
        "No S3 objects found under S3 URL \"s3://data/nothing\" given in input data source.",
    )
    .await;
    check(
        "/InputDataConfig/0/DataSource/S3DataSource/S3DataType",
        json!("AugmentedManifestFile"),
        "use S3Prefix or ManifestFile",
    )
    .await;
    check("/OutputDataConfig/S3OutputPath", json!("file:///tmp"), "is not an S3 URI").await;
    check("/Tags", json!([{ "Key": "aws:x", "Value": "" }]), "reserved").await;
    let mut request = request("job");
    request["StoppingCondition"] = json!({ "MaxRuntimeInSeconds": 2_419_201 });
    let why = cloud.fault("CreateTrainingJob", request).await;
    assert!(why.contains("between 1 and 2419200"), "{why}");
}
