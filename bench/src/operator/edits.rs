//! A tolerance is edited among many other StockWatches: from the API server's answer to the status that says so, beside
//! the watch that shows the edit.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::sleep;

use crate::error::Result;
use crate::operator::crowd;
use crate::operator::follower::{Follower, State, States};
use crate::operator::stage::Stage;
use crate::report::{Report, percentile};

const LIMIT: Duration = Duration::from_secs(60);
/// How much later than the edit itself a watch may show the status that says so, in milliseconds.
const LATER: f64 = 1000.0;

/// Edits so many of the crowd, one after another; gives the median of the milliseconds until the status says so.
pub(super) async fn run(
    stage: &Stage,
    follower: &Follower,
    among: &str,
    edits: usize,
    report: &mut Report,
) -> Result<f64> {
    let api = stage.stockwatches();
    let (mut said, mut shown) = (Vec::new(), Vec::new());
    for edit in 0..edits {
        // Pauses of different lengths: edits must not fall into step with a timer of the program.
        sleep(Duration::from_millis(100 + edit as u64 * 37 % 100)).await;
        let name = crowd::name(edit);
        let before = follower.state(&name).ok_or("there are fewer StockWatches than edits")?;
        let generation = before.generation + 1;
        let patch = Patch::Merge(json!({"spec": {"windows": [
            {"duration": "5m", "tolerance": format!("0.{generation:04}%")},
        ]}}));
        let edited = api.patch(&name, &PatchParams::default(), &patch).await?;
        let answered = Instant::now();
        if edited.metadata.generation != Some(generation) {
            return Err("somebody else edits it as well".into());
        }
        let wait = Wait { follower, name: &name, answered };
        shown.push(wait.until("an edit is shown", |state| state.generation >= generation).await?);
        let taken = |state: &State| state.observed >= generation && state.applied >= generation;
        said.push(wait.until("an edit is taken in", taken).await?);
    }
    let (p50, most) = (percentile(&mut said, 50), percentile(&mut said, 100));
    let shown = percentile(&mut shown, 100);
    report.plain(&format!("edit among {among} to the status, p50 ms"), p50);
    report.at_most(&format!("edit among {among} to the status, slowest ms"), most, shown + LATER);
    Ok(p50)
}

/// For what a watch shows of one StockWatch after the API server's answer.
struct Wait<'a> {
    follower: &'a Follower,
    name: &'a str,
    answered: Instant,
}

impl Wait<'_> {
    /// The milliseconds from the answer until something holds.
    async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) -> Result<f64> {
        self.follower.until(what, LIMIT, |states| states.get(self.name).is_some_and(&holds)).await?;
        let at = self.follower.state(self.name).map_or(self.answered, |state| state.at);
        Ok(at.saturating_duration_since(self.answered).as_secs_f64() * 1e3)
    }
}

/// StockWatches whose brokers are dead, as many of them; gives their names once all say so. Every second one has an
/// address that nobody has, the others one that refuses.
pub(super) async fn dead(stage: &Stage, follower: &Follower, count: usize) -> Result<Vec<String>> {
    let name = |n: usize| format!("dead-{n:03}");
    let body = |n: usize| {
        // Next to the cluster's own address; nobody listens on the lowest ports of the host.
        let silent = format!("10.200.0.{}:9092", 3 + n % 250);
        let refusing = format!("{}:{}", stockwatch_tests::Cluster::HOST, 1 + n);
        crowd::stockwatch(stage.home(), &name(n), if n.is_multiple_of(2) { &silent } else { &refusing })
    };
    crowd::apply(&stage.stockwatches(), (0..count).map(body).collect()).await?;
    let names: Vec<String> = (0..count).map(name).collect();
    let down = |states: &States| {
        names.iter().all(|name| states.get(name).is_some_and(|state| state.ready.0 == "False"))
    };
    follower.until("the dead brokers are said to be", LIMIT, down).await?;
    Ok(names)
}
