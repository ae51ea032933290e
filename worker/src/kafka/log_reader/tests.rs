#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;

use super::*;

/// What a fetch gives.
#[derive(Clone, Copy)]
enum Event {
    Record(i64),
    /// A control record: it only moves the position.
    Control(i64),
    /// The end of the log as this fetch saw it.
    End,
}
use Event::{Control, End, Record};

/// Partition 0 of a log by a script; a seek goes on with the next one.
struct Script {
    events: RefCell<VecDeque<VecDeque<Event>>>,
    position: Cell<Option<i64>>,
    seeks: RefCell<Vec<i64>>,
    end: i64,
}

impl Script {
    fn new(end: i64, scripts: &[&[Event]]) -> Self {
        let events = scripts.iter().map(|s| s.iter().copied().collect()).collect();
        Self { events: RefCell::new(events), position: Cell::new(None), seeks: RefCell::default(), end }
    }

    fn read(&self, to: i64) -> (Result<(), ReadError>, Vec<i64>) {
        let ranges = [Range { partition: 0, from: 0, to }];
        let mut offsets = Vec::new();
        // The end of the script is a caller that gives up.
        let over = || self.events.borrow().front().is_none_or(VecDeque::is_empty);
        let read =
            read_to_end(self, "t", &ranges, Patience::FULL.progress, over, |_, record: &OwnedMessage| {
                offsets.push(record.offset());
                Ok::<_, ReadError>(())
            });
        (read, offsets)
    }
}

impl RecordSource for Script {
    type Record<'a> = OwnedMessage;

    fn next(&self, _: Duration) -> Option<KafkaResult<OwnedMessage>> {
        match self.events.borrow_mut().front_mut()?.pop_front()? {
            Record(offset) => {
                self.position.set(Some(offset + 1));
                let stamp = Timestamp::NotAvailable;
                Some(Ok(OwnedMessage::new(None, None, "t".into(), stamp, 0, offset, None)))
            }
            Control(offset) => {
                self.position.set(Some(offset + 1));
                None
            }
            End => Some(Err(KafkaError::PartitionEOF(0))),
        }
    }

    fn position(&self, _: &str, _: i32) -> Option<i64> {
        self.position.get()
    }

    fn end(&self, _: &str, _: i32) -> KafkaResult<i64> {
        Ok(self.end)
    }

    fn seek(&self, _: &str, _: i32, offset: i64) -> KafkaResult<()> {
        self.seeks.borrow_mut().push(offset);
        self.events.borrow_mut().pop_front();
        Ok(())
    }
}

#[test]
fn a_leader_that_was_behind_when_it_said_the_log_ends_costs_no_record() {
    let script = Script::new(4, &[&[Record(0), Record(1), End], &[Record(2), Record(3)]]);
    let (read, offsets) = script.read(4);
    read.unwrap();
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert_eq!(*script.seeks.borrow(), [2]);
}

#[test]
fn a_leader_that_is_behind_is_waited_for() {
    let script = Script::new(2, &[&[Record(0), Record(1), End, Record(2), Record(3)]]);
    let (read, offsets) = script.read(4);
    read.unwrap();
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert!(script.seeks.borrow().is_empty());
}

#[test]
fn the_mark_of_a_committed_transaction_proves_the_end() {
    let script = Script::new(3, &[&[Record(0), Record(1), Control(2), End]]);
    let (read, offsets) = script.read(3);
    read.unwrap();
    assert_eq!(offsets, [0, 1]);
    assert!(script.seeks.borrow().is_empty());
}

#[test]
fn offsets_that_compaction_emptied_are_proven_empty_by_reading_them_twice() {
    let script = Script::new(9, &[&[Record(0), End], &[End]]);
    let (read, offsets) = script.read(9);
    read.unwrap();
    assert_eq!((offsets, script.seeks.borrow().clone()), (vec![0], vec![1]));
}

#[test]
fn an_end_below_the_range_is_never_its_end() {
    let script = Script::new(2, &[&[Record(0), Record(1), End, End, End]]);
    let (read, offsets) = script.read(4);
    assert!(matches!(read, Err(ReadError::Cancelled)), "{read:?}");
    assert_eq!(offsets, [0, 1]);
}

#[test]
fn no_record_comes_twice_where_the_client_begins_again_at_the_start() {
    let script = Script::new(3, &[&[Record(0), Record(1), Record(0), Record(1), Record(2)]]);
    let (read, offsets) = script.read(3);
    read.unwrap();
    assert_eq!(offsets, [0, 1, 2]);
}

#[test]
fn what_lies_behind_the_range_is_not_given() {
    let (read, offsets) = Script::new(9, &[&[Record(0), Record(7)]]).read(5);
    read.unwrap();
    assert_eq!(offsets, [0]);
}
