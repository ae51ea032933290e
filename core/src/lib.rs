//! The computation, pure: raw records in, averages and alarms out. No I/O and no clock.
//!
//! A [`Partition`] holds the state of one raw partition, which is a function of the raw log and of the
//! [`Shape`]s that it was read under. [`Partition::process`] moves it by one record; [`Encoder`] writes
//! what follows from that as output records. A [`Judgement`] says which averages of a quote are alarms, by the rules and
//! by what was [`Said`] before: that is committed, and not computed again. [`wire`] is the format of all records;
//! [`checkpoint`] is what the storage table holds of the state, and [`replay`] restores it from there without any output.

pub mod account;
mod average;
mod backfill;
pub mod checkpoint;
mod decimal;
mod effect;
mod encode;
mod entity;
mod judge;
mod partition;
pub mod replay;
mod said;
mod sample;
mod shape;
mod unsaved;
pub mod wire;

pub use average::{Average, exceeds};
pub use backfill::Backfill;
pub use decimal::{NANO, parse_nanos, push_nanos, push_ratio};
pub use effect::{Accepted, Effect, Orphan, Removed};
pub use encode::{Encoder, OutputCounts, OutputRecord, OutputSender, OutputTopic};
pub use entity::{Currency, Entity, Misplaced, Name, Place, Saved};
pub use judge::{Alarm, Judgement, Moved, SkipReason, Verdict};
pub use partition::{Partition, RecordedShapes};
pub use said::{Episode, Said};
pub use sample::{Origin, Sample};
pub use shape::{Shape, ShapeChange, WILDCARD_LIMIT};
