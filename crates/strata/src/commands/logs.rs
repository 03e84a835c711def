//! `strata logs`: the lines of a training job or an endpoint.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Logs;
use crate::client::{Client, Problem};
use crate::output;

/// How often `--follow` asks for more.
const PAUSE: Duration = Duration::from_millis(300);

pub fn run(cloud: &Client, args: &Logs, as_json: bool) -> Result<(), String> {
    let job = cloud.ask("sagemaker", "DescribeTrainingJob", &json!({ "TrainingJobName": args.name }));
    let is_job = job.is_ok();
    let group = match job {
        Ok(_) => "/aws/sagemaker/TrainingJobs".to_string(),
        Err(Problem::Refused { .. }) => {
            let known = cloud.ask("sagemaker", "DescribeEndpoint", &json!({ "EndpointName": args.name }));
            known.map_err(|problem| match problem {
                Problem::Refused { .. } => {
                    format!("there is no training job or endpoint named {:?}", args.name)
                }
                other => other.to_string(),
            })?;
            format!("/aws/sagemaker/Endpoints/{}", args.name)
        }
        Err(other) => return Err(other.to_string()),
    };
    let prefix = is_job.then(|| format!("{}/", args.name));
    let mut seen = Seen::default();
    loop {
        // Asked before the lines are read: what was logged before the end is then all there.
        let ended = !args.follow || (is_job && has_ended(cloud, &args.name)?);
        seen.print_new(cloud, &group, prefix.as_deref(), as_json)?;
        if ended {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

fn has_ended(cloud: &Client, name: &str) -> Result<bool, String> {
    let job = cloud.sagemaker("DescribeTrainingJob", &json!({ "TrainingJobName": name }))?;
    Ok(matches!(job["TrainingJobStatus"].as_str(), Some("Completed" | "Failed" | "Stopped")))
}

/// Where reading goes on: the time of the last line, and the ids printed at that time.
#[derive(Default)]
struct Seen {
    at: i64,
    ids: Vec<String>,
}

impl Seen {
    fn print_new(
        &mut self,
        cloud: &Client,
        group: &str,
        prefix: Option<&str>,
        as_json: bool,
    ) -> Result<(), String> {
        let mut token = Value::Null;
        loop {
            let query = json!({
                "logGroupName": group,
                "logStreamNamePrefix": prefix,
                "startTime": self.at,
                "nextToken": token,
            });
            let page = match cloud.ask("logs", "FilterLogEvents", &query) {
                Ok(page) => page,
                // Nothing was logged yet.
                Err(Problem::Refused { code, .. }) if code == "ResourceNotFoundException" => return Ok(()),
                Err(other) => return Err(other.to_string()),
            };
            for event in page["events"].as_array().into_iter().flatten() {
                self.print(event, as_json);
            }
            token = page["nextToken"].clone();
            if token.is_null() {
                return Ok(());
            }
        }
    }

    fn print(&mut self, event: &Value, as_json: bool) {
        let at = event["timestamp"].as_i64().unwrap_or_default();
        let id = event["eventId"].as_str().unwrap_or_default();
        if at == self.at && self.ids.iter().any(|seen| seen == id) {
            return;
        }
        if at > self.at {
            self.at = at;
            self.ids.clear();
        }
        self.ids.push(id.to_string());
        if as_json {
            println!("{event}");
        } else {
            let message = event["message"].as_str().unwrap_or_default();
            println!("{}  {message}", output::time(at as f64 / 1000.0));
        }
    }
}
