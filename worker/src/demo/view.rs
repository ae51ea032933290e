//! What the demo shows at one moment, on a screen or in lines.

use std::path::Path;
use std::sync::Arc;

use super::table::Table;
use crate::config::LiveSpec;

/// What is shown.
pub(super) struct View<'a> {
    pub(super) table: &'a Table,
    pub(super) live: Arc<LiveSpec>,
    /// Why the file as it is now is not in use.
    pub(super) error: Option<String>,
    pub(super) not_ready: Option<String>,
    /// The generation computed with.
    pub(super) applied: Option<u64>,
    pub(super) file: &'a Path,
    pub(super) log: &'a Path,
}
