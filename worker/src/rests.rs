//! Work on a thread beside the loop that leaves the processor to others now and then.

use std::cell::Cell;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How many records are read between two rests: some milliseconds of work.
pub(crate) const RECORDS: u32 = 1024;

/// Where a container sees how long the quota of its control group (version 2) has kept it from the processor.
const CPU: &str = "/sys/fs/cgroup/cpu.stat";
/// No rest is longer: whoever rests is to hear that it is no longer wanted.
const LONGEST: Duration = Duration::from_secs(1);

/// Rests of one thread. What it waits for, records or its turn, is no work.
#[derive(Debug)]
pub(crate) struct Rests {
    /// How many times as long as it works.
    times: u32,
    /// That the container is kept from the processor meanwhile is work, too.
    leaves_quota: bool,
    /// What counts as work, after its last rest.
    rested_at: Cell<Duration>,
}

impl Rests {
    /// Of this thread, `times` as long as it works from now on.
    pub(crate) fn begin(times: u32) -> Self {
        Self { times, leaves_quota: false, rested_at: Cell::new(thread_time()) }
    }

    /// The same, and longer while the container's quota is used up: it is left to others.
    pub(crate) fn leaving_quota(self) -> Self {
        let all = Self { leaves_quota: true, ..self };
        all.rested_at.set(all.worked());
        all
    }

    fn worked(&self) -> Duration {
        thread_time() + if self.leaves_quota { throttled() } else { Duration::ZERO }
    }

    /// Rests for what was worked since the last rest.
    pub(crate) fn rest(&self) {
        let worked = self.worked().saturating_sub(self.rested_at.get());
        sleep(LONGEST.min(self.times * worked));
        // What others were kept from meanwhile is none of this thread's work.
        self.rested_at.set(self.worked());
    }
}

/// How long this thread has been on a processor.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// How long this container was kept from the processor so far.
fn throttled() -> Duration {
    fs::read_to_string(CPU).map_or(Duration::ZERO, |text| parse_throttled(&text))
}

fn parse_throttled(text: &str) -> Duration {
    let micros = text.lines().find_map(|line| line.strip_prefix("throttled_usec ")?.trim().parse().ok());
    micros.map_or(Duration::ZERO, Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_a_quota_kept_from_the_processor_is_read_where_there_is_one() {
        let of = |text: &str| parse_throttled(text).as_micros();
        assert_eq!(of("usage_usec 5\nnr_throttled 2\nthrottled_usec 1500\nnr_bursts 0\n"), 1_500);
        assert_eq!((of("usage_usec 5\n"), of("throttled_usec lots\n")), (0, 0));
    }

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
