//! The operations of `sagemaker`, in alphabetical order.

mod endpoint;
mod endpoint_config;
mod listing;
mod model;
mod tags;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod training_job;

use crate::operation::Operations;

pub fn operations() -> Operations {
    Operations::new("sagemaker")
        .real("AddTags", tags::add)
        .partial(
            "CreateEndpoint",
            "New variants take over all at once; canary, linear and rolling traffic are refused.",
            endpoint::create,
        )
        .partial(
            "CreateEndpointConfig",
            "Instance types are kept but not enforced; serverless, shadow and asynchronous variants, data capture \
             and explainers are refused.",
            endpoint_config::create,
        )
        .partial(
            "CreateModel",
            "Images of built-in algorithms only; inference pipelines and multi-model containers are refused.",
            model::create,
        )
        .partial(
            "CreateTrainingJob",
            "Images of built-in algorithms only, on one host, in File mode (FastFile reads the same files); instance \
             types are kept but not enforced; checkpoints, spot instances, VPCs, Debugger and Profiler are refused.",
            training_job::create,
        )
        .real("DeleteEndpoint", endpoint::delete)
        .real("DeleteEndpointConfig", endpoint_config::delete)
        .real("DeleteModel", model::delete)
        .real("DeleteTags", tags::delete)
        .real("DeleteTrainingJob", training_job::delete)
        .real("DescribeEndpoint", endpoint::describe)
        .real("DescribeEndpointConfig", endpoint_config::describe)
        .real("DescribeModel", model::describe)
        .real("DescribeTrainingJob", training_job::describe)
        .real("ListEndpointConfigs", endpoint_config::list)
        .real("ListEndpoints", endpoint::list)
        .real("ListModels", model::list)
        .real("ListTags", tags::list)
        .real("ListTrainingJobs", training_job::list)
        .real("StopTrainingJob", training_job::stop)
        .partial(
            "UpdateEndpoint",
            "New variants take over all at once; canary, linear and rolling traffic are refused.",
            endpoint::update,
        )
        .real("UpdateEndpointWeightsAndCapacities", endpoint::update_weights)
}
