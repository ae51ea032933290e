//! All StockWatches applied at once, until the last is Ready; beside plain clients that do the same work.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::operator::follower::Follower;
use crate::operator::requests::{self, Writes};
use crate::operator::stage::Stage;
use crate::operator::{bare, crowd};
use crate::report::Report;

/// Objects that a StockWatch owns.
const OWNED: usize = 7;
/// Writes of its status: when its topics are announced, and when it is Ready.
const STATUSES: usize = 2;
/// The chart's default of replicas.
const OPERATORS: usize = 2;
const TIMES_BARE: f64 = 2.0;
/// Of all that the operator has, a thousand StockWatches being there.
const MEGABYTES: f64 = 100.0;
/// Of what it has more for each of thousands.
const KILOBYTES_EACH: f64 = 60.0;
const LIMIT: Duration = Duration::from_secs(600);

/// What is claimed of the operator's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// Of its peak.
    Whole,
    /// Of what it grows by for each StockWatch.
    Each,
}

pub(super) async fn run(
    stage: &Stage,
    follower: &Follower,
    count: usize,
    memory: Memory,
    report: &mut Report,
) -> Result<()> {
    let mut writes = Writes::begin(stage);
    stage.scale(0);
    let bare = bare::run(stage, count).await?;
    report.note(format!(
        "plain clients, {count} StockWatches: {:.1} s (objects {:.1} s, topics {:.1} s, shown by the broker {:.1} s)",
        bare.all, bare.objects, bare.topics, bare.shown
    ));
    stage.clear_beside();
    stage.scale(OPERATORS);
    writes.settle_all(LIMIT).await?;

    let leader = stage.leader().await?;
    let (cpu, reads) = (leader.cpu_seconds()?, requests::reads(stage.cluster));
    let own = leader.own_memory()?;
    let calls = stage.kafka_calls();
    writes.taken();
    let brokers = stage.broker.bootstrap();
    let all = (0..count).map(|n| crowd::stockwatch(stage.home(), &crowd::name(n), brokers)).collect();
    let begun = Instant::now();
    crowd::apply(&stage.stockwatches(), all).await?;
    let applied = begun.elapsed().as_secs_f64();
    let all_ready = |states: &_| is_ready(states, count);
    let ready = follower.until("all are Ready", LIMIT, all_ready).await? - begun;
    let ready = ready.as_secs_f64();
    let (cpu, reads) = (leader.cpu_seconds()? - cpu, requests::reads(stage.cluster) - reads);
    let calls = stage.kafka_calls() - calls;
    let counts = writes.settle(LIMIT).await?;
    writes.settle_all(LIMIT).await?;

    let each = |n: usize| n as f64 / count as f64;
    report
        .note(format!("operator: applied by the client after {applied:.1} s, all Ready after {ready:.1} s"));
    report.note(format!("operator's writes until then: {counts}"));
    report.plain(&format!("{count} StockWatches applied to Ready, s"), ready);
    report.plain("the same by plain clients, s", bare.all);
    report.plain("their topics shown by the broker, s", bare.shown);
    report.at_most("applied to Ready against plain clients", ready / bare.all, TIMES_BARE);
    report.plain("the operator's CPU until then, s", cpu);
    report.plain("its calls to Kafka until then", calls);
    let (peak, kilobytes) = (leader.peak_memory()?, (leader.own_memory()? - own) * 1e3 / count as f64);
    let (peak_name, each_name) = ("the operator's peak memory, MB", "its memory for each StockWatch, KB");
    match memory {
        Memory::Whole => {
            report.at_most(peak_name, peak, MEGABYTES);
            report.plain(each_name, kilobytes);
        }
        Memory::Each => {
            report.plain(peak_name, peak);
            report.at_most(each_name, kilobytes, KILOBYTES_EACH);
        }
    }
    let most = (OWNED + STATUSES) as f64;
    report.at_least(
        "writes for each StockWatch, of which its objects are",
        each(counts.writes()),
        OWNED as f64,
    );
    report.at_most("writes for each StockWatch", each(counts.writes()), most);
    report.plain("reads for each StockWatch, everyone's", reads / count as f64);
    report.at_most("events", counts.of_resource("events") as f64, 0.0);
    Ok(())
}

/// Whether there are at least `count` StockWatches, and all are Ready.
pub(super) fn is_ready(states: &super::follower::States, count: usize) -> bool {
    states.len() >= count && states.values().all(super::follower::State::is_ready)
}
