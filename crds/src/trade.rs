//! The paper account's terms, checked.

use serde::{Deserialize, Serialize};

use crate::duration::{MAX_WINDOW_MINUTES, parse_window};
use crate::problem::{Problems, shown};
use crate::tolerance::parse_decimal;
use crate::v1alpha1::{Enter, TradeSpec};
use crate::window::Window;

const DEFAULT_BUDGET: &str = "10000";
const DEFAULT_MAX_WAIT: &str = "15m";
/// Of an amount, before the point.
const DIGITS: usize = 9;
/// Of basis points, before the point: so they are below 10,000.
const BPS_DIGITS: usize = 4;
/// Of a percentage below 100, before the point.
const PERCENT_DIGITS: usize = 2;
/// 10⁹.
const SCALE: i64 = 1_000_000_000;

/// What a paper account does, and what that costs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// The window whose alarms are signals: one of the StockWatch's.
    pub minutes: u32,
    /// Alarms in this direction invest, those in the other one uninvest.
    pub enter: Enter,
    /// What an account begins with, in 10⁻⁹ of the currency; above 0.
    pub budget: i64,
    /// The fee of a fill, in 10⁻⁹ of a basis point of its amount; below 10,000 basis points.
    pub fee_bps: i64,
    /// The least fee of a fill, in 10⁻⁹ of the currency.
    pub fee_minimum: i64,
    /// By how much a fill's price is worse than the quote's, in 10⁻⁹ of a basis point; below 10,000 basis points.
    pub slippage_bps: i64,
    /// An order to invest that is older, in minutes of event time, is cancelled.
    pub max_wait: u32,
    /// A price that is so much below the price paid uninvests; in 10⁻⁹ of one percent, above 0% and below 100%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<i64>,
}

impl Trade {
    /// `windows` are those of the StockWatch; `None`: they cannot be read.
    pub(crate) fn parse(trade: &TradeSpec, windows: Option<&[Window]>, problems: &mut Problems) -> Self {
        let minutes = problems.ok("spec.trade.window", parse_window(&trade.window));
        if let (Some(minutes), Some(windows)) = (minutes, windows)
            && !windows.iter().any(|window| window.minutes == minutes)
        {
            let declared: Vec<String> = windows.iter().map(|window| format!("{}m", window.minutes)).collect();
            problems.add(
                "spec.trade.window",
                format!("{minutes}m is none of the windows ({})", declared.join(", ")),
            );
        }
        let max_wait = trade.max_wait.as_deref().unwrap_or(DEFAULT_MAX_WAIT);
        let budget = trade.budget.as_deref().unwrap_or(DEFAULT_BUDGET);
        let stop_loss = trade.stop_loss.as_deref().map(|text| {
            let percent = text.strip_suffix('%').and_then(|number| parse_decimal(number, PERCENT_DIGITS));
            number(
                "stopLoss",
                text,
                percent.filter(|percent| *percent > 0),
                "a percentage above 0% and below 100% of \
                the price paid, such as \"5%\"",
                problems,
            )
        });
        Self {
            minutes: minutes.unwrap_or_default(),
            enter: trade.enter.unwrap_or_default(),
            budget: number(
                "budget",
                budget,
                parse_decimal(budget, DIGITS).filter(|budget| *budget > 0),
                "a decimal above 0 of at most 9 digits before and 9 after the point, such as \"10000\"",
                problems,
            ),
            fee_bps: bps("feeBps", trade.fee_bps.as_deref(), problems),
            fee_minimum: {
                let text = trade.fee_minimum.as_deref().unwrap_or("0");
                let say = "a decimal of at most 9 digits before and 9 after the point, such as \"1\"";
                number("feeMinimum", text, parse_decimal(text, DIGITS), say, problems)
            },
            slippage_bps: bps("slippageBps", trade.slippage_bps.as_deref(), problems),
            max_wait: problems.ok("spec.trade.maxWait", parse_window(max_wait)).unwrap_or_default(),
            stop_loss,
        }
    }

    /// Whether a spec could say this: terms that were recorded are computed with only then.
    pub fn is_legal(&self) -> bool {
        let minutes = 1..=MAX_WINDOW_MINUTES;
        let amount = 0..SCALE * SCALE;
        let bps = 0..10_000 * SCALE;
        minutes.contains(&self.minutes)
            && minutes.contains(&self.max_wait)
            && self.budget > 0
            && amount.contains(&self.budget)
            && amount.contains(&self.fee_minimum)
            && bps.contains(&self.fee_bps)
            && bps.contains(&self.slippage_bps)
            && self.stop_loss.is_none_or(|percent| (1..100 * SCALE).contains(&percent))
    }
}

fn bps(field: &str, text: Option<&str>, problems: &mut Problems) -> i64 {
    let text = text.unwrap_or("0");
    let say = "basis points: a decimal below 10000 of at most 4 digits before and 9 after the point, such as \"2.5\"";
    number(field, text, parse_decimal(text, BPS_DIGITS), say, problems)
}

/// The number, or 0 with a problem that says what to write.
fn number(field: &str, text: &str, value: Option<u64>, say: &str, problems: &mut Problems) -> i64 {
    let value = value.and_then(|value| i64::try_from(value).ok());
    value.unwrap_or_else(|| {
        problems.add(format!("spec.trade.{field}"), format!("{} is not {say}", shown(text)));
        0
    })
}
