//! The live spec: the last StockWatch that was accepted, and why a newer one was not.
//!
//! [`accept`] decides what a document does, and does nothing else; in a cluster [`cluster::judge`] comes to the same
//! decisions. [`Live`] keeps and publishes the outcome. [`FileWatch`] delivers the documents of a plain file, [`cluster`]
//! those of an API server. [`find`] is for commands beside a worker.

mod accept;
pub mod cluster;
mod file;
mod live;
mod pod;

pub use accept::{Decision, LiveSpec, Refusal, accept, first};
pub use file::{FileWatch, Reader, read};
pub use live::{Live, SpecReceiver};
pub use pod::{FindError, copied, find};
