//! The answer for people.

use std::fmt::Write;

use super::answer::{Answer, Judged, Part, Span};
use super::paper::Paper;
use super::tally::Figures;

const HEADS: [&str; 7] = ["RULES", "OF", "ALARMS", "EPISODES", "SKIPPED", "GAINED", "LOST"];
/// Where any rules have paper accounts.
const PAPER_HEADS: [&str; 4] = ["FILLS", "PROFIT", "OPEN", "HOLD"];
/// Columns of texts; the others are numbers.
const TEXTS: usize = 2;
/// Tickers that are named; the others are counted.
const NAMED: usize = 20;

type Row = Vec<String>;

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
        let added = fidelity.added.map_or_else(
            || {
                "it is not known how many are added, since no written alarm shows the rules in force"
                    .to_owned()
            },
            |added| format!("{added} are added that were not written"),
        );
        let _ = writeln!(
            out,
            "fidelity  {} of {} written alarms are given again with their ids; {added}; {} are not compared",
            fidelity.found, fidelity.written, fidelity.aside
        );
    }
    if has_paper(answer) {
        let _ = writeln!(
            out,
            "paper     accounts that begin with the range; open positions and buy-and-hold are sold at the last quotes"
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

fn has_paper(answer: &Answer) -> bool {
    answer.rules.iter().any(|judged| judged.paper.is_some())
}

fn rows(answer: &Answer) -> Vec<Row> {
    let paper_heads: &[&str] = if has_paper(answer) { &PAPER_HEADS } else { &[] };
    let mut rows = vec![HEADS.iter().chain(paper_heads).map(|head| (*head).to_owned()).collect()];
    let Some(in_force) = answer.rules.first() else { return rows };
    for (place, judged) in answer.rules.iter().enumerate() {
        let is_candidate = place > 0;
        rows.push(row((judged.name.as_str(), "all"), &judged.all, judged.paper.as_ref(), is_candidate));
        let tickers = judged.tickers.iter().flatten();
        let parts = judged.windows.iter().filter(|part| !is_candidate || differs(in_force, part));
        for part in parts.chain(tickers) {
            rows.push(row(("", part.of.as_str()), &part.figures, part.paper.as_ref(), is_candidate));
        }
    }
    rows
}

/// Whether a window's figures are other ones by the rules in force.
fn differs(in_force: &Judged, part: &Part) -> bool {
    in_force.windows.iter().find(|own| own.of == part.of) != Some(part)
}

/// Without `paper` the row ends earlier than others.
fn row((name, of): (&str, &str), figures: &Figures, paper: Option<&Paper>, is_candidate: bool) -> Row {
    let changed = |number: u64| if is_candidate { number.to_string() } else { String::new() };
    let mut row = vec![
        name.to_owned(),
        of.to_owned(),
        figures.alarms.to_string(),
        figures.episodes.to_string(),
        (figures.skipped.gap + figures.skipped.min_count).to_string(),
        changed(figures.gained),
        changed(figures.lost),
    ];
    if let Some(paper) = paper {
        row.push(paper.fills.to_string());
        row.extend([paper.text(|m| m.profit), paper.text(|m| m.open), paper.text(|m| m.hold)]);
    }
    row
}

/// Texts to the left, numbers to the right.
fn write_rows(out: &mut String, rows: &[Row]) {
    let cell = |row: &Row, column: usize| row.get(column).map_or(0, |text| text.chars().count());
    let width = |column: usize| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
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
    use super::super::{Amount, Fidelity, Money, Skipped};
    use super::*;

    fn figures(alarms: u64, episodes: u64, gained: u64, lost: u64) -> Figures {
        Figures { alarms, episodes, skipped: Skipped { gap: 1, min_count: 1 }, gained, lost }
    }

    fn judged(name: &str, all: Figures, five: Figures, ten: Figures) -> Judged {
        let part = |of: &str, figures| Part { of: of.into(), figures, paper: None };
        let windows = vec![part("5m", five), part("10m", ten)];
        Judged { name: name.into(), all, paper: None, windows, tickers: None }
    }

    fn answer(in_force: Judged, candidate: Judged) -> Answer {
        let span = |count| Span { count, from: Some("a".into()), to: Some("b".into()) };
        Answer {
            stockwatch: "default/tech".into(),
            generation: Some(7),
            records: span(110),
            quotes: span(100),
            gaps: 2,
            tickers: 3,
            not_counted: vec!["late".into()],
            incomplete: vec!["partition 1: its log begins later".into()],
            rules: vec![in_force, candidate],
            fidelity: Some(Fidelity { written: 130, found: 130, added: Some(0), aside: 4 }),
        }
    }

    #[test]
    fn paper_accounts_are_beside_the_window_that_they_follow() {
        let same = figures(30, 7, 0, 0);
        let paper = |fills, currency: &str, cents: i128| {
            let amount = |cents| Amount(cents * 10_000_000);
            let (profit, open, hold) = (amount(cents), amount(0), amount(-2 * cents));
            Paper { fills, money: vec![Money { currency: Some(currency.into()), profit, open, hold }] }
        };
        let usd = Money { currency: Some("USD".into()), profit: Amount(1_000_000_000), ..Money::default() };
        let usd = Paper { fills: 1, money: vec![usd] };
        let with = |fills, cents| {
            let mut judged = judged("5m=0.2%", same, same, same);
            let mut paper = paper(fills, "EUR", cents);
            paper.add(&usd);
            judged.windows[1].paper = Some(paper.clone());
            Judged { paper: Some(paper), ..judged }
        };
        let text = table(&answer(with(4, 150), with(2, -7)));
        let rows: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("RULES")).collect();
        assert_eq!(rows[0].split_whitespace().skip(7).collect::<Vec<_>>(), PAPER_HEADS);
        let first = rows[1].split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(first.ends_with(" 5 1.5 EUR, 1 USD 0 EUR, 0 USD -3 EUR, 0 USD"), "{text}");
        assert!(rows[2].trim_start().starts_with("5m") && rows[2].ends_with('2'), "{text}");
        assert_eq!(rows.len(), 6, "the candidate's 5m is as in force: {text}");
        assert!(rows[5].trim_start().starts_with("10m") && rows[5].ends_with("0.14 EUR, 0 USD"), "{text}");
        assert!(text.contains("\npaper     accounts"), "{text}");
    }

    #[test]
    fn without_a_written_alarm_of_the_rules_in_force_what_is_added_is_not_known() {
        let same = figures(30, 7, 0, 0);
        let rules = || judged("in force", same, same, same);
        let text = table(&Answer { fidelity: Some(Fidelity::default()), ..answer(rules(), rules()) });
        assert!(text.contains("fidelity  0 of 0 written alarms are given again"), "{text}");
        assert!(text.contains("; it is not known how many are added, "), "{text}");
    }

    #[test]
    fn of_a_candidate_only_the_windows_that_differ_are_shown() {
        let same = figures(30, 7, 0, 0);
        let answer = answer(
            judged("in force", figures(130, 27, 0, 0), figures(100, 20, 0, 0), same),
            judged("5m=0.2%", figures(50, 12, 0, 80), figures(20, 5, 0, 80), same),
        );
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
