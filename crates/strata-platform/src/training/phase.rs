//! The states of a training job, and how events change them. Pure: recording an
//! event and doing the work are somebody else's.

use serde::{Deserialize, Serialize};

/// Where a job is. The first seven are unfinished: somebody works on them, or will after
/// the next start of the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, and about to begin.
    Starting,
    /// As many jobs run as may.
    Pending,
    /// The cloud went down while it ran; it begins again.
    Restarting,
    Downloading,
    Training,
    /// Its program is being ended, or was never begun.
    Stopping(Why),
    /// The program has ended; what it left is being stored.
    Uploading(Why),
    Completed,
    Failed(String),
    Stopped,
    MaxRuntimeExceeded,
}

/// Why a job comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The program did all it wanted.
    Done,
    /// StopTrainingJob.
    Asked,
    /// MaxRuntimeInSeconds went by.
    TimeUp,
}

/// What happens to a job; the entries of its event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    Created,
    /// No place is free now.
    Queued,
    Downloading,
    Launched,
    TimeUp,
    StopAsked,
    /// The program ended, or there was none to end; by its own fault where a reason is given.
    Exited {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// All is in the object store; `model` is its URI where the program left a model.
    Stored {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    Failed {
        reason: String,
    },
    /// The cloud came up and found the job under way.
    Restarted,
}

/// An event that the phase does not know: somebody else changed the job first, or it is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {phase:?} takes no {event:?}")]
pub struct Illegal {
    pub phase: Phase,
    pub event: Event,
}

impl Phase {
    pub fn next(&self, event: &Event) -> Result<Self, Illegal> {
        use Phase::{
            Completed, Downloading, Failed, MaxRuntimeExceeded, Pending, Restarting, Starting, Stopped,
            Stopping, Training, Uploading,
        };
        use Why::{Asked, Done, TimeUp};

        Ok(match (self, event) {
            (Starting, Event::Created) => Starting,
            (Starting | Restarting, Event::Queued) => Pending,
            (Starting | Restarting | Pending, Event::Downloading) => Downloading,
            (Downloading, Event::Launched) => Training,
            (Training, Event::TimeUp) => Stopping(TimeUp),
            (Training, Event::Exited { failure: None }) => Uploading(Done),
            (Training, Event::Exited { failure: Some(reason) }) => Failed(reason.clone()),
            // A program that is told to end may end as it likes: what it saved is kept.
            (Stopping(why), Event::Exited { .. }) => Uploading(*why),
            (Uploading(Done), Event::Stored { .. }) => Completed,
            (Uploading(Asked), Event::Stored { .. }) => Stopped,
            (Uploading(TimeUp), Event::Stored { .. }) => MaxRuntimeExceeded,

            (Starting | Restarting | Pending | Downloading | Training, Event::StopAsked) => Stopping(Asked),
            (Uploading(Done), Event::StopAsked) => Uploading(Asked),
            (Stopping(_) | Uploading(Asked | TimeUp), Event::StopAsked) => self.clone(),

            // Stopping wins over a restart; and what waits to be stored needs no second run
            // unless its folder is lost.
            (Downloading | Training | Uploading(Done), Event::Restarted) => Restarting,

            (phase, Event::Failed { reason }) if !phase.is_over() => Failed(reason.clone()),
            _ => return Err(Illegal { phase: self.clone(), event: event.clone() }),
        })
    }

    /// Whether nothing will ever happen to it again.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed(_) | Self::Stopped | Self::MaxRuntimeExceeded)
    }

    /// AWS's TrainingJobStatus.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Starting | Self::Pending | Self::Restarting | Self::Downloading | Self::Training => {
                "InProgress"
            }
            Self::Uploading(Why::Done) => "InProgress",
            Self::Stopping(_) | Self::Uploading(_) => "Stopping",
            Self::Completed => "Completed",
            Self::Failed(_) => "Failed",
            Self::Stopped | Self::MaxRuntimeExceeded => "Stopped",
        }
    }

    /// AWS's SecondaryStatus.
    pub fn secondary(&self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Pending => "Pending",
            Self::Restarting => "Restarting",
            Self::Downloading => "Downloading",
            Self::Training => "Training",
            Self::Stopping(_) => "Stopping",
            Self::Uploading(_) => "Uploading",
            Self::Completed => "Completed",
            Self::Failed(_) => "Failed",
            Self::Stopped => "Stopped",
            Self::MaxRuntimeExceeded => "MaxRuntimeExceeded",
        }
    }

    /// AWS's StatusMessage for it; clients print it, and need one always.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Starting => "Starting the training job...",
            Self::Pending => "Training job waiting for capacity...",
            Self::Restarting => "The cloud was down while the training job ran, starting it again...",
            Self::Downloading => "Downloading input data",
            Self::Training => "Training image download completed. Training in progress.",
            Self::Stopping(_) => "Stopping the training job",
            Self::Uploading(_) => "Uploading generated training model",
            Self::Completed => "Training job completed",
            Self::Failed(_) => "Training job failed",
            Self::Stopped => "Training job stopped",
            Self::MaxRuntimeExceeded => "Training job runtime exceeded MaxRuntimeInSeconds provided",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const WORDS: &[&str] = &[
        "created",
        "queued",
        "downloading",
        "launched",
        "timeup",
        "stop",
        "exit",
        "fault",
        "stored",
        "fail",
        "restarted",
    ];

    fn event(word: &str) -> Event {
        match word {
            "created" => Event::Created,
            "queued" => Event::Queued,
            "downloading" => Event::Downloading,
            "launched" => Event::Launched,
            "timeup" => Event::TimeUp,
            "stop" => Event::StopAsked,
            "exit" => Event::Exited { failure: None },
            "fault" => Event::Exited { failure: Some("AlgorithmError: x".into()) },
            "stored" => Event::Stored { model: None },
            "fail" => Event::Failed { reason: "ClientError: y".into() },
            "restarted" => Event::Restarted,
            other => panic!("no event {other:?}"),
        }
    }

    /// The phase after the events; those that are illegal change nothing.
    fn after<'a>(words: impl IntoIterator<Item = &'a str>) -> Phase {
        words.into_iter().fold(Phase::Starting, |phase, word| phase.next(&event(word)).unwrap_or(phase))
    }

    #[track_caller]
    fn check(words: &str, expected: &str) {
        let phase = after(words.split_whitespace());
        assert_eq!(format!("{} {}", phase.status(), phase.secondary()), expected, "after {words}");
    }

    #[test]
    fn jobs_come_to_their_ends() {
        check("created", "InProgress Starting");
        check("created queued", "InProgress Pending");
        check("created queued downloading", "InProgress Downloading");
        check("created downloading launched", "InProgress Training");
        check("created downloading launched exit", "InProgress Uploading");
        check("created downloading launched exit stored", "Completed Completed");
        check("created downloading launched fault", "Failed Failed");
        check("created downloading fail", "Failed Failed");
        check("created downloading launched exit fail", "Failed Failed");
        check("created downloading launched timeup", "Stopping Stopping");
        check("created downloading launched timeup exit", "Stopping Uploading");
        check("created downloading launched timeup exit stored", "Stopped MaxRuntimeExceeded");
        check("created downloading launched stop", "Stopping Stopping");
        check("created downloading launched stop exit stored", "Stopped Stopped");
    }

    #[test]
    fn stopping_wins() {
        check("created downloading launched exit stop stored", "Stopped Stopped");
        check("created downloading launched stop fault stored", "Stopped Stopped");
        check("created stop downloading launched", "Stopping Stopping");
        check("created stop exit stored", "Stopped Stopped");
        check("created downloading launched timeup stop exit stored", "Stopped MaxRuntimeExceeded");
        check("created downloading launched stop timeup exit stored", "Stopped Stopped");
        check("created downloading launched stop restarted exit stored", "Stopped Stopped");
    }

    #[test]
    fn a_restart_begins_again_from_the_data() {
        check("created downloading launched restarted", "InProgress Restarting");
        check("created downloading launched restarted launched", "InProgress Restarting");
        check(
            "created downloading launched restarted downloading launched exit stored",
            "Completed Completed",
        );
        check("created downloading restarted queued stop", "Stopping Stopping");
        check("created restarted", "InProgress Starting");
    }

    #[test]
    fn every_phase_is_reachable() {
        let mut seen = BTreeSet::new();
        let mut frontier = vec![Phase::Starting];
        while let Some(phase) = frontier.pop() {
            if seen.insert(format!("{phase:?}")) {
                frontier.extend(WORDS.iter().filter_map(|word| phase.next(&event(word)).ok()));
            }
        }
        // Eleven variants, of which Stopping has two reasons and Uploading three, and Failed came
        // about in two ways.
        assert_eq!(seen.len(), 15, "{seen:?}");
    }

    proptest! {
        #[test]
        fn any_sequence_of_events_is_survived(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40)) {
            let mut phase = Phase::Starting;
            for word in words {
                let next = phase.next(&event(word));
                if phase.is_over() {
                    prop_assert!(next.is_err(), "{phase:?} took {word}");
                }
                if let Ok(next) = next {
                    let was_stopping = phase.status() == "Stopping";
                    prop_assert!(
                        !was_stopping || matches!(next.status(), "Stopping" | "Stopped" | "Failed"),
                        "{phase:?} {word} {next:?}"
                    );
                    phase = next;
                }
            }
            // Whatever happened: it can still be ended, and then it is over.
            let ended = ["stop", "exit", "stored"].iter().fold(phase, |phase, word| phase.next(&event(word)).unwrap_or(phase));
            prop_assert!(ended.is_over(), "{ended:?}");
        }

        #[test]
        fn phases_and_events_survive_the_record(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..20)) {
            let phase = after(words.iter().copied());
            let text = serde_json::to_string(&phase).expect("json");
            prop_assert_eq!(serde_json::from_str::<Phase>(&text).expect("phase"), phase);
            for word in words {
                let text = serde_json::to_string(&event(word)).expect("json");
                prop_assert_eq!(serde_json::from_str::<Event>(&text).expect("event"), event(word));
            }
        }
    }
}
