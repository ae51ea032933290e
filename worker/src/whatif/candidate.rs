//! The rules in force and those to compare with them, from the command line's texts. They share windows and tickers, so
//! that one pass over the quotes computes the averages of all.

use std::str::FromStr;
use std::sync::Arc;

use stockwatch_core::Shape;
use stockwatch_crds::{Bound, Tolerance, parse_window};

/// Tolerances of a sweep, both ends included.
const STEPS: u32 = 40;
/// Bounds are integers of 10⁻⁹.
const SCALE: u64 = 1_000_000_000;

/// Rules by which quotes are judged, with their name in the answer.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the answer calls them.
    pub name: String,
    /// The rules.
    pub rules: Arc<Shape>,
}

/// `5m=0.2%`: a window of the StockWatch, and another tolerance for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    minutes: u32,
    tolerance: Tolerance,
}

/// `5m=0.05%..1%`: a window, and the least and the greatest of many tolerances for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    minutes: u32,
    tolerances: Vec<Tolerance>,
}

/// Why rules cannot be compared with those in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// A window that the StockWatch does not have.
    #[error("{argument}: {minutes}m is none of the windows ({windows}): another window has other averages")]
    Window {
        /// The argument.
        argument: &'static str,
        /// The window in minutes.
        minutes: u32,
        /// Those that there are.
        windows: String,
    },
    /// `--set` names a window twice.
    #[error(
        "--set: {0}m is set twice: all --set together are one candidate; compare several by --sweep or --candidate"
    )]
    Twice(u32),
    /// A file with other windows or tickers.
    #[error(
        "--candidate {0}: its windows or tickers are not those in force: candidates may differ in tolerances, spec.alarms \
         and spec.trade only"
    )]
    Shape(String),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (minutes, tolerance) = split(text, "5m=0.2%")?;
        Ok(Self { minutes, tolerance: Tolerance::parse(tolerance).map_err(|error| error.to_string())? })
    }
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (minutes, range) = split(text, "5m=0.05%..1%")?;
        let (least, most) =
            range.split_once("..").ok_or("write the least and the greatest tolerance: 5m=0.05%..1%")?;
        let [least, most] = [least, most].map(|text| Tolerance::parse(text).map_err(|e| e.to_string()));
        Ok(Self { minutes, tolerances: spaced(least?, most?)? })
    }
}

/// The window's minutes, and the text after `=`.
fn split<'a>(text: &'a str, example: &str) -> Result<(u32, &'a str), String> {
    let (window, rest) = text.split_once('=').ok_or_else(|| format!("write a window and =: {example}"))?;
    Ok((parse_window(window).map_err(|error| error.to_string())?, rest))
}

/// [`STEPS`] tolerances from one to another, each greater than the one before by the same ratio, as nearly as short
/// texts can say.
fn spaced(least: Tolerance, most: Tolerance) -> Result<Vec<Tolerance>, String> {
    let (from, to, unit) = match (least.bound, most.bound) {
        (Bound::Absolute(from), Bound::Absolute(to)) => (from, to, ""),
        (Bound::Relative(from), Bound::Relative(to)) => (from, to, "%"),
        _ => return Err("both tolerances are in percent, or none is".to_owned()),
    };
    if from == 0 || from >= to {
        return Err("the first tolerance is greater than 0 and less than the second".to_owned());
    }
    if to - from < u64::from(STEPS) * 10 {
        return Err(format!("{} and {} are too close for {STEPS} tolerances", least.text, most.text));
    }
    let value = |step: u32| at_ratio(from, to, f64::from(step) / f64::from(STEPS - 1));
    let mut tolerances = vec![least];
    for step in 1..STEPS - 1 {
        // As few digits as tell it from its neighbours.
        let gap = value(step) - value(step - 1);
        let mut grain = 1;
        while grain * 50 <= gap {
            grain *= 10;
        }
        let value = (value(step) + grain / 2) / grain * grain;
        tolerances.push(Tolerance::parse(&written(value, unit)).map_err(|error| error.to_string())?);
    }
    tolerances.push(most);
    Ok(tolerances)
}

/// `from · (to / from)^share`; which tolerances a sweep tries need not be exact, only what they are.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn at_ratio(from: u64, to: u64, share: f64) -> u64 {
    let (from, to) = (from as f64, to as f64);
    (from * (to / from).powf(share)).round() as u64
}

/// A bound as a tolerance is written.
fn written(value: u64, unit: &str) -> String {
    let text = format!("{}.{:09}", value / SCALE, value % SCALE);
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The rules in force, first, then a candidate of all `settings` together, one of each file, and those of the sweeps.
///
/// # Errors
/// What cannot be compared with the rules in force.
pub fn candidates(
    in_force: Arc<Shape>,
    settings: &[Setting],
    files: Vec<(String, Shape)>,
    sweeps: &[Sweep],
) -> Result<Vec<Candidate>, CandidateError> {
    let mut all = vec![Candidate { name: "in force".to_owned(), rules: Arc::clone(&in_force) }];
    if !settings.is_empty() {
        let mut rules = (*in_force).clone();
        let mut set: Vec<u32> = Vec::new();
        for Setting { minutes, tolerance } in settings {
            if set.contains(minutes) {
                return Err(CandidateError::Twice(*minutes));
            }
            set.push(*minutes);
            replace(&mut rules, "--set", *minutes, tolerance)?;
        }
        let names = settings.iter().map(|s| format!("{}m={}", s.minutes, s.tolerance.text));
        all.push(Candidate { name: names.collect::<Vec<_>>().join(" "), rules: Arc::new(rules) });
    }
    for (name, rules) in files {
        if !rules.decides_as(&in_force) {
            return Err(CandidateError::Shape(name));
        }
        all.push(Candidate { name, rules: Arc::new(rules) });
    }
    for Sweep { minutes, tolerances } in sweeps {
        for tolerance in tolerances {
            let mut rules = (*in_force).clone();
            replace(&mut rules, "--sweep", *minutes, tolerance)?;
            all.push(Candidate { name: format!("{minutes}m={}", tolerance.text), rules: Arc::new(rules) });
        }
    }
    Ok(all)
}

fn replace(
    rules: &mut Shape,
    argument: &'static str,
    minutes: u32,
    tolerance: &Tolerance,
) -> Result<(), CandidateError> {
    match rules.windows.iter_mut().find(|window| window.minutes == minutes) {
        Some(window) => window.tolerance = tolerance.clone(),
        None => {
            let windows = rules.minutes().map(|m| format!("{m}m")).collect::<Vec<_>>().join(", ");
            return Err(CandidateError::Window { argument, minutes, windows });
        }
    }
    // A ticker's own tolerance goes on, even where it was the window's by chance.
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use stockwatch_crds::Window;

    use super::*;

    fn rules() -> Arc<Shape> {
        let window = |minutes, text| Window { minutes, tolerance: Tolerance::parse(text).unwrap() };
        Arc::new(Shape { windows: vec![window(5, "1%"), window(10, "2%")], ..Shape::default() })
    }

    fn relative(tolerance: &Tolerance) -> u64 {
        match tolerance.bound {
            Bound::Relative(value) | Bound::Absolute(value) => value,
        }
    }

    #[test]
    fn a_sweep_has_forty_tolerances_that_grow_by_about_the_same_ratio() {
        let sweep: Sweep = "5m=0.05%..1%".parse().unwrap();
        let values: Vec<u64> = sweep.tolerances.iter().map(relative).collect();
        assert_eq!((values.len(), values[0], values[39]), (40, 50_000_000, 1_000_000_000));
        let ratio = 20_f64.powf(1.0 / 39.0);
        for pair in values.windows(2) {
            #[allow(clippy::cast_precision_loss)]
            let step = pair[1] as f64 / pair[0] as f64;
            assert!((step - ratio).abs() < 0.02, "{pair:?}");
        }
        assert!(sweep.tolerances.iter().all(|tolerance| tolerance.text.len() <= 8), "{:?}", sweep.tolerances);
    }

    #[test]
    fn a_narrow_sweep_has_as_many_digits_as_it_needs() {
        let sweep: Sweep = "5m=0.5..0.50001".parse().unwrap();
        let mut texts: Vec<String> = sweep.tolerances.into_iter().map(|tolerance| tolerance.text).collect();
        texts.dedup();
        assert_eq!(texts.len(), 40);
    }

    #[test]
    fn what_is_no_sweep_is_refused_with_what_to_write() {
        for bad in
            ["5m", "5m=1%", "5m=1%..0.5%", "5m=0%..1%", "5m=0.1..1%", "5=1%..2%", "5m=0.1%..0.10000001%"]
        {
            assert!(bad.parse::<Sweep>().is_err(), "{bad}");
        }
        for bad in ["5m", "5=1%", "5m=lots", "5m=1%..2%"] {
            assert!(bad.parse::<Setting>().is_err(), "{bad}");
        }
    }

    #[test]
    fn all_settings_together_are_one_candidate() {
        let settings: Vec<Setting> = ["5m=0.2%", "10m=3"].map(|text| text.parse().unwrap()).to_vec();
        let all = candidates(rules(), &settings, Vec::new(), &[]).unwrap();
        assert_eq!(all.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["in force", "5m=0.2% 10m=3"]);
        let texts = all[1].rules.windows.iter().map(|window| window.tolerance.text.as_str());
        assert_eq!(texts.collect::<Vec<_>>(), ["0.2%", "3"]);
        let twice = [settings[0].clone(), settings[0].clone()];
        assert_eq!(candidates(rules(), &twice, Vec::new(), &[]).unwrap_err(), CandidateError::Twice(5));
    }

    #[test]
    fn other_windows_or_tickers_cannot_be_compared() {
        let settings: Vec<Setting> = vec!["15m=0.2%".parse().unwrap()];
        let error = candidates(rules(), &settings, Vec::new(), &[]).unwrap_err().to_string();
        assert!(error.contains("15m is none of the windows (5m, 10m)"), "{error}");
        let mut other = (*rules()).clone();
        other.entities.insert("meta".into(), Vec::new());
        let error = candidates(rules(), &[], vec![("x.yaml".into(), other)], &[]).unwrap_err();
        assert_eq!(error, CandidateError::Shape("x.yaml".into()));
    }
}
