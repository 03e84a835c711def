//! The door: HTTP in and out, AWS's protocols, signatures, validation from the
//! service models, faults. It knows no service by name and no ML.
//!
//! A request becomes a [`Call`]; a [`Service`] answers it with a [`Reply`] or a
//! [`Fault`]; the codec of the request's protocol writes either.

mod body;
mod call;
mod door;
mod fault;
pub mod ledger;
pub mod model;
pub mod protocol;
mod raw;
mod request_id;
pub mod server;
mod service;
pub mod sigv4;
mod times;
pub mod validate;

pub use body::{Body, BoxError, Response};
pub use call::{Call, Caller, Reply};
pub use door::{Door, Fallback};
pub use fault::Fault;
pub use raw::{RawCall, RawReply, RawRoute};
pub use request_id::RequestId;
pub use service::{Entry, Handler, Label, Service};
