//! The shapes that a partition took, by what the worker recorded of them in its table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::oracle::Shape;
use crate::topics::Record;
use crate::watch::Watch;

/// The table's reserved key of the shapes.
const SHAPE_KEY: &str = r#"{"stockwatch":"shape"}"#;
/// The key of what has changed since that record.
const CHANGES_KEY: &str = r#"{"stockwatchshape":"changes"}"#;

/// The reserved record of the shapes that a partition took.
#[derive(Debug, Deserialize)]
struct Shapes {
    history: Vec<Taken>,
}

/// A shape that a partition took.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Taken {
    epoch: u64,
    offset: i64,
    generation: u64,
    windows: Vec<u32>,
    entities: BTreeSet<String>,
    wildcard: bool,
    /// `entities` are those that the last shape of the last whole record does not list.
    #[serde(default)]
    relative: bool,
    /// And these that only that one lists.
    #[serde(default)]
    removed: BTreeSet<String>,
}

impl Taken {
    /// With all that it lists; under a wildcard that is everything.
    fn resolved(mut self, whole: &BTreeSet<String>) -> Self {
        let removed = std::mem::take(&mut self.removed);
        if std::mem::take(&mut self.relative) {
            self.entities.extend(whole.difference(&removed).cloned());
        }
        if self.wildcard {
            self.entities.clear();
        }
        self
    }
}

/// The shapes that a raw partition took, as its table partition has recorded them; panics where that is not how the edits
/// of a StockWatch, by generation, follow each other.
pub(crate) fn taken(partition: usize, table: &[Record], watches: &BTreeMap<u64, Watch>) -> Vec<Shape> {
    let mut taken: BTreeMap<u64, Taken> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    let is_of_shapes = |record: &&Record| [SHAPE_KEY, CHANGES_KEY].contains(&record.key_text().as_str());
    for record in table.iter().filter(is_of_shapes) {
        let Some(value) = &record.value else { continue };
        let shapes: Shapes = serde_json::from_slice(value)
            .unwrap_or_else(|error| panic!("the record of shapes: {error}: {}", record.text()));
        if record.key_text() == SHAPE_KEY {
            whole = shapes.history.last().unwrap().entities.clone();
        }
        for shape in shapes.history {
            let shape = shape.resolved(&whole);
            let before = taken.insert(shape.epoch, shape.clone());
            // Tolerances alone make no epoch: its generation may go on.
            let same = before.is_none_or(|before| {
                before.generation <= shape.generation
                    && before == Taken { generation: before.generation, ..shape.clone() }
            });
            assert!(same, "epoch {} of partition {partition} was rewritten", shape.epoch);
        }
    }
    let taken: Vec<Taken> = taken.into_values().collect();
    for pair in taken.windows(2) {
        // The same generation again says that silent entities were forgotten.
        let again = Taken { epoch: pair[0].epoch, offset: pair[0].offset, ..pair[1].clone() } == pair[0];
        let forward = pair[0].generation < pair[1].generation || again;
        let forward = forward && pair[0].offset <= pair[1].offset;
        assert!(forward, "the shapes of partition {partition} go back: {taken:#?}");
        let [one, next] = [&pair[0], &pair[1]].map(|taken| taken.epoch);
        assert_eq!(one + 1, next, "partition {partition} took a shape that it has not recorded: {taken:#?}");
    }
    let shape = |taken: &Taken| {
        let Taken { offset: from, windows, entities, wildcard, .. } = taken.clone();
        let shape = Shape { from, windows, entities, wildcard };
        let mut written = Shape { from, ..watches[&taken.generation].shape() };
        if wildcard {
            written.entities.clear();
        }
        assert_eq!(shape, written, "generation {} as partition {partition} took it", taken.generation);
        shape
    };
    taken.iter().map(shape).collect()
}
