//! Log lines of endpoints on their way to the log store: never waited for, never piling up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use strata_base::Timestamp;
use strata_base::logs::{self, LogLine, Logs};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait for the store; more are dropped and counted.
const WAITING: usize = 4096;
/// Most bytes of one message.
const LONGEST: usize = 4096;

pub struct Journal {
    logs: Arc<dyn Logs>,
    sender: OnceLock<mpsc::Sender<Note>>,
    dropped: Arc<AtomicU64>,
}

enum Note {
    Line(Arc<Place>, LogLine),
    Flush(oneshot::Sender<()>),
}

/// Where the lines of one variant go.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub group: String,
    pub stream: String,
}

impl Place {
    pub fn new(endpoint: &str, variant: &str) -> Self {
        let id: u64 = rand::random();
        Self { group: format!("{}/{endpoint}", logs::ENDPOINTS), stream: format!("{variant}/i-{id:016x}") }
    }
}

impl Journal {
    pub fn new(logs: Arc<dyn Logs>) -> Self {
        Self { logs, sender: OnceLock::new(), dropped: Arc::default() }
    }

    /// Writes a line soon. Within a runtime only.
    pub fn write(&self, place: &Arc<Place>, message: String) {
        let mut message = message;
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
        }
        let line = LogLine { at: Timestamp::now(), message };
        if self.sender().try_send(Note::Line(place.clone(), line)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Returns when all lines written before are stored.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.sender().send(Note::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    fn sender(&self) -> &mpsc::Sender<Note> {
        self.sender.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(WAITING);
            tokio::spawn(store(self.logs.clone(), receiver, self.dropped.clone()));
            sender
        })
    }
}

/// Stores lines in the order they come, as many at once as wait, until the journal is dropped.
async fn store(logs: Arc<dyn Logs>, mut notes: mpsc::Receiver<Note>, dropped: Arc<AtomicU64>) {
    let mut batch = Vec::new();
    while notes.recv_many(&mut batch, WAITING).await > 0 {
        let mut lines: Vec<LogLine> = Vec::new();
        let mut place: Option<Arc<Place>> = None;
        for note in batch.drain(..) {
            match note {
                Note::Line(to, line) => {
                    if place.as_ref().is_some_and(|place| *place != to) {
                        append(&*logs, place.as_deref(), &mut lines, &dropped).await;
                    }
                    place = Some(to);
                    lines.push(line);
                }
                Note::Flush(done) => {
                    append(&*logs, place.as_deref(), &mut lines, &dropped).await;
                    let _ = done.send(());
                }
            }
        }
        append(&*logs, place.as_deref(), &mut lines, &dropped).await;
    }
}

async fn append(logs: &dyn Logs, place: Option<&Place>, lines: &mut Vec<LogLine>, dropped: &AtomicU64) {
    let Some(place) = place.filter(|_| !lines.is_empty()) else { return };
    let lost = dropped.swap(0, Relaxed);
    if lost > 0 {
        let message =
            format!("{lost} log lines of endpoints were dropped: they came faster than they are stored");
        lines.push(LogLine { at: Timestamp::now(), message });
    }
    if let Err(cause) = logs.append(&place.group, &place.stream, lines).await {
        tracing::warn!(group = place.group, %cause, "could not store log lines");
    }
    lines.clear();
}
