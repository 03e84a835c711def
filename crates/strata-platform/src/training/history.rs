//! The event log read back as AWS's SecondaryStatusTransitions.

use strata_base::Timestamp;
use strata_base::metadata::Event as Entry;

use super::phase::{Event, Phase};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub status: &'static str,
    pub message: &'static str,
    pub start: Timestamp,
    /// Absent while the job is in it.
    pub end: Option<Timestamp>,
}

pub fn transitions(log: &[Entry]) -> Vec<Transition> {
    let mut phase = Phase::Starting;
    let mut found: Vec<Transition> = Vec::new();
    for entry in log {
        let event = serde_json::from_value::<Event>(entry.what.clone());
        let Some(next) = event.ok().and_then(|event| phase.next(&event).ok()) else { continue };
        let (status, message) = (next.secondary(), next.message());
        if found.last().is_none_or(|last| last.status != status) {
            if let Some(last) = found.last_mut() {
                last.end = Some(entry.at);
            }
            // AWS says of the last status that it ended when it began.
            let end = next.is_over().then_some(entry.at);
            found.push(Transition { status, message, start: entry.at, end });
        }
        phase = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(events: &[Event]) -> Vec<(&'static str, i64, Option<i64>)> {
        let log: Vec<Entry> =
            (1..).zip(events).map(|(at, event)| Entry { at: Timestamp(at), what: json!(event) }).collect();
        transitions(&log).iter().map(|t| (t.status, t.start.0, t.end.map(|end| end.0))).collect()
    }

    #[test]
    fn each_status_ends_where_the_next_begins() {
        use Event::{Created, Downloading, Exited, Launched, Stored};
        let mut events = vec![Created, Downloading, Launched];
        let running = [("Starting", 1, Some(2)), ("Downloading", 2, Some(3)), ("Training", 3, None)];
        assert_eq!(read(&events), running);
        events.extend([Exited { failure: None }, Stored { model: None }]);
        let whole = read(&events);
        assert_eq!(whole[3..], [("Uploading", 4, Some(5)), ("Completed", 5, Some(5))]);
    }

    #[test]
    fn a_restart_is_part_of_the_history() {
        use Event::{Created, Downloading, Launched, Restarted, StopAsked};
        let events = [Created, Downloading, Launched, Restarted, Downloading, Launched, StopAsked, StopAsked];
        assert_eq!(
            read(&events).iter().map(|transition| transition.0).collect::<Vec<_>>(),
            ["Starting", "Downloading", "Training", "Restarting", "Downloading", "Training", "Stopping"]
        );
    }
}
