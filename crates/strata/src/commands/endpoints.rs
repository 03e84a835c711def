//! `strata endpoints`.

use super::shelf::Kind;

pub const ENDPOINTS: Kind = Kind {
    noun: "Endpoint",
    columns: &[
        ("EndpointName", "NAME"),
        ("EndpointStatus", "STATUS"),
        ("CreationTime", "CREATED (UTC)"),
        ("LastModifiedTime", "MODIFIED (UTC)"),
    ],
};
