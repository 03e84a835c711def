//! The operations of every served API: one folder a service, one file a
//! resource, one function an operation. A handler translates; the platform
//! decides.

mod cloudwatch;
mod iam;
mod keys;
mod logs;
mod operation;
mod prometheus;
pub mod runtime;
mod sagemaker;
mod sts;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use strata_base::objects::Multipart;
use strata_platform::Platform;
use strata_wire::ledger::{self, Line};
use strata_wire::{Door, Service};

pub use keys::Keys;
pub use operation::{Cx, Operations};

/// Every service with its operations, in alphabetical order. S3 has a crate of its own.
fn operations() -> Vec<Operations> {
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
fn services(platform: &Arc<Platform>) -> Vec<Service> {
    operations().into_iter().map(|operations| operations.bind(platform)).collect()
}

/// The door of this platform: every service, the hot path, S3, and Prometheus' metrics.
pub fn door(platform: &Arc<Platform>, objects: Arc<dyn Multipart>) -> Door {
    let keys = Arc::new(Keys::new(platform.access.clone()));
    let services = services(platform);
    let cloud = &platform.ports.cloud;
    let s3 = strata_s3::service(objects, keys.clone(), &cloud.account, &cloud.region);
    Door::new(keys, services)
        .raw(Arc::new(runtime::Invocations(platform.clone())))
        .raw(Arc::new(prometheus::Signed(platform.clone())))
        .raw(Arc::new(prometheus::Basic(platform.clone())))
        .fallback(move |request| {
            let s3 = s3.clone();
            async move { s3.call(request).await }
        })
}

/// The fidelity ledger: every operation of every served API with its label.
pub fn ledger() -> Vec<Line> {
    let mut lines: Vec<Line> =
        operations().into_iter().flat_map(|operations| ledger::ledger(&operations.labels())).collect();
    let s3 = strata_s3::operations().into_iter();
    lines.extend(s3.map(|(operation, label)| Line { service: "s3", operation, label }));
    lines.sort_by_key(|line| (line.service, line.operation));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ledger_is_true() {
        let cloud = testing::TestCloud::new(sts::operations()).await;
        let services = services(&cloud.platform);
        let invocations = runtime::Invocations(cloud.platform.clone());
        let services: Vec<&Service> = services.iter().collect();
        assert_eq!(ledger::complaints(&services, &[&invocations]), Vec::<String>::new());
    }

    #[test]
    fn every_operation_has_one_line() {
        let lines = ledger();
        let mut names: Vec<_> = lines.iter().map(|line| (line.service, line.operation)).collect();
        names.dedup();
        assert_eq!(names.len(), lines.len());
        assert!(lines.iter().any(|line| line.service == "s3" && line.operation == "PutObject"));
    }
}
