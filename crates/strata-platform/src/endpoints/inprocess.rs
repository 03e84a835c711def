//! Answers from models in this process: small work at once on the caller's thread, the rest
//! on a bounded pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use strata_base::predictor::{PredictError, Predictor, Reply, Request};
use tokio::sync::Semaphore;

use crate::models::Loaded;

/// A larger body would hold a worker that other connections wait for.
const INLINE_BYTES: usize = 64 << 10;
/// A model that takes longer, on average, leaves the caller's thread.
const INLINE_NANOS: u64 = 1_000_000;
/// Bodies that may wait in memory for the pool, all models together.
const WAITING_BYTES: usize = 256 << 20;

/// Threads for work that is too long for the caller's; one a core.
pub struct Pool {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
}

impl Default for Pool {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { places: Arc::new(Semaphore::new(cores)), waiting: AtomicUsize::new(0), most: WAITING_BYTES }
    }
}

/// A loaded model as a predictor.
pub struct InProcess {
    model: Arc<Loaded>,
    pool: Arc<Pool>,
    /// Moving average of nanoseconds per small request.
    pace: Arc<AtomicU64>,
}

impl InProcess {
    pub fn new(model: Arc<Loaded>, pool: Arc<Pool>) -> Self {
        Self { model, pool, pace: Arc::default() }
    }
}

impl Predictor for InProcess {
    fn predict(&self, request: Request) -> Reply {
        let small = request.body.len() <= INLINE_BYTES;
        if small && self.pace.load(Relaxed) <= INLINE_NANOS {
            let begun = Instant::now();
            let answer = self.model.score(&request);
            keep_pace(&self.pace, begun);
            return Reply::Now(answer);
        }
        let Some(held) = Held::new(&self.pool, request.body.len()) else {
            let sentence = "too many large requests wait already: try again, or send smaller batches";
            return Reply::Now(Err(PredictError::Overloaded(sentence.into())));
        };
        let (model, pace) = (self.model.clone(), self.pace.clone());
        Reply::Later(Box::pin(async move {
            let place = held.pool.places.clone().acquire_owned().await;
            let work = move || {
                // Both go with the work: a caller who gave up does not make room for more.
                let _held = (held, place);
                let begun = Instant::now();
                let answer = model.score(&request);
                if small {
                    keep_pace(&pace, begun);
                }
                answer
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| {
                Err(PredictError::Failed(format!("the model did not finish: {cause}")))
            })
        }))
    }
}

fn keep_pace(pace: &AtomicU64, begun: Instant) {
    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    pace.store(paced(pace.load(Relaxed), took), Relaxed);
}

/// The average after one more request. It moves by an eighth, and no request counts for more
/// than four times the limit: a thread that was put aside once, on a busy machine, must not
/// send a fast model to the pool; a model that is slow twice in a row goes.
fn paced(before: u64, took: u64) -> u64 {
    before - before / 8 + took.min(INLINE_NANOS * 4) / 8
}

/// Bytes of a body that wait in memory.
struct Held {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Held {
    fn new(pool: &Arc<Pool>, bytes: usize) -> Option<Self> {
        let held = Self { pool: pool.clone(), bytes };
        let waiting = pool.waiting.fetch_add(bytes, Relaxed) + bytes;
        // Dropping gives them back.
        (waiting <= pool.most).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.waiting.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a model is answered after requests that took so many microseconds.
    fn check(micros: &[u64], inline: bool) {
        let pace = micros.iter().fold(0, |pace, micros| paced(pace, micros * 1000));
        assert_eq!(pace <= INLINE_NANOS, inline, "{micros:?}: {pace} ns");
    }

    #[test]
    fn slow_models_leave_the_callers_thread_and_come_back() {
        check(&[], true);
        check(&[3; 1000], true);
        check(&[3, 3, 1_000_000, 3], true);
        check(&[900; 1000], true);
        check(&[5000; 3], false);
        check(&[1200; 100], false);
        check(&[u64::MAX / 1000; 100], false);
        check(&[[5000; 20], [3; 20]].concat(), true);
    }
}
