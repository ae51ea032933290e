//! The operator with a thousand StockWatches on a real API server and a real broker: how long until all are Ready,
//! against plain clients that do the same work; what it does while nothing changes; what it costs to ask their workers; how fast an edit is among all others.

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

use crate::error::Result;
use crate::operator::idle::Window;
use crate::operator::stage::Stage;
use crate::report::Report;

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
    /// The same with a webhook that changes the Deployments of 20 StockWatches, and a restart of the operator; 0: not at
    /// all.
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
}

/// Measures; returns whether every bar holds. What it starts ends with it, however it ends.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::begin()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    report.note(format!("load of the machine before: {}", load.trim()));
    let result = {
        let _guard = runtime.enter();
        let stage = Stage::set(&runtime)?;
        runtime.block_on(measure(arguments, &stage, &mut report))
    };
    report.note(format!("load of the machine after: {}", fs::read_to_string("/proc/loadavg")?.trim()));
    let held = report.print();
    result.map(|()| held)
}

async fn measure(arguments: &Arguments, stage: &Stage, report: &mut Report) -> Result<()> {
    let (idle, trouble) = (minutes(arguments.idle_minutes), minutes(arguments.trouble_minutes));
    let follower = stage.follow();
    start::run(stage, &follower, arguments.stockwatches, report).await?;
    idle::run(stage, &follower, Window::Calm, idle, report).await?;
    quotes::run(stage, &follower, minutes(arguments.quotes_minutes), report).await?;
    edits::run(
        stage,
        &follower,
        &format!("{} StockWatches", arguments.stockwatches),
        arguments.edits,
        report,
    )
    .await?;
    idle::run(stage, &follower, Window::Refused, trouble, report).await?;
    idle::run(stage, &follower, Window::Restarted, trouble, report).await?;
    idle::run(stage, &follower, Window::Foreign, minutes(arguments.foreign_minutes), report).await?;
    if arguments.webhook_minutes > 0.0 {
        idle::run(stage, &follower, Window::Changed, minutes(arguments.webhook_minutes), report).await?;
    }
    let dead = edits::dead(stage, &follower, arguments.dead).await?;
    edits::run(stage, &follower, &format!("{} on dead brokers", dead.len()), arguments.edits, report).await?;
    stage.delete(&dead).await?;
    idle::run(stage, &follower, Window::KafkaDown, trouble, report).await
}

fn minutes(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}
