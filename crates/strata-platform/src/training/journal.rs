//! The log of a running job: lines go to the log store in small batches, and the
//! numbers in them to the metric store.

use std::sync::Arc;
use std::time::Duration;

use strata_base::Timestamp;
use strata_base::logs::{LogLine, Logs, TRAINING_JOBS};
use strata_base::metrics::{Datum, Metrics};

use super::metrics::Scraper;

/// A batch is written when it is this old, long or large: a person who follows the log sees no
/// delay, and a program that prints much costs few transactions.
pub const OLDEST: Duration = Duration::from_millis(100);
const LINES: usize = 1000;
const BYTES: usize = 1 << 20;

pub struct Journal {
    logs: Arc<dyn Logs>,
    metrics: Arc<dyn Metrics>,
    stream: String,
    pub scraper: Scraper,
    lines: Vec<LogLine>,
    bytes: usize,
    data: Vec<Datum>,
    /// The last line that was not blank: it often says why a program failed.
    pub last_line: String,
}

impl Journal {
    pub fn new(logs: Arc<dyn Logs>, metrics: Arc<dyn Metrics>, stream: String, scraper: Scraper) -> Self {
        Self {
            logs,
            metrics,
            stream,
            scraper,
            lines: Vec::new(),
            bytes: 0,
            data: Vec::new(),
            last_line: String::new(),
        }
    }

    /// Takes a line; answers whether the batch should be written now.
    pub fn take(&mut self, message: String) -> bool {
        let at = Timestamp::now();
        self.data.extend(self.scraper.read(at, &message));
        self.bytes += message.len();
        if !message.trim().is_empty() {
            self.last_line.clone_from(&message);
        }
        self.lines.push(LogLine { at, message });
        self.lines.len() >= LINES || self.bytes >= BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Writes the batch. A log that cannot be written is no reason to lose the training: the
    /// lines are dropped and the cloud's own log says so.
    pub async fn flush(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let data = std::mem::take(&mut self.data);
        self.bytes = 0;
        if !lines.is_empty()
            && let Err(cause) = self.logs.append(TRAINING_JOBS, &self.stream, &lines).await
        {
            tracing::error!(stream = self.stream, %cause, lines = lines.len(), "log lines lost");
        }
        if !data.is_empty()
            && let Err(cause) = self.metrics.put(&data).await
        {
            tracing::error!(stream = self.stream, %cause, data = data.len(), "metrics lost");
        }
    }
}
