//! From SIGKILL of one of two workers to output of every partition by the other, less what cannot be shorter: the group
//! misses the dead one after its session timeout, and its partitions are restored.

use std::collections::BTreeSet;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use stockwatch_core::NANO;
use stockwatch_core::wire::AverageRecord;

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::quotes::Feed;
use crate::reader::Reader;
use crate::report::{Report, percentile};
use crate::systems::{Bench, TOLERANCE};

const ROUNDS: usize = 3;
const RATE: u64 = 500;
const HTTP: [u16; 2] = [29_607, 29_608];
const LIMIT: Duration = Duration::from_secs(60);
/// The worker's setting, in seconds.
const SESSION_TIMEOUT: f64 = 6.0;
/// What may come on top, in seconds: the rebalance, and the end of what the dead worker left open.
const ALLOWANCE: f64 = 3.0;

/// Measures the worker, on a machine that is idle besides, and on one with a busy core.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    for (with, busy) in [("", false), (", one core kept busy", true)] {
        let mut beyond = Vec::new();
        for round in 0..ROUNDS {
            let name = format!("failover-{round}{}", if busy { "-busy" } else { "" });
            let kill = || kill_one(bench, &name);
            let (seconds, restore) = if busy { beside_busy_core(kill)? } else { kill()? };
            report.note(format!(
                "failover of one of two workers{with}: {seconds:.2} s to output of all its partitions, of which \
                 {restore:.2} s restore"
            ));
            beyond.push(seconds - SESSION_TIMEOUT - restore);
        }
        let name = format!("failover beyond session timeout and restore{with}, s");
        report.at_most(&name, percentile(&mut beyond, 100), ALLOWANCE);
    }
    Ok(())
}

/// Does it while another thread computes nothing.
fn beside_busy_core<T>(work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                spin_loop();
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// The seconds until every partition has answered a quote that was written after the kill, and those of restores.
fn kill_one(bench: &Bench, name: &str) -> Result<(f64, f64)> {
    let job = Job::with_raw(&bench.cluster, name)?;
    bench.write_spec(&job, TOLERANCE)?;
    let mut dying = bench.start_worker(&job, "a", HTTP[0])?;
    http::ready(&mut dying, HTTP[0], LIMIT)?;
    let mut other = bench.start_worker(&job, "b", HTTP[1])?;
    let half = f64::from(bench.cluster.partitions / 2);
    http::metric_is(&mut other, HTTP[1], "stockwatch_partitions_owned", half, LIMIT)?;
    http::metric_is(&mut dying, HTTP[0], "stockwatch_partitions_owned", half, LIMIT)?;
    let feed = Feed::start(&bench.cluster, &job.raw, RATE)?;
    let reader = Reader::from_now(&bench.cluster, &[&job.averages()])?;
    let mut answered = BTreeSet::new();
    let mut all = |after: u64| {
        answered.clear();
        reader.find("output of every partition", LIMIT, |record| {
            let average = AverageRecord::parse(record.payload()?).ok()?;
            let number = Feed::number(&average.entity, average.time / NANO)?;
            (number >= after).then(|| answered.insert(record.partition()));
            (answered.len() == bench.cluster.partitions as usize).then(Instant::now)
        })
    };
    all(2 * RATE)?;
    let restored = || http::metric(HTTP[1], "stockwatch_restore_seconds_sum").ok_or("no metrics");
    let before = restored()?;
    let killed = dying.kill()?;
    let at = all(feed.sent())?;
    other.check()?;
    Ok(((at - killed).as_secs_f64(), restored()? - before))
}
