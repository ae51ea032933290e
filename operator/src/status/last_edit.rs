//! What the last edit of tolerances would have changed, once all ready workers have evaluated it.

use stockwatch_crds::v1alpha1::LastEdit;
use stockwatch_crds::{StockWatchStatus, merge_edit_reports};

use super::seen::Seen;
use crate::topics::Observed;

/// Returns what is known of this generation, or else what was said before: a worker that is started again knows nothing
/// of an edit, and what is complete stays.
pub(super) fn last_edit(seen: &Seen<'_>, before: &StockWatchStatus) -> Option<LastEdit> {
    let is_final = |known: &LastEdit| known.generation == seen.generation() && known.complete;
    let pods = &seen.report.pods;
    let is_settled = pods.iter().all(|pod| pod.answer.as_ref().is_some_and(|answer| !answer.evaluating));
    if before.last_edit.as_ref().is_some_and(is_final) || !is_settled {
        return before.last_edit.clone();
    }
    let reports = pods.iter().filter_map(|pod| pod.answer.as_ref()?.last_edit.as_ref());
    merge_edit_reports(reports, seen.generation(), partitions(seen)).or_else(|| before.last_edit.clone())
}

/// How many partitions the raw topic has.
fn partitions(seen: &Seen<'_>) -> Option<i32> {
    let Some(Observed::Known { topics, .. }) = seen.kafka else { return None };
    let name = &seen.spec.ok()?.kafka.topics.raw_input.name;
    topics.iter().find(|topic| topic.name == *name)?.partitions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use stockwatch_crds::{EditReport, PartitionEdit};

    use super::super::fixtures::{Scene, answered};
    use crate::workers::Pod;

    /// A worker that has evaluated generation 8 in these partitions; none: it still does.
    fn evaluated(name: &str, partitions: &[i32]) -> Pod {
        let mut pod = answered(name, 8);
        let answer = pod.answer.as_mut().unwrap();
        let edit =
            PartitionEdit { alarms_before: 1, alarms_after: 2, complete: true, ..PartitionEdit::default() };
        let partitions: BTreeMap<i32, PartitionEdit> = partitions.iter().map(|p| (*p, edit)).collect();
        answer.evaluating = partitions.is_empty();
        answer.last_edit = (!answer.evaluating).then_some(EditReport {
            generation: Some(8),
            hours: 24,
            partitions,
            complete: true,
        });
        pod
    }

    #[test]
    fn an_edit_is_said_once_all_workers_have_evaluated_it_and_stays() {
        let mut scene = Scene::new();
        scene.stockwatch.spec.kafka.topics =
            serde_json::from_value(serde_json::json!({"rawInput": {"name": "raw"}})).unwrap();
        scene.write();
        scene.edit();
        scene.report.pods = vec![evaluated("a", &[0, 2]), evaluated("b", &[])];
        assert_eq!(scene.write().last_edit, None, "b still evaluates");
        scene.report.pods = vec![evaluated("a", &[0, 2]), evaluated("b", &[1])];
        let said = scene.write().last_edit.unwrap();
        assert_eq!((said.generation, said.alarms_before, said.alarms_after, said.complete), (8, 3, 6, true));
        // Another process in the place of one knows nothing of it.
        scene.report.pods = vec![answered("a", 8), evaluated("b", &[1])];
        assert_eq!(scene.write().last_edit, Some(said));
    }
}
