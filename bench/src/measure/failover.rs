//! From SIGKILL of one of two workers to alarms of every partition by the other, less what cannot be shorter: the group
//! misses the dead one after its session timeout, and its partitions are restored. The other's log gives the time line.

use std::collections::BTreeSet;
use std::fs::File;
use std::hint::spin_loop;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use stockwatch_core::NANO;
use stockwatch_core::wire::AlarmRecord;

use crate::error::{Error, Result};
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

/// Between two looks at the survivor's log.
const LOOK: Duration = Duration::from_millis(5);

/// Measures the worker, on a machine that is idle besides, and on one with a busy core.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    for (with, busy) in [("", false), (", one core kept busy", true)] {
        let mut beyond = Vec::new();
        for round in 0..ROUNDS {
            let name = format!("failover-{round}{}", if busy { "-busy" } else { "" });
            let kill = || kill_one(bench, &name);
            let Failover { steps, seconds, restore } = if busy { beside_busy_core(kill)? } else { kill()? };
            report.note(format!(
                "failover of one of two workers{with}: {seconds:.2} s, of which {restore:.2} s restore ({steps})"
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

/// How one worker took over from the other, in seconds.
struct Failover {
    /// When what happened, since the kill.
    steps: String,
    /// Until every partition has raised an alarm for a quote that was written after the kill.
    seconds: f64,
    /// The survivor's restores, without what they waited for.
    restore: f64,
}

fn kill_one(bench: &Bench, name: &str) -> Result<Failover> {
    let job = Job::with_raw(&bench.cluster, name)?;
    bench.write_spec(&job, TOLERANCE)?;
    let mut dying = bench.start_worker(&job, "a", HTTP[0])?;
    http::ready(&mut dying, HTTP[0], LIMIT)?;
    let mut other = bench.start_worker(&job, "b", HTTP[1])?;
    let half = f64::from(bench.cluster.partitions / 2);
    http::metric_is(&mut other, HTTP[1], "stockwatch_partitions_owned", half, LIMIT)?;
    http::metric_is(&mut dying, HTTP[0], "stockwatch_partitions_owned", half, LIMIT)?;
    let feed = Feed::start(&bench.cluster, &job.raw, RATE)?;
    let reader = Reader::from_now(&bench.cluster, &[&job.alarms()])?;
    let mut answered = BTreeSet::new();
    let mut all = |after: u64| {
        answered.clear();
        reader.find("alarms of every partition", LIMIT, |record| {
            let alarm = AlarmRecord::parse(record.payload()?).ok()?;
            let number = Feed::number(&alarm.entity, alarm.time / NANO)?;
            (number >= after).then(|| answered.insert(record.partition()));
            (answered.len() == bench.cluster.partitions as usize).then(Instant::now)
        })
    };
    all(2 * RATE)?;
    let restored = || http::metric(HTTP[1], "stockwatch_restore_seconds_sum").ok_or("no metrics");
    let before = restored()?;
    let (over, log) = (AtomicBool::new(false), other.log().to_owned());
    let (killed, at, steps) = thread::scope(|scope| {
        let following = scope.spawn(|| follow(&log, &over));
        let killed = dying.kill();
        let at = all(feed.sent());
        over.store(true, Ordering::Relaxed);
        let steps = following.join().map_err(|_| "the reader of the log broke down")??;
        Ok::<_, Error>((killed?, at, steps))
    })?;
    other.check()?;
    let steps = time_line(killed, &steps);
    let at = at.map_err(|error| format!("{error}; {steps}"))?;
    Ok(Failover { steps, seconds: (at - killed).as_secs_f64(), restore: restored()? - before })
}

/// Returns each line that comes into a log until it is over, with the moment.
fn follow(log: &Path, over: &AtomicBool) -> Result<Vec<(Instant, String)>> {
    let mut log = BufReader::new(File::open(log)?);
    log.seek(SeekFrom::End(0))?;
    let (mut lines, mut line) = (Vec::new(), String::new());
    while !over.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
        while log.read_line(&mut line)? > 0 && line.ends_with('\n') {
            lines.push((Instant::now(), std::mem::take(&mut line)));
        }
    }
    Ok(lines)
}

/// The steps of a failover, as the survivor's log says them.
fn time_line(killed: Instant, lines: &[(Instant, String)]) -> String {
    let steps = [
        ("partitions assigned", "Assign([", false),
        ("aborting what was open", "aborting the transaction that a process left open", false),
        ("first partition restored", ": restored ", false),
        ("last partition restored", ": restored ", true),
    ];
    let at = |text: &str, last: bool| {
        let mut found = lines.iter().filter(|(_, line)| line.contains(text));
        if last { found.next_back() } else { found.next() }.map(|(at, _)| (*at - killed).as_secs_f64())
    };
    let said = steps
        .into_iter()
        .filter_map(|(step, text, last)| at(text, last).map(|seconds| format!("{step} at {seconds:.2}")));
    let failed = lines.iter().filter(|(_, line)| line.contains(" WARN ") || line.contains("ERROR")).count();
    said.chain([format!("{failed} warnings")]).collect::<Vec<_>>().join(", ")
}
