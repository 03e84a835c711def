//! Who may run now, and on how many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A bounded number of places, given in the order they were asked for.
pub struct Slots {
    places: Arc<Semaphore>,
    shares: Arc<Shares>,
}

struct Shares {
    threads: usize,
    leased: AtomicUsize,
    waiting: AtomicUsize,
}

/// A job's place while it runs.
pub struct Place {
    /// Threads that the job may use.
    pub threads: usize,
    shares: Arc<Shares>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub fn new(parallel: usize, threads: usize) -> Self {
        let shares =
            Shares { threads: threads.max(1), leased: AtomicUsize::new(0), waiting: AtomicUsize::new(0) };
        Self { places: Arc::new(Semaphore::new(parallel.max(1))), shares: Arc::new(shares) }
    }

    /// A place, if one is free and nobody waits for it.
    pub fn try_take(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(Place::lease(&self.shares, permit))
    }

    pub async fn take(&self) -> Result<Place, AcquireError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.shares.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.shares.waiting);
        let permit = self.places.clone().acquire_owned().await?;
        drop(waiting);
        Ok(Place::lease(&self.shares, permit))
    }
}

impl Place {
    /// The threads nobody uses, shared with those who wait, and one at least. Two jobs that
    /// spin on the same core are several times slower than one after the other, so threads
    /// are promised once only as far as that goes.
    fn lease(shares: &Arc<Shares>, permit: OwnedSemaphorePermit) -> Self {
        let waiting = shares.waiting.load(Ordering::Relaxed);
        let mut threads = 1;
        let _ = shares.leased.fetch_update(Ordering::AcqRel, Ordering::Acquire, |leased| {
            threads = (shares.threads.saturating_sub(leased) / (1 + waiting)).max(1);
            Some(leased + threads)
        });
        Self { threads, shares: shares.clone(), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shares.leased.fetch_sub(self.threads, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threads_are_shared_and_come_back() {
        let slots = Slots::new(3, 4);
        let first = slots.try_take().expect("a place");
        assert_eq!(first.threads, 4);
        let second = slots.try_take().expect("a place");
        assert_eq!(second.threads, 1);
        drop(first);
        let third = slots.try_take().expect("a place");
        assert_eq!(third.threads, 3);
        let fourth = slots.try_take().expect("a place");
        assert_eq!(fourth.threads, 1);
        assert!(slots.try_take().is_none());
        drop((second, third, fourth));
        assert_eq!(slots.take().await.expect("a place").threads, 4);
    }

    #[tokio::test]
    async fn places_go_to_whoever_asked_first() {
        let slots = Slots::new(1, 4);
        let first = slots.try_take().expect("a place");
        let (mut a, mut b) = (Box::pin(slots.take()), Box::pin(slots.take()));
        assert!(futures::poll!(&mut a).is_pending() && futures::poll!(&mut b).is_pending());
        drop(first);
        assert!(slots.try_take().is_none(), "it is promised");
        let a = a.await.expect("a place");
        assert_eq!(a.threads, 2, "the other one waits");
        drop(a);
        assert_eq!(b.await.expect("a place").threads, 4);
    }
}
