//! The operations of `sagemaker-runtime`, in alphabetical order.

pub mod invoke;
mod route;
#[cfg(test)]
mod tests;

pub use route::Invocations;

use crate::operation::Operations;

pub fn operations() -> Operations {
    Operations::new("sagemaker-runtime")
        .partial(
            "InvokeEndpoint",
            "Target models, target containers, inference components, sessions and explanations are refused.",
            invoke::operation,
        )
        .refused("InvokeEndpointAsync", "Call InvokeEndpoint: asynchronous endpoints cannot be made yet.")
        .refused(
            "InvokeEndpointWithResponseStream",
            "Call InvokeEndpoint: built-in models answer whole, never in pieces.",
        )
}
