//! The StockWatch whose rules are in force: of a file, of the API server, or the copy that the pod computes with.

use std::io;
use std::time::Duration;

use stockwatch_core::Shape;

use crate::args::WhatIf;
use crate::config::cluster::{Api, ApiError, Resource};
use crate::config::{self, FindError, LiveSpec, Refusal};

/// For the API server to answer.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpecError {
    /// There is no StockWatch, or it cannot be used.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The API server does not give it, and there is no copy.
    #[error("--watch {resource}: {source}")]
    Api {
        /// The StockWatch.
        resource: Resource,
        /// Why not.
        source: ApiError,
    },
    /// The process cannot start.
    #[error("the process cannot start: {0}")]
    Start(#[from] io::Error),
}

impl From<Refusal> for SpecError {
    fn from(refusal: Refusal) -> Self {
        Self::Find(refusal.into())
    }
}

/// Finds the StockWatch that the command line means.
///
/// # Errors
/// There is none, or it cannot be used.
pub(super) fn find(arguments: &WhatIf) -> Result<LiveSpec, SpecError> {
    let Some(resource) = &arguments.watch else {
        return Ok(config::find(arguments.watch_file.as_deref(), &arguments.pod.copies)?);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime
        .block_on(async { Api::of_pod(resource.clone(), &arguments.service_account)?.get(ASK_LIMIT).await });
    match asked {
        Ok(document) => Ok(document.load().map_err(Refusal::from)?),
        Err(source) => config::copied(&arguments.pod.copies, Some(resource))?
            .ok_or_else(|| SpecError::Api { resource: resource.clone(), source }),
    }
}

/// The rules of the files of `--candidate`, by their names.
///
/// # Errors
/// A file cannot be used.
pub(super) fn files(arguments: &WhatIf) -> Result<Vec<(String, Shape)>, Refusal> {
    let load = |file: &std::path::PathBuf| {
        let name = file.display().to_string();
        let text = config::read(file)?;
        let LiveSpec { uid, generation, spec, .. } = config::first(&text)
            .map_err(|error| Refusal::Unreadable { path: file.clone(), problem: error.to_string() })?;
        Ok((name, Shape::of(&uid, generation.unwrap_or(0), &spec)))
    };
    arguments.candidate.iter().map(load).collect()
}
