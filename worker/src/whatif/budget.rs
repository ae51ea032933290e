//! How much memory an answer may take, half of what the control group or the machine has left when it begins, and, beside
//! a worker's loop, how much of the processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::rests::{self, Rests};

const PAGE: u64 = 4096;
const ROOT: &str = "/sys/fs/cgroup";

/// Watches this process' own memory.
#[derive(Debug)]
pub(super) struct Budget {
    before: u64,
    /// Bytes that may be added; `None` where nothing says what there is.
    most: Option<u64>,
    pace: Option<Pace>,
}

/// A tenth of a processor for one thread, for a limited time.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    limit: Duration,
    cancelled: Arc<AtomicBool>,
    rests: Rests,
}

impl Pace {
    /// Work of this thread that begins now, and ends once it is cancelled.
    pub(super) fn begin(limit: Duration, cancelled: Arc<AtomicBool>) -> Self {
        Self { began: Instant::now(), limit, cancelled, rests: Rests::begin(9).leaving_quota() }
    }

    /// Whether there is more time, after a rest.
    fn goes_on(&self) -> bool {
        if self.cancelled.load(Ordering::Relaxed) || self.began.elapsed() > self.limit {
            return false;
        }
        self.rests.rest();
        true
    }
}

impl Budget {
    /// The budget of what begins now.
    pub(super) fn begin() -> Self {
        let headroom = [group_headroom(), machine_headroom()].into_iter().flatten().min();
        Self { before: resident().unwrap_or(0), most: headroom.map(|bytes| bytes / 2), pace: None }
    }

    /// The same, slower.
    pub(super) fn paced(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// How many records are read between two looks at [`Self::allows_more`].
    pub(super) fn look_every(&self) -> u32 {
        if self.pace.is_some() { rests::RECORDS } else { 16_384 }
    }

    /// Whether neither memory nor time is used up; rests where there is a pace.
    pub(super) fn allows_more(&self) -> bool {
        !self.is_used_up() && self.pace.as_ref().is_none_or(Pace::goes_on)
    }

    /// Whether memory is used up.
    fn is_used_up(&self) -> bool {
        let used = resident().unwrap_or(0).saturating_sub(self.before);
        self.most.is_some_and(|most| used > most)
    }

    /// The budget in whole MiB.
    pub(super) fn mebibytes(&self) -> u64 {
        self.most.unwrap_or(0) >> 20
    }
}

/// Bytes that this process has resident.
fn resident() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE)
}

/// What the control group's limit leaves, files that the kernel can drop not counted.
fn group_headroom() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    // In a container the group is the root of what is mounted, or is shown with its path outside.
    let directories = [Path::new(ROOT).join(own), PathBuf::from(ROOT)];
    directories.iter().find_map(|directory| headroom_of(directory))
}

fn headroom_of(directory: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(directory.join(file)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let files = read("memory.stat").and_then(|stat| field(&stat, "inactive_file ")).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

fn machine_headroom() -> Option<u64> {
    Some(field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")? * 1024)
}

/// The number after a name at a line's begin.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_the_kernel_can_drop_is_no_use_of_memory() {
        let group = tempfile::tempdir().unwrap();
        assert_eq!(headroom_of(group.path()), None);
        for (file, text) in [
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 400\ninactive_file 200\n"),
        ] {
            fs::write(group.path().join(file), text).unwrap();
        }
        assert_eq!(headroom_of(group.path()), Some(500));
        fs::write(group.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(headroom_of(group.path()), None, "no limit");
    }

    #[test]
    fn work_at_a_pace_ends_when_it_is_cancelled() {
        let cancelled = Arc::new(AtomicBool::new(false));
        let pace = Pace::begin(Duration::from_secs(3600), Arc::clone(&cancelled));
        assert!(pace.goes_on());
        cancelled.store(true, Ordering::Relaxed);
        assert!(!pace.goes_on());
    }

    #[test]
    fn work_at_a_pace_ends_when_its_time_is_used_up() {
        let pace = Pace::begin(Duration::ZERO, Arc::new(AtomicBool::new(false)));
        while pace.began.elapsed().is_zero() {}
        assert!(!Budget { before: 0, most: None, pace: Some(pace) }.allows_more());
    }

    #[test]
    fn a_budget_of_nothing_is_used_up_and_none_never() {
        let before = 0;
        assert!(Budget { before, most: Some(0), pace: None }.is_used_up());
        assert!(!Budget { before, most: None, pace: None }.is_used_up());
    }
}
