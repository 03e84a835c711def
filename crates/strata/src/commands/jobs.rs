//! `strata jobs`: training jobs.

use serde_json::{Value, json};

use super::shelf;
use crate::cli::Jobs;
use crate::client::Client;
use crate::output;

const COLUMNS: &[(&str, &str)] = &[
    ("TrainingJobName", "NAME"),
    ("TrainingJobStatus", "STATUS"),
    ("CreationTime", "CREATED (UTC)"),
    ("TrainingEndTime", "ENDED (UTC)"),
];

/// What a person asks for first; the rest follows in alphabetical order.
const FIRST: &[&str] = &[
    "TrainingJobName",
    "TrainingJobStatus",
    "SecondaryStatus",
    "FailureReason",
    "FinalMetricDataList",
    "ModelArtifacts",
    "HyperParameters",
];

pub fn run(cloud: &Client, command: Jobs, json: bool) -> Result<(), String> {
    match command {
        Jobs::Ls(args) => {
            let query =
                json!({ "NameContains": args.contains, "SortBy": "CreationTime", "SortOrder": "Descending" });
            let jobs = cloud.list("ListTrainingJobs", "TrainingJobSummaries", query, args.limit)?;
            shelf::print(&jobs, COLUMNS, json);
        }
        Jobs::Show(args) => {
            let job = cloud.sagemaker("DescribeTrainingJob", &json!({ "TrainingJobName": args.name }))?;
            if json { output::json(&job) } else { show(job) }
        }
        Jobs::Stop(args) => {
            cloud.sagemaker("StopTrainingJob", &json!({ "TrainingJobName": args.name }))?;
        }
        Jobs::Rm(args) => {
            cloud.sagemaker("DeleteTrainingJob", &json!({ "TrainingJobName": args.name }))?;
        }
    }
    Ok(())
}

fn show(mut job: Value) {
    // A built-in algorithm has dozens; they are for programs (--json).
    if let Some(algorithm) = job["AlgorithmSpecification"].as_object_mut() {
        algorithm.remove("MetricDefinitions");
    }
    for member in FIRST {
        if let Some(value) = job.as_object_mut().and_then(|job| job.remove(*member)) {
            output::document(&json!({ *member: value }));
        }
    }
    output::document(&job);
}
