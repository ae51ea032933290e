//! Many StockWatches at work under random edits and faults, in an order that a seed decides. In the end all outputs are
//! those of the oracle, and neither an operator nor a worker has leaked memory or files.

mod chaos;
mod growth;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use stockwatch_tests::{Broker, Cluster, Feeder, Market, Namespace, Release, Scene, Watch, outage};

use crate::error::Result;
use crate::report::Report;
use crate::soak::chaos::Chaos;
use crate::soak::growth::{Grown, QuietPhase};

/// A program's memory after the second half against before it: allocators return memory with delay.
const MEMORY: f64 = 1.2;
/// Files that a program may have open more than before it.
const FILES: f64 = 8.0;

/// How long, how much, and which events.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How long events happen, in minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// How many StockWatches.
    #[arg(long, default_value_t = 50)]
    stockwatches: usize,
    /// Quotes a second for each of them.
    #[arg(long, default_value_t = 2)]
    rate: u32,
    /// Decides which events happen, and in which order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs it all; returns whether every bar holds. What it starts ends with it, however it ends.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let mut report = Report::begin()?;
    let cluster = Cluster::shared();
    let broker = Broker::start_wide(cluster);
    let system = Namespace::create(cluster, "system");
    let release = Release::install(cluster, system.name(), "stockwatch", &[]);
    let home = Namespace::create(cluster, "soak");
    report.note(format!(
        "{} StockWatches, {} quotes/s each, {} minutes, seed {}",
        arguments.stockwatches, arguments.rate, arguments.minutes, arguments.seed
    ));

    let scenes: Vec<Scene<'_>> = (0..arguments.stockwatches)
        .map(|n| Scene::apply(&broker, &home, &format!("soak-{n:02}"), with_accounts))
        .collect();
    scenes.iter().for_each(|scene| scene.await_applied(&home));
    let market = |n| Market::new(arguments.seed.wrapping_mul(1_000).wrapping_add(n), &["a", "b", "c", "d"]);
    let mut feeders: Vec<_> =
        (0..).zip(&scenes).map(|(n, scene)| scene.feed(market(n), arguments.rate)).collect();
    eprintln!("all {} are at work", scenes.len());

    let half = Duration::from_secs_f64(arguments.minutes * 30.0);
    let mut chaos = Chaos::new(cluster, &broker, &release, &home, scenes, arguments.seed);
    let begun = Instant::now();
    while begun.elapsed() < half {
        chaos.cause_one(true);
        outage(chaos.pause());
    }
    release.await_operators();
    chaos.await_applied();
    let before = QuietPhase::sample()?;
    let begun = Instant::now();
    while begun.elapsed() < half {
        // Operators live through this half, to be measured; of the many workers some do in any case.
        chaos.cause_one(false);
        outage(chaos.pause());
    }
    release.await_operators();
    chaos.await_applied();
    let after = QuietPhase::sample()?;
    report.note(format!("events: {}", chaos.happened()));

    let scenes = chaos.end();
    feeders.iter_mut().for_each(Feeder::cease);
    let written: u64 = feeders.into_iter().map(|feeder| feeder.stop()).sum();
    // A comparison that fails prints what is wrong; the others go on.
    let accepted: Vec<Option<usize>> = scenes.iter().map(compared).collect();
    report.plain("raw records written", written as f64);
    report.plain("quotes judged", accepted.iter().flatten().sum::<usize>() as f64);
    report.at_most(
        "StockWatches whose outputs are not the oracle's",
        accepted.iter().filter(|accepted| accepted.is_none()).count() as f64,
        0.0,
    );
    for program in ["operator", "worker"] {
        let grown = after.since(&before, &format!("stockwatch-{program}"));
        let worst = |of: fn(&Grown) -> f64| grown.iter().map(of).fold(f64::NAN, f64::max);
        report.plain(&format!("{program}s that lived through the second half"), grown.len() as f64);
        report.plain(&format!("the largest {program}'s memory, MB"), worst(|grown| grown.megabytes));
        report.at_most(
            &format!("the worst {program}'s memory, end against begin"),
            worst(|grown| grown.memory),
            MEMORY,
        );
        report.at_most(
            &format!("the worst {program}'s open files, end less begin"),
            worst(|grown| grown.files),
            FILES,
        );
    }
    Ok(report.print())
}

/// Some moves are no alarms, and the others move accounts.
fn with_accounts(watch: &mut Watch) {
    watch.alarms = json!({"quiet": "7m", "minCount": 2});
    watch.trade = json!({"window": "5m", "feeBps": "5", "stopLoss": "1%"});
}

/// How many quotes of a StockWatch were judged; `None` if an output is wrong.
fn compared(scene: &Scene<'_>) -> Option<usize> {
    let outputs = catch_unwind(AssertUnwindSafe(|| scene.assert_right_with_ledger())).ok()?;
    Some(outputs.iter().map(|outputs| outputs.accepted.len()).sum())
}
