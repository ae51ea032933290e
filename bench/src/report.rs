//! One table of figures, then the bars and whether they hold.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::speed::Speed;

/// The programs, in the table's order.
pub(crate) const ROWS: [&str; 5] = [WORKER, STREAMS, BARE, FAST, PLAIN];
/// The worker.
pub(crate) const WORKER: &str = "stockwatch";
/// The peer.
pub(crate) const STREAMS: &str = "kafka streams";
/// The floor.
pub(crate) const BARE: &str = "bare";
/// The floor of latency.
pub(crate) const FAST: &str = "bare, for latency";
/// The same without exactly once.
pub(crate) const PLAIN: &str = "bare, no transactions";

/// A column: what is measured, and in which unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// CPU seconds for a million raw records, which is microseconds for each.
    Cpu,
    /// Raw records a second.
    Rate,
    /// Peak memory in megabytes while catching up.
    Peak,
    /// Median alarm latency in milliseconds.
    Median,
    /// 99th percentile of alarm latency in milliseconds.
    Tail,
    /// Seconds from start to the first output.
    Start,
    /// Seconds from SIGKILL to the first output.
    Restore,
}

const COLUMNS: [(Column, &str); 7] = [
    (Column::Cpu, "CPU s/M quotes"),
    (Column::Rate, "quotes/s"),
    (Column::Peak, "peak MB"),
    (Column::Median, "p50 ms"),
    (Column::Tail, "p99 ms"),
    (Column::Start, "start s"),
    (Column::Restore, "restore s"),
];

/// A figure, and what is claimed of it.
#[derive(Debug)]
struct Bar {
    name: String,
    figure: f64,
    claim: Claim,
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    None,
    NotMeasured,
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    /// Whether the bar holds; for a NaN it does not.
    fn holds(&self) -> bool {
        match self.claim {
            Claim::None | Claim::NotMeasured => true,
            Claim::AtMost(limit) => self.figure <= limit,
            Claim::AtLeast(limit) => self.figure >= limit,
        }
    }
}

/// What was measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    speed: Speed,
    figures: BTreeMap<(&'static str, Column), f64>,
    bars: Vec<Bar>,
    notes: Vec<String>,
}

impl Report {
    /// Returns an empty report, once it is known how fast the machine is.
    pub(crate) fn begin() -> Result<Self> {
        let speed = Speed::measure()?;
        eprintln!("{speed}");
        Ok(Self { speed, figures: BTreeMap::new(), bars: Vec::new(), notes: Vec::new() })
    }

    /// Adds one program's figure.
    pub(crate) fn figure(&mut self, row: &'static str, column: Column, figure: f64) {
        self.figures.insert((row, column), figure);
    }

    /// Adds a line under the table, and shows it at once.
    pub(crate) fn note(&mut self, line: String) {
        eprintln!("{line}");
        self.notes.push(line);
    }

    /// `figure` must be at most `limit`.
    pub(crate) fn at_most(&mut self, name: &str, figure: f64, limit: f64) {
        self.bars.push(Bar { name: name.to_owned(), figure, claim: Claim::AtMost(limit) });
    }

    /// `figure` must be at least `limit`.
    pub(crate) fn at_least(&mut self, name: &str, figure: f64, limit: f64) {
        self.bars.push(Bar { name: name.to_owned(), figure, claim: Claim::AtLeast(limit) });
    }

    /// A figure among the bars of which nothing is claimed.
    pub(crate) fn plain(&mut self, name: &str, figure: f64) {
        self.bars.push(Bar { name: name.to_owned(), figure, claim: Claim::None });
    }

    /// A measurement was left out as the options say: nothing is claimed of it.
    pub(crate) fn not_measured(&mut self, name: &str) {
        self.bars.push(Bar { name: name.to_owned(), figure: f64::NAN, claim: Claim::NotMeasured });
    }

    /// The worker's figure divided by another program's must be at most `limit`.
    pub(crate) fn ratio_at_most(&mut self, column: Column, row: &'static str, limit: f64) {
        self.ratio(column, row, Claim::AtMost(limit));
    }

    /// The worker's figure divided by another program's must be at least `limit`.
    pub(crate) fn ratio_at_least(&mut self, column: Column, row: &'static str, limit: f64) {
        self.ratio(column, row, Claim::AtLeast(limit));
    }

    /// Nothing without both figures: a measurement may be run for one program alone.
    fn ratio(&mut self, column: Column, row: &'static str, claim: Claim) {
        let of = |row| self.figures.get(&(row, column)).copied();
        if let (Some(worker), Some(other)) = (of(WORKER), of(row)) {
            let title = COLUMNS.iter().find(|(c, _)| *c == column).map_or("", |(_, title)| title);
            self.bars.push(Bar { name: format!("{title} against {row}"), figure: worker / other, claim });
        }
    }

    /// Prints it all; true if every bar holds.
    pub(crate) fn print(&self) -> bool {
        println!("{}", self.speed);
        if !self.figures.is_empty() {
            self.print_table();
        }
        println!();
        self.notes.iter().for_each(|note| println!("{note}"));
        println!();
        for bar in &self.bars {
            let (sign, limit) = match bar.claim {
                Claim::None => {
                    println!("      {:<62} {:>9}", bar.name, digits(bar.figure));
                    continue;
                }
                Claim::NotMeasured => {
                    println!("      {:<62} not measured", bar.name);
                    continue;
                }
                Claim::AtMost(limit) => ("<=", limit),
                Claim::AtLeast(limit) => (">=", limit),
            };
            let verdict = if bar.holds() { "PASS" } else { "FAIL" };
            println!("{verdict}  {:<62} {:>9} {sign} {}", bar.name, digits(bar.figure), digits(limit));
        }
        self.bars.iter().all(Bar::holds)
    }

    fn print_table(&self) {
        println!();
        print!("{:<22}", "");
        COLUMNS.iter().for_each(|(_, title)| print!(" {title:>14}"));
        println!();
        for row in ROWS {
            print!("{row:<22}");
            for (column, _) in COLUMNS {
                match self.figures.get(&(row, column)) {
                    Some(figure) => print!(" {:>14}", digits(*figure)),
                    None => print!(" {:>14}", "-"),
                }
            }
            println!();
        }
    }
}

/// About three significant digits, without an exponent.
fn digits(figure: f64) -> String {
    match figure.abs() {
        f if f >= 100.0 => format!("{figure:.0}"),
        f if f >= 10.0 => format!("{figure:.1}"),
        f if f >= 1.0 => format!("{figure:.2}"),
        0.0 => "0".into(),
        _ => format!("{figure:.3}"),
    }
}

/// The middle one of `figures`; of an even number the upper middle one. NaN if there is none.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    percentile(figures, 50)
}

/// The nearest-rank percentile of `figures`; NaN if there is none.
pub(crate) fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures
        .get((figures.len() * percent / 100).min(figures.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
