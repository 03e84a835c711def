//! The operations of every served API: one folder a service, one file a
//! resource, one function an operation. A handler translates; the platform
//! decides.

mod cloudwatch;
mod iam;
mod logs;
mod operation;
pub mod runtime;
mod sagemaker;
mod sts;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use strata_platform::Platform;
use strata_wire::Service;

pub use operation::Cx;

/// Every service with its operations, in alphabetical order.
pub fn services(platform: &Arc<Platform>) -> Vec<Service> {
    vec![
        cloudwatch::service(platform),
        iam::service(platform),
        logs::service(platform),
        runtime::service(platform),
        sagemaker::service(platform),
        sts::service(platform),
    ]
}
