//! What the operator writes and computes while nothing changes. After trouble begins, statuses are written once: a window
//! begins after ten seconds without a write.

use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use stockwatch_tests::OWNED;
use tokio::time::sleep;

use crate::error::Result;
use crate::operator::crowd;
use crate::operator::follower::{Follower, States};
use crate::operator::requests::Writes;
use crate::operator::stage::Stage;
use crate::operator::start::is_ready;
use crate::report::Report;

const LIMIT: Duration = Duration::from_secs(300);
/// How many StockWatches others write to.
const FOREIGN: usize = 50;
/// How many StockWatches a webhook changes the Deployments of.
const CHANGED: usize = 20;
/// For the last write about a Deployment that a webhook changes.
const FIRST_MINUTE: Duration = Duration::from_secs(60);
/// Breaks a rule that the API server does not know.
const INVALID: &str = "invalid";
/// Asks for a topic setting that no broker takes.
const REFUSED: &str = "refused";
/// Applied while Kafka is down: the operator asks Kafka at once, and not when it looks at everything again.
const LATE: &str = "late";

/// The state of the cluster during a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    /// Nothing.
    Calm,
    /// One StockWatch breaks a rule, and the broker refuses a topic of another.
    Refused,
    /// The operators were restarted just before: not one write is legitimate.
    Restarted,
    /// Others have a condition in the statuses of some, and labels and annotations on their objects, and the operators
    /// are restarted: not one write is legitimate.
    Foreign,
    /// A webhook adds a sidecar to the Deployments of some and changes the registry of their images, and a minute later
    /// the operators are restarted: not one write is legitimate after that minute.
    Changed,
    /// The broker is stopped.
    KafkaDown,
}

impl Window {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Calm => "idle",
            Self::Refused => "with refused StockWatches",
            Self::Restarted => "after a restart",
            Self::Foreign => "with others' conditions, labels and annotations, and a restart",
            Self::Changed => "with a webhook that changes Deployments, and a restart",
            Self::KafkaDown => "with Kafka down",
        }
    }
}

pub(super) async fn run(
    stage: &Stage,
    follower: &Follower,
    window: Window,
    length: Duration,
    report: &mut Report,
) -> Result<()> {
    let mut writes = Writes::begin(stage);
    let injector = (window == Window::Changed).then(|| stage.inject());
    begin(stage, follower, window).await?;
    let title = window.title();
    if !matches!(window, Window::Restarted | Window::Foreign) {
        let limit = if injector.is_some() { FIRST_MINUTE } else { LIMIT };
        let transition = writes.settle(limit).await?;
        report.note(format!("{title}: written before: {transition}"));
    }
    if window == Window::Changed {
        stage.restart();
    }
    let leader = stage.leader().await?;
    let cpu = leader.cpu_seconds()?;
    sleep(length).await;
    let cpu = leader.cpu_seconds()? - cpu;
    let counts = writes.taken();
    if counts.writes() + counts.refusals() > 0 {
        report.note(format!("{title}: written: {counts}"));
    }
    let minutes = length.as_secs_f64() / 60.0;
    report.at_most(&format!("{minutes:.1} min {title}: writes"), counts.writes() as f64, 0.0);
    report.plain(&format!("{minutes:.1} min {title}: refused requests"), counts.refusals() as f64);
    report.plain(&format!("{minutes:.1} min {title}: the operator's CPU, s"), cpu);
    if window == Window::Restarted {
        report.plain("the operator's peak memory after a restart, MB", leader.peak_memory()?);
    }
    drop(injector);
    end(stage, follower, window).await
}

async fn begin(stage: &Stage, follower: &Follower, window: Window) -> Result<()> {
    let (home, brokers, api) = (stage.home(), stage.broker.bootstrap(), stage.stockwatches());
    match window {
        Window::Calm => {}
        Window::Refused => {
            let mut invalid = crowd::stockwatch(home, INVALID, brokers);
            invalid["spec"]["tickers"][1]["name"] = json!("meta");
            let mut refused = crowd::stockwatch(home, REFUSED, brokers);
            refused["spec"]["kafka"]["topics"] = json!({"deadLetter": {"config": {"retention.ms": "never"}}});
            crowd::apply(&api, vec![invalid, refused]).await?;
            let said = |states: &States| [INVALID, REFUSED].iter().all(|name| is_refused(states, name));
            follower.until("the refused ones are said to be", LIMIT, said).await?;
        }
        Window::Restarted => stage.restart(),
        Window::Foreign => {
            add_foreign(stage).await?;
            stage.restart();
        }
        Window::Changed => {
            let all = changed().iter().map(|name| crowd::stockwatch(home, name, brokers)).collect();
            crowd::apply(&api, all).await?;
            let is_ready = |states: &States| {
                changed().iter().all(|name| states.get(name).is_some_and(|state| state.ready.0 == "True"))
            };
            follower.until("those whose Deployments are changed are Ready", LIMIT, is_ready).await?;
            if let Some(name) = changed().iter().find(|name| !stage.is_injected(name)) {
                return Err(format!("the Deployment of {name} is as the operator applied it").into());
            }
        }
        Window::KafkaDown => {
            stage.broker.stop();
            crowd::apply(&api, vec![crowd::stockwatch(home, LATE, brokers)]).await?;
            let all = |states: &States| {
                states.contains_key(LATE) && states.keys().all(|name| is_refused(states, name))
            };
            follower.until("Kafka is said to be down", LIMIT, all).await?;
        }
    }
    Ok(())
}

/// What somebody else's controllers may add to StockWatches and to the objects that they own.
async fn add_foreign(stage: &Stage) -> Result<()> {
    let api = stage.stockwatches();
    let some = api.list(&ListParams::default()).await?.items.into_iter().take(FOREIGN);
    let names: Vec<String> = some.filter_map(|stockwatch| stockwatch.metadata.name).collect();
    for name in &names {
        let condition = json!({
            "type": "Synced", "status": "True", "reason": "Applied", "message": "of somebody else",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let body = json!({
            "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch", "metadata": {"name": name},
            "status": {"conditions": [condition]},
        });
        api.patch_status(name, &PatchParams::apply("somebody-else"), &Patch::Apply(&body)).await?;
    }
    let objects: Vec<String> = names.iter().map(|name| format!("{name}-stockwatch")).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    for kind in OWNED {
        for change in [["label", "team=somebody-else"], ["annotate", "example.com/note=somebody-else"]] {
            let [verb, value] = change;
            stage.cluster.kubectl(&[&["-n", stage.home(), verb, kind][..], &objects, &[value]].concat());
        }
    }
    Ok(())
}

/// The StockWatches whose Deployments a webhook changes.
fn changed() -> Vec<String> {
    (0..CHANGED).map(|number| format!("changed-{number:02}")).collect()
}

fn is_refused(states: &States, name: &str) -> bool {
    states.get(name).is_some_and(|state| state.ready.0 == "False")
}

async fn end(stage: &Stage, follower: &Follower, window: Window) -> Result<()> {
    match window {
        Window::Calm | Window::Restarted | Window::Foreign => {}
        Window::Changed => stage.delete(&changed()).await?,
        Window::Refused => {
            stage.delete(&[INVALID, REFUSED].map(String::from)).await?;
            follower.until("all are Ready", LIMIT, |states| is_ready(states, 1)).await?;
        }
        Window::KafkaDown => {
            stage.broker.restart();
            follower.until("all are Ready again", LIMIT, |states| is_ready(states, 1)).await?;
        }
    }
    Ok(())
}
