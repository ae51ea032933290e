//! Edits of a StockWatch in a cluster: from the API server's answer to the moment the worker judges by the new
//! tolerance, with a bare watch on the same object timed beside it, and to the moment the status says so.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use stockwatch_crds::StockWatch;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::error::Result;
use crate::http;
use crate::report::{Report, percentile};

const LIMIT: Duration = Duration::from_secs(30);
/// How much later than a bare watch the worker may judge by an edit, and the status say so: p99, in milliseconds.
const JUDGED_LATER: f64 = 50.0;
const SAID_LATER: f64 = 1000.0;

/// Which StockWatch is edited.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// `namespace/name` of a StockWatch that runs with one worker, in the cluster of KUBECONFIG.
    #[arg(default_value = "default/first")]
    stockwatch: String,
    /// How many edits.
    #[arg(long, default_value_t = 300)]
    edits: u32,
}

/// Measures a worker and an operator that run; true if every bar holds.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::begin()?;
    runtime.block_on(measure(arguments, &mut report))?;
    Ok(report.print())
}

/// What a watch showed, and when.
struct Seen {
    at: Instant,
    generation: i64,
    applied: i64,
}

async fn measure(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let (namespace, name) = arguments.stockwatch.split_once('/').ok_or("not namespace/name")?;
    let client = Client::try_default().await?;
    let worker = worker(&client, namespace, name).await?;
    let api: Api<StockWatch> = Api::namespaced(client, namespace);
    let before = api.get(name).await?;
    let mut windows = serde_json::to_value(before.spec.windows.clone().ok_or("spec.windows is not set")?)?;
    let mut seen = watch(&api, name, before.resource_version().unwrap_or_default()).await?;
    let mut generation = before.metadata.generation.unwrap_or_default();
    let (mut judged, mut shown, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for edit in 0..arguments.edits {
        // Pauses of different lengths: edits must not fall into step with a timer of the program.
        sleep(Duration::from_millis(100 + u64::from(edit) * 37 % 100)).await;
        windows[0]["tolerance"] = json!(format!("0.{:04}%", 100 + edit));
        generation += 1;
        let asked = tokio::task::spawn_blocking(move || judges(worker, generation));
        let edited = patch(&api, name, &windows).await?;
        let answered = Instant::now();
        if edited.metadata.generation != Some(generation) {
            return Err("somebody else edits it as well".into());
        }
        let since = |at: Instant| at.saturating_duration_since(answered).as_secs_f64() * 1e3;
        let at = first(&mut seen, |seen| seen.generation >= generation).await?;
        shown.push(since(at));
        judged.push(since(asked.await??));
        said.push(since(first(&mut seen, |seen| seen.applied >= generation).await?));
    }
    patch(&api, name, &json!(before.spec.windows)).await?;
    for (what, millis) in
        [("judged by", &mut judged), ("shown by a bare watch", &mut shown), ("in the status", &mut said)]
    {
        let (p50, p99) = (percentile(millis, 50), percentile(millis, 99));
        report.note(format!("{} edits, {what}: p50 {p50:.1} ms, p99 {p99:.1} ms", arguments.edits));
    }
    let shown = percentile(&mut shown, 99);
    let judged = percentile(&mut judged, 99);
    report.at_most("edit to the worker judging by it, p99 ms", judged, shown + JUDGED_LATER);
    report.at_most("edit to status.appliedGeneration, p99 ms", percentile(&mut said, 99), shown + SAID_LATER);
    Ok(())
}

async fn patch(api: &Api<StockWatch>, name: &str, windows: &Value) -> kube::Result<StockWatch> {
    let patch = Patch::Merge(json!({"spec": {"windows": windows}}));
    api.patch(name, &PatchParams::default(), &patch).await
}

/// The address of the only worker.
async fn worker(client: &Client, namespace: &str, name: &str) -> Result<SocketAddr> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let all = pods.list(&ListParams::default().labels(&format!("stockwatch.dev/name={name}"))).await?;
    let [pod] = &all.items[..] else {
        return Err(format!("{} workers: one is needed", all.items.len()).into());
    };
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()).ok_or("it has no address")?;
    Ok(SocketAddr::new(address.parse()?, 8080))
}

/// A watch of the one object, as anyone could have it.
async fn watch(api: &Api<StockWatch>, name: &str, from: String) -> Result<UnboundedReceiver<Seen>> {
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(290);
    let mut events = api.watch(&params, &from).await?.boxed();
    let (send, receive) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(event)) = events.try_next().await {
            let at = Instant::now();
            if let WatchEvent::Modified(object) = event {
                let applied = object.status.and_then(|status| status.applied_generation).unwrap_or_default();
                let generation = object.metadata.generation.unwrap_or_default();
                let _ = send.send(Seen { at, generation, applied });
            }
        }
    });
    Ok(receive)
}

async fn first(events: &mut UnboundedReceiver<Seen>, is: impl Fn(&Seen) -> bool) -> Result<Instant> {
    let found = async {
        loop {
            let seen = events.recv().await.ok_or("the watch ended")?;
            if is(&seen) {
                return Ok(seen.at);
            }
        }
    };
    timeout(LIMIT, found).await.map_err(|_| "the watch shows no more")?
}

/// When the worker has begun to judge by a generation.
fn judges(worker: SocketAddr, generation: i64) -> std::result::Result<Instant, String> {
    let path = format!("/config?generation={generation}&wait=1s");
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let answer = http::get(worker, &path);
        let at = Instant::now();
        let config: Option<Value> = answer.and_then(|body| serde_json::from_str(&body).ok());
        let applied = config.as_ref().and_then(|config| config["appliedGeneration"].as_i64());
        if applied.is_some_and(|applied| applied >= generation) {
            return Ok(at);
        }
    }
    Err(format!("the worker does not come to generation {generation}"))
}
