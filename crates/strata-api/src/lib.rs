//! The operations of every served API: one folder a service, one file a
//! resource, one function an operation. A handler translates; the platform
//! decides.

mod cloudwatch;
mod iam;
mod keys;
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

pub use keys::Keys;
pub use operation::{Cx, Operations};

/// Every service with its operations, in alphabetical order.
pub fn operations() -> Vec<Operations> {
    vec![
        cloudwatch::operations(),
        iam::operations(),
        logs::operations(),
        runtime::operations(),
        sagemaker::operations(),
        sts::operations(),
    ]
}

/// The services at work on a platform.
pub fn services(platform: &Arc<Platform>) -> Vec<Service> {
    operations().into_iter().map(|operations| operations.bind(platform)).collect()
}
