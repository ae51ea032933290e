//! The operator and its workers in a real Kubernetes.
//!
//! All but the tests of `listed` and `alone` share a release of the operator. All share a cluster and a broker; each has a
//! namespace of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod alone;
mod brokers;
mod chart;
mod delete;
mod dev_kafka;
mod edit;
mod ends;
mod faults;
mod images;
mod ledger;
mod lifecycle;
mod limits;
mod listed;
mod objects;
mod partition;
mod quotes;
mod refused;
mod security;
mod topics;
