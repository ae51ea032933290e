//! The computation, pure: raw records in, averages and alarms out. No I/O and no clock.
//!
//! A [`Partition`] holds the state of one raw partition, which is a function of the raw log and of the
//! [`Shape`]s that it was read under. [`Partition::absorb`] moves it by one record; [`Encoder`] writes
//! what follows from that as output records. [`checkpoint`] is what of it stands in the storage table, and [`replay`]
//! brings it back from there without any output.

mod average;
pub mod checkpoint;
mod decimal;
mod encode;
mod entity;
mod partition;
mod quote;
pub mod replay;
mod scan;
mod shape;

pub use average::{Average, exceeds};
pub use decimal::{parse_nanos, push_nanos, push_ratio};
pub use encode::{Encoder, Sink, Stream, Written, push_hex, push_string};
pub use entity::{Entity, Joined, Name, Sample, Saved};
pub use partition::{Accepted, Dirty, Effect, Older, Partition, RawRecord, Removed, Taken, WILDCARD_LIMIT};
pub use quote::{Bad, MAX_VALUE_BYTES, Quote};
pub use shape::{Rule, Shape};

/// One second in the unit of event times and prices, 10⁻⁹.
pub const NANO: i64 = 1_000_000_000;
