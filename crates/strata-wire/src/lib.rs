//! The door: HTTP in and out, AWS's protocols, signatures, validation from the
//! service models, faults. It knows no service by name and no ML.
//!
//! A request becomes a [`Call`]; a [`Service`] answers it with a [`Reply`] or a
//! [`Fault`]; the codec of the request's protocol writes either.

mod call;
mod fault;
mod server;
mod service;
pub mod sigv4;

pub use call::{Call, Caller, Reply};
pub use fault::Fault;
pub use server::{Answer, Body, serve};
pub use service::{Handler, Label, Service};
