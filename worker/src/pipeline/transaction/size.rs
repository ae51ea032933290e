//! How large a transaction may be: as large as its brokers have shown to take in time. Pure.

use std::time::Duration;

/// Bytes: the upper bound, the size at the start, and the lower bound.
const MOST: usize = 16 * 1024 * 1024;
const FIRST: usize = 1024 * 1024;
const LEAST: usize = 16 * 1024;
/// A commit that takes longer asks for smaller transactions, long before the coordinator aborts one.
const SLOW: Duration = Duration::from_secs(2);
/// After a full transaction whose commit took less, one of twice the size is not slow either.
const QUICK: Duration = Duration::from_millis(500);

/// Bytes of output at which a transaction is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) struct Size {
    bytes: usize,
    /// Half of a size that was too large once: up to here sizes double, beyond it they grow by a sixteenth.
    doubled_up_to: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { bytes: FIRST, doubled_up_to: MOST }
    }
}

impl Size {
    /// Bytes of output.
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }

    /// The next transaction's, after one of so many bytes was committed.
    pub(super) fn after_commit(self, bytes: usize, took: Duration) -> Self {
        match took {
            _ if took > SLOW => self.halved(),
            _ if took < QUICK && bytes >= self.bytes => self.grown(),
            _ => self,
        }
    }

    /// The next transaction's, after brokers did not take one in time.
    pub(super) fn halved(self) -> Self {
        let bytes = (self.bytes / 2).max(LEAST);
        Self { bytes, doubled_up_to: bytes }
    }

    fn grown(self) -> Self {
        let by = if self.bytes < self.doubled_up_to { self.bytes } else { self.bytes / 16 };
        Self { bytes: (self.bytes + by).min(MOST), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transactions of a backlog, each full, on brokers that take so many bytes a second: the sizes, and how many of
    /// them were older than the coordinator allows.
    fn backlog(bytes_per_second: f64, transactions: usize) -> (Vec<usize>, usize) {
        let mut size = Size::default();
        let mut sizes = Vec::new();
        let mut timed_out = 0;
        for _ in 0..transactions {
            sizes.push(size.bytes());
            let took = size.bytes() as f64 / bytes_per_second;
            if took > 10.0 {
                timed_out += 1;
                size = size.halved();
            } else {
                size = size.after_commit(size.bytes(), Duration::from_secs_f64(took));
            }
        }
        (sizes, timed_out)
    }

    #[test]
    fn quick_brokers_are_given_more_and_more_up_to_the_most() {
        let (sizes, timed_out) = backlog(200e6, 6);
        assert_eq!(sizes, [1, 2, 4, 8, 16, 16].map(|m| m * 1024 * 1024));
        assert_eq!(timed_out, 0);
    }

    #[test]
    fn a_size_that_brokers_take_in_time_is_found_and_kept() {
        for bytes_per_second in [20e3, 50e3, 500e3, 2e6, 20e6] {
            let (sizes, timed_out) = backlog(bytes_per_second, 100);
            let last = &sizes[50..];
            assert!(last.iter().all(|size| *size == last[0]), "{bytes_per_second}: {sizes:?}");
            assert!(last[0] as f64 / bytes_per_second <= SLOW.as_secs_f64(), "{bytes_per_second}: {sizes:?}");
            assert!(timed_out <= 3, "{bytes_per_second}: {timed_out}");
        }
    }

    #[test]
    fn what_was_too_much_once_is_come_back_to_slowly() {
        let quick = |size: Size| size.after_commit(size.bytes(), Duration::ZERO);
        let once = (0..3).fold(Size::default(), |size, _| quick(size));
        let again = (0..10).fold(once.halved(), |size, _| quick(size));
        assert!(again.bytes() > once.halved().bytes() && again.bytes() < once.bytes(), "{again:?}");
    }

    #[test]
    fn a_transaction_that_was_not_full_says_nothing_of_larger_ones() {
        assert_eq!(Size::default().after_commit(FIRST - 1, Duration::ZERO), Size::default());
    }

    #[test]
    fn whatever_fails_something_may_still_be_sent() {
        let least = (0..100).fold(Size::default(), |size, _| size.halved());
        assert_eq!(least.bytes(), LEAST);
    }
}
