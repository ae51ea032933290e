//! The API types of `stockwatch.dev/v1alpha1`, as a user writes them: data only.
//!
//! Later versions share this schema without conversion: a field is never renamed or retyped. No field is
//! nullable, and no union or map list has a schema default (it would be persisted beside what a user writes
//! later); [`Spec::parse`](crate::Spec::parse) fills absent ones in.

// KubeSchema repeats each struct inside a function, as public as it is.
#![allow(unreachable_pub)]

mod alarms;
mod kafka;
mod source;
mod status;
mod stockwatch;
mod trade;
mod worker;

pub use alarms::{AlarmsSpec, GapPolicy};
pub use kafka::{
    DeletionPolicy, KafkaSpec, Mechanism, SaslSpec, SecretKeyRef, SecretRef, TlsSpec, TopicSpec, TopicsSpec,
};
pub use source::{ExternalSpec, SimulatedSpec, SourceSpec, YahooMode, YahooSpec};
pub use status::{StockWatchStatus, TopicState, TopicStatus};
pub use stockwatch::{OverrideSpec, StockWatch, StockWatchSpec, TickerSpec, WindowSpec};
pub use trade::{Enter, TradeSpec};
pub use worker::WorkerSpec;
