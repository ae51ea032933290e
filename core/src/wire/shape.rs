//! The shapes that a partition takes, as its table partition has them.
//!
//! The **whole** record ([`super::SHAPE_KEY`]) has the history that a replay can meet, oldest first. It repeats every
//! listed entity, so where it is long, an edit writes a record of **changes** instead ([`super::SHAPE_CHANGES_KEY`]): the
//! same history, its lists as what differs from the last shape of the whole record. Releases that do not know that key
//! leave it alone; a worker that ends in order writes the whole record last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stockwatch_crds::{Alarms, GapPolicy, MAX_QUIET_MINUTES, MAX_WINDOW_MINUTES, Tolerance, Trade, Window};

use super::table::{MAX_COUNT, MAX_RECORD_BYTES};
use crate::shape::{Shape, ShapeChange, WILDCARD_LIMIT, overrides_of};

/// The value of both records. Of a record of changes, the first three fields are those of the whole record that they
/// are relative to.
#[derive(Debug, Serialize, Deserialize)]
struct ShapeRecord {
    uid: String,
    generation: u64,
    epoch: u64,
    history: Vec<Entry>,
}

/// A [`ShapeChange`] as JSON: tolerances as written, own ones by entity, one for each window.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    epoch: u64,
    offset: i64,
    since: Vec<u64>,
    uid: String,
    generation: u64,
    windows: Vec<u32>,
    tolerances: Vec<String>,
    /// Sorted. With `relative`, those that the whole record does not list, or lists with other tolerances.
    entities: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    own: BTreeMap<String, Vec<String>>,
    wildcard: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wildcardtolerances: Vec<String>,
    /// In place of `own` where that would be too long: the entity's place in `entities`, minutes, tolerance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<(usize, u32, String)>,
    /// `entities` is what differs from the last shape of the whole record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    relative: bool,
    /// With `relative`, those that only the whole record lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    /// How many entities were forgotten with it, which no shape lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<usize>,
    /// Absent: the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alarms: Option<AlarmsEntry>,
    /// Absent: there are no accounts. Releases that do not know it pass it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trade: Option<Trade>,
}

/// The settings of alarms. Releases that do not know them pass them over.
#[derive(Debug, Serialize, Deserialize)]
struct AlarmsEntry {
    /// Absent: twice each window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quiet: Option<u32>,
    gaps: GapPolicy,
    mincount: u64,
}

impl AlarmsEntry {
    fn of(alarms: &Alarms) -> Option<Self> {
        let Alarms { quiet, gaps, min_count } = *alarms;
        (*alarms != Alarms::default()).then_some(Self { quiet, gaps, mincount: min_count })
    }

    fn read(self) -> Alarms {
        let quiet = self.quiet.map(|minutes| minutes.min(MAX_QUIET_MINUTES));
        Alarms { quiet, gaps: self.gaps, min_count: self.mincount }
    }
}

/// Returns the whole record of a history, with fewer bytes where it would be larger than a record may be; `None` before
/// the first shape.
///
/// ```
/// use stockwatch_core::wire::{encode_shapes, read_shapes};
///
/// let released = br#"{"uid":"","generation":2,"epoch":1,"history":[{"epoch":1,"offset":0,"since":[1,1],"uid":"","generation":2,"windows":[5,15],"tolerances":["0.1%","1"],"entities":["meta"],"own":{"meta":["0.1%","2"]},"wildcard":false}]}"#;
/// let history = read_shapes(released, None)?.expect("it is a whole record");
/// assert_eq!(history[0].shape.tolerance("meta", 1).text, "2");
/// assert_eq!(encode_shapes(&history).as_deref(), Some(&released[..]));
/// # Ok::<(), String>(())
/// ```
pub fn encode_shapes(history: &[ShapeChange]) -> Option<Vec<u8>> {
    let last = history.last()?;
    let encode = |sparse| encode(last, history.iter().map(|change| Entry::of(change, sparse)));
    Some(encode(false)).filter(|record| record.len() <= MAX_RECORD_BYTES).or_else(|| Some(encode(true)))
}

/// Returns the record of changes of a history; `whole` is the last shape of the whole record.
///
/// ```
/// use stockwatch_core::wire::{encode_shape_changes, encode_shapes, read_shapes};
///
/// let whole = read_shapes(
///     br#"{"uid":"","generation":1,"epoch":1,"history":[{"epoch":1,"offset":0,"since":[1],"uid":"","generation":1,"windows":[5],"tolerances":["1%"],"entities":["ibm","meta"],"wildcard":false}]}"#,
///     None,
/// )?
/// .expect("it is a whole record");
/// let changes = br#"{"uid":"","generation":1,"epoch":1,"history":[{"epoch":2,"offset":7,"since":[1,2],"uid":"","generation":2,"windows":[5,9],"tolerances":["1%","2"],"entities":["tesla"],"wildcard":false,"relative":true,"removed":["ibm"]}]}"#;
/// let history = read_shapes(changes, whole.last())?.expect("it follows that whole record");
/// assert!(history[0].shape.computes("meta") && history[0].shape.computes("tesla"));
/// assert_eq!(encode_shape_changes(&history, &whole[0]), changes);
/// # Ok::<(), String>(())
/// ```
pub fn encode_shape_changes(history: &[ShapeChange], whole: &ShapeChange) -> Vec<u8> {
    let last = history.last().map(|change| change.epoch);
    let entries = history.iter().map(|change| {
        let listed = change.shape.entities.len();
        let relative =
            (listed > 0).then(|| Entry::relative(change, &whole.shape, Some(change.epoch) == last));
        let relative = relative.filter(|entry| entry.entities.len() + entry.removed.len() <= listed);
        relative.unwrap_or_else(|| Entry::of(change, true))
    });
    encode(whole, entries)
}

fn encode(about: &ShapeChange, history: impl Iterator<Item = Entry>) -> Vec<u8> {
    let record = ShapeRecord {
        uid: about.shape.uid.clone(),
        generation: about.shape.generation,
        epoch: about.epoch,
        history: history.collect(),
    };
    serde_json::to_vec(&record).unwrap_or_default() // texts and numbers only: cannot fail
}

/// Returns the history that a record has, oldest first: of a whole record, or of changes relative to `whole`, the last
/// shape of the whole record. `None`: the changes are relative to another whole record, and out of date.
///
/// # Errors
/// What is wrong with the record.
pub fn read_shapes(json: &[u8], whole: Option<&ShapeChange>) -> Result<Option<Vec<ShapeChange>>, String> {
    let record: ShapeRecord = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    if let Some(ShapeChange { epoch, shape, .. }) = whole
        && (record.epoch, record.generation, &record.uid) != (*epoch, shape.generation, &shape.uid)
    {
        return Ok(None);
    }
    let mut epochs = record.history.iter().map(|entry| entry.epoch);
    // Which windows an entity has follows from its epoch: a later shape of an older epoch would not reach it.
    if !epochs.clone().is_sorted_by(|one, next| one < next) || epochs.any(|e| e > MAX_COUNT) {
        return Err("its epochs do not ascend".into());
    }
    let history = record.history.into_iter().map(|entry| entry.read(whole.map(|w| &*w.shape)));
    history.collect::<Result<_, _>>().map(Some)
}

impl Entry {
    /// An entry that lists every entity; `sparse`: its own tolerances as overrides.
    fn of(change: &ShapeChange, sparse: bool) -> Self {
        let mut entry = Self::without_entities(change);
        let shape = &change.shape;
        entry.entities = shape.entities.keys().cloned().collect();
        entry.entities.sort_unstable();
        if sparse {
            entry.overrides = entry.overrides_in(shape);
        } else {
            let own = shape.entities.iter().filter(|(_, own)| !own.is_empty());
            entry.own = own.map(|(name, own)| (name.clone(), laid_over(&shape.windows, own))).collect();
        }
        entry
    }

    /// An entry that lists what differs from `whole`; tolerances of entities only matter of the last one.
    fn relative(change: &ShapeChange, whole: &Shape, is_last: bool) -> Self {
        let mut entry = Self::without_entities(change);
        let shape = &change.shape;
        let differs = |(name, own): &(&String, &Vec<Window>)| {
            whole.entities.get(*name).is_none_or(|other| is_last && other != *own)
        };
        entry.entities = shape.entities.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        entry.entities.sort_unstable();
        entry.overrides = entry.overrides_in(shape);
        entry.relative = true;
        entry.removed =
            whole.entities.keys().filter(|name| !shape.entities.contains_key(*name)).cloned().collect();
        entry.removed.sort_unstable();
        entry
    }

    fn without_entities(change: &ShapeChange) -> Self {
        let shape = &change.shape;
        let wildcard = shape.wildcard.as_ref();
        Self {
            epoch: change.epoch,
            offset: change.offset,
            since: change.since.clone(),
            uid: shape.uid.clone(),
            generation: shape.generation,
            windows: shape.minutes().collect(),
            tolerances: shape.windows.iter().map(|w| w.tolerance.text.clone()).collect(),
            entities: Vec::new(),
            own: BTreeMap::new(),
            wildcard: shape.wildcard.is_some(),
            wildcardtolerances: wildcard.map(|own| laid_over(&shape.windows, own)).unwrap_or_default(),
            overrides: Vec::new(),
            relative: false,
            removed: Vec::new(),
            gone: (change.gone > 0).then_some(change.gone),
            alarms: AlarmsEntry::of(&shape.alarms),
            trade: shape.trade.clone(),
        }
    }

    fn overrides_in(&self, shape: &Shape) -> Vec<(usize, u32, String)> {
        let own = self.entities.iter().enumerate().filter_map(|(i, e)| Some((i, shape.entities.get(e)?)));
        own.flat_map(|(i, own)| own.iter().map(move |w| (i, w.minutes, w.tolerance.text.clone()))).collect()
    }

    fn read(self, whole: Option<&Shape>) -> Result<ShapeChange, String> {
        if self.tolerances.len() != self.windows.len() || self.windows.is_empty() {
            return Err("windows and tolerances do not match".into());
        }
        // Lengths are added to times: one that no spec allows could overflow, and is refused.
        let legal = |minutes: &u32| (1..=MAX_WINDOW_MINUTES).contains(minutes);
        if !self.windows.iter().all(legal) || !self.windows.is_sorted_by(|one, next| one < next) {
            return Err("windows are not ascending minutes of at most a day".into());
        }
        let windows = in_windows(&self.windows, &self.tolerances)?;
        let own = |texts: &[String]| -> Result<Vec<Window>, String> {
            Ok(overrides_of(&windows, in_windows(&self.windows, texts)?.into_iter()))
        };
        let mut entities = match whole.filter(|_| self.relative) {
            Some(whole) => whole.entities.clone(),
            None if self.relative => return Err("it is relative to no other record".into()),
            None => HashMap::new(),
        };
        for name in &self.removed {
            entities.remove(name);
        }
        entities.extend(self.entities.iter().map(|name| (name.clone(), Vec::new())));
        for (name, texts) in &self.own {
            entities.insert(name.clone(), own(texts)?);
        }
        for (place, minutes, text) in &self.overrides {
            let name = self.entities.get(*place).ok_or("an override is of no entity")?;
            let tolerance = parse(text)?;
            entities.entry(name.clone()).or_default().push(Window { minutes: *minutes, tolerance });
        }
        let wildcard = self.wildcard.then(|| own(&self.wildcardtolerances)).transpose()?;
        let alarms = self.alarms.map(AlarmsEntry::read).unwrap_or_default();
        let followed = |trade: &Trade| trade.is_legal() && self.windows.contains(&trade.minutes);
        if !self.trade.as_ref().is_none_or(followed) {
            return Err("its terms of accounts are none that a spec may have".into());
        }
        let (uid, generation, trade) = (self.uid, self.generation, self.trade);
        let shape = Shape { uid, generation, windows, entities, wildcard, alarms, trade };
        let (epoch, offset, since, shape) = (self.epoch, self.offset, self.since, Arc::new(shape));
        Ok(ShapeChange { epoch, offset, since, shape, gone: self.gone.unwrap_or(0).min(WILDCARD_LIMIT) })
    }
}

/// One tolerance for each window.
fn laid_over(windows: &[Window], own: &[Window]) -> Vec<String> {
    let of = |window: &Window| {
        let own = own.iter().find(|own| own.minutes == window.minutes);
        own.unwrap_or(window).tolerance.text.clone()
    };
    windows.iter().map(of).collect()
}

fn in_windows(minutes: &[u32], tolerances: &[String]) -> Result<Vec<Window>, String> {
    let window = |(minutes, text): (&u32, &String)| Ok(Window { minutes: *minutes, tolerance: parse(text)? });
    minutes.iter().zip(tolerances).map(window).collect()
}

fn parse(tolerance: &str) -> Result<Tolerance, String> {
    Tolerance::parse(tolerance).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(windows: &str) -> Result<Option<Vec<ShapeChange>>, String> {
        let tolerances = vec!["\"0\""; windows.split(',').count()].join(",");
        let shape = format!(
            r#"{{"epoch":1,"offset":0,"since":[],"uid":"","generation":1,"windows":[{windows}],"tolerances":[{tolerances}],"entities":[],"wildcard":true}}"#
        );
        read_shapes(format!(r#"{{"uid":"","generation":1,"epoch":1,"history":[{shape}]}}"#).as_bytes(), None)
    }

    #[test]
    fn recorded_windows_that_no_spec_may_have_are_refused() {
        assert_eq!(read("1,1440").unwrap().unwrap()[0].shape.longest(), 1440);
        for windows in ["0", "1441", "4294967295", "5,5", "5,1"] {
            assert!(read(windows).is_err(), "{windows}");
        }
    }
}
