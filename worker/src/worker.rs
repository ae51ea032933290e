//! One StockWatch at work in this process: the pipeline on a thread, the extractor as a task, and how both end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures::future::{Fuse, FusedFuture, FutureExt};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::extract;
use crate::kafka::Connection;
use crate::ownership::OwnedPartitions;
use crate::pipeline;
use crate::shared::Shared;
use crate::whatif::after_edit;

/// For fetched quotes to be written once nothing more is fetched.
const EXTRACTOR_ENDS: Duration = Duration::from_secs(1);

/// For the last transaction, and to leave the group. Both together leave a margin of the 5 s that a stop may take.
const PIPELINE_ENDS: Duration = Duration::from_millis(3500);

/// Why a worker ended although nobody stopped it, or not as it was told.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The pipeline says what to do.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// A defect: what it printed before says more.
    #[error("the {0} crashed: please report what it printed")]
    Crashed(&'static str),
    /// Whatever was not committed is computed again by the next worker.
    #[error("the pipeline did not end within {PIPELINE_ENDS:?}: it is left where it is")]
    Hangs,
}

/// Runs until it is stopped or ends by itself.
#[derive(Debug)]
pub struct Worker {
    stop_pipeline: Arc<AtomicBool>,
    pipeline: oneshot::Receiver<Result<(), pipeline::Error>>,
    stop_extractor: watch::Sender<bool>,
    // It may end before the pipeline, and is asked again after that.
    extractor: Fuse<JoinHandle<()>>,
}

impl Worker {
    /// Starts both parts. `id` is `--id` or the pod's name; topics that are missing now are created, or awaited.
    /// `source_secrets` is where the Secrets of sources are.
    pub fn start(
        connection: Connection,
        id: String,
        create_topics: bool,
        source_secrets: &Path,
        shared: &Shared,
    ) -> io::Result<Self> {
        let (owned, follow_owned) = watch::channel(OwnedPartitions::default());
        let stop_pipeline = Arc::new(AtomicBool::new(false));
        let settings = pipeline::Settings {
            connection: connection.clone(),
            id,
            spec: shared.live.subscribe(),
            health: Arc::clone(&shared.health),
            flow: Arc::clone(&shared.flow),
            metrics: Arc::clone(&shared.metrics),
            owned,
            create_topics,
            stop: Arc::clone(&stop_pipeline),
        };
        let (ended, pipeline) = oneshot::channel();
        thread::Builder::new().name("pipeline".into()).spawn(move || {
            // Nobody listens any more once the process has given up on it.
            let _ = ended.send(pipeline::run(settings));
        })?;
        // It ends with the sender of specs; what it is doing then is left to the process' end.
        tokio::spawn(after_edit::run(after_edit::Deps {
            connection: connection.clone(),
            spec: shared.live.subscribe(),
            owned: follow_owned.clone(),
            health: Arc::clone(&shared.health),
        }));
        let (stop_extractor, stop) = watch::channel(false);
        let extractor = tokio::spawn(extract::run(extract::Deps {
            connection,
            spec: shared.live.subscribe(),
            owned: follow_owned,
            flow: Arc::clone(&shared.flow),
            source_secrets: source_secrets.to_owned(),
            metrics: Arc::clone(&shared.metrics),
            stop,
        }))
        .fuse();
        Ok(Self { stop_pipeline, pipeline, stop_extractor, extractor })
    }

    /// Waits until a part ends by itself. May be dropped and called again, but not after it has returned.
    pub async fn ended(&mut self) -> Ended {
        tokio::select! {
            biased;
            ended = &mut self.pipeline => match ended {
                Ok(Err(error)) => error.into(),
                Ok(Ok(())) | Err(_) => Ended::Crashed("pipeline"),
            },
            Err(_) = &mut self.extractor => Ended::Crashed("extractor"),
        }
    }

    /// Fetches nothing more, writes what was fetched, commits and leaves the group; within 4.5 s.
    pub async fn stop(mut self) -> Result<(), Ended> {
        self.stop_extractor.send_replace(true);
        if !self.extractor.is_terminated() && timeout(EXTRACTOR_ENDS, &mut self.extractor).await.is_err() {
            tracing::warn!("quotes that were fetched last could not be written in time");
        }
        self.stop_pipeline.store(true, Ordering::Relaxed);
        match timeout(PIPELINE_ENDS, self.pipeline).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(Ended::Crashed("pipeline")),
            Err(_) => Err(Ended::Hangs),
        }
    }
}
