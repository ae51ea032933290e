//! What the partitions that compute hold of the listed tickers.

use std::collections::HashMap;

use stockwatch_core::{Entity, Sample};
use stockwatch_crds::Spec;
use stockwatch_crds::flow::Held;

use super::assignment::Assignment;

/// A ticker without a quote for longer may have moved to another partition, of which this one knows nothing.
const RECENT_NANOS: i64 = 24 * 3600 * 1_000_000_000;

/// Returns what each partition that computes holds; `now` is in seconds since 1970.
pub(super) fn held(spec: &Spec, owned: &mut Assignment, now: i64) -> Vec<Held> {
    let listed: HashMap<&str, &str> =
        spec.tickers.iter().map(|ticker| (ticker.entity.as_str(), ticker.symbol.as_str())).collect();
    let oldest = now.saturating_mul(1_000_000_000).saturating_sub(RECENT_NANOS);
    let of_partition = |partition: &stockwatch_core::Partition| {
        let mut held = Held { partition: partition.number, ..Held::default() };
        for (name, entity) in partition.entities() {
            held.samples += entity.samples().len() as u64;
            held.bytes += bytes(name, entity) as u64;
            if let Some(symbol) = listed.get(&**name)
                && entity.newest().is_some_and(|newest| newest >= oldest)
            {
                held.tickers.push((*symbol).to_owned());
            }
        }
        held.tickers.sort_unstable();
        held
    };
    owned.all_active().map(|(partition, _)| of_partition(partition)).collect()
}

fn bytes(name: &str, entity: &Entity) -> usize {
    size_of::<Entity>() + name.len() + entity.value.len() + entity.samples().len() * size_of::<Sample>()
}
