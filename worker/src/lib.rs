//! The StockWatch worker: quotes in, exact moving averages and alarms out, exactly once, over Kafka.
//!
//! `extract` fetches quotes into the raw topic; `process` is the pure computation; `pipeline` is the
//! Kafka transaction loop that feeds one to the other and keeps its state recoverable by `checkpoint`.

pub mod args;
pub mod checkpoint;
pub mod config;
pub mod demo;
pub mod extract;
pub mod health;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod partition;
pub mod pipeline;
pub mod process;
pub mod replay;
pub mod run;
pub mod topics;
pub mod worker;
