//! Output records as bytes, written into buffers that are used again and again.

use crate::average::exceeds;
use crate::decimal::push_integer;
use crate::partition::Accepted;
use crate::wire::deduplicated::DEDUPLICATED_END;
use crate::wire::json::push_string;
use crate::wire::output::{AlarmIds, Cause, push_alarm, push_average, push_time};
use crate::wire::raw::RawRecord;

/// Where an output record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputTopic {
    /// `after-dedup-stream`.
    Deduplicated,
    /// `averages-output`.
    Averages,
    /// `deviation-alarm`.
    Alarms,
}

/// Sends output records.
pub trait OutputSender {
    /// Why it could not.
    type Error;
    /// Sends one record of the raw partition at hand; key and value are only lent.
    ///
    /// # Errors
    /// The record was not taken.
    fn send(&mut self, topic: OutputTopic, key: &[u8], value: &[u8]) -> Result<(), Self::Error>;
}

/// Writes the records that follow from accepted quotes of one raw topic.
#[derive(Debug)]
pub struct Encoder {
    ids: AlarmIds,
    key: Vec<u8>,
    value: Vec<u8>,
    /// What all values of a quote end with.
    time: Vec<u8>,
}

/// How many records an accepted quote gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputCounts {
    /// Averages.
    pub averages: u64,
    /// Alarms.
    pub alarms: u64,
}

impl Encoder {
    /// Returns an encoder for the raw topic of this name: alarm ids begin with it.
    pub fn new(raw_topic: &str) -> Self {
        Self {
            ids: AlarmIds::new(raw_topic),
            key: Vec::with_capacity(128),
            value: Vec::with_capacity(512),
            time: Vec::with_capacity(64),
        }
    }

    /// Sends the deduplicated quote, an average for each window, and the alarms.
    ///
    /// # Errors
    /// The sender's.
    pub fn write<S: OutputSender>(
        &mut self,
        partition: i32,
        record: &RawRecord<'_>,
        accepted: &Accepted<'_>,
        sender: &mut S,
    ) -> Result<OutputCounts, S::Error> {
        let Accepted { entity, name, previous, shape, .. } = *accepted;
        let mut written = OutputCounts::default();
        self.key.clear();
        push_string(&mut self.key, name);
        let bare_key = self.key.len();
        self.value.clear();
        self.value.extend_from_slice(&entity.value);
        self.value.extend_from_slice(DEDUPLICATED_END);
        sender.send(OutputTopic::Deduplicated, &self.key, &self.value)?;
        self.time.clear();
        push_time(&mut self.time, entity.newest().unwrap_or_default());
        for (window, average) in shape.windows.iter().zip(entity.averages()) {
            self.set_window(bare_key, window.minutes);
            push_average(&mut self.value, &self.key[..bare_key], window.minutes, average, &self.time);
            sender.send(OutputTopic::Averages, &self.key, &self.value)?;
            written.averages += 1;
        }
        for (place, (average, previous)) in entity.averages().zip(previous).enumerate() {
            let Some(old) = *previous else { continue };
            let tolerance = shape.tolerance(name, place);
            if !exceeds(average, old, tolerance.bound) {
                continue;
            }
            let minutes = shape.windows[place].minutes;
            self.set_window(bare_key, minutes);
            let cause = Cause {
                tolerance: &tolerance.text,
                generation: shape.generation,
                time: &self.time,
                id: self.ids.id(partition, record, minutes),
            };
            push_alarm(&mut self.value, &self.key[..bare_key], minutes, (average, old), &cause);
            sender.send(OutputTopic::Alarms, &self.key, &self.value)?;
            written.alarms += 1;
        }
        Ok(written)
    }

    /// The key of a window's records; the value is still to be written.
    #[inline]
    fn set_window(&mut self, bare_key: usize, minutes: u32) {
        self.key.truncate(bare_key);
        push_integer(&mut self.key, u64::from(minutes));
        self.value.clear();
    }
}
