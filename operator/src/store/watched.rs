//! What remains of a StockWatch in memory: all of it, but for the API server's books.

use std::sync::Arc;

use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use stockwatch_crds::{StockWatch, UNSEEN};

/// A StockWatch as the API server has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// One that this version of the operator can read.
    Readable(Arc<StockWatch>),
    /// One that it cannot read, whatever the API server thinks of it.
    Unreadable {
        /// Its metadata.
        metadata: Arc<ObjectMeta>,
        /// Why, for the log.
        error: String,
    },
}

impl Watched {
    pub(super) fn of(guard: DeserializeGuard<StockWatch>) -> Self {
        match guard.0 {
            Ok(mut stockwatch) => {
                stockwatch.metadata.managed_fields = None;
                // The definition's default, of which nothing was ever said.
                if stockwatch.status.as_ref().is_some_and(|status| status.observed_generation == Some(UNSEEN))
                {
                    stockwatch.status = None;
                }
                // kubectl's own note: as large as the spec.
                if let Some(annotations) = &mut stockwatch.metadata.annotations {
                    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
                }
                Self::Readable(Arc::new(stockwatch))
            }
            Err(mut invalid) => {
                invalid.metadata.managed_fields = None;
                Self::Unreadable { metadata: Arc::new(invalid.metadata), error: invalid.error }
            }
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Readable(stockwatch) => &stockwatch.metadata,
            Self::Unreadable { metadata, .. } => metadata,
        }
    }
}
