//! The operations of `sagemaker`, in alphabetical order.

use std::sync::Arc;

use strata_platform::Platform;
use strata_wire::Service;

use crate::operation::Operations;

pub fn service(platform: &Arc<Platform>) -> Service {
    Operations::new("sagemaker", platform).build()
}
