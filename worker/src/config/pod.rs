//! The StockWatch of a command that is run in a worker's pod, or beside a file.

use std::path::Path;

use super::accept::{LiveSpec, Refusal, first};
use super::cluster::{Copies, Resource};
use super::file::read;
use crate::args::PodCopies;

/// Why there is no spec.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The file, or the pod's newest copy, cannot be used.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Outside of a pod nothing says which StockWatch is meant.
    #[error(
        "no StockWatch is named, and there is no copy of one in {spec} or {state}: name a file by --watch-file, or run \
         this in a worker's pod"
    )]
    NoCopy {
        /// `--spec-directory`.
        spec: String,
        /// `--state-directory`.
        state: String,
    },
}

/// Returns the spec of the file if one is named, otherwise that of the pod's newest good copy.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn find(file: Option<&Path>, pod: &PodCopies) -> Result<LiveSpec, FindError> {
    if let Some(file) = file {
        let at_file =
            |refusal: Refusal| Refusal::Unreadable { path: file.to_owned(), problem: refusal.to_string() };
        return Ok(first(&read(file)?).map_err(at_file)?);
    }
    copied(pod, None)?.ok_or_else(|| FindError::NoCopy {
        spec: pod.spec_directory.display().to_string(),
        state: pod.state_directory.display().to_string(),
    })
}

/// Returns the spec of the pod's newest good copy, of the StockWatch of this name if one is given; `None`: there is no
/// copy.
///
/// # Errors
/// No copy is good: what is wrong with the newest.
pub fn copied(pod: &PodCopies, named: Option<&Resource>) -> Result<Option<LiveSpec>, Refusal> {
    let copies = Copies::new(&pod.spec_directory, &pod.state_directory);
    let spec = copies.newest_good(|copy| {
        named.is_none_or(|named| copy.namespace == named.namespace && copy.name == named.name)
    });
    Ok(spec?)
}
