//! The one task that works with one connection: gathers what is asked, and answers it in rounds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::board::{Next, Work};
use super::breaker::{Record, pause};
use super::client::Client;
use super::connection::Connection;
use super::deletion::delete;
use super::observed::Reason;
use super::probe::probe;
use super::round::{carry_out, names};
use super::trouble::Failure;

/// What is asked within this time of each other shares a round, or within half the time that the last round took: who has
/// much to do makes few rounds of it.
const GATHER: Duration = Duration::from_millis(20);
/// But never for longer.
const MOST_GATHER: Duration = Duration::from_secs(1);
/// A client that is not needed for longer is closed.
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
    /// In a row.
    failures: u32,
    /// What the log has of them.
    said: Option<Reason>,
}

/// An open client, in its place among those of all connections.
struct Open {
    client: Client,
    slot: Option<OwnedSemaphorePermit>,
}

impl Actor {
    async fn work(&mut self) {
        let mut rest_until = Instant::now();
        let mut idle_at = Instant::now();
        let mut gather = GATHER;
        loop {
            let Next::At(at) = self.shared.board().next(&self.connection) else { return };
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
            if !self.shared.slots.have_room() {
                self.close().await;
            }
            idle_at = Instant::now() + IDLE;
        }
    }

    /// Connects if need be, and works on what is due. What was not answered is due again after a failure.
    async fn round(&mut self) -> Result<(), Failure> {
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
        }
        let work = self.shared.board().take(&self.connection);
        let began = Instant::now();
        let result = self.answer(&work).await;
        self.shared.metrics.worked(began.elapsed());
        if result.is_err() {
            self.shared.board().give_back(&self.connection, &work);
        }
        result
    }

    async fn answer(&mut self, work: &Work) -> Result<(), Failure> {
        let wanted = work.wanted.clone();
        let look = move |client: &mut Client| client.look(&names(wanted.iter().map(|wanted| &**wanted)));
        let (cluster_id, found) = self.blocking(look).await?;

        let plans = self.shared.board().plan(&self.connection, &cluster_id, &found, &work.wanted);
        let (doomed, metrics) = (work.doomed.clone(), self.shared.metrics.clone());
        let act = move |client: &mut Client| {
            let outcomes = carry_out(client, &metrics, &cluster_id, found, plans)?;
            Ok((outcomes, delete(client, &metrics, &cluster_id, doomed)?))
        };
        let (outcomes, ends) = self.blocking(act).await?;

        let changed = self.shared.board().publish(&self.connection, outcomes, ends);
        self.shared.wake(changed);
        Ok(())
    }

    async fn connect(&self) -> Result<Open, Failure> {
        let record = match (self.failures, self.has_answered) {
            (0, false) => Record::Unknown,
            (0, true) => Record::Answers,
            _ => Record::Silent,
        };
        if record != Record::Answers {
            probe(self.connection.bootstrap_servers()).await?;
        }
        let slot = self.shared.slots.take(record).await;
        let (connection, metrics) = (self.connection.clone(), self.shared.metrics.clone());
        let open = move || Ok(Open { client: Client::open(&connection, &metrics)?, slot });
        spawn_blocking(open).await.map_err(|_| crashed())?
    }

    /// Lends the client to a call that blocks.
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
        if let Some(Open { client, slot }) = self.open.take() {
            let closed = spawn_blocking(move || {
                drop(client);
                drop(slot);
            });
            // It can only have crashed, and is gone then, too.
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

    /// Tells everyone, and gives how long the cluster is left alone.
    fn failed(&mut self, failure: &Failure) -> Duration {
        let brokers = self.connection.bootstrap_servers();
        let (reason, detail) = (failure.problem.reason, &failure.detail);
        if self.said.replace(reason) == Some(reason) {
            tracing::debug!(brokers, reason = reason.as_str(), detail, "Kafka cannot be asked");
        } else {
            tracing::warn!(brokers, reason = reason.as_str(), detail, "Kafka cannot be asked");
        }
        self.note_down(self.failures.saturating_add(1));
        let changed = self.shared.board().fail(&self.connection, &failure.problem, self.failures);
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
    Failure::new(Reason::KafkaUnreachable, "the thread that worked with the cluster crashed")
}
