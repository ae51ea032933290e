//! The paper account: what it invests, when, and what that costs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::durations::{IS_WINDOW, MAX_WINDOW, SAY_WINDOW};

/// Nine digits, a point, nine digits.
const MAX_AMOUNT: usize = 19;
/// Four digits, a point, nine digits.
const MAX_BPS: usize = 14;
/// Two digits, a point, nine digits, a percent sign.
const MAX_STOP_LOSS: usize = 13;

const IS_AMOUNT: &str = "self.matches('^[0-9]{1,9}([.][0-9]{1,9})?$')";
const SAY_AMOUNT: &str =
    "an amount is a quoted decimal of at most 9 digits before and 9 after the point, such as \"10000\"";
const IS_BUDGET: &str = "self.matches('^[0-9]{1,9}([.][0-9]{1,9})?$') && self.matches('[1-9]')";
const SAY_BUDGET: &str = "a budget is a quoted decimal above 0 of at most 9 digits before and 9 after the point, such as \"10000\"";
const IS_BPS: &str = "self.matches('^[0-9]{1,4}([.][0-9]{1,9})?$')";
const SAY_BPS: &str = "basis points are a quoted decimal below 10000 of at most 4 digits before and 9 after the point, \
    such as \"2.5\" (0.025%)";
const IS_STOP_LOSS: &str = "self.matches('^[0-9]{1,2}([.][0-9]{1,9})?%$') && self.matches('[1-9]')";
const SAY_STOP_LOSS: &str =
    "a stop loss is a quoted percentage above 0% and below 100% of the price paid, such as \"5%\"";

/// Which of an average's jumps invests; the other one uninvests.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Enter {
    /// One up: follows the price.
    #[default]
    Up,
    /// One down: expects it to come back.
    Down,
}

/// A paper account for each entity, which alarms invest and uninvest. No order leaves the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TradeSpec {
    /// The duration of the window whose alarms are signals: one of the windows.
    #[schemars(length(min = 2, max = MAX_WINDOW))]
    #[x_kube(validation = Rule::new(IS_WINDOW).message(SAY_WINDOW))]
    pub window: String,

    /// Up: invests when the average jumps up, and uninvests when it drops. Down: the reverse. Absent: Up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enter: Option<Enter>,

    /// What each entity's account begins with, in its quotes' currency. Another one holds from the entity's next account,
    /// which begins when the present one has no position. Absent: "10000".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_AMOUNT))]
    #[x_kube(validation = Rule::new(IS_BUDGET).message(SAY_BUDGET))]
    pub budget: Option<String>,

    /// The fee of a fill in basis points (hundredths of a percent) of the amount. Absent: "0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_BPS))]
    #[x_kube(validation = Rule::new(IS_BPS).message(SAY_BPS))]
    pub fee_bps: Option<String>,

    /// The least fee of a fill, in the quotes' currency. Absent: "0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_AMOUNT))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(SAY_AMOUNT))]
    pub fee_minimum: Option<String>,

    /// By how many basis points a fill's price is worse than the quote's. Absent: "0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_BPS))]
    #[x_kube(validation = Rule::new(IS_BPS).message(SAY_BPS))]
    pub slippage_bps: Option<String>,

    /// An order to invest that no quote has filled within this time is cancelled: whole minutes, 1m to 1440m. Absent: 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = MAX_WINDOW))]
    #[x_kube(validation = Rule::new(IS_WINDOW).message(SAY_WINDOW))]
    pub max_wait: Option<String>,

    /// A price that is this much below the price paid, or more, uninvests without an alarm, such as "5%". Absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = MAX_STOP_LOSS))]
    #[x_kube(validation = Rule::new(IS_STOP_LOSS).message(SAY_STOP_LOSS))]
    pub stop_loss: Option<String>,
}
