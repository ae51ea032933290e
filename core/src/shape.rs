//! The rules that a partition computes by.
//!
//! Windows and entities decide the state, so a change of them is part of the log: it holds from an offset
//! on. Tolerances only decide what is said of the state; they are recorded so that a worker with an older
//! spec at hand still judges by the newest.

use std::collections::HashMap;
use std::sync::Arc;

use stockwatch_crds::{Alarms, Spec, Tolerance, Trade, Window};

/// So many entities a partition computes at most under a wildcard; records of further ones are counted and skipped.
pub const WILDCARD_LIMIT: usize = 100_000;

/// The rules of one spec.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// The StockWatch's uid; empty for a plain file.
    pub uid: String,
    /// The generation that alarms name.
    pub generation: u64,
    /// Ascending by length.
    pub windows: Vec<Window>,
    /// The listed entities, each with its own tolerances where they differ from the windows'.
    pub entities: HashMap<String, Vec<Window>>,
    /// The same for every entity that is not listed; `None`: those are skipped.
    pub wildcard: Option<Vec<Window>>,
    /// Which moves beyond a tolerance are alarms.
    pub alarms: Alarms,
    /// The paper accounts' terms; `None`: there are none.
    pub trade: Option<Trade>,
}

/// A shape, and where in the log it took hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeChange {
    /// Counts the partition's changes of windows or entities, from 1.
    pub epoch: u64,
    /// The first raw offset that is computed by it.
    pub offset: i64,
    /// For each window, the epoch since which there is one of that length without a break.
    pub since: Vec<u64>,
    /// The rules.
    pub shape: Arc<Shape>,
    /// How many entities were forgotten with it.
    pub gone: usize,
}

impl Shape {
    /// Returns the rules of a spec.
    pub fn of(uid: &str, generation: u64, spec: &Spec) -> Self {
        let own = |overrides: &[Window]| overrides_of(&spec.windows, overrides.iter().cloned());
        Self {
            uid: uid.to_owned(),
            generation,
            windows: spec.windows.clone(),
            entities: spec.tickers.iter().map(|t| (t.entity.clone(), own(&t.overrides))).collect(),
            wildcard: spec.wildcard.then(|| own(&spec.wildcard_overrides)),
            alarms: spec.alarms,
            trade: spec.trade.clone(),
        }
    }

    /// Whether quotes of `entity` are computed.
    pub fn computes(&self, entity: &str) -> bool {
        self.wildcard.is_some() || self.entities.contains_key(entity)
    }

    /// The tolerance of `entity` in the window at `place`.
    #[inline]
    pub fn tolerance(&self, entity: &str, place: usize) -> &Tolerance {
        self.tolerance_among(self.own_tolerances(entity), place)
    }

    /// The tolerances of `entity` that are not those of the windows.
    #[inline]
    pub(crate) fn own_tolerances(&self, entity: &str) -> &[Window] {
        self.entities.get(entity).or(self.wildcard.as_ref()).map_or(&[], Vec::as_slice)
    }

    /// The tolerance in the window at `place` of an entity with these tolerances of its own.
    #[inline]
    pub(crate) fn tolerance_among<'a>(&'a self, own: &'a [Window], place: usize) -> &'a Tolerance {
        let window = &self.windows[place];
        &own.iter().find(|own| own.minutes == window.minutes).unwrap_or(window).tolerance
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
            && self.alarms == other.alarms
            && self.trade == other.trade
    }

    /// What of a shape that is no longer in force decides the state: no tolerances, and under a wildcard no entities
    /// but those that `is_new` names. Listed entities differ from others there only by having no limit to their number,
    /// which matters for those that a replay meets for the first time.
    pub(crate) fn for_replay(&self, is_new: impl Fn(&str) -> bool) -> Self {
        let kept = self.entities.keys().filter(|e| self.wildcard.is_none() || is_new(e));
        let window = |w: &Window| Window { minutes: w.minutes, tolerance: Tolerance::default() };
        Self {
            uid: self.uid.clone(),
            generation: self.generation,
            windows: self.windows.iter().map(window).collect(),
            entities: kept.map(|e| (e.clone(), Vec::new())).collect(),
            wildcard: self.wildcard.is_some().then(Vec::new),
            alarms: Alarms::default(),
            trade: None,
        }
    }
}

/// The tolerances that differ from those of `windows`.
pub(crate) fn overrides_of(windows: &[Window], own: impl Iterator<Item = Window>) -> Vec<Window> {
    own.filter(|own| !windows.contains(own)).collect()
}
