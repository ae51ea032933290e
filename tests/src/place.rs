//! Who may use the cluster at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

/// Which other tests a test bears beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Those that use the shared release as well.
    Shared,
    /// Those that have a release of their own for their own namespaces as well.
    Apart,
    /// None.
    None,
}

/// The tests that use the cluster now, and how many they are.
static NOW: Mutex<(Company, usize)> = Mutex::new((Company::None, 0));
static LEFT: Condvar = Condvar::new();

/// A test's place in the cluster, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place(());

impl Place {
    /// Waits until only tests of this company, if any, use the cluster.
    pub(crate) fn take(company: Company) -> Self {
        let now = NOW.lock().unwrap_or_else(PoisonError::into_inner);
        let others = |now: &mut (Company, usize)| now.1 > 0 && (now.0 != company || company == Company::None);
        let mut now = LEFT.wait_while(now, others).unwrap_or_else(PoisonError::into_inner);
        *now = (company, now.1 + 1);
        Self(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        NOW.lock().unwrap_or_else(PoisonError::into_inner).1 -= 1;
        LEFT.notify_all();
    }
}
