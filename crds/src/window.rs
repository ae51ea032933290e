//! A moving average.

use crate::tolerance::Tolerance;

/// A moving average's length, and by how much the average may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its length; 1 to 1440.
    pub minutes: u32,
    /// By how much its average may move.
    pub tolerance: Tolerance,
}
