//! Whether this process may write: only as long as it surely holds the Lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// This process is not the leader, or cannot be sure of it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process does not surely hold the Lease")]
pub struct NotLeader;

/// Time since the machine started, its sleep included: a Lease runs out in a suspended machine too.
pub fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Checked before every write; clones share what they know.
#[derive(Debug, Clone)]
pub struct Fence(Option<Arc<AtomicU64>>);

impl Fence {
    /// Closed until [`Fence::open_until`].
    pub fn closed() -> Self {
        Self(Some(Arc::new(AtomicU64::new(0))))
    }

    /// For a process that is the only one.
    pub fn open() -> Self {
        Self(None)
    }

    /// Open until this [`boot_time`].
    pub fn open_until(&self, at: Duration) {
        if let Some(until) = &self.0 {
            until.store(u64::try_from(at.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Nothing is written any more.
    pub fn close(&self) {
        self.open_until(Duration::ZERO);
    }

    /// `Ok` while it is open.
    pub fn check(&self) -> Result<(), NotLeader> {
        self.check_at(boot_time())
    }

    fn check_at(&self, now: Duration) -> Result<(), NotLeader> {
        match &self.0 {
            Some(until) if now >= Duration::from_millis(until.load(Ordering::SeqCst)) => Err(NotLeader),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_by_itself_when_its_time_has_come() {
        let fence = Fence::closed();
        assert_eq!(fence.check(), Err(NotLeader));
        fence.open_until(Duration::from_secs(100));
        assert_eq!(fence.clone().check_at(Duration::from_millis(99_999)), Ok(()));
        assert_eq!(fence.check_at(Duration::from_secs(100)), Err(NotLeader));
        fence.close();
        assert_eq!(fence.check_at(Duration::from_secs(1)), Err(NotLeader));
    }

    #[test]
    fn the_only_process_may_always_write() {
        assert_eq!(Fence::open().check(), Ok(()));
    }

    #[test]
    fn boot_time_goes_on() {
        let then = boot_time();
        assert!(boot_time() >= then && then > Duration::ZERO);
    }
}
