//! Awaiting events: the only place of the tests where time passes.

use std::time::{Duration, Instant};

/// How often an awaited event is looked for, at first and in the end: what lasts costs little.
const POLL: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(160)];

/// A machine that does other things as well gets so many times longer.
pub(crate) const PATIENCE: u64 = 3;

/// Waits until `look` gives a value, and panics with `what` and the last thing seen instead when it has not come within
/// `seconds`, as it would on a quiet machine.
pub fn wait_for<T>(seconds: u64, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let seconds = PATIENCE * seconds;
    let end = Instant::now() + Duration::from_secs(seconds);
    let [mut poll, longest] = POLL;
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if Instant::now() > end => panic!("{what}: not within {seconds} s, last seen: {seen}"),
            Err(_) => std::thread::sleep(poll),
        }
        poll = (poll * 5 / 4).min(longest);
    }
}

/// For [`wait_for`]: done when `ok`, else what is seen instead.
pub fn soon(ok: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// Lets an outage last: for failures that are made of time alone, never to await something.
pub fn outage(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}
