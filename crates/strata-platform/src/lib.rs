//! Layer 2, the platform: training jobs, models, endpoints and what they need.
//!
//! Each module owns one kind of resource: its rules, its states as an enum with
//! pure transitions, and the loop that does its work. Nothing here knows HTTP.

pub mod access;
pub mod endpoints;
pub mod images;
pub mod models;
pub mod tags;
#[cfg(test)]
mod toy;
pub mod training;

use std::path::PathBuf;
use std::sync::Arc;

use strata_base::Cloud;
use strata_base::compute::Compute;
use strata_base::logs::Logs;
use strata_base::metadata::Metadata;
use strata_base::metrics::Metrics;
use strata_base::objects::Objects;

/// What the platform stands on.
pub struct Ports {
    pub cloud: Cloud,
    pub metadata: Arc<dyn Metadata>,
    pub objects: Arc<dyn Objects>,
    pub logs: Arc<dyn Logs>,
    pub metrics: Arc<dyn Metrics>,
    pub compute: Arc<dyn Compute>,
    /// Folder for the work of jobs and for unpacked models (`DATA/work`).
    pub work: PathBuf,
    /// This very program, for children that run built-in algorithms.
    pub program: PathBuf,
}

/// The platform: one field a kind of resource.
pub struct Platform {
    pub ports: Arc<Ports>,
    pub access: Arc<access::Access>,
    pub endpoints: Arc<endpoints::Endpoints>,
    pub models: Arc<models::Models>,
    pub tags: Arc<tags::Tags>,
    pub training: Arc<training::Training>,
}

impl Platform {
    pub fn new(ports: Ports) -> Self {
        let ports = Arc::new(ports);
        let models = Arc::new(models::Models::new(ports.clone()));
        Self {
            access: Arc::new(access::Access::new(ports.clone())),
            endpoints: Arc::new(endpoints::Endpoints::new(ports.clone(), models.clone())),
            models,
            tags: Arc::new(tags::Tags::new(ports.clone())),
            training: Arc::new(training::Training::new(ports.clone())),
            ports,
        }
    }
}
