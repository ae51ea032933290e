//! Records of the raw topic, whoever wrote them, with edits, commits and crashes between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockwatch_fuzz::input::{Event, event, parts};
use stockwatch_fuzz::world::World;

/// Edits, commits and crashes: each may go through the whole log again.
const COSTLY: usize = 4;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    let mut left = COSTLY;
    for event in parts(data, 64).map(event) {
        if !matches!(event, Event::Record { .. }) {
            let Some(rest) = left.checked_sub(1) else { continue };
            left = rest;
        }
        world.hear(event);
    }
    world.check();
});
