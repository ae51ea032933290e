//! The wire format of every topic: keys, values, headers and commit metadata, written and read in one place.
//!
//! | topic | key | value |
//! |---|---|---|
//! | `raw-input` | [`raw_key`], or any | [`RawQuote`] written, [`Quote`] read |
//! | `after-dedup-stream` | entity | [`DeduplicatedRecord`] |
//! | `averages-output`, `deviation-alarm` | entity and minutes | [`AverageRecord`], [`AlarmRecord`] |
//! | `ledger` | entity | [`LedgerRecord`] |
//! | `dead-letter` | as raw | [`DeadLetter`] |
//! | `after-dedup-storage-table` | [`TableKey`] | a quote with its checkpoint, chunks, [`encode_said`], [`OffsetRecord`], [`encode_shapes`] |
//!
//! Times are event times in seconds, prices in the quote's currency; both are decimals that never pass through a float.
//!
//! ```
//! use std::sync::Arc;
//! use stockwatch_core::wire::{AverageRecord, RawRecord};
//! use stockwatch_core::{Effect, Encoder, OutputRecord, OutputSender, Partition, Shape};
//! use stockwatch_crds::{Tolerance, Window};
//!
//! #[derive(Default)]
//! struct Lines(Vec<String>);
//!
//! impl OutputSender for Lines {
//!     type Error = std::convert::Infallible;
//!     fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Self::Error> {
//!         let text = String::from_utf8_lossy;
//!         self.0.push(format!("{:?} {} {}", record.topic, text(record.key), text(record.value)));
//!         Ok(())
//!     }
//! }
//!
//! let windows = vec![Window { minutes: 5, tolerance: Tolerance::parse("1%")? }];
//! let entities = [("meta".to_owned(), Vec::new())].into();
//! let shape = Arc::new(Shape { generation: 3, windows, entities, ..Shape::default() });
//! let mut partition = Partition::new(0, 0, Vec::new(), Vec::new());
//! partition.apply_shape(partition.next_change(shape), &Default::default(), 0);
//!
//! let mut lines = Lines::default();
//! let mut encoder = Encoder::new("raw-input", "default", "first");
//! for (offset, (price, second)) in (0..).zip([(100, 1_700_000_000), (104, 1_700_000_060)]) {
//!     let value = format!(r#"{{"entityname":"meta","currentstockprice":{price},"lastupdatedate":{second}}}"#);
//!     let record = RawRecord { key: None, value: Some(value.as_bytes()), timestamp: 1_700_000_060_000, offset };
//!     let Effect::Accepted(accepted) = partition.process(&record, 0) else { panic!("it is a quote") };
//!     encoder.write(0, &record, &accepted, &mut lines)?;
//! }
//! assert_eq!(lines.0, [
//!     r#"Deduplicated "meta" {"entityname":"meta","currentstockprice":100,"lastupdatedate":1700000000,"isduplicate":false}"#,
//!     r#"Averages "meta"5 {"entityname":"meta","windowtime":5,"stockpriceavg":100,"count":1,"lastupdatedate":1700000000}"#,
//!     r#"Deduplicated "meta" {"entityname":"meta","currentstockprice":104,"lastupdatedate":1700000060,"isduplicate":false}"#,
//!     r#"Averages "meta"5 {"entityname":"meta","windowtime":5,"stockpriceavg":102,"count":2,"lastupdatedate":1700000060}"#,
//!     r#"Alarms "meta"5 {"entityname":"meta","windowtime":5,"deviation":0.02,"absolutedeviation":2,"direction":"up","stockpriceavg":102,"previousstockpriceavg":100,"tolerance":"1%","generation":3,"currentstockprice":104,"quotetime":1700000060,"stockwatch":"default/first","previouslastupdatedate":1700000000,"gap":false,"episode":"8aece29c8b0f276e3810d1bf55ab45ba","episodestart":1700000060,"alarmnumber":1,"episodeend":1700000660,"lastupdatedate":1700000060,"id":"8aece29c8b0f276e3810d1bf55ab45ba"}"#,
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
pub(crate) mod alarm;
mod commit;
mod dead_letter;
pub(crate) mod deduplicated;
pub(crate) mod json;
pub(crate) mod ledger;
mod object;
pub(crate) mod output;
mod partitioner;
pub(crate) mod raw;
mod reason;
pub(crate) mod rfc3339;
mod said;
mod scan;
mod shape;
pub(crate) mod table;
pub(crate) mod text;

pub use crate::average::Direction;
pub use alarm::{AlarmIds, AlarmRecord};
pub use commit::{CommitMetadata, Committed};
pub use dead_letter::{DeadLetter, DeadLetterLimits, Envelope};
pub use ledger::LedgerRecord;
pub use output::{AverageRecord, DeduplicatedRecord};
pub use partitioner::partition_for_key;
pub use raw::{MAX_AHEAD, MAX_VALUE_BYTES, Quote, RawQuote, RawRecord, raw_key};
pub use reason::DeadLetterReason;
pub use rfc3339::push_rfc3339;
pub use said::{encode_said, read_said, said_key};
pub use shape::{encode_shape_changes, encode_shapes, read_shapes};
pub use table::{
    MAX_RECORD_BYTES, OFFSET_KEY, OffsetRecord, SHAPE_CHANGES_KEY, SHAPE_KEY, TableKey, chunk_key, entity_key,
};
