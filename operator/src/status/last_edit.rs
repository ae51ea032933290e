//! What the last edit of tolerances would have changed, once all ready workers have evaluated it.

use stockwatch_crds::v1alpha1::LastEdit;
use stockwatch_crds::{StockWatchStatus, merge_edit_reports};

use super::seen::Seen;
use crate::topics::Observed;
use crate::workers::Answer;

/// Returns what the newest edit that judges otherwise would have changed, or else what was said before: an edit of something
/// else is none, a worker that is started again knows nothing of one, and what is complete stays.
pub(super) fn last_edit(seen: &Seen<'_>, before: &StockWatchStatus) -> Option<LastEdit> {
    let before = before.last_edit.clone();
    let is_settled = |answer: &Answer| !answer.evaluating && !answer.is_behind(seen.generation());
    let pods = &seen.report.pods;
    if !pods.iter().all(|pod| pod.answer.as_ref().is_some_and(is_settled)) {
        return before;
    }
    let reports = pods.iter().filter_map(|pod| pod.answer.as_ref()?.last_edit.as_ref());
    let merged = merge_edit_reports(reports, partitions(seen));
    // The most is known of the newest generation, and there of the most partitions.
    let rank = |edit: &LastEdit| (edit.generation, edit.complete, edit.partitions);
    match (before, merged) {
        (Some(before), Some(merged)) => Some(if rank(&merged) > rank(&before) { merged } else { before }),
        (before, merged) => merged.or(before),
    }
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
        evaluated_at(8, name, partitions)
    }

    /// The same, which computes with this generation.
    fn evaluated_at(generation: i64, name: &str, partitions: &[i32]) -> Pod {
        let mut pod = answered(name, generation);
        let answer = pod.answer.as_mut().unwrap();
        let edit =
            PartitionEdit { alarms_before: 1, alarms_after: 2, complete: true, ..PartitionEdit::default() };
        let partitions: BTreeMap<i32, PartitionEdit> = partitions.iter().map(|p| (*p, edit)).collect();
        answer.evaluating = partitions.is_empty();
        answer.last_edit = (!answer.evaluating).then_some(EditReport {
            before: None,
            generation: Some(8),
            hours: 24,
            partitions,
            complete: true,
        });
        pod
    }

    fn edited() -> Scene {
        let mut scene = Scene::new();
        scene.stockwatch.spec.kafka.topics =
            serde_json::from_value(serde_json::json!({"rawInput": {"name": "raw"}})).unwrap();
        scene.write();
        scene.edit();
        scene
    }

    #[test]
    fn an_edit_is_said_once_all_workers_have_evaluated_it_and_stays() {
        let mut scene = edited();
        scene.report.pods = vec![evaluated("a", &[0, 2]), evaluated("b", &[])];
        assert_eq!(scene.write().last_edit, None, "b still evaluates");
        scene.report.pods = vec![evaluated("a", &[0, 2]), evaluated("b", &[1])];
        let said = scene.write().last_edit.unwrap();
        assert_eq!((said.generation, said.alarms_before, said.alarms_after, said.complete), (8, 3, 6, true));
        // Another process in the place of one knows nothing of it.
        scene.report.pods = vec![answered("a", 8), evaluated("b", &[1])];
        assert_eq!(scene.write().last_edit, Some(said));
    }

    #[test]
    fn a_worker_that_computes_with_the_generation_before_keeps_it_from_being_said() {
        let mut scene = edited();
        scene.report.pods = vec![evaluated("a", &[0, 2]), answered("b", 7)];
        assert_eq!(scene.write().last_edit, None);
    }

    #[test]
    fn an_edit_of_something_else_meanwhile_leaves_the_evaluation_to_its_end() {
        let mut scene = edited();
        scene.edit();
        scene.report.pods = vec![evaluated_at(9, "a", &[0, 2]), evaluated_at(9, "b", &[])];
        assert_eq!(scene.write().last_edit, None, "b still evaluates");
        scene.report.pods = vec![evaluated_at(9, "a", &[0, 2]), evaluated_at(9, "b", &[1])];
        let said = scene.write().last_edit.unwrap();
        assert_eq!((said.generation, said.partitions, said.complete), (8, Some(3), true));
    }

    #[test]
    fn what_is_said_of_a_newer_edit_takes_the_place_of_the_one_before() {
        let mut scene = edited();
        scene.report.pods = vec![evaluated("a", &[0, 1, 2])];
        let said = scene.write().last_edit.unwrap();
        assert_eq!((said.generation, said.complete), (8, true));
        scene.stockwatch.metadata.generation = Some(9);
        let mut newer = evaluated_at(9, "a", &[0]);
        newer.answer.as_mut().unwrap().last_edit.as_mut().unwrap().generation = Some(9);
        scene.report.pods = vec![newer];
        let said = scene.write().last_edit.unwrap();
        assert_eq!((said.generation, said.partitions, said.complete), (9, Some(1), false));
    }

    #[test]
    fn of_an_incomplete_evaluation_the_fullest_is_kept() {
        let mut scene = edited();
        scene.report.pods = vec![evaluated("a", &[0]), evaluated("b", &[1])];
        let said = scene.write().last_edit.unwrap();
        assert_eq!((said.partitions, said.complete), (Some(2), false));
        scene.report.pods = vec![answered("a", 8), evaluated("b", &[1])];
        assert_eq!(scene.write().last_edit, Some(said));
    }
}
