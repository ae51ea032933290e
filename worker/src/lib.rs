//! The StockWatch worker: quotes in, exact moving averages and alarms out, exactly once, over Kafka.
//!
//! `extract` fetches quotes into the raw topic; `pipeline` is the Kafka transaction loop that feeds the raw topic to the
//! computation, which is `stockwatch_core`, and keeps its state recoverable.

pub mod args;
pub mod config;
pub mod demo;
pub mod extract;
pub mod fetch;
pub mod flow;
pub mod health;
pub mod http;
pub mod kafka;
pub mod memory;
pub mod metrics;
pub mod ownership;
pub mod pipeline;
mod process;
mod rests;
pub mod run;
pub mod shared;
pub mod tail;
pub mod topics;
pub mod whatif;
pub mod worker;
