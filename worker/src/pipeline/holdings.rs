//! What the partitions that compute hold of the listed tickers.

use std::collections::HashMap;

use stockwatch_core::{Entity, NANO, Sample};
use stockwatch_crds::Spec;
use stockwatch_crds::flow::Held;

use super::assignment::Assignment;
use crate::flow::HeldTimes;

/// A ticker without a quote for longer may have moved to another partition, of which this one knows nothing.
const RECENT_NANOS: i64 = 24 * 3600 * NANO;
/// So many times of a ticker tell its usual pace.
const TIMES: usize = 21;
/// Of a stream's ticks no more than one in this time is told: a burst is no pace.
const APART_NANOS: i64 = 30 * NANO;

/// Returns what each partition that computes holds, and when listed tickers had their newest quotes; `now` is in seconds
/// since 1970.
pub(super) fn held(spec: &Spec, owned: &mut Assignment, now: i64) -> (Vec<Held>, HeldTimes) {
    let mut times = HeldTimes::new();
    let listed: HashMap<&str, &str> =
        spec.tickers.iter().map(|ticker| (ticker.entity.as_str(), ticker.symbol.as_str())).collect();
    let oldest = now.saturating_mul(NANO).saturating_sub(RECENT_NANOS);
    let mut of_partition = |partition: &stockwatch_core::Partition| {
        let mut held = Held { partition: partition.number, ..Held::default() };
        for (name, entity) in partition.entities() {
            held.samples += entity.samples().len() as u64;
            held.bytes += bytes(name, entity) as u64;
            let Some(symbol) = listed.get(&**name) else { continue };
            let (told, newest) = (times.entry((*symbol).to_owned()).or_default(), newest(entity));
            // Another partition may hold quotes of it from before it moved.
            if told.last() < newest.last() {
                *told = newest;
            }
            if entity.newest().is_some_and(|newest| newest >= oldest) {
                held.tickers.push((*symbol).to_owned());
            }
        }
        held.tickers.sort_unstable();
        held
    };
    let held = owned.all_active().map(|(partition, _)| of_partition(partition)).collect();
    (held, times)
}

/// The times of an entity's newest quotes in seconds since 1970, ascending.
fn newest(entity: &Entity) -> Vec<i64> {
    let samples = entity.samples();
    let (mut times, mut end) = (Vec::with_capacity(TIMES), samples.len());
    while let Some(last) = end.checked_sub(1).and_then(|last| samples.get(last))
        && times.len() < TIMES
    {
        times.push(last.time.div_euclid(NANO));
        let until = last.time.saturating_sub(APART_NANOS);
        end = samples.partition_point(|sample| sample.time <= until);
    }
    times.reverse();
    times
}

fn bytes(name: &str, entity: &Entity) -> usize {
    size_of::<Entity>() + name.len() + entity.value.len() + entity.samples().len() * size_of::<Sample>()
}
