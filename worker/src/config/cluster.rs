//! The live spec in a cluster: the worker's own StockWatch, as the API server has it.
//!
//! The API server is asked at the start and watched from then on. Where it is away, the copies count: the operator's,
//! mounted as a directory, and the worker's own, written with every spec that is taken. Whoever delivers a document,
//! [`judge`] decides alike: another uid is refused, a generation never goes back, a bad document leaves the last good
//! one in use, and of a good one everything is taken but `spec.kafka`, which a running worker keeps.

mod api;
mod copies;
mod document;
mod document_judge;
mod error;
mod events;
mod follow;
mod judge;
mod resource;
mod start;

pub use api::Api;
pub use copies::Copies;
pub use document::Document;
pub use document_judge::DocumentJudge;
pub use error::{ApiError, EventError};
pub use events::{Event, Events};
pub use follow::{Following, follow};
pub use judge::judge;
pub use resource::Resource;
pub use start::{Start, StartError, start};
