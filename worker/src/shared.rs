//! What all parts of a worker share.

use std::sync::Arc;

use crate::config::Live;
use crate::flow::Flow;
use crate::health::Health;
use crate::metrics::Metrics;

/// The worker writes it, the HTTP server and the demo show it.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The live spec and the last refusal.
    pub live: Arc<Live>,
    /// Readiness, liveness and the applied generation.
    pub health: Arc<Health>,
    /// Whether quotes flow.
    pub flow: Arc<Flow>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
