//! The operator with a thousand StockWatches on a real API server and a real broker: how long until all are Ready,
//! against plain clients that do the same work; what it does while nothing changes; what it costs to ask their workers; how
//! fast an edit is among all others. Then, if asked for, how it starts and edits thousands. What an option of 0 leaves out is
//! said not to be measured.

mod bare;
mod crowd;
mod edits;
mod follower;
mod idle;
mod quotes;
mod requests;
mod stage;
mod start;

use std::fs;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use crate::error::Result;
use crate::operator::follower::Follower;
use crate::operator::idle::Window;
use crate::operator::requests::Writes;
use crate::operator::stage::Stage;
use crate::operator::start::Memory;
use crate::report::Report;

/// For a crowd's namespace to be gone, with all that was in it.
const GONE: Duration = Duration::from_secs(1800);
/// How much longer the status of an edit may take among the most than among the first crowd: as fast, but for noise.
const TIMES_EDIT: f64 = 1.5;

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many StockWatches.
    #[arg(long, default_value_t = 1000)]
    stockwatches: usize,
    /// How long nothing changes, in minutes.
    #[arg(long, default_value_t = 10.0)]
    idle_minutes: f64,
    /// The same with a refused StockWatch, after a restart of the operator and with Kafka down.
    #[arg(long, default_value_t = 3.0)]
    trouble_minutes: f64,
    /// The same with what others write to 50 StockWatches and their objects, and a restart of the operator.
    #[arg(long, default_value_t = 10.0)]
    foreign_minutes: f64,
    /// The same with a webhook that changes the Deployments of 20 StockWatches, and a restart of the operator.
    #[arg(long, default_value_t = 10.0)]
    webhook_minutes: f64,
    /// How long the workers of all are asked whether quotes flow, and the same time without, in minutes.
    #[arg(long, default_value_t = 5.0)]
    quotes_minutes: f64,
    /// How many StockWatches have dead brokers.
    #[arg(long, default_value_t = 100)]
    dead: usize,
    /// How many edits.
    #[arg(long, default_value_t = 20)]
    edits: usize,
    /// How many StockWatches there are in the end, with a broker of their own that has to hold six topics of each twice; no
    /// more than in the beginning: none of this.
    #[arg(long, default_value_t = 1000)]
    most: usize,
}

/// Measures; returns whether every bar holds. What it starts ends with it, however it ends.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::begin()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    report.note(format!("load of the machine before: {}", load.trim()));
    let result = measure(&runtime, arguments, &mut report);
    report.note(format!("load of the machine after: {}", fs::read_to_string("/proc/loadavg")?.trim()));
    let held = report.print();
    result.map(|()| held)
}

fn measure(runtime: &Runtime, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let _guard = runtime.enter();
    let edit = {
        let stage = Stage::set(runtime)?;
        runtime.block_on(first(arguments, &stage, report))?
    };
    if arguments.most <= arguments.stockwatches {
        report.not_measured("more StockWatches (--most)");
        return Ok(());
    }
    let stage = Stage::set(runtime)?;
    runtime.block_on(most(arguments, &stage, edit, report))
}

/// Returns how long an edit takes among the first crowd, in milliseconds, if that is measured.
async fn first(arguments: &Arguments, stage: &Stage, report: &mut Report) -> Result<Option<f64>> {
    let follower = stage.follow();
    let trouble = arguments.trouble_minutes;
    start::run(stage, &follower, arguments.stockwatches, Memory::Whole, report).await?;
    window(stage, &follower, Window::Calm, arguments.idle_minutes, report).await?;
    if arguments.quotes_minutes > 0.0 {
        quotes::run(stage, &follower, minutes(arguments.quotes_minutes), report).await?;
    } else {
        report.not_measured("asking the workers whether quotes flow");
    }
    let among = format!("{} StockWatches", arguments.stockwatches);
    let median = edit(stage, &follower, &among, arguments.edits, report).await?;
    window(stage, &follower, Window::Refused, trouble, report).await?;
    window(stage, &follower, Window::Restarted, trouble, report).await?;
    window(stage, &follower, Window::Foreign, arguments.foreign_minutes, report).await?;
    window(stage, &follower, Window::Changed, arguments.webhook_minutes, report).await?;
    if arguments.dead > 0 {
        let dead = edits::dead(stage, &follower, arguments.dead).await?;
        let among = format!("{} on dead brokers", dead.len());
        edit(stage, &follower, &among, arguments.edits, report).await?;
        stage.delete(&dead).await?;
    } else {
        report.not_measured("edits among StockWatches on dead brokers");
    }
    window(stage, &follower, Window::KafkaDown, trouble, report).await?;
    Ok(median)
}

/// All the others at once, where the operator and the broker have nothing yet.
async fn most(arguments: &Arguments, stage: &Stage, before: Option<f64>, report: &mut Report) -> Result<()> {
    // The first crowd, with all that it owns, is still being deleted.
    Writes::begin(stage).settle_all(GONE).await?;
    let follower = stage.follow();
    start::run(stage, &follower, arguments.most, Memory::Each, report).await?;
    let among = format!("{} StockWatches", arguments.most);
    let after = edit(stage, &follower, &among, arguments.edits, report).await?;
    if let (Some(before), Some(after)) = (before, after) {
        let name = format!("edit among {among} against {}, p50", arguments.stockwatches);
        report.at_most(&name, after / before, TIMES_EDIT);
    }
    Ok(())
}

async fn edit(
    stage: &Stage,
    follower: &Follower,
    among: &str,
    edits: usize,
    report: &mut Report,
) -> Result<Option<f64>> {
    if edits == 0 {
        report.not_measured(&format!("edit among {among}"));
        return Ok(None);
    }
    edits::run(stage, follower, among, edits, report).await.map(Some)
}

async fn window(
    stage: &Stage,
    follower: &Follower,
    window: Window,
    length: f64,
    report: &mut Report,
) -> Result<()> {
    if length > 0.0 {
        idle::run(stage, follower, window, minutes(length), report).await
    } else {
        report.not_measured(window.title());
        Ok(())
    }
}

fn minutes(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}
