//! The answer for people.

use std::fmt::Write;

use super::answer::{Answer, Judged, Span};
use super::tally::Figures;

const HEADS: [&str; 7] = ["RULES", "OF", "ALARMS", "EPISODES", "SKIPPED", "GAINED", "LOST"];
/// Columns of texts; the others are numbers.
const TEXTS: usize = 2;
/// Tickers that are named; the others are counted.
const NAMED: usize = 20;

type Row = [String; HEADS.len()];

/// The answer as text. Of a candidate it shows the windows whose figures are not those of the rules in force.
pub fn table(answer: &Answer) -> String {
    let mut out = String::new();
    let generation = answer.generation.map_or(String::new(), |number| format!(", generation {number}"));
    // Writing into a string cannot fail.
    let _ = writeln!(out, "StockWatch {}{generation}", answer.stockwatch);
    let _ = writeln!(out, "records   {}", span(&answer.records, "by their stamps"));
    let _ = writeln!(out, "quotes    {}", span(&answer.quotes, "by their event times"));
    let _ = writeln!(
        out,
        "tickers   {} counted; {} averages have no quote in common with the one before (gaps)",
        answer.tickers, answer.gaps
    );
    if let Some(fidelity) = &answer.fidelity {
        let _ = writeln!(
            out,
            "fidelity  {} of {} written alarms are given again with their ids; {} are added that were not written; {} \
             are not compared",
            fidelity.found, fidelity.written, fidelity.added, fidelity.aside
        );
    }
    if !answer.not_counted.is_empty() {
        let named: Vec<&str> = answer.not_counted.iter().take(NAMED).map(String::as_str).collect();
        let more = match answer.not_counted.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = writeln!(
            out,
            "not counted, since the log does not go back far enough to fill their windows: {}{more}",
            named.join(", ")
        );
    }
    for reason in &answer.incomplete {
        let _ = writeln!(out, "incomplete: {reason}");
    }
    out.push('\n');
    write_rows(&mut out, &rows(answer));
    out
}

fn span(span: &Span, by: &str) -> String {
    match (&span.from, &span.to) {
        (Some(from), Some(to)) => format!("{} from {from} to {to}, {by}", span.count),
        _ => span.count.to_string(),
    }
}

fn rows(answer: &Answer) -> Vec<Row> {
    let mut rows = vec![HEADS.map(str::to_owned)];
    let Some(in_force) = answer.rules.first() else { return rows };
    for (place, judged) in answer.rules.iter().enumerate() {
        let is_candidate = place > 0;
        rows.push(row(&judged.name, "all", &judged.all, is_candidate));
        let tickers = judged.tickers.iter().flatten();
        let parts = judged.windows.iter().filter(|part| !is_candidate || differs(in_force, part));
        for part in parts.chain(tickers) {
            rows.push(row("", &part.of, &part.figures, is_candidate));
        }
    }
    rows
}

/// Whether a window's figures are other ones by the rules in force.
fn differs(in_force: &Judged, part: &super::answer::Part) -> bool {
    let own = in_force.windows.iter().find(|own| own.of == part.of);
    own.is_none_or(|own| own.figures != part.figures)
}

fn row(name: &str, of: &str, figures: &Figures, is_candidate: bool) -> Row {
    let changed = |number: u64| if is_candidate { number.to_string() } else { String::new() };
    [
        name.to_owned(),
        of.to_owned(),
        figures.alarms.to_string(),
        figures.episodes.to_string(),
        (figures.skipped.gap + figures.skipped.min_count).to_string(),
        changed(figures.gained),
        changed(figures.lost),
    ]
}

/// Texts to the left, numbers to the right.
fn write_rows(out: &mut String, rows: &[Row]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (text, width))| {
            if column < TEXTS { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Part;
    use super::super::{Fidelity, Skipped};
    use super::*;

    fn figures(alarms: u64, episodes: u64, gained: u64, lost: u64) -> Figures {
        Figures { alarms, episodes, skipped: Skipped { gap: 1, min_count: 1 }, gained, lost }
    }

    fn judged(name: &str, all: Figures, five: Figures, ten: Figures) -> Judged {
        let part = |of: &str, figures| Part { of: of.into(), figures };
        Judged { name: name.into(), all, windows: vec![part("5m", five), part("10m", ten)], tickers: None }
    }

    #[test]
    fn of_a_candidate_only_the_windows_that_differ_are_shown() {
        let span = |count| Span { count, from: Some("a".into()), to: Some("b".into()) };
        let same = figures(30, 7, 0, 0);
        let answer = Answer {
            stockwatch: "default/tech".into(),
            generation: Some(7),
            records: span(110),
            quotes: span(100),
            gaps: 2,
            tickers: 3,
            not_counted: vec!["late".into()],
            incomplete: vec!["partition 1: its log begins later".into()],
            rules: vec![
                judged("in force", figures(130, 27, 0, 0), figures(100, 20, 0, 0), same),
                judged("5m=0.2%", figures(50, 12, 0, 80), figures(20, 5, 0, 80), same),
            ],
            fidelity: Some(Fidelity { written: 130, found: 130, added: 0, aside: 4 }),
        };
        assert_eq!(
            table(&answer),
            "\
StockWatch default/tech, generation 7
records   110 from a to b, by their stamps
quotes    100 from a to b, by their event times
tickers   3 counted; 2 averages have no quote in common with the one before (gaps)
fidelity  130 of 130 written alarms are given again with their ids; 0 are added that were not written; 4 are not compared
not counted, since the log does not go back far enough to fill their windows: late
incomplete: partition 1: its log begins later

RULES     OF   ALARMS  EPISODES  SKIPPED  GAINED  LOST
in force  all     130        27        2
          5m      100        20        2
          10m      30         7        2
5m=0.2%   all      50        12        2       0    80
          5m       20         5        2       0    80
"
        );
    }
}
