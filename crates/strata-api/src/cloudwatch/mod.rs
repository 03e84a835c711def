//! CloudWatch: numbers over time, written by endpoints, jobs and callers.

mod data;
mod list;
mod put;
mod shapes;
mod statistic;
mod statistics;
mod summary;

use strata_base::metrics::{Metrics, MetricsError};
use strata_wire::Fault;

use crate::operation::{Cx, Operations};

pub fn operations() -> Operations {
    let alarms = "alarms come later; poll GetMetricData";
    let dashboards = "dashboards come later; `/metrics` serves Prometheus";
    Operations::new("cloudwatch")
        .refused("DescribeAlarms", alarms)
        .refused("GetDashboard", dashboards)
        .partial(
            "GetMetricData",
            "Queries name one metric each; expressions (metric math, Metrics Insights) are not computed.",
            data::get_metric_data,
        )
        .partial(
            "GetMetricStatistics",
            "Of the extended statistics, percentiles (p0 to p100) are computed.",
            statistics::get_metric_statistics,
        )
        .real("ListMetrics", list::list_metrics)
        .refused("PutDashboard", dashboards)
        .refused("PutMetricAlarm", alarms)
        .partial(
            "PutMetricData",
            "Metrics of entities (EntityMetricData) are refused; a series keeps its newest 16 MiB.",
            put::put_metric_data,
        )
}

/// The metrics port, for reading: with what endpoints have counted up to now.
async fn metrics(cx: &Cx) -> Result<&dyn Metrics, Fault> {
    cx.platform.endpoints.flush_metrics().await.map_err(store)?;
    Ok(&*cx.platform.ports.metrics)
}

fn store(error: MetricsError) -> Fault {
    Fault::internal(error)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidParameterValue", message)
}

fn combination(message: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidParameterCombination", message)
}

fn missing(message: impl Into<String>) -> Fault {
    Fault::new(400, "MissingParameter", message)
}

fn validation(message: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationError", message)
}

/// `refuse_members` in this service's words.
fn refuse(cx: &Cx, members: &[(&str, &str)]) -> Result<(), Fault> {
    crate::operation::refuse_members(&cx.call.document, members).map_err(|refused| invalid(refused.message))
}
