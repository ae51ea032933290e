//! Work on a thread beside the loop that leaves the processor to others now and then.

use std::cell::Cell;
use std::thread::sleep;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How many records are read between two rests: some milliseconds of work.
pub(crate) const RECORDS: u32 = 1024;

/// Rests of one thread. What it waits for, records or its turn, is no work.
#[derive(Debug)]
pub(crate) struct Rests {
    /// How many times as long as it works.
    times: u32,
    /// The thread's time on a processor at its last rest.
    rested_at: Cell<Duration>,
}

impl Rests {
    /// Of this thread, `times` as long as it works from now on.
    pub(crate) fn begin(times: u32) -> Self {
        Self { times, rested_at: Cell::new(thread_time()) }
    }

    /// Rests for what was worked since the last rest.
    pub(crate) fn rest(&self) {
        let now = thread_time();
        sleep(self.times * now.saturating_sub(self.rested_at.replace(now)));
    }
}

/// How long this thread has been on a processor.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_rests_so_many_times_as_long_as_it_has_worked() {
        let rests = Rests::begin(9);
        let before = thread_time();
        while thread_time() < before + Duration::from_millis(20) {}
        let resting = Instant::now();
        rests.rest();
        assert!(resting.elapsed() >= Duration::from_millis(180));
    }
}
