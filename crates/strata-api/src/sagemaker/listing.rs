//! What the List operations share: filters, order, pages.

use serde::Deserialize;
use strata_base::Timestamp;
use strata_base::metadata::{ListQuery, SortBy};

/// Page size when the caller names none, as documented for the List operations.
const PAGE: usize = 10;

/// The members that List operations have in common; each operation's model says which of
/// them it takes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListRequest {
    sort_by: Option<String>,
    sort_order: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
    name_contains: Option<String>,
    status_equals: Option<String>,
    creation_time_after: Option<f64>,
    creation_time_before: Option<f64>,
    last_modified_time_after: Option<f64>,
    last_modified_time_before: Option<f64>,
}

impl ListRequest {
    /// The query for operations that list the newest first unless told otherwise.
    pub fn newest_first(self) -> ListQuery {
        let time = |seconds: Option<f64>| seconds.map(Timestamp::from_seconds);
        ListQuery {
            kind: String::new(),
            name_contains: self.name_contains,
            phase: self.status_equals,
            created_after: time(self.creation_time_after),
            created_before: time(self.creation_time_before),
            modified_after: time(self.last_modified_time_after),
            modified_before: time(self.last_modified_time_before),
            sort_by: match self.sort_by.as_deref() {
                Some("Name") => SortBy::Name,
                Some("Status") => SortBy::Phase,
                _ => SortBy::Created,
            },
            descending: self.sort_order.as_deref() != Some("Ascending"),
            limit: self.max_results.unwrap_or(PAGE).clamp(1, 100),
            cursor: self.next_token,
        }
    }
}
