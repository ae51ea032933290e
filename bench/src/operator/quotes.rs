//! The operator asks the workers of every StockWatch whether quotes flow: what that costs, beside the same time without
//! workers. The workers are ports of one server, to which EndpointSlices lead.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use stockwatch_crds::flow::{Exchange, FlowReport, Held};
use stockwatch_operator::names;
use stockwatch_tests::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::error::Result;
use crate::operator::crowd;
use crate::operator::follower::{Follower, States};
use crate::operator::requests::Writes;
use crate::operator::stage::Stage;
use crate::report::Report;

const LIMIT: Duration = Duration::from_secs(600);
/// Tickers of each StockWatch.
const TICKERS: usize = 50;
const PERCENT: f64 = 3.0;
const MEGABYTES: f64 = 10.0;

/// What the leader spent in a window.
struct Spent {
    /// Of a core.
    percent: f64,
    megabytes: f64,
    writes: usize,
}

pub(super) async fn run(
    stage: &Stage,
    follower: &Follower,
    length: Duration,
    report: &mut Report,
) -> Result<()> {
    let mut writes = Writes::begin(stage);
    writes.settle(LIMIT).await?;
    let without = spent(stage, &mut writes, length).await?;
    let listed = stage.stockwatches().list(&ListParams::default()).await?;
    let workers: Vec<Worker> = listed
        .items
        .iter()
        .filter_map(|watch| Worker::listen(watch.metadata.name.as_ref()?, watch.metadata.uid.as_ref()?).ok())
        .collect();
    if workers.len() < listed.items.len() {
        return Err("not every worker can listen".into());
    }
    let slices: Api<EndpointSlice> = Api::namespaced(stage.client.clone(), stage.home());
    let bodies: Vec<_> = workers.iter().map(Worker::slice).collect();
    let count = workers.len();
    thread::spawn(move || serve(workers));
    let slices = &slices;
    each(bodies.iter().map(|body| async move {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        slices.patch(name, &PatchParams::apply(crowd::MANAGER), &Patch::Apply(body)).await.map(drop)
    }))
    .await?;
    follower.until("quotes flow", LIMIT, |states| all_say(states, "Flowing")).await?;
    writes.settle(LIMIT).await?;
    let with = spent(stage, &mut writes, length).await?;
    let minutes = length.as_secs_f64() / 60.0;
    let title = format!("{minutes:.1} min of asking the workers of {count} StockWatches");
    report.plain(&format!("{title}: % of a core in all"), with.percent);
    report.at_most(&format!("{title}: % of a core more"), with.percent - without.percent, PERCENT);
    report.at_most(&format!("{title}: MB more"), with.megabytes - without.megabytes, MEGABYTES);
    report.at_most(&format!("{title}: writes"), with.writes as f64, 0.0);

    each(bodies.iter().map(|body| async move {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        slices.delete(name, &DeleteParams::default()).await.map(drop)
    }))
    .await?;
    follower.until("nothing is known of quotes", LIMIT, |states| all_say(states, "NoReadyWorkers")).await?;
    writes.settle(LIMIT).await.map(drop)
}

fn all_say(states: &States, reason: &str) -> bool {
    states.values().all(|state| state.quotes == reason)
}

async fn each<F: Future<Output = kube::Result<()>>>(calls: impl Iterator<Item = F>) -> Result<()> {
    let calls = stream::iter(calls).buffer_unordered(crowd::AT_ONCE);
    Ok(calls.try_for_each(|()| async { Ok(()) }).await?)
}

async fn spent(stage: &Stage, writes: &mut Writes, length: Duration) -> Result<Spent> {
    let leader = stage.leader().await?;
    writes.taken();
    let cpu = leader.cpu_seconds()?;
    sleep(length).await;
    let cpu = leader.cpu_seconds()? - cpu;
    Ok(Spent {
        percent: cpu / length.as_secs_f64() * 100.0,
        megabytes: leader.own_memory()?,
        writes: writes.taken().writes(),
    })
}

/// What answers as the worker of a StockWatch does.
struct Worker {
    name: String,
    uid: String,
    listener: std::net::TcpListener,
    port: u16,
}

impl Worker {
    fn listen(name: &str, uid: &str) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Cluster::HOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { name: name.to_owned(), uid: uid.to_owned(), listener, port })
    }

    /// As Kubernetes' own controller would make it of a ready pod; without a Service's name it leaves this one alone.
    fn slice(&self) -> serde_json::Value {
        let name = format!("{}-bench", self.name);
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": names::labels(&self.name)},
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": [Cluster::HOST],
                "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": name, "uid": self.uid},
            }],
            "ports": [{"name": "http", "port": self.port, "protocol": "TCP"}],
        })
    }
}

/// Serves all of them until the process ends.
fn serve(workers: Vec<Worker>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        for worker in workers {
            if let Ok(listener) = TcpListener::from_std(worker.listener) {
                tokio::spawn(async move {
                    while let Ok((connection, _)) = listener.accept().await {
                        // Who asks and does not wait for the answer is no concern of a measurement.
                        let _ = answer(connection, &worker.uid).await;
                    }
                });
            }
        }
        std::future::pending::<()>().await;
    });
}

async fn answer(mut connection: TcpStream, uid: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if connection.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let body = if request.starts_with(b"GET /quotes") {
        serde_json::to_string(&quotes(uid))?
    } else {
        json!({"uid": uid, "generation": 1, "appliedGeneration": i64::MAX, "ignored": []}).to_string()
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all((head + &body).as_bytes()).await
}

/// A report of fifty tickers of which all is well.
fn quotes(uid: &str) -> FlowReport {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let at = i64::try_from(at).unwrap_or_default();
    let tickers = u32::try_from(TICKERS).unwrap_or_default();
    FlowReport {
        uid: uid.to_owned(),
        at,
        tickers,
        heard: tickers,
        answered: tickers,
        open: tickers,
        expected: tickers,
        learned: tickers,
        newest: Some(at),
        exchanges: vec![Exchange { name: "NMS".into(), newest: at }],
        partitions: vec![Held {
            partition: 0,
            tickers: (0..TICKERS).map(|i| format!("TICKER{i}.DE")).collect(),
            samples: 1000,
            bytes: 32_000,
        }],
        ..FlowReport::default()
    }
}
