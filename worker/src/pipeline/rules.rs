//! Which rules a partition is to compute by: the live spec's, unless it has recorded newer ones.

use std::sync::Arc;

use stockwatch_core::Shape;

use crate::config::LiveSpec;

/// The live spec as rules, with the generation that a plain file counts by itself.
pub(super) struct Rules {
    live: Arc<LiveSpec>,
    shape: Arc<Shape>,
    /// A spec from an API server has a generation of its own.
    counts: bool,
}

/// What a partition is to do.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// It is as it should be, or has recorded newer rules of the same StockWatch.
    None,
    /// Other tolerances or another generation: the state stays.
    Retune(Arc<Shape>),
    /// Other windows or entities.
    Reshape(Arc<Shape>),
}

impl Rules {
    /// The rules of the first spec.
    pub(super) fn new(live: Arc<LiveSpec>) -> Self {
        let generation = live.generation.unwrap_or(1);
        let shape = Arc::new(Shape::of(&live.uid, generation, &live.spec));
        Self { counts: live.generation.is_none(), live, shape }
    }

    /// The generation that is computed with, or will be.
    pub(super) fn generation(&self) -> u64 {
        self.shape.generation
    }

    /// The spec that they come from.
    pub(super) fn live(&self) -> &Arc<LiveSpec> {
        &self.live
    }

    /// Goes over to another spec.
    pub(super) fn update(&mut self, live: Arc<LiveSpec>) {
        self.counts = live.generation.is_none();
        let generation = live.generation.unwrap_or(self.shape.generation.saturating_add(1));
        self.shape = Arc::new(Shape::of(&live.uid, generation, &live.spec));
        self.live = live;
    }

    /// Takes note of the rules that a partition has recorded: a plain file's generation counts on from there.
    pub(super) fn observe_recorded(&mut self, recorded: &Shape) {
        if !self.counts {
            return;
        }
        let least = recorded.generation.saturating_add(u64::from(!recorded.says_as(&self.shape)));
        if least > self.shape.generation {
            let mut shape = (*self.shape).clone();
            shape.generation = least;
            self.shape = Arc::new(shape);
        }
    }

    /// What a partition with this record is to do.
    pub(super) fn change(&self, recorded: Option<&Arc<Shape>>) -> Change {
        let Some(recorded) = recorded else { return Change::Reshape(self.shape.clone()) };
        let same_watch = recorded.uid == self.shape.uid;
        if same_watch && recorded.generation > self.shape.generation {
            return Change::None;
        }
        if !recorded.decides_as(&self.shape) {
            return Change::Reshape(self.shape.clone());
        }
        if recorded.generation == self.shape.generation && recorded.says_as(&self.shape) {
            return Change::None;
        }
        Change::Retune(self.shape.clone())
    }
}
