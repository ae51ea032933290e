//! `stockwatch-operator run`: watches, waits to lead, and reconciles while it does, until told to stop.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Run};
use crate::claims::Claims;
use crate::client::{ClientError, client};
use crate::context::{Context, Parts, Settings};
use crate::controller;
use crate::credentials::SecretAccess;
use crate::fence::Fence;
use crate::health::Health;
use crate::http::{self, Shared};
use crate::leader::{HeldLease, Leader};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::Store;
use crate::synced::Synced;
use crate::topics;
use crate::watch::Watches;

/// Why the operator ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the process cannot start: {0}")]
    Start(#[from] io::Error),
    #[error("--http {address}: cannot listen: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("a watch crashed: please report what it printed")]
    Watch,
}

/// Runs until a signal comes or something fails.
pub fn run(arguments: &Run) -> ExitCode {
    log_to_stderr(arguments.log_format);
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the operator ended");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        // Its errors are ours to handle, and to log.
        .unwrap_or_else(|_| EnvFilter::new("info,kube_client=off,kube_runtime=off"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn start(arguments: &Run) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(arguments));
    // A call to Kafka may still block a thread; nothing waits for it.
    runtime.shutdown_background();
    result
}

async fn serve(arguments: &Run) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let client = client().await?;
    let metrics = Arc::new(Metrics::new());
    let (store, queue) = (Arc::new(Store::default()), Arc::new(Queue::default()));
    let synced: Arc<Synced> = Arc::default();
    let watches = Watches {
        client: client.clone(),
        store: Arc::clone(&store),
        queue: Arc::clone(&queue),
        synced: Arc::clone(&synced),
        metrics: Arc::clone(&metrics),
    };
    let mut watching = watches.start(&arguments.namespaces());
    let health = Arc::new(Health::new(Arc::clone(&synced)));

    let address = arguments.http;
    let listener = http::listen(address).await.map_err(|source| RunError::Listen { address, source })?;
    let shared = Shared { health: Arc::clone(&health), metrics: Arc::clone(&metrics) };
    tokio::spawn(http::serve(listener, shared));
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "started");

    let election = match (arguments.no_leader_election, &arguments.pod_name, &arguments.pod_namespace) {
        (false, Some(me), Some(namespace)) => {
            let fence = Fence::closed();
            let (name, me) = (arguments.lease.clone(), me.clone());
            Some((Leader::new(client.clone(), namespace, name, me, fence.clone()), fence))
        }
        _ => None,
    };
    let fence = election.as_ref().map_or_else(Fence::open, |(_, fence)| fence.clone());
    let leader = election.map(|(leader, _)| leader);
    let claims = claims(arguments, client.clone(), &synced);
    let kafka_metrics = metrics.register_with(topics::Metrics::new);
    loop {
        let mut held = tokio::select! {
            held = lead(leader.as_ref(), claims.as_ref(), &synced, &health) => held,
            signal = signals.next() => {
                tracing::info!(signal, "stopped while standing by");
                return Ok(());
            }
            _ = watching.join_next() => return Err(RunError::Watch),
        };
        metrics.leading.set(1);
        tracing::info!("leading");
        // Each term begins with what the watches have shown, and leaves nothing of it to the next.
        queue.restart(store.stockwatches.keys());
        let (context, woken) = Context::new(Parts {
            settings: settings(arguments),
            client: client.clone(),
            fence: fence.clone(),
            store: Arc::clone(&store),
            synced: Arc::clone(&synced),
            queue: Arc::clone(&queue),
            metrics: Arc::clone(&metrics),
            kafka_metrics: kafka_metrics.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let concurrency = usize::from(arguments.concurrency);
        let term = controller::run(Arc::new(context), woken, concurrency, Arc::clone(&health), stopped);
        let mut controller = tokio::spawn(term);
        let keep = async {
            match (&leader, &mut held) {
                (Some(leader), Some(held)) => leader.keep(held).await,
                _ => std::future::pending().await,
            }
        };
        let lost = tokio::select! {
            lost = keep => Some(lost),
            _ = watching.join_next() => return Err(RunError::Watch),
            () = follow(claims.as_ref()) => return Err(RunError::Watch),
            // It ends by itself only when it crashes.
            _ = &mut controller => return Err(RunError::Watch),
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                None
            }
        };
        stop.send_replace(true);
        let _ = controller.await;
        metrics.stand_by();
        let Some(lost) = lost else { break };
        // The fence is closed: what was begun before has ended by the time that another may lead.
        tracing::warn!(error = %lost, "this process leads no more and stands by");
    }
    if let Some(leader) = &leader {
        leader.release().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits until the store is filled and this process leads.
async fn lead(
    leader: Option<&Leader>,
    claims: Option<&Claims>,
    synced: &Synced,
    health: &Health,
) -> Option<HeldLease> {
    let beat = async {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            health.beat();
        }
    };
    let lead = async {
        synced.wait().await;
        tracing::info!("synced");
        // Before the Lease is taken: one who cannot read the claims would hold it, and not act.
        if let Some(claims) = claims {
            claims.first().await;
        }
        let held = match leader {
            Some(leader) => Some(leader.acquire().await),
            None => None,
        };
        // They may have changed while this process stood by.
        if let Some(claims) = claims.filter(|_| held.is_some()) {
            claims.refresh().await;
        }
        held
    };
    tokio::select! {
        held = lead => held,
        () = beat => None,
    }
}

/// None where the operator does not know which release it is of.
fn claims(arguments: &Run, client: Client, synced: &Arc<Synced>) -> Option<Claims> {
    let me = format!("{}/{}", arguments.pod_namespace.as_ref()?, arguments.lease);
    Some(Claims::new(client, arguments.namespaces(), me, Arc::clone(synced)))
}

async fn follow(claims: Option<&Claims>) {
    match claims {
        Some(claims) => claims.follow().await,
        None => std::future::pending().await,
    }
}

fn settings(arguments: &Run) -> Settings {
    let account = &arguments.service_account;
    Settings {
        worker_image: arguments.worker_image.clone(),
        pull_secrets: arguments.pull_secrets(),
        pull_policy: arguments.worker_pull_policy.clone(),
        listen: arguments.worker_listen,
        secret_access: SecretAccess {
            role: arguments.secret_role.clone(),
            service_account: (account.namespace.clone(), account.name.clone()),
        },
        quotes_interval: arguments.quotes_interval,
        instance: arguments.pod_name.clone().unwrap_or_else(|| "stockwatch-operator".into()),
    }
}

/// The two signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, Ordering};

    use hyper::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_cannot_read_the_claims_leaves_the_lease_alone_and_is_not_ready() {
        let (readable, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (may_read, takes) = (Arc::clone(&readable), Arc::clone(&taken));
        let service = service_fn(move |request: Request<Body>| {
            let is_claim = request.uri().path().ends_with("/stockwatch-claim");
            let is_write = request.method() != Method::GET;
            takes.fetch_or(is_write, Ordering::Relaxed);
            let (code, body) = match (is_claim && !may_read.load(Ordering::Relaxed), is_write) {
                (true, _) => (500, json!({"status": "Failure", "code": 500, "message": "no", "reason": ""})),
                (_, true) => (200, json!({"metadata": {"name": "lease"}})),
                _ => (404, json!({"status": "Failure", "code": 404, "message": "no", "reason": "NotFound"})),
            };
            let body = Body::from(body.to_string().into_bytes());
            async move { Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap()) }
        });
        let client = Client::new(service, "ops");
        let synced = Arc::<Synced>::default();
        let health = Health::new(Arc::clone(&synced));
        let claims =
            Claims::new(client.clone(), vec!["a".into()], "ops/stockwatch".into(), Arc::clone(&synced));
        let leader = Leader::new(client, "ops", "lease".into(), "me".into(), Fence::closed());
        let led = async || lead(Some(&leader), Some(&claims), &synced, &health).await;
        assert!(timeout(Duration::from_secs(30), led()).await.is_err());
        assert!(!taken.load(Ordering::Relaxed));
        assert!(health.not_ready().is_some_and(|why| why.contains("stockwatch-claim")));
        readable.store(true, Ordering::Relaxed);
        assert!(led().await.is_some());
        assert_eq!(health.not_ready(), None);
    }
}
