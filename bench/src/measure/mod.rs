//! The measurements, one a file. Each adds its figures and its bars to the report.

pub(crate) mod alarms;
pub(crate) mod catch_up;
pub(crate) mod edits;
pub(crate) mod failover;
pub(crate) mod idle;
pub(crate) mod largest;
pub(crate) mod latency;
pub(crate) mod lengthen;
pub(crate) mod one_partition;
pub(crate) mod outage;
pub(crate) mod quota;
pub(crate) mod restore;
pub(crate) mod restore_large;
pub(crate) mod slow_feed;
pub(crate) mod start;
pub(crate) mod stream;
pub(crate) mod tolerance;
pub(crate) mod whatif;
pub(crate) mod windows;
