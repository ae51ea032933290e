//! The StockWatch whose rules are in force: of a file, of the API server, or the copy that the pod computes with.

use std::io;
use std::time::Duration;

use stockwatch_core::Shape;

use crate::args::WhatIf;
use crate::config::cluster::{Api, ApiError, Copies, Document, Resource};
use crate::config::{self, LiveSpec, Refusal};

/// For the API server to answer.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpecError {
    /// The file, or the StockWatch, cannot be used.
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

/// Finds the StockWatch that the command line means.
///
/// # Errors
/// There is none, or it cannot be used.
pub(super) fn find(arguments: &WhatIf) -> Result<LiveSpec, SpecError> {
    if let Some(file) = &arguments.watch_file {
        return Ok(config::first(&config::read(file)?)?);
    }
    let copies = Copies::new(&arguments.pod.spec_directory, &arguments.pod.state_directory).read();
    let Some(resource) = &arguments.watch else {
        let no_copy = || SpecError::NoCopy {
            spec: arguments.pod.spec_directory.display().to_string(),
            state: arguments.pod.state_directory.display().to_string(),
        };
        return load(copies.first().ok_or_else(no_copy)?);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime
        .block_on(async { Api::of_pod(resource.clone(), &arguments.service_account)?.get(ASK_LIMIT).await });
    match asked {
        Ok(document) => load(&document),
        Err(source) => {
            let is_named = |copy: &&Document| {
                copy.metadata.namespace == resource.namespace && copy.metadata.name == resource.name
            };
            let copy = copies.iter().find(is_named);
            load(copy.ok_or_else(|| SpecError::Api { resource: resource.clone(), source })?)
        }
    }
}

fn load(document: &Document) -> Result<LiveSpec, SpecError> {
    document.load().map_err(|error| SpecError::Refused(error.into()))
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
