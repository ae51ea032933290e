//! An example's picture: its quotes and their average over time, alarms marked, episodes shaded; a panel a setting.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use stockwatch_core::NANO;

use super::{Example, Row, decimal, minute, rows};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 744.0;
/// Above the panels: the legend.
const HEAD: f64 = 44.0;
/// A panel: its caption, its plot and the labels below.
const PANEL: f64 = 216.0;
const CAPTION: f64 = 26.0;
const PLOT: f64 = 150.0;
/// Below the panels: the name of the time axis.
const FOOT: f64 = 22.0;
/// A pause of more minutes than this takes the room of so many.
const PAUSE: i64 = 3;
/// Minutes between two labels.
const EVERY: i64 = 5;

/// Colours of a page in the light; in the dark those below.
const STYLE: &str = "<style>
text{font:12px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}
.back{fill:#fff}.label{fill:#59636e}.number{font-size:10px;fill:#b3202c;text-anchor:middle}.end{text-anchor:end}
.middle{text-anchor:middle}.caption{font-weight:600}.grid{stroke:#dde2e7}.axis{stroke:#59636e}
.price{fill:none;stroke:#7d8590;stroke-width:1.5}.quote{fill:#7d8590}.average{fill:none;stroke:#0969da;stroke-width:2.5}
.alarm{fill:#cf222e}.skipped{fill:#fff;stroke:#59636e;stroke-width:2}.episode{fill:#d4860b;opacity:.3}
.quiet{fill:#d4860b;opacity:.12}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.back{fill:#0d1117}.label{fill:#9198a1}.number{fill:#ff9a92}.grid{stroke:#2a313a}.axis{stroke:#9198a1}
.price{stroke:#8b949e}.quote{fill:#8b949e}.average{stroke:#4c9bff}.alarm{fill:#ff6b61}
.skipped{fill:#0d1117;stroke:#9198a1}.episode{fill:#e3a33a;opacity:.36}.quiet{fill:#e3a33a;opacity:.16}}
</style>
";

/// The picture as SVG.
pub fn svg(example: Example) -> String {
    let panels = example.panels();
    let height = HEAD + PANEL * panels.len() as f64 + FOOT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>A {}: price, average and alarms</title>\n{STYLE}\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n",
        example.name()
    );
    let mut top = HEAD;
    let mut has_skipped = false;
    for (caption, tolerance, alarms) in panels {
        let rows = rows(tolerance, alarms, example.quotes(example.shown()));
        has_skipped |= rows.iter().any(|row| row.skipped().is_some());
        panel(&mut out, &rows, top, caption);
        top += PANEL;
    }
    legend(&mut out, has_skipped);
    let (x, y) = (f64::midpoint(LEFT, RIGHT), height - 12.0);
    writeln!(out, "<text class=\"label middle\" x=\"{x}\" y=\"{y}\">minute (event time)</text>\n</svg>")
        .unwrap();
    out
}

fn legend(out: &mut String, has_skipped: bool) {
    let line = |class: &str, x: f64| format!("<path class=\"{class}\" d=\"M{x} 24h22\"/>");
    let dot = |class: &str, x: f64| format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"24\" r=\"4.5\"/>");
    let block = |class: &str, x: f64| {
        format!("<rect class=\"{class}\" x=\"{x}\" y=\"17\" width=\"16\" height=\"14\"/>")
    };
    let mut x = LEFT;
    let mut entry = |mark: &dyn Fn(f64) -> String, room: f64, text: &str, width: f64| {
        writeln!(out, "{}<text x=\"{}\" y=\"28\">{text}</text>", mark(x), x + room).unwrap();
        x += room + width;
    };
    let price =
        |x| line("price", x) + &format!("<circle class=\"quote\" cx=\"{}\" cy=\"24\" r=\"2\"/>", x + 11.0);
    entry(&price, 28.0, "price", 48.0);
    entry(&|x| line("average", x), 28.0, "average of 5 minutes", 150.0);
    entry(&|x| dot("alarm", x + 5.0), 16.0, "alarm, numbered", 124.0);
    if has_skipped {
        entry(&|x| dot("skipped", x + 5.0), 16.0, "skipped", 72.0);
    }
    entry(&|x| block("episode", x), 22.0, "episode", 70.0);
    entry(&|x| block("quiet", x), 22.0, "its quiet time", 90.0);
}

/// Where things are in a plot.
struct Axes {
    /// Each quote's minute and its place from the left, in minutes without what is left out of pauses.
    places: Vec<(i64, i64)>,
    /// The lowest and the highest price shown, and what lies between two labels, in cents.
    low: i64,
    high: i64,
    step: i64,
    top: f64,
}

impl Axes {
    fn new(rows: &[Row], top: f64) -> Self {
        let mut places: Vec<(i64, i64)> = Vec::new();
        for row in rows {
            let place = places.last().map_or(0, |(before, place)| place + (row.minute - before).min(PAUSE));
            places.push((row.minute, place));
        }
        let cents = || rows.iter().map(|row| row.cents);
        let (least, most) = (cents().min().unwrap(), cents().max().unwrap());
        let step =
            [10, 20, 50, 100, 200, 500].into_iter().find(|step| (most - least) / step <= 5).unwrap_or(1_000);
        // Half a step of air on both sides, for marks and numbers.
        Self { places, low: least - step / 2, high: most + step, step, top }
    }

    fn x(&self, minute: i64) -> f64 {
        let after = self.places.partition_point(|(before, _)| *before <= minute);
        let (before, place) = self.places[after.max(1) - 1];
        let end = self.places.get(after).or(self.places.last()).unwrap().1;
        let widest = self.places.last().unwrap().1 as f64;
        LEFT + 14.0 + (RIGHT - LEFT - 28.0) * (place + minute - before).min(end.max(place)) as f64 / widest
    }

    fn y(&self, cents: f64) -> f64 {
        self.top + PLOT * (self.high as f64 - cents) / (self.high - self.low) as f64
    }

    /// A line through all rows, broken where a pause is.
    fn path(&self, rows: &[Row], cents: impl Fn(&Row) -> f64) -> String {
        let mut path = String::new();
        for (i, row) in rows.iter().enumerate() {
            let breaks = i == 0 || row.minute - rows[i - 1].minute > PAUSE;
            let command = if breaks { 'M' } else { 'L' };
            write!(path, "{command}{:.1} {:.1}", self.x(row.minute), self.y(cents(row))).unwrap();
        }
        path
    }
}

fn average(row: &Row) -> f64 {
    row.average as f64 * 100.0 / NANO as f64
}

fn panel(out: &mut String, rows: &[Row], top: f64, caption: &str) {
    let axes = Axes::new(rows, top + CAPTION);
    let bottom = axes.top + PLOT;
    let episodes = episodes(rows);
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let says = match rows.iter().filter(|row| row.alarm.is_some()).count() {
        0 => "no alarm".to_owned(),
        alarms => format!("{} in {}", count(alarms, "alarm"), count(episodes.len(), "episode")),
    };
    let y = top + 16.0;
    writeln!(out, "<text class=\"caption\" x=\"{LEFT}\" y=\"{y}\">{caption}</text>").unwrap();
    writeln!(out, "<text class=\"end\" x=\"{RIGHT}\" y=\"{y}\">{says}</text>").unwrap();
    for (start, (last, end)) in &episodes {
        // One alarm alone is to be seen as well.
        let next = episodes.range(start + 1..).next().map_or(f64::MAX, |(next, _)| axes.x(*next) - 6.0);
        let (from, to, end) = (axes.x(*start) - 6.0, axes.x(*last) + 6.0, axes.x(*end).min(next));
        for (class, from, to) in [("episode", from, to), ("quiet", to, end)] {
            if from < to {
                let (y, width) = (axes.top, to - from);
                writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{PLOT}\"/>"
                )
                .unwrap();
            }
        }
    }
    grid(out, &axes, bottom);
    writeln!(out, "<path class=\"price\" d=\"{}\"/>", axes.path(rows, |row| row.cents as f64)).unwrap();
    for row in rows {
        let (x, y) = (axes.x(row.minute), axes.y(row.cents as f64));
        writeln!(out, "<circle class=\"quote\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>").unwrap();
    }
    writeln!(out, "<path class=\"average\" d=\"{}\"/>", axes.path(rows, average)).unwrap();
    for row in rows {
        let (x, y) = (axes.x(row.minute), axes.y(average(row)));
        let mut mark = |class: &str| {
            writeln!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>").unwrap();
        };
        if let Some(alarm) = &row.alarm {
            mark("alarm");
            // Away from the price.
            let y = if axes.y(row.cents as f64) < y { y + 16.0 } else { y - 9.0 };
            let number = alarm.episode.number;
            writeln!(out, "<text class=\"number\" x=\"{x:.1}\" y=\"{y:.1}\">{number}</text>").unwrap();
        } else if row.skipped().is_some() {
            mark("skipped");
        }
    }
}

/// Each episode's first minute, and the minutes of its last alarm and of its end.
fn episodes(rows: &[Row]) -> BTreeMap<i64, (i64, i64)> {
    let of = |row: &Row| row.alarm.map(|alarm| alarm.episode);
    rows.iter().filter_map(of).map(|e| (minute(e.start), (minute(e.last), minute(e.end)))).collect()
}

fn grid(out: &mut String, axes: &Axes, bottom: f64) {
    let first = axes.low.div_euclid(axes.step) + 1;
    for cents in (first..).map(|n| n * axes.step).take_while(|cents| *cents < axes.high) {
        let (y, text) = (axes.y(cents as f64), decimal(cents * NANO / 100));
        writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>").unwrap();
        let (x, y) = (LEFT - 8.0, y + 4.0);
        writeln!(out, "<text class=\"label end\" x=\"{x}\" y=\"{y:.1}\">{text}</text>").unwrap();
    }
    writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{RIGHT}\"/>").unwrap();
    let y = f64::midpoint(axes.top, bottom);
    writeln!(out, "<text class=\"label middle\" transform=\"translate(20 {y}) rotate(-90)\">price</text>")
        .unwrap();
    for (minute, _) in axes.places.iter().filter(|(minute, _)| minute % EVERY == 0) {
        let x = axes.x(*minute);
        writeln!(out, "<path class=\"axis\" d=\"M{x:.1} {bottom}v5\"/>").unwrap();
        let y = bottom + 18.0;
        writeln!(out, "<text class=\"label middle\" x=\"{x:.1}\" y=\"{y}\">{minute}</text>").unwrap();
    }
    for pause in axes.places.windows(2).filter(|pair| pair[1].0 - pair[0].0 > PAUSE) {
        // Two strokes through the axis: time is left out.
        let x = f64::midpoint(axes.x(pause[0].0), axes.x(pause[1].0));
        let (from, y) = (x - 8.0, bottom + 5.0);
        writeln!(out, "<path class=\"axis\" d=\"M{from:.1} {y}l5 -10m6 10l5 -10\"/>").unwrap();
    }
}
