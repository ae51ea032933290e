//! The demo without a terminal: a line for each change.

use std::fmt::Write;
use std::time::Duration;

use super::table::{episode_line, money};
use super::view::View;

/// Between two printed tables.
const TABLE_EVERY: Duration = Duration::from_secs(5);

/// What was printed already.
#[derive(Debug, Default)]
pub(super) struct Lines {
    revision: u64,
    error: Option<String>,
    state: Option<String>,
    episodes: usize,
    next_table: Duration,
}

impl Lines {
    /// The lines for what is new since the last call; `elapsed` is the time since the start.
    pub(super) fn news(&mut self, view: &View<'_>, elapsed: Duration) -> String {
        let mut out = String::new();
        let mut line = |text: &dyn std::fmt::Display| {
            // Writing into a string cannot fail.
            let _ = writeln!(out, "{text}");
        };
        if self.revision != view.live.revision {
            if self.revision == 0 {
                line(&format!("Edit a tolerance and save: {}", view.file.display()));
                line(&format!("Log: {}", view.log.display()));
            } else {
                line(&format!("TAKEN   {}", windows(view)));
            }
            self.revision = view.live.revision;
        }
        if self.error != view.error {
            match &view.error {
                Some(error) => line(&format!("REFUSED {error}")),
                None => line(&"MENDED  the file is valid again and in use"),
            }
            self.error.clone_from(&view.error);
        }
        let state = view.not_ready.clone().unwrap_or_else(|| "running".into());
        if self.state.as_ref() != Some(&state) {
            line(&format!("STATE   {state}"));
            self.state = Some(state);
        }
        let count = view.table.episode_count();
        let mut begun: Vec<_> = view.table.episodes().take(count - self.episodes).collect();
        begun.reverse();
        for last in begun {
            line(&format!("EPISODE {}", episode_line(last)));
        }
        self.episodes = count;
        if elapsed >= self.next_table {
            self.next_table = elapsed + TABLE_EVERY;
            for row in view.table.rows(&view.live.spec).iter().filter(|row| !row.price.is_empty()) {
                let cells = view.live.spec.windows.iter().zip(&row.cells).map(|(window, cell)| {
                    format!("  {}m {} {} of {}", window.minutes, cell.average, cell.deviation, cell.tolerance)
                });
                let paper = row.profit.map(|profit| format!("  paper {}", money(profit)));
                let (cells, paper) = (cells.collect::<String>(), paper.unwrap_or_default());
                line(&format!("{:<16} {:>10}{cells}{paper}", row.entity, row.price));
            }
            let (episodes, alarms) = (view.table.episode_count(), view.table.alarm_count());
            if alarms > 0 {
                let paper = view.table.paper().map(|paper| format!("; {paper}")).unwrap_or_default();
                line(&format!("{alarms} alarms in {episodes} episodes{paper}"));
            }
        }
        out
    }
}

fn windows(view: &View<'_>) -> String {
    let windows =
        view.live.spec.windows.iter().map(|window| format!("{}m {}", window.minutes, window.tolerance.text));
    windows.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::path::Path;
    use std::sync::Arc;

    use super::super::table::Table;
    use super::super::table::tests::quote;
    use super::*;
    use crate::config::{Live, LiveSpec};
    use crate::metrics::Metrics;

    fn live() -> Arc<LiveSpec> {
        Live::new(super::super::EXAMPLE, Arc::new(Metrics::new())).unwrap().current()
    }

    fn view<'a>(live: &Arc<LiveSpec>, table: &'a Table, error: Option<&str>) -> View<'a> {
        View {
            table,
            live: Arc::clone(live),
            error: error.map(str::to_owned),
            not_ready: None,
            applied: Some(1),
            file: Path::new("/tmp/demo.yaml"),
            log: Path::new("/tmp/demo.log"),
        }
    }

    #[test]
    fn what_is_new_is_printed_once() {
        let (live, table) = (live(), Table::default());
        let mut lines = Lines::default();
        let first = lines.news(&view(&live, &table, None), Duration::ZERO);
        assert!(first.contains("/tmp/demo.yaml") && first.contains("running"), "{first}");
        assert_eq!(lines.news(&view(&live, &table, None), Duration::ZERO), "");
        let refused = lines.news(&view(&live, &table, Some("spec.windows: bad")), Duration::ZERO);
        assert_eq!(refused, "REFUSED spec.windows: bad\n");
        let taken = Arc::new(LiveSpec { revision: 2, ..(*live).clone() });
        let text = lines.news(&view(&taken, &table, None), Duration::ZERO);
        assert!(text.starts_with("TAKEN   1m 0.015%") && text.contains("MENDED"), "{text}");
    }

    #[test]
    fn a_table_comes_now_and_then_with_the_tickers_that_have_a_price() {
        let (live, mut table) = (live(), Table::default());
        let mut lines = Lines::default();
        lines.news(&view(&live, &table, None), Duration::ZERO);
        table.take(quote("meta", 512.3));
        assert_eq!(lines.news(&view(&live, &table, None), TABLE_EVERY / 2), "");
        let text = lines.news(&view(&live, &table, None), TABLE_EVERY);
        assert!(text.starts_with("meta") && text.contains("512.30") && text.lines().count() == 1, "{text}");
    }
}
