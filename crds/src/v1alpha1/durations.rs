//! The rules of durations that more than one type has.

/// `1440m`.
pub(super) const MAX_WINDOW: usize = 5;
pub(super) const IS_WINDOW: &str = "self.matches('^[1-9][0-9]{0,3}m$') && duration(self) <= duration('24h')";
pub(super) const SAY_WINDOW: &str =
    "a window is whole minutes from 1m to 1440m, such as 5m (not 300s, not 1h)";
pub(super) const IS_INTERVAL: &str = "self.matches('^[1-9][0-9]{0,7}(ms|s|m)$') && \
    duration(self) >= duration('1s') && duration(self) <= duration('24h')";
pub(super) const SAY_INTERVAL: &str =
    "an interval is a whole number of ms, s or m from 1s to 1440m, such as 60s";
