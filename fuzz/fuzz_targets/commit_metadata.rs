//! Metadata of the group's commits, whoever committed, and the offsets around them.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Unstructured};
use libfuzzer_sys::fuzz_target;
use stockwatch_core::checkpoint::{self, TableReader};
use stockwatch_core::replay::{Plan, Replay};
use stockwatch_core::wire::{CommitMetadata, OffsetRecord, RawRecord};
use stockwatch_core::{Backfill, Encoder, Partition};
use stockwatch_fuzz::input::START;
use stockwatch_fuzz::world::{absorb, shape};

/// Records that are replayed at most.
const REPLAYED: i64 = 8;
/// Kafka's last offset is far away from this.
const LAST: i64 = i64::MAX - 1024;

struct Input<'a> {
    /// The first offset, and so many records.
    low: i64,
    count: i64,
    committed: Option<i64>,
    recorded: Option<(i64, i64, i64)>,
    /// Where the table says that its shape was taken.
    taken: i64,
    stamp: i64,
    metadata: &'a str,
}

impl<'a> Input<'a> {
    /// The numbers, and the rest as text.
    fn read(data: &'a [u8]) -> arbitrary::Result<Self> {
        let mut data = Unstructured::new(data);
        Ok(Self {
            low: data.arbitrary()?,
            count: data.arbitrary()?,
            committed: data.arbitrary()?,
            recorded: data.arbitrary()?,
            taken: data.arbitrary()?,
            stamp: data.arbitrary()?,
            metadata: std::str::from_utf8(data.take_rest()).unwrap_or_default(),
        })
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::read(data) else { return };
    let metadata = CommitMetadata::parse(input.metadata);
    if let Some(metadata) = &metadata {
        let text = metadata.encode();
        assert_eq!(CommitMetadata::parse(&text).as_ref(), Some(metadata));
    }
    let low = input.low.clamp(0, LAST);
    let high = low.saturating_add(input.count.clamp(0, LAST)).min(LAST);
    // Committed offsets are never negative, says librdkafka; those in the table are as somebody wrote them.
    let committed = input.committed.map(|offset| (offset.max(0), metadata));
    let recorded =
        input.recorded.map(|(offset, replay, timestamp)| OffsetRecord { offset, replay, timestamp });
    let Ok(Plan { goal, first, gap }) = Plan::new(0, committed.as_ref(), recorded, (low, high)) else {
        return;
    };
    assert!(low <= goal.replay && goal.replay <= goal.offset && goal.offset <= high, "{goal:?}");
    assert!(low <= first && first <= goal.replay, "{first} {goal:?}");
    assert!(gap == 0 || first == low, "{gap} {goal:?}");

    let mut table = TableReader::default();
    let mut writer = Partition::new(0, input.taken, Vec::new(), Vec::new());
    writer.apply_shape(writer.next_change(shape(&[2, 5], 1, true)), &Backfill::default(), 0);
    let mut put = |key: &[u8], value: Option<&[u8]>| table.read(key, value);
    checkpoint::write_shapes(&mut writer, &mut put).expect("the shape can be read");
    let mut replay = Replay::prepare(&goal, &table).expect("there is a shape and nothing else");
    let value = format!(r#"{{"entityname":"a","currentstockprice":5.25,"lastupdatedate":{START}}}"#);
    let record =
        |offset: i64| RawRecord { key: None, value: Some(value.as_bytes()), timestamp: input.stamp, offset };
    // The first and the last ones are what offsets are compared with.
    let last = goal.offset.saturating_sub(REPLAYED / 2).max(first.saturating_add(REPLAYED / 2));
    for offset in (first..goal.offset).take(4).chain((last..goal.offset).take(4)) {
        while let Some(taken) = replay.due(offset) {
            replay.partition.apply_shape(taken, &Backfill::default(), 0);
        }
        replay.advance(&record(offset));
    }
    while let Some(taken) = replay.due(i64::MAX) {
        replay.partition.apply_shape(taken, &Backfill::default(), 0);
    }
    let Ok(mut partition) = replay.finish() else { return };
    assert_eq!(partition.next_offset, goal.offset);
    assert!(partition.replay_from() <= partition.next_offset);
    absorb(&mut partition, &record(goal.offset), &mut Encoder::new("raw", "default", "fuzz"));
    assert_eq!(partition.next_offset, goal.offset + 1);
});
