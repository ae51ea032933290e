//! Records of the raw topic, whoever wrote them, with edits, commits and crashes between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockwatch_fuzz::input::{event, parts};
use stockwatch_fuzz::world::World;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for part in parts(data, 200) {
        world.hear(event(part));
    }
    world.check();
});
