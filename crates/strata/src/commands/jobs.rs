//! `strata jobs`: training jobs.

use serde_json::json;

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
            if json { output::json(&job) } else { output::document(&job) }
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
