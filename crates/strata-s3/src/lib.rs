//! The S3 protocol in front of the [`Multipart`](strata_base::objects::Multipart) port.
//!
//! `s3s` reads and writes HTTP and checks signatures. What it is asked is first held against
//! the ledger: an operation, header or member that is not honoured is refused, never ignored.
//! Then one module a subject answers: buckets, objects, listings, copies, tags, uploads.

mod access;
mod buckets;
mod checksums;
mod conditions;
mod copy;
mod fault;
mod hosts;
mod incoming;
mod ledger;
mod list;
mod objects;
mod server;
mod service;
mod tags;
mod uploads;

pub use access::{KeyFault, S3Key, S3Keys};
pub use ledger::operations;
pub use service::{Answer, S3Service, service};
