//! What an edit changed of the tolerances: an entry of `status.edits` for each, of a large edit one for all.

use crate::spec::{Spec, WILDCARD};
use crate::v1alpha1::ToleranceEdit;
use crate::window::Window;

/// Changes of one edit that are listed one by one; of more only the number is.
const MOST_OF_ONE: usize = 5;

/// Returns the changes of tolerances from one spec to another, as entries of a generation seen at `time`.
///
/// A window is changed, added or removed. A ticker that both list is changed in a window that both have if it has a
/// tolerance of its own there, before or after, and another one holds for it.
pub fn tolerance_edits(before: &Spec, after: &Spec, generation: i64, time: &str) -> Vec<ToleranceEdit> {
    let mut changes = changes(&before.windows, &after.windows, None);
    for (symbol, new) in own_tolerances(after) {
        if let Some((_, old)) = own_tolerances(before).find(|(other, _)| *other == symbol) {
            changes.extend(changes_of_ticker(symbol, (before, old), (after, new)));
        }
    }
    let entry = |change| ToleranceEdit { generation, time: time.to_owned(), ..change };
    if changes.len() > MOST_OF_ONE {
        let count = i32::try_from(changes.len()).unwrap_or(i32::MAX);
        return vec![entry(ToleranceEdit { changes: Some(count), ..ToleranceEdit::default() })];
    }
    changes.into_iter().map(entry).collect()
}

/// Each ticker's symbol and its own tolerances.
fn own_tolerances(spec: &Spec) -> impl Iterator<Item = (&str, &[Window])> {
    let listed = spec.tickers.iter().map(|ticker| (ticker.symbol.as_str(), ticker.overrides.as_slice()));
    listed.chain(spec.wildcard.then_some((WILDCARD, spec.wildcard_overrides.as_slice())))
}

/// The windows whose tolerances differ, as those of a ticker if one is named.
fn changes(before: &[Window], after: &[Window], ticker: Option<&str>) -> Vec<ToleranceEdit> {
    let find = |list: &[Window], minutes| list.iter().find(|window| window.minutes == minutes).cloned();
    let mut minutes: Vec<u32> = before.iter().chain(after).map(|window| window.minutes).collect();
    minutes.sort_unstable();
    minutes.dedup();
    let change = |minutes: u32| {
        let (old, new) = (find(before, minutes), find(after, minutes));
        let is_same =
            old.as_ref().zip(new.as_ref()).is_some_and(|(o, n)| o.tolerance.bound == n.tolerance.bound);
        (!is_same).then(|| ToleranceEdit {
            window: Some(format!("{minutes}m")),
            ticker: ticker.map(str::to_owned),
            from: old.map(|window| window.tolerance.text),
            to: new.map(|window| window.tolerance.text),
            ..ToleranceEdit::default()
        })
    };
    minutes.into_iter().filter_map(change).collect()
}

fn changes_of_ticker(
    symbol: &str,
    (before, old): (&Spec, &[Window]),
    (after, new): (&Spec, &[Window]),
) -> Vec<ToleranceEdit> {
    let has = |list: &[Window], minutes: u32| list.iter().any(|window| window.minutes == minutes);
    let is_own = |window: &&Window| {
        let minutes = window.minutes;
        has(&before.windows, minutes)
            && has(&after.windows, minutes)
            && (has(old, minutes) || has(new, minutes))
    };
    let holding = |spec: &Spec, own: &[Window]| -> Vec<Window> {
        let of =
            |window: &Window| own.iter().find(|own| own.minutes == window.minutes).unwrap_or(window).clone();
        spec.windows.iter().filter(is_own).map(of).collect()
    };
    changes(&holding(before, old), &holding(after, new), Some(symbol))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn spec(tickers: &str, windows: &str) -> Spec {
        let text = format!(
            "{{apiVersion: stockwatch.dev/v1alpha1, kind: StockWatch, metadata: {{name: tech}}, spec: {{tickers: \
             [{tickers}], windows: [{windows}], source: {{external: {{}}}}, kafka: {{bootstrapServers: 'k:1'}}}}}}"
        );
        crate::load(&text).unwrap().spec
    }

    /// The changes as texts: ticker, window, from, to.
    fn edits(before: (&str, &str), after: (&str, &str)) -> Vec<String> {
        let edits = tolerance_edits(&spec(before.0, before.1), &spec(after.0, after.1), 8, "now");
        let text = |edit: &ToleranceEdit| {
            assert_eq!((edit.generation, edit.time.as_str()), (8, "now"));
            let part = |part: &Option<String>| part.clone().unwrap_or("-".into());
            match edit.changes {
                Some(count) => format!("{count} changes"),
                None => [&edit.ticker, &edit.window, &edit.from, &edit.to].map(part).join(" "),
            }
        };
        edits.iter().map(text).collect()
    }

    const PLAIN: &str = "{symbol: A}, {symbol: '*'}";
    const WINDOWS: &str = "{duration: 5m, tolerance: '1%'}, {duration: 10m, tolerance: '2'}";

    fn own(tolerance: &str) -> String {
        format!("{{symbol: A, tolerances: [{{window: 5m, tolerance: '{tolerance}'}}]}}, {{symbol: '*'}}")
    }

    #[test]
    fn windows_are_changed_added_and_removed() {
        let windows = "{duration: 5m, tolerance: '1.5%'}, {duration: 7m, tolerance: '3'}";
        assert_eq!(edits((PLAIN, WINDOWS), (PLAIN, windows)), ["- 5m 1% 1.5%", "- 7m - 3", "- 10m 2 -"]);
        let same = "{duration: 10m, tolerance: '2.0'}, {duration: 5m, tolerance: '1.00%'}";
        assert!(edits((PLAIN, WINDOWS), (PLAIN, same)).is_empty(), "another way to write the same");
    }

    #[test]
    fn a_tickers_own_tolerance_comes_changes_and_goes() {
        assert_eq!(edits((PLAIN, WINDOWS), (&own("3%"), WINDOWS)), ["A 5m 1% 3%"]);
        assert_eq!(edits((&own("3%"), WINDOWS), (&own("4%"), WINDOWS)), ["A 5m 3% 4%"]);
        assert_eq!(edits((&own("3%"), WINDOWS), (PLAIN, WINDOWS)), ["A 5m 3% 1%"]);
        assert!(edits((PLAIN, WINDOWS), (&own("1%"), WINDOWS)).is_empty(), "it is the window's");
        let wildcard = "{symbol: A}, {symbol: '*', tolerances: [{window: 10m, tolerance: '5'}]}";
        assert_eq!(edits((PLAIN, WINDOWS), (wildcard, WINDOWS)), ["* 10m 2 5"]);
    }

    #[test]
    fn a_ticker_that_keeps_its_own_or_comes_or_goes_is_no_change_of_a_tolerance() {
        let windows = "{duration: 5m, tolerance: '9%'}, {duration: 10m, tolerance: '2'}";
        assert_eq!(edits((&own("3%"), WINDOWS), (&own("3%"), windows)), ["- 5m 1% 9%"]);
        assert!(edits((&own("3%"), WINDOWS), ("{symbol: '*'}", WINDOWS)).is_empty());
        assert!(edits(("{symbol: '*'}", WINDOWS), (&own("3%"), WINDOWS)).is_empty());
    }

    #[test]
    fn more_than_five_changes_are_one_entry() {
        let list = |count: usize, tolerance: &str| {
            let ticker =
                |i| format!("{{symbol: T{i}, tolerances: [{{window: 5m, tolerance: '{tolerance}'}}]}}");
            (0..count).map(ticker).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(edits((&list(5, "3%"), WINDOWS), (&list(5, "4%"), WINDOWS)).len(), 5);
        assert_eq!(edits((&list(6, "3%"), WINDOWS), (&list(6, "4%"), WINDOWS)), ["6 changes"]);
    }
}
