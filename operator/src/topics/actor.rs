//! The actor of one connection: gathers requests, and answers them in rounds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::breaker::{Responsiveness, pause};
use super::client::Client;
use super::connection::Connection;
use super::deletion::delete;
use super::observed::KafkaReason;
use super::probe::probe;
use super::registry::{NextWork, Work};
use super::round::{carry_out, names};
use super::shared::Shared;
use super::trouble::Failure;

/// Requests that come within this time share a round; after a long round, those within half of its duration, so that
/// much work takes few rounds.
const GATHER: Duration = Duration::from_millis(20);
/// The longest time for which requests are gathered.
const MOST_GATHER: Duration = Duration::from_secs(1);
/// A client without work for this long is closed.
const IDLE: Duration = Duration::from_secs(10);

/// Works until nobody asks for anything over this connection.
pub(super) async fn run(shared: Arc<Shared>, connection: Connection, notify: Arc<Notify>) {
    let metrics = shared.metrics.clone();
    metrics.connections.inc();
    let mut actor =
        Actor { shared, connection, notify, open: None, has_answered: false, failures: 0, said: None };
    actor.work().await;
    actor.close().await;
    actor.note_down(0);
    metrics.connections.dec();
}

struct Actor {
    shared: Arc<Shared>,
    connection: Connection,
    notify: Arc<Notify>,
    open: Option<Open>,
    has_answered: bool,
    /// Rounds that failed in a row.
    failures: u32,
    /// The reason that was logged last.
    said: Option<KafkaReason>,
}

/// An open client with its permit.
struct Open {
    client: Client,
    permit: Option<OwnedSemaphorePermit>,
}

impl Actor {
    async fn work(&mut self) {
        let mut rest_until = Instant::now();
        let mut idle_at = Instant::now();
        let mut gather = GATHER;
        loop {
            let NextWork::At(at) = self.shared.registry().next(&self.connection) else { return };
            tokio::select! {
                () = sleep_until(at.max(rest_until)) => {}
                () = self.notify.notified() => continue,
                () = sleep_until(idle_at), if self.open.is_some() => {
                    self.close().await;
                    continue;
                }
            }
            sleep(gather).await;
            let began = Instant::now();
            let ended = self.round().await;
            gather = GATHER.max(began.elapsed() / 2).min(MOST_GATHER);
            match ended {
                Ok(()) => self.recovered(),
                Err(failure) => {
                    self.close().await;
                    rest_until = Instant::now() + self.failed(&failure);
                }
            }
            if !self.shared.permits.have_room() {
                self.close().await;
            }
            idle_at = Instant::now() + IDLE;
        }
    }

    /// Connects if necessary, and does the work that is due. After a failure that work is due again.
    async fn round(&mut self) -> Result<(), Failure> {
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
        }
        let work = self.shared.registry().take(&self.connection);
        let began = Instant::now();
        let result = self.answer(&work).await;
        self.shared.metrics.worked(began.elapsed());
        if result.is_err() {
            self.shared.registry().give_back(&self.connection, &work);
        }
        result
    }

    async fn answer(&mut self, work: &Work) -> Result<(), Failure> {
        let wanted = work.wanted.clone();
        let look = move |client: &mut Client| client.look(&names(wanted.iter().map(|wanted| &**wanted)));
        let (cluster_id, found) = self.blocking(look).await?;

        let plans = self.shared.registry().plan(&self.connection, &cluster_id, &found, &work.wanted);
        let (deletions, metrics) = (work.deletions.clone(), self.shared.metrics.clone());
        let act = move |client: &mut Client| {
            let outcomes = carry_out(client, &metrics, &cluster_id, found, plans)?;
            Ok((outcomes, delete(client, &metrics, &cluster_id, deletions)?))
        };
        let (outcomes, ends) = self.blocking(act).await?;

        let changed = self.shared.registry().publish(&self.connection, outcomes, ends);
        self.shared.wake(changed);
        Ok(())
    }

    async fn connect(&self) -> Result<Open, Failure> {
        let responsiveness = match (self.failures, self.has_answered) {
            (0, false) => Responsiveness::Unknown,
            (0, true) => Responsiveness::Answers,
            _ => Responsiveness::Silent,
        };
        if responsiveness != Responsiveness::Answers {
            probe(self.connection.bootstrap_servers()).await?;
        }
        let permit = self.shared.permits.acquire(responsiveness).await;
        let (connection, metrics) = (self.connection.clone(), self.shared.metrics.clone());
        let open = move || Ok(Open { client: Client::open(&connection, &metrics)?, permit });
        spawn_blocking(open).await.map_err(|_| crashed())?
    }

    /// Makes a blocking call with the client, on a thread for those.
    async fn blocking<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut Client) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Some(mut open) = self.open.take() else { return Err(crashed()) };
        let lent = move || {
            let result = call(&mut open.client);
            (open, result)
        };
        let (open, result) = spawn_blocking(lent).await.map_err(|_| crashed())?;
        self.open = Some(open);
        result
    }

    async fn close(&mut self) {
        if let Some(Open { client, permit }) = self.open.take() {
            let closed = spawn_blocking(move || {
                drop(client);
                drop(permit);
            });
            // It fails only by a panic, and the client is gone then, too.
            let _ = closed.await;
        }
    }

    fn recovered(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(brokers = self.connection.bootstrap_servers(), "Kafka answers again");
        }
        self.has_answered = true;
        self.note_down(0);
    }

    /// Gives the failure to all StockWatches of the connection; returns how long the cluster is not asked.
    fn failed(&mut self, failure: &Failure) -> Duration {
        let brokers = self.connection.bootstrap_servers();
        let (reason, detail) = (failure.problem.reason, &failure.detail);
        if self.said.replace(reason) == Some(reason) {
            tracing::debug!(brokers, reason = reason.as_str(), detail, "Kafka cannot be asked");
        } else {
            tracing::warn!(brokers, reason = reason.as_str(), detail, "Kafka cannot be asked");
        }
        self.note_down(self.failures.saturating_add(1));
        let changed = self.shared.registry().fail(&self.connection, &failure.problem, self.failures);
        self.shared.wake(changed);
        pause(self.failures)
    }

    fn note_down(&mut self, failures: u32) {
        match (self.failures, failures) {
            (0, 1..) => drop(self.shared.metrics.connections_down.inc()),
            (1.., 0) => drop(self.shared.metrics.connections_down.dec()),
            _ => {}
        }
        self.failures = failures;
    }
}

fn crashed() -> Failure {
    Failure::new(KafkaReason::KafkaUnreachable, "the thread that worked with the cluster crashed")
}
