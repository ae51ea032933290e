//! The worker against a real Kafka: one broker for all who leave it alone, topics and groups of its own for each test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod alarms;
mod brokers;
mod crashes;
mod dead_letters;
mod fill;
mod kinds;
mod limits;
mod offsets;
mod one_partition;
mod quotes;
mod rebalance;
mod reload;
mod security;
mod semantics;
mod sources;
mod standalone;
mod takeover;
mod tokens;
mod trade;
mod transactions;
mod ways;
mod whatif;
mod wire;
mod yahoo;
