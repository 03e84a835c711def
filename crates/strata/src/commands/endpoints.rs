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
    stop: "an endpoint serves until it is removed with \"strata endpoints rm\"; \
           its configuration stays, and makes it again",
};
