//! Random rules and random quotes.

use proptest::prelude::*;
use serde_json::json;
use stockwatch_tests::{Record, Ticker, Watch};

use crate::{ENTITIES, START, WINDOWS};

/// Rules as the oracle has them.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) tolerances: [&'static str; 2],
    /// Of `a` in the first window.
    pub(crate) own: Option<&'static str>,
    pub(crate) quiet: Option<u32>,
    pub(crate) skips_gaps: bool,
    pub(crate) min_count: u64,
    pub(crate) trade: Option<Trade>,
}

/// Terms as the oracle has them.
#[derive(Debug, Clone)]
pub(crate) struct Trade {
    pub(crate) window: usize,
    pub(crate) is_down: bool,
    pub(crate) fee: &'static str,
    pub(crate) slippage: &'static str,
    pub(crate) max_wait: u32,
    pub(crate) stop_loss: Option<&'static str>,
}

impl Rules {
    pub(crate) fn watch(&self) -> Watch {
        let mut watch = Watch::new("whatif", "kafka:9092");
        watch.namespace = "default".into();
        watch.tickers = ENTITIES[..2].iter().map(|entity| Ticker::of(entity)).collect();
        watch.tickers[0].tolerances = self.own.iter().map(|own| (WINDOWS[0], (*own).to_owned())).collect();
        watch.windows = WINDOWS.iter().zip(self.tolerances).map(|(m, t)| (*m, t.to_owned())).collect();
        let gaps = if self.skips_gaps { "Skip" } else { "Alarm" };
        watch.alarms = json!({"gaps": gaps, "minCount": self.min_count});
        if let Some(quiet) = self.quiet {
            watch.alarms["quiet"] = format!("{quiet}m").into();
        }
        if let Some(trade) = &self.trade {
            watch.trade = json!({
                "window": format!("{}m", WINDOWS[trade.window]),
                "enter": if trade.is_down { "Down" } else { "Up" },
                "budget": "1000",
                "feeBps": trade.fee,
                "feeMinimum": trade.fee,
                "slippageBps": trade.slippage,
                "maxWait": format!("{}m", trade.max_wait),
            });
            if let Some(percent) = trade.stop_loss {
                watch.trade["stopLoss"] = percent.into();
            }
        }
        watch
    }
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let tolerance = || prop::sample::select(vec!["0", "0.3", "1", "5", "0.5%", "1%", "2%", "10%"]);
    let settings = (prop::option::of(0..8_u32), any::<bool>(), 1..3_u64);
    ([tolerance(), tolerance()], prop::option::of(tolerance()), settings, prop::option::of(trade())).prop_map(
        |(tolerances, own, (quiet, skips_gaps, min_count), trade)| Rules {
            tolerances,
            own,
            quiet,
            skips_gaps,
            min_count,
            trade,
        },
    )
}

fn trade() -> impl Strategy<Value = Trade> {
    let bps = || prop::sample::select(vec!["0", "5", "33.333333333", "9999"]);
    let stop_loss = prop::option::of(prop::sample::select(vec!["0.5%", "5%"]));
    (0..2_usize, any::<bool>(), bps(), bps(), 1..20_u32, stop_loss).prop_map(
        |(window, is_down, fee, slippage, max_wait, stop_loss)| Trade {
            window,
            is_down,
            fee,
            slippage,
            max_wait,
            stop_loss,
        },
    )
}

/// Entity, seconds since the last quote of the log, seconds late, cents.
pub(crate) fn quotes() -> impl Strategy<Value = Vec<(usize, i64, i64, i64)>> {
    let late = prop_oneof![6 => Just(0_i64), 1 => 0..400_i64];
    let pause = prop_oneof![20 => 1..50_i64, 1 => 300..2_000_i64];
    prop::collection::vec((0..3_usize, pause, late, 9_000..11_000_i64), 1..160)
}

pub(crate) fn log(quotes: &[(usize, i64, i64, i64)]) -> Vec<Record> {
    let mut now = START;
    let record = |(offset, (entity, pause, late, cents)): (usize, &(usize, i64, i64, i64))| {
        now += pause;
        let value = format!(
            r#"{{"entityname":"{}","currentstockprice":{}.{:02},"lastupdatedate":{}}}"#,
            ENTITIES[*entity],
            cents / 100,
            cents % 100,
            now - late
        );
        Record {
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
            timestamp: now * 1000,
            is_appended: false,
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
        }
    };
    quotes.iter().enumerate().map(record).collect()
}
