//! What an edit of tolerances would have changed in the last day: each worker says it of its partitions, the operator
//! merges that into `status.lastEdit`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::v1alpha1::LastEdit;

/// What an edit changes, of the partitions that one worker owns: `lastEdit` of its `/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EditReport {
    /// The edit's generation; absent for a plain file that the pipeline has not numbered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The generation that it is compared with; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Hours of quotes that are judged, by the stamps of raw records.
    pub hours: u32,
    /// By raw partition, of those that were judged to their end.
    pub partitions: BTreeMap<i32, PartitionEdit>,
    /// Every partition that was owned is evaluated in full.
    pub complete: bool,
}

/// What an edit changes in one raw partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionEdit {
    /// Alarms by the rules before.
    pub alarms_before: u64,
    /// Alarms by those after.
    pub alarms_after: u64,
    /// Episodes by the rules before.
    pub episodes_before: u64,
    /// Episodes by those after.
    pub episodes_after: u64,
    /// All of the hours is judged: the log has them, and they were read in time.
    pub complete: bool,
}

/// Returns what the reports say together of the newest generation of which one of them speaks; `None`: there is none.
/// `partitions` is how many the raw topic has. A partition that two workers report counts once.
pub fn merge_edit_reports<'a>(
    reports: impl IntoIterator<Item = &'a EditReport>,
    partitions: Option<i32>,
) -> Option<LastEdit> {
    let mut reports: Vec<&EditReport> = reports.into_iter().collect();
    let newest = reports.iter().filter_map(|report| report.generation).max()?;
    reports.retain(|report| report.generation == Some(newest));
    let hours = reports.iter().map(|report| report.hours).min()?;
    // A worker that was told of two edits at once compares with what was before both.
    let is_alike = reports.iter().all(|report| report.hours == hours && report.before == reports[0].before);
    let all: BTreeMap<i32, PartitionEdit> =
        reports.iter().flat_map(|report| report.partitions.iter().map(|(p, edit)| (*p, *edit))).collect();
    let sum = |figure: fn(&PartitionEdit) -> u64| {
        let sum = all.values().map(figure).fold(0_u64, u64::saturating_add);
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let is_whole = partitions.is_some_and(|count| (0..count).all(|partition| all.contains_key(&partition)));
    Some(LastEdit {
        generation: i64::try_from(newest).unwrap_or(i64::MAX),
        hours: i32::try_from(hours).unwrap_or(i32::MAX),
        partitions: i32::try_from(all.len()).ok(),
        alarms_before: sum(|edit| edit.alarms_before),
        alarms_after: sum(|edit| edit.alarms_after),
        episodes_before: sum(|edit| edit.episodes_before),
        episodes_after: sum(|edit| edit.episodes_after),
        complete: is_whole && is_alike && all.values().all(|edit| edit.complete),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn report(generation: u64, hours: u32, partitions: &[(i32, u64)]) -> EditReport {
        let edit = |alarms| PartitionEdit {
            alarms_before: alarms,
            alarms_after: 2 * alarms,
            episodes_before: 1,
            episodes_after: 2,
            complete: true,
        };
        let partitions = partitions.iter().map(|(p, alarms)| (*p, edit(*alarms))).collect();
        let before = generation.checked_sub(1);
        EditReport { generation: Some(generation), before, hours, partitions, complete: true }
    }

    #[test]
    fn the_workers_partitions_are_summed_and_complete_if_all_are_there() {
        let (one, two) = (report(8, 24, &[(0, 1), (2, 3)]), report(8, 24, &[(1, 5)]));
        let merged = merge_edit_reports([&one, &two], Some(3)).unwrap();
        let expected = LastEdit {
            generation: 8,
            hours: 24,
            partitions: Some(3),
            alarms_before: 9,
            alarms_after: 18,
            episodes_before: 3,
            episodes_after: 6,
            complete: true,
        };
        assert_eq!(merged, expected);
        let complete = |reports: &[&EditReport], count| {
            merge_edit_reports(reports.iter().copied(), count).unwrap().complete
        };
        assert!(!complete(&[&one], Some(3)), "one is not evaluated");
        assert!(!complete(&[&one, &two], None), "it is not known how many there are");
        assert!(!complete(&[&one, &report(8, 12, &[(1, 5)])], Some(3)), "of other hours");
        let skipped = EditReport { before: Some(6), ..two };
        assert!(!complete(&[&one, &skipped], Some(3)), "compared with another generation");
    }

    #[test]
    fn reports_of_older_edits_say_nothing_of_the_newest() {
        assert_eq!(merge_edit_reports([], Some(1)), None);
        let merged =
            merge_edit_reports([&report(7, 24, &[(0, 9)]), &report(8, 24, &[(0, 1)])], Some(1)).unwrap();
        assert_eq!((merged.generation, merged.alarms_before), (8, 1));
    }
}
