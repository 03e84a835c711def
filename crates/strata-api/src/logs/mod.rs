//! CloudWatch Logs: groups of streams of lines, written by jobs, endpoints and callers.

mod cursor;
mod events;
mod groups;
mod pattern;
mod search;
mod streams;

use strata_base::logs::LogsError;
use strata_wire::Fault;

use crate::operation::{Cx, Operations};

pub fn operations() -> Operations {
    let tags = "log groups carry no tags yet; tell them apart by name";
    let retention = "a group keeps its newest 256 MiB whatever their age; delete the group to end it sooner";
    let insights = "search with FilterLogEvents";
    Operations::new("logs")
        // A batch of PutLogEvents has up to 1 MiB of messages, which JSON may write much longer.
        .max_body(6 << 20)
        .partial(
            "CreateLogGroup",
            "Groups are of the class STANDARD, without tags, keys of their own or protection from deletion.",
            groups::create_log_group,
        )
        .real("CreateLogStream", streams::create_log_stream)
        .real("DeleteLogGroup", groups::delete_log_group)
        .real("DeleteLogStream", streams::delete_log_stream)
        .refused("DeleteRetentionPolicy", retention)
        .real("DescribeLogGroups", groups::describe_log_groups)
        .real("DescribeLogStreams", streams::describe_log_streams)
        .partial(
            "FilterLogEvents",
            "Patterns of words, phrases, exclusions and options work; patterns over JSON members, columns and \
             regular expressions do not.",
            search::filter_log_events,
        )
        .real("GetLogEvents", events::get_log_events)
        .refused("GetQueryResults", insights)
        .refused("ListTagsForResource", tags)
        .refused("PutMetricFilter", "send numbers with CloudWatch's PutMetricData")
        .real("PutLogEvents", events::put_log_events)
        .refused("PutRetentionPolicy", retention)
        .refused("StartLiveTail", "poll GetLogEvents with the token of the page before")
        .refused("StartQuery", insights)
        .refused("TagLogGroup", tags)
        .refused("TagResource", tags)
}

fn fault(error: LogsError) -> Fault {
    match error {
        LogsError::NoGroup(_) => {
            Fault::new(400, "ResourceNotFoundException", "The specified log group does not exist.")
        }
        LogsError::NoStream(_) => {
            Fault::new(400, "ResourceNotFoundException", "The specified log stream does not exist.")
        }
        // The caller knows which of the two it asked for and says so.
        LogsError::Exists(name) => {
            Fault::new(400, "ResourceAlreadyExistsException", format!("{name} already exists"))
        }
        other => Fault::internal(other),
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidParameterException", message)
}

/// `refuse_members` in this service's words.
fn refuse(cx: &Cx, members: &[(&str, &str)]) -> Result<(), Fault> {
    crate::operation::refuse_members(&cx.call.document, members).map_err(|refused| invalid(refused.message))
}

/// The group that a request names, by its name or by its ARN.
fn group_of(cx: &Cx, name: Option<String>, identifier: Option<String>) -> Result<String, Fault> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => {
            let prefix = cx.platform.ports.cloud.arn("logs", "log-group:");
            match identifier.strip_prefix(&prefix) {
                Some(name) => Ok(name.strip_suffix(":*").unwrap_or(name).into()),
                None if identifier.contains(':') => Err(fault(LogsError::NoGroup(identifier))),
                None => Ok(identifier),
            }
        }
        _ => Err(invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.")),
    }
}
