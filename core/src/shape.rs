//! The rules that a partition computes by, as it records them in its table partition.
//!
//! Windows and entities decide the state, so a change of them is part of the log: it holds from an offset
//! on. Tolerances only decide what is said of the state; they are recorded so that a worker with an older
//! spec at hand still judges by the newest.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use stockwatch_crds::{MAX_WINDOW_MINUTES, Spec, Tolerance, Window};

/// The rules of one spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The StockWatch's uid; empty for a plain file.
    pub uid: String,
    /// The generation that alarms name.
    pub generation: u64,
    /// Ascending by length.
    pub windows: Vec<Rule>,
    /// The listed entities and their own tolerances, by the window's place; only where they differ.
    pub entities: HashMap<String, Option<Vec<Tolerance>>>,
    /// The tolerances of every entity that is not listed, by the window's place; `None`: those are skipped.
    pub wildcard: Option<Vec<Tolerance>>,
}

/// A window and the tolerance of entities that have none of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The window's length in minutes.
    pub minutes: u32,
    /// How much an average may differ from the previous one.
    pub tolerance: Tolerance,
}

impl Shape {
    /// The rules of a spec.
    pub fn of(uid: &str, generation: u64, spec: &Spec) -> Self {
        let windows: Vec<Rule> = spec
            .windows
            .iter()
            .map(|w| Rule { minutes: w.minutes, tolerance: w.tolerance.clone() })
            .collect();
        let laid_over = |own: &[Window]| -> Vec<Tolerance> {
            let find = |minutes| own.iter().find(|o| o.minutes == minutes).map(|o| o.tolerance.clone());
            windows.iter().map(|w| find(w.minutes).unwrap_or_else(|| w.tolerance.clone())).collect()
        };
        let entities = spec
            .tickers
            .iter()
            .map(|t| (t.entity.clone(), (!t.overrides.is_empty()).then(|| laid_over(&t.overrides))))
            .collect();
        let wildcard = spec.wildcard.then(|| laid_over(&spec.wildcard_overrides));
        Self { uid: uid.to_owned(), generation, windows, entities, wildcard }
    }

    /// Whether quotes of `entity` are computed.
    pub fn computes(&self, entity: &str) -> bool {
        self.wildcard.is_some() || self.entities.contains_key(entity)
    }

    /// The tolerance of `entity` in the window at `place`.
    pub fn tolerance(&self, entity: &str, place: usize) -> &Tolerance {
        let own = match self.entities.get(entity) {
            Some(own) => own.as_ref(),
            None => self.wildcard.as_ref(),
        };
        own.and_then(|o| o.get(place)).unwrap_or(&self.windows[place].tolerance)
    }

    /// The windows' lengths, ascending.
    pub fn minutes(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        self.windows.iter().map(|w| w.minutes)
    }

    /// The longest window in minutes.
    pub fn longest(&self) -> u32 {
        self.windows.last().map_or(0, |w| w.minutes)
    }

    /// Whether the same state follows from both.
    pub fn decides_as(&self, other: &Self) -> bool {
        self.minutes().eq(other.minutes())
            && self.wildcard.is_some() == other.wildcard.is_some()
            && self.entities.len() == other.entities.len()
            && self.entities.keys().all(|e| other.entities.contains_key(e))
    }

    /// Whether both say the same, whatever their generation.
    pub fn says_as(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.windows == other.windows
            && self.entities == other.entities
            && self.wildcard == other.wildcard
    }
}

/// A [`Shape`] as JSON: tolerances as written, own ones by entity and minutes.
#[derive(Debug, Serialize, Deserialize)]
struct Wire {
    uid: String,
    generation: u64,
    windows: Vec<u32>,
    tolerances: Vec<String>,
    entities: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    own: BTreeMap<String, Vec<String>>,
    wildcard: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wildcardtolerances: Vec<String>,
}

impl Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = |t: &Vec<Tolerance>| t.iter().map(|t| t.text.clone()).collect::<Vec<_>>();
        let mut entities: Vec<String> = self.entities.keys().cloned().collect();
        entities.sort_unstable();
        Wire {
            uid: self.uid.clone(),
            generation: self.generation,
            windows: self.minutes().collect(),
            tolerances: self.windows.iter().map(|w| w.tolerance.text.clone()).collect(),
            entities,
            own: self.entities.iter().filter_map(|(e, o)| Some((e.clone(), texts(o.as_ref()?)))).collect(),
            wildcard: self.wildcard.is_some(),
            wildcardtolerances: self.wildcard.as_ref().map(texts).unwrap_or_default(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let parse = |t: &String| Tolerance::parse(t).map_err(serde::de::Error::custom);
        let parse_all = |t: &Vec<String>| t.iter().map(parse).collect::<Result<Vec<_>, _>>();
        let tolerances = parse_all(&wire.tolerances)?;
        if tolerances.len() != wire.windows.len() || wire.windows.is_empty() {
            return Err(serde::de::Error::custom("windows and tolerances do not match"));
        }
        // Lengths are added to times: what no spec may say is not computed with.
        let legal = |minutes: &u32| (1..=MAX_WINDOW_MINUTES).contains(minutes);
        if !wire.windows.iter().all(legal) || !wire.windows.is_sorted_by(|one, next| one < next) {
            return Err(serde::de::Error::custom("windows are not ascending minutes of at most a day"));
        }
        let windows = wire.windows.iter().zip(tolerances);
        let mut entities: HashMap<_, _> = wire.entities.into_iter().map(|e| (e, None)).collect();
        for (entity, own) in &wire.own {
            entities.insert(entity.clone(), Some(parse_all(own)?));
        }
        Ok(Self {
            uid: wire.uid,
            generation: wire.generation,
            windows: windows.map(|(&minutes, tolerance)| Rule { minutes, tolerance }).collect(),
            entities,
            wildcard: wire.wildcard.then(|| parse_all(&wire.wildcardtolerances)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(windows: &str) -> Result<Shape, serde_json::Error> {
        let tolerances = vec!["\"0\""; windows.split(',').count()].join(",");
        serde_json::from_str(&format!(
            r#"{{"uid":"","generation":1,"windows":[{windows}],"tolerances":[{tolerances}],"entities":[],"wildcard":true}}"#
        ))
    }

    #[test]
    fn recorded_windows_that_no_spec_may_have_are_refused() {
        assert_eq!(read("1,1440").unwrap().longest(), 1440);
        for windows in ["0", "1441", "4294967295", "5,5", "5,1"] {
            assert!(read(windows).is_err(), "{windows}");
        }
    }
}
