//! How many faults a run asks for, and that they befall one test at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a fault test takes of something: little in the form that `make test` runs, more where `make test-faults` says so
/// (`STOCKWATCH_FAULTS=long`).
pub fn faults<T>(short: T, long: T) -> T {
    match std::env::var("STOCKWATCH_FAULTS").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// One test of this process after another, for those that change what others would stand on.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
