//! Records of the storage table, whoever wrote them: read, restored, computed with, and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockwatch_core::checkpoint::{self, TableReader};
use stockwatch_core::replay::{Goal, Plan, Replay};
use stockwatch_core::wire::RawRecord;
use stockwatch_core::{Backfill, Encoder};
use stockwatch_fuzz::input::{START, key_and_value, parts};
use stockwatch_fuzz::world::absorb;

/// Records that are replayed at most.
const REPLAYED: i64 = 16;

fuzz_target!(|data: &[u8]| {
    let mut table = TableReader::default();
    for part in parts(data, 100) {
        let (key, value) = key_and_value(part);
        if table.read(key, value).is_err() {
            return;
        }
    }
    // The log is as long as the records say, and the group's own offset is lost.
    let end = table.offset.map_or(0, |o| o.offset);
    let low = table.offset.map_or(0, |o| o.replay.max(end.saturating_sub(REPLAYED))).clamp(0, i64::MAX - 64);
    let high = end.max(low).min(i64::MAX - 32);
    let Ok(Plan { goal, first, .. }) = Plan::new(0, None, table.offset, (low, high)) else { return };
    let Ok(mut replay) = Replay::prepare(&goal, &table) else { return };
    let mut encoder = Encoder::new("raw", "default", "fuzz");
    let values: Vec<Vec<u8>> = ["a", "b", "x"].map(value).into();
    let record = |offset: i64| RawRecord {
        key: None,
        value: Some(&values[usize::try_from(offset % 3).unwrap_or(0)]),
        timestamp: START * 1000,
        offset,
    };
    for offset in first..goal.offset {
        while let Some(taken) = replay.due(offset) {
            let mut older = replay.partition.backfill(&taken).unwrap_or_default();
            older.note(&record(first));
            replay.partition.apply_shape(taken, &older, 0);
        }
        replay.advance(&record(offset));
    }
    while let Some(taken) = replay.due(i64::MAX) {
        replay.partition.apply_shape(taken, &Backfill::default(), 0);
    }
    let Ok(mut partition) = replay.finish() else { return };
    for offset in goal.offset..goal.offset + 3 {
        absorb(&mut partition, &record(offset), &mut encoder);
    }
    // What this worker writes, the next one reads.
    let mut put = |key: &[u8], value: Option<&[u8]>| table.read(key, value);
    checkpoint::write_due(&mut partition, 0, 0, usize::MAX, &mut put).expect("checkpoints can be read");
    checkpoint::write_said(&mut partition, &mut put).expect("what was said can be read");
    checkpoint::write_shapes(&mut partition, &mut put).expect("the shapes can be read");
    let goal = Goal { offset: partition.next_offset, replay: partition.replay_from(), ..goal };
    Replay::prepare(&goal, &table).expect("the state can be restored");
});

fn value(entity: &str) -> Vec<u8> {
    format!(r#"{{"entityname":"{entity}","currentstockprice":5.25,"lastupdatedate":{START}}}"#).into_bytes()
}
