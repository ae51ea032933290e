//! Records of a table that something else than this version wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::replay::{Goal, Replay};
use crate::wire::RawRecord;
use crate::wire::table::CHECKPOINT_MARK;

const HEAD: &str = r#"{"entityname":"a","currentstockprice":1,"lastupdatedate":1"#;

fn shape(epoch: u64, offset: i64, windows: &str) -> String {
    let minutes = windows.split(',').count();
    let (tolerances, since) = (vec!["\"0\""; minutes].join(","), vec!["1"; minutes].join(","));
    format!(
        r#"{{"epoch":{epoch},"offset":{offset},"since":[{since}],"uid":"","generation":1,"windows":[{windows}],"tolerances":[{tolerances}],"entities":["a"],"wildcard":false}}"#
    )
}

fn shapes(history: &[String]) -> Vec<u8> {
    format!(r#"{{"uid":"","generation":1,"epoch":1,"history":[{}]}}"#, history.join(",")).into_bytes()
}

fn entity(epoch: u64, chunks: &str, quotes: &str) -> Vec<u8> {
    format!(
        r#"{HEAD}{CHECKPOINT_MARK}{{"offset":5,"epoch":{epoch},"born":0,"accepted":4,"primed":[],"chunks":{chunks},"chunkeduntil":null,"quotes":{quotes}}}}}"#
    )
    .into_bytes()
}

fn restored(history: &[String], head: &[u8], goal: Goal) -> Result<Partition, Corrupt> {
    let mut table = TableReader::default();
    table.read(SHAPE_KEY.as_bytes(), Some(&shapes(history)))?;
    table.read(br#""a""#, Some(head))?;
    let mut replay = Replay::prepare(&goal, &table)?;
    while let Some(taken) = replay.due(i64::MAX) {
        replay.partition.apply_shape(taken, &crate::Backfill::default(), 0);
    }
    Ok(replay.finish().unwrap())
}

const GOAL: Goal = Goal { partition: 0, offset: 60, replay: 60, timestamp: None };

#[test]
fn what_an_accepted_quote_cannot_have_is_refused() {
    let history = [shape(1, 0, "5")];
    assert!(restored(&history, &entity(1, "[0,0]", "[[1,1]]"), GOAL).is_ok());
    for quotes in ["[[-1,1]]", "[[1,9000000001]]", "[[9223372037,1]]", "[[1,\"1\"]]", "[[1]]"] {
        assert!(restored(&history, &entity(1, "[0,0]", quotes), GOAL).is_err(), "{quotes}");
    }
    assert!(
        restored(&history, &entity(1, "[18446744073709551615,18446744073709551615]", "[]"), GOAL).is_err()
    );
}

#[test]
fn without_a_shape_that_somebody_deleted_all_begins_anew_and_nothing_of_before_comes_back() {
    let mut table = TableReader::default();
    let mut put = |key: &[u8], value: Option<&[u8]>| table.read(key, value);
    put(SHAPE_KEY.as_bytes(), Some(b"{}")).unwrap();
    put(br#""a""#, Some(&entity(7, "[0,0]", "[[1,1]]"))).unwrap();
    put(SHAPE_KEY.as_bytes(), None).unwrap();

    let replay = Replay::prepare(&GOAL, &table).unwrap();
    let mut partition = replay.finish().unwrap();
    let names: Vec<&str> = partition.lost.iter().map(|lost| &*lost.name).collect();
    assert_eq!((partition.entities().len(), names), (0, vec!["a"]));
    let another = restored(&[shape(1, 0, "5")], &entity(1, "[0,0]", "[[1,1]]"), GOAL).unwrap();
    let rules = another.shape().unwrap().clone();
    partition.apply_shape(partition.next_change(rules), &crate::Backfill::default(), 0);
    let mut put = |key: &[u8], value: Option<&[u8]>| table.read(key, value);
    write_removed(&partition.lost, &mut put).unwrap();
    write_shapes(&mut partition, &mut put).unwrap();

    let replay = Replay::prepare(&GOAL, &table).unwrap();
    assert!(replay.partition.lost.is_empty() && replay.partition.entities().len() == 0);
}

#[test]
fn shapes_whose_epochs_do_not_ascend_are_refused() {
    let read = |history: &[String]| {
        let mut table = TableReader::default();
        table.read(SHAPE_KEY.as_bytes(), Some(&shapes(history))).and_then(|()| table.shapes())
    };
    assert!(read(&[shape(1, 0, "5"), shape(2, 9, "5")]).is_ok());
    for (one, next) in [(2, 2), (2, 1), (1, u64::MAX)] {
        assert!(read(&[shape(one, 0, "5"), shape(next, 9, "5")]).is_err(), "{one}, {next}");
    }
}

#[test]
fn after_the_group_was_set_back_the_last_shape_is_the_one_in_force() {
    // The first was taken at 100; set back, the second was taken at 50 and has come to 60.
    let history = [shape(1, 100, "5"), shape(2, 50, "5,10")];
    let mut partition = restored(&history, &entity(2, "[0,0]", "[[1,1]]"), GOAL).unwrap();
    assert_eq!(partition.shape().unwrap().longest(), 10);
    let value = format!("{HEAD}.5}}");
    let record = RawRecord { key: None, value: Some(value.as_bytes()), timestamp: -1, offset: 60 };
    let crate::Effect::Accepted(accepted) = partition.process(&record, 0) else { panic!("it is new") };
    assert_eq!(accepted.entity.averages().count(), accepted.shape.windows.len());
}

#[test]
fn of_a_record_that_cannot_be_read_no_more_is_said_than_a_log_line_holds() {
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    let mut table = TableReader::default();
    table.read(SHAPE_KEY.as_bytes(), Some(long.as_bytes())).unwrap();
    let said = table.shapes().unwrap_err().to_string();
    assert!(said.len() < 500, "{} bytes", said.len());
}
