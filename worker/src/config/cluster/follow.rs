//! Follows the worker's own StockWatch for as long as the process runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

use super::api::Api;
use super::copies::Copies;
use super::document::Document;
use super::document_judge::DocumentJudge;
use super::error::ApiError;
use super::events::Event;
use crate::config::accept::Refusal;
use crate::config::file::{FileWatch, Reader};
use crate::metrics::Metrics;

/// A watch lasts so many seconds, and up to a fifth more by chance: a connection that went silent is found by then.
const WATCH_SECONDS: u32 = 22;
/// For a watch to end by itself after its time.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that ends sooner is no better than one that does not begin.
const LEAST: Duration = Duration::from_secs(1);
/// Between two watches that fail, however long the API server is away.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));

/// Follows until dropped.
#[derive(Debug)]
pub struct Following {
    watch: JoinHandle<()>,
    copy: JoinHandle<()>,
    _mounted: FileWatch,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.watch.abort();
        self.copy.abort();
    }
}

/// Offers every change that the API server or the mounted copy tells of, and copies what is taken. Fails only where no
/// thread can be started.
pub fn follow(
    api: Api,
    judge: Arc<DocumentJudge>,
    copies: Copies,
    metrics: Arc<Metrics>,
) -> io::Result<Following> {
    let mounted = FileWatch::start(copies.mounted(), String::new(), Mounted(Arc::clone(&judge)))?;
    Ok(Following {
        copy: tokio::spawn(copy(copies, judge.taken.subscribe())),
        watch: tokio::spawn(watch_for_ever(api, judge, metrics)),
        _mounted: mounted,
    })
}

/// Copies what was taken, beginning with what the worker started with; of several meanwhile only the last.
async fn copy(copies: Copies, mut taken: watch::Receiver<Document>) {
    loop {
        let (copies, document) = (copies.clone(), taken.borrow_and_update().clone());
        // A crash there has its own words.
        let _ = spawn_blocking(move || copies.keep(&document)).await;
        if taken.changed().await.is_err() {
            return;
        }
    }
}

/// The operator's copy: it comes late, and counts only where the API server is away.
struct Mounted(Arc<DocumentJudge>);

impl Reader for Mounted {
    fn changed(&self, text: &str) {
        match Document::parse(text) {
            Ok(document) => self.0.offer(&document),
            Err(error) => tracing::warn!(%error, "the mounted copy is not one of a StockWatch"),
        }
    }

    fn lost(&self, refusal: &Refusal) {
        tracing::debug!(%refusal, "no mounted copy");
    }
}

async fn watch_for_ever(mut api: Api, judge: Arc<DocumentJudge>, metrics: Arc<Metrics>) {
    let mut failures: u32 = 0;
    let mut said = None;
    loop {
        let began = Instant::now();
        let ended = watch_once(&mut api, &judge, &metrics, &mut said).await;
        match ended {
            Ok(()) if began.elapsed() >= LEAST => {
                failures = 0;
                continue;
            }
            Ok(()) => tracing::debug!("the API server ended the watch at once"),
            Err(error) => {
                metrics.watch_connected.set(0);
                metrics.watch_failures.inc();
                api.reset();
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "no watch of the StockWatch: edits are not heard of until there is"
                    );
                    said = Some(error);
                }
            }
        }
        failures = failures.saturating_add(1);
        sleep(RETRY.after(failures, fastrand::f64())).await;
    }
}

/// One watch, from what is there to its end.
async fn watch_once(
    api: &mut Api,
    judge: &Arc<DocumentJudge>,
    metrics: &Metrics,
    said: &mut Option<String>,
) -> Result<(), ApiError> {
    let seconds = WATCH_SECONDS + fastrand::u32(0..=WATCH_SECONDS / 5);
    let mut events = api.watch(seconds).await?;
    metrics.watch_connected.set(1);
    if said.take().is_some() {
        tracing::info!("the StockWatch is watched again");
    }
    let limit = Duration::from_secs(seconds.into()) + GRACE;
    let end = Instant::now() + limit;
    while let Some(event) = timeout_at(end, events.next()).await.map_err(|_| ApiError::Silent(limit))?? {
        match event {
            Event::Is(document) => {
                let judge = Arc::clone(judge);
                // HTTP goes on meanwhile. A crash there has its own words.
                let _ = spawn_blocking(move || judge.offer(&document)).await;
            }
            Event::Deleted => tracing::warn!("the StockWatch was deleted: this worker goes with it"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::fs;

    use super::super::api::tests::{server, tells};
    use super::super::document::tests::document;
    use super::*;
    use crate::config::Live;

    fn started(document: &Document) -> (Arc<Live>, Arc<DocumentJudge>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let live = Arc::new(Live::starting_with(document.load().unwrap(), Arc::clone(&metrics)));
        (Arc::clone(&live), Arc::new(DocumentJudge::new(live, document.clone(), None)), metrics)
    }

    async fn sees(live: &Live, generation: u64) {
        let mut spec = live.subscribe();
        let seen = spec.wait_for(|spec| spec.generation == Some(generation));
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("never seen").unwrap();
    }

    #[tokio::test]
    async fn edits_are_taken_from_one_watch_after_another_and_copied() {
        let (server, _account, api) = server().await;
        let (spec, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copies = Copies::new(spec.path(), state.path());
        let (live, judge, metrics) = started(&document("a", 3, "1%"));
        // The second begins with an edit of the time between the two.
        tells(&server, &[("ADDED", document("a", 3, "1%")), ("MODIFIED", document("a", 4, "2%"))]).await;
        tells(&server, &[("ADDED", document("a", 5, "3%"))]).await;
        let following = follow(api, judge, copies.clone(), Arc::clone(&metrics)).unwrap();
        sees(&live, 5).await;
        // Then the server is gone, and the operator's copy tells of one more.
        drop(server);
        fs::write(copies.mounted(), serde_json::to_string(&document("a", 6, "4%")).unwrap()).unwrap();
        sees(&live, 6).await;
        let copied = async {
            while copies.read().iter().filter(|copy| copy.metadata.generation == 6).count() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), copied).await.expect("never copied");
        drop(following);
    }
}
