//! The operator and its workers in a real Kubernetes.
//!
//! All share a cluster and a broker; each has a namespace of its own. All but the tests of `alone` and of `apart` share a
//! release of the operator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod alone;
mod apart;
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
mod objects;
mod quotes;
mod refused;
mod security;
mod topics;
