//! What becomes of averages that moved by more than their tolerance.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_MIN_COUNT;

/// Which alarms are raised, and which of them are one episode. Absent: every move beyond a tolerance is an alarm.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AlarmsSpec {
    /// An alarm that comes less than this event time after the one before, of the same entity and window, belongs to
    /// the same episode. Whole minutes, 0m to 2880m; 0m: every alarm is an episode of its own. Absent: twice each window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 5))]
    #[x_kube(validation = Rule::new(
        "self.matches('^(0|[1-9][0-9]{0,3})m$') && duration(self) <= duration('48h')"
    ).message("quiet is whole minutes from 0m to 2880m, such as 15m (not 900s, not 1h)"))]
    pub quiet: Option<String>,

    /// What becomes of a move between two averages that have no quote in common, as after a night or a quiet hour:
    /// Alarm raises it and marks it, Skip only counts it. Absent: Alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps: Option<GapPolicy>,

    /// No alarm is raised unless both averages are of at least so many quotes; 1 to 1,000,000. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_MIN_COUNT))]
    pub min_count: Option<i64>,
}

/// What becomes of a move between two averages without a quote in common. Absent: Alarm.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GapPolicy {
    /// It is an alarm like any other, and says so.
    #[default]
    Alarm,
    /// It is counted, and no alarm.
    Skip,
}
