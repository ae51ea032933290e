//! Draws the demo on a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, Wrap};

use super::table::{Cell, episode_line, money};
use super::view::View;

/// Lines for episodes, their title included, that are always shown, however many tickers there are.
const ALARM_LINES: u16 = 5;

/// Draws everything anew; ratatui writes only what differs.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let rows = view.table.rows(&view.live.spec);
    let message = message(view);
    let message_lines = u16::try_from(message.height()).unwrap_or(u16::MAX).clamp(1, 4);
    let table_lines = u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_mul(2).saturating_add(1);
    let [head, table, alarms, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(table_lines),
        Constraint::Min(ALARM_LINES),
        Constraint::Length(message_lines + 3),
    ])
    .areas(frame.area());

    frame.render_widget(head_line(view), head);
    frame.render_widget(averages(view, rows), table);
    let latest = view.table.episodes().take(alarms.height.into());
    let lines: Vec<Line<'_>> = latest.map(|last| Line::from(episode_line(last))).collect();
    let (episodes, count) = (view.table.episode_count(), view.table.alarm_count());
    let paper = view.table.paper().map(|paper| format!("  {paper} ")).unwrap_or_default();
    let title = format!(" episodes: {episodes} with {count} alarms {paper}");
    frame.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::TOP).title(title)), alarms);
    let mut text = Text::from(vec![
        Line::from(vec!["Edit a tolerance and save: ".into(), view.file.display().to_string().bold()]),
        Line::from(format!("Log: {}   q quits", view.log.display())).dim(),
    ]);
    text.extend(message);
    let foot_block = Block::new().borders(Borders::TOP);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(foot_block), foot);
}

fn head_line(view: &View<'_>) -> Line<'static> {
    let state = match &view.not_ready {
        None => "running".to_owned().green(),
        Some(reason) => reason.clone().yellow(),
    };
    Line::from(vec!["StockWatch demo, simulated in this process: ".bold(), state])
}

/// Whether the file that was saved last is in use.
fn message(view: &View<'_>) -> Text<'static> {
    match (&view.error, view.applied) {
        (Some(error), _) => {
            let text = format!("Refused, the last good one goes on: {error}");
            Text::from(text.lines().map(|line| Line::from(line.to_owned()).red()).collect::<Vec<_>>())
        }
        (None, Some(generation)) => {
            Text::from(Line::from(format!("Taken: computing with generation {generation}")).green())
        }
        (None, None) => Text::from("Taken"),
    }
}

fn averages(view: &View<'_>, rows: Vec<super::table::Row>) -> Table<'static> {
    let windows = &view.live.spec.windows;
    let head = ["ENTITY".to_owned(), "PRICE".to_owned()]
        .into_iter()
        .chain(windows.iter().map(|window| format!("{}m AVERAGE", window.minutes)));
    let rows = rows.into_iter().map(|row| {
        let paper = row.profit.map(|profit| Line::from(format!("paper {}", money(profit))).dim());
        let entity = [Line::from(row.entity.bold())].into_iter().chain(paper);
        let texts = [Text::from_iter(entity), Text::from(row.price)];
        Row::new(texts.into_iter().chain(row.cells.iter().map(cell))).height(2)
    });
    // With three windows, the width of a terminal of 80.
    let widths = [Constraint::Length(14), Constraint::Length(8)]
        .into_iter()
        .chain(windows.iter().map(|_| Constraint::Length(18)));
    Table::new(rows, widths).header(Row::new(head).style(Style::new().underlined())).column_spacing(1)
}

fn cell(cell: &Cell) -> Text<'static> {
    let deviation = if cell.deviation.is_empty() { "-" } else { &cell.deviation };
    let deviation = Line::from(format!("{deviation} of {}", cell.tolerance));
    let deviation = if cell.alarmed { deviation.red().bold().reversed() } else { deviation.dim() };
    Text::from(vec![Line::from(cell.average.clone()), deviation])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::sync::Arc;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::table;
    use super::*;
    use crate::config::Live;
    use crate::metrics::Metrics;

    fn drawn(width: u16, height: u16, error: Option<&str>) -> String {
        let live = Live::new(super::super::EXAMPLE, Arc::new(Metrics::new())).unwrap().current();
        let mut table = table::Table::default();
        table.take(table::tests::quote("meta", 512.34));
        table.take(table::tests::average("meta", 1, 510, 1));
        table.take(table::tests::average("meta", 1, 511, 2));
        table.take(table::tests::order("meta"));
        let view = View {
            table: &table,
            live,
            error: error.map(str::to_owned),
            not_ready: None,
            applied: Some(3),
            file: Path::new("/tmp/stockwatch-demo/stockwatch.yaml"),
            log: Path::new("/tmp/stockwatch-demo/demo.log"),
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &view)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_terminal_of_80_by_24_shows_everything() {
        let screen = drawn(80, 24, None);
        for text in [
            "running",
            "meta",
            "general motors",
            "512.34",
            "511.0000",
            "+0.1961% of 0.015%",
            "15m AVERAGE",
            "of 0.02%",
            "paper +0.00",
            "episodes: 0 with 0 alarms   paper profit: +0.00 in 0 fills",
            "Edit a tolerance and save: /tmp/stockwatch-demo/stockwatch.yaml",
            "generation 3",
            "q quits",
        ] {
            assert!(screen.contains(text), "{text} is missing:\n{screen}");
        }
    }

    #[test]
    fn every_line_of_a_refusal_is_shown() {
        let screen = drawn(100, 30, Some("spec.windows[0].tolerance: bad\nspec.tickers: none"));
        for text in ["the last good one goes on", "spec.windows[0].tolerance: bad", "spec.tickers: none"] {
            assert!(screen.contains(text), "{text} is missing:\n{screen}");
        }
    }

    #[test]
    fn a_tiny_terminal_breaks_nothing() {
        for (width, height) in [(1, 1), (10, 3), (20, 10)] {
            drawn(width, height, Some("bad"));
        }
    }
}
