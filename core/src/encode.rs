//! Output records as bytes, written into buffers that are used again and again.

use crate::account::{Entry, EntryType, Reason};
use crate::decimal::push_integer;
use crate::effect::{Accepted, Removed};
use crate::judge::Alarm;
use crate::wire::alarm::{AlarmDetails, AlarmIds, push_alarm};
use crate::wire::deduplicated::DEDUPLICATED_END;
use crate::wire::json::push_string;
use crate::wire::ledger::{EntryIds, push_entry};
use crate::wire::output::{push_average, push_time};
use crate::wire::raw::RawRecord;
use crate::wire::rfc3339::push_rfc3339;
use crate::wire::text::Labels;

/// The type of the CloudEvent that an alarm is.
const ALARM_RAISED: &str = "dev.stockwatch.alarm.raised.v1";

/// Where an output record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputTopic {
    /// `after-dedup-stream`.
    Deduplicated,
    /// `averages-output`.
    Averages,
    /// `deviation-alarm`.
    Alarms,
    /// `ledger`.
    Ledger,
}

/// An output record; all of it is only lent.
#[derive(Debug, Clone, Copy)]
pub struct OutputRecord<'a> {
    /// Where it goes.
    pub topic: OutputTopic,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Names and texts: those of a CloudEvent in binary mode if it is an event, else none.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Sends output records.
pub trait OutputSender {
    /// Why it could not.
    type Error;
    /// Sends one record of the raw partition at hand.
    ///
    /// # Errors
    /// The record was not taken.
    fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Self::Error>;
}

/// Writes the records that follow from accepted quotes of one raw topic.
#[derive(Debug)]
pub struct Encoder {
    ids: AlarmIds,
    /// `<namespace>/<name>` as a JSON string.
    watch: Vec<u8>,
    /// The StockWatch's path at an API server: the source of its CloudEvents.
    source: String,
    key: Vec<u8>,
    value: Vec<u8>,
    /// What all values of a quote end with.
    time: Vec<u8>,
    event_time: String,
    id: String,
    episode_id: String,
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
    /// Returns an encoder for the raw topic and the StockWatch of these names.
    pub fn new(raw_topic: &str, namespace: &str, name: &str) -> Self {
        let mut watch = Vec::new();
        push_string(&mut watch, &format!("{namespace}/{name}"));
        Self {
            ids: AlarmIds::new(raw_topic),
            watch,
            source: format!("/apis/stockwatch.dev/v1alpha1/namespaces/{namespace}/stockwatches/{name}"),
            key: Vec::with_capacity(128),
            value: Vec::with_capacity(1024),
            time: Vec::with_capacity(64),
            event_time: String::with_capacity(32),
            id: String::with_capacity(32),
            episode_id: String::with_capacity(32),
        }
    }

    /// Sends the deduplicated quote, an average for each window, the alarms, and what the account did.
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
        let Accepted { entity, name, shape, judgement, .. } = *accepted;
        let mut written = OutputCounts::default();
        self.key.clear();
        push_string(&mut self.key, name);
        let bare_key = self.key.len();
        self.value.clear();
        self.value.extend_from_slice(&entity.value);
        self.value.extend_from_slice(DEDUPLICATED_END);
        self.send(OutputTopic::Deduplicated, sender)?;
        self.time.clear();
        push_time(&mut self.time, entity.newest().unwrap_or_default());
        for (window, average) in shape.windows.iter().zip(entity.averages()) {
            self.set_window(bare_key, window.minutes);
            push_average(&mut self.value, &self.key[..bare_key], window.minutes, average, &self.time);
            self.send(OutputTopic::Averages, sender)?;
            written.averages += 1;
        }
        if !judgement.alarms().is_empty() {
            let labels = Labels::read(record.value.unwrap_or_default());
            self.event_time.clear();
            push_rfc3339(&mut self.event_time, entity.newest().unwrap_or_default());
            for alarm in judgement.alarms() {
                self.write_alarm(partition, bare_key, alarm, &labels, accepted, sender)?;
                written.alarms += 1;
            }
        }
        if !accepted.entries.is_empty() {
            self.write_entries(partition, bare_key, record.value.unwrap_or_default(), accepted, sender)?;
        }
        Ok(written)
    }

    #[cold]
    fn write_entries<S: OutputSender>(
        &mut self,
        partition: i32,
        bare_key: usize,
        value: &[u8],
        accepted: &Accepted<'_>,
        sender: &mut S,
    ) -> Result<(), S::Error> {
        let labels = Labels::read(value);
        self.key.truncate(bare_key);
        for entry in accepted.entries {
            // An account that is void may have been in another currency.
            let labels = if entry.entry_type == EntryType::Void { &Labels::default() } else { &labels };
            self.write_entry(partition, labels, entry, accepted.shape.generation, sender)?;
        }
        Ok(())
    }

    /// Sends that the accounts of entities that went are void, as the spec of this generation has it.
    ///
    /// # Errors
    /// The sender's.
    pub fn write_removed<S: OutputSender>(
        &mut self,
        partition: i32,
        removed: &[Removed],
        generation: u64,
        sender: &mut S,
    ) -> Result<(), S::Error> {
        for (name, orphan) in removed.iter().filter_map(|gone| Some((&gone.name, gone.orphan.as_ref()?))) {
            self.key.clear();
            push_string(&mut self.key, name);
            self.time.clear();
            push_time(&mut self.time, orphan.time);
            let mut value = orphan.value.clone();
            value.push(b'}');
            let entry = orphan.account.void(Reason::EntityRemoved);
            self.write_entry(partition, &Labels::read(&value), &entry, generation, sender)?;
        }
        Ok(())
    }

    /// Sends an entry of the account of the entity that is the key.
    fn write_entry<S: OutputSender>(
        &mut self,
        partition: i32,
        labels: &Labels<'_>,
        entry: &Entry,
        generation: u64,
        sender: &mut S,
    ) -> Result<(), S::Error> {
        let ids = EntryIds::of(&self.ids, partition, entry);
        self.value.clear();
        push_entry(&mut self.value, &self.key, labels, entry, &ids, &self.time, generation);
        self.send(OutputTopic::Ledger, sender)
    }

    fn write_alarm<S: OutputSender>(
        &mut self,
        partition: i32,
        bare_key: usize,
        alarm: &Alarm,
        labels: &Labels<'_>,
        accepted: &Accepted<'_>,
        sender: &mut S,
    ) -> Result<(), S::Error> {
        let Accepted { name, shape, origin, .. } = *accepted;
        let minutes = shape.windows[alarm.place].minutes;
        self.ids.write(&mut self.id, partition, origin, minutes);
        self.episode_id.clone_from(&self.id);
        if alarm.episode.origin != origin {
            self.ids.write(&mut self.episode_id, partition, alarm.episode.origin, minutes);
        }
        self.set_window(bare_key, minutes);
        let details = AlarmDetails {
            quote: accepted.quote,
            labels,
            watch: &self.watch,
            previous_time: accepted.previous_time.unwrap_or_default(),
            generation: shape.generation,
            time: &self.time,
            tolerance: &shape.tolerance(name, alarm.place).text,
            id: self.id.as_bytes(),
            episode_id: self.episode_id.as_bytes(),
        };
        push_alarm(&mut self.value, &self.key[..bare_key], minutes, alarm, &details);
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_type", ALARM_RAISED),
            ("ce_id", &self.id),
            ("ce_source", &self.source),
            ("ce_subject", name),
            ("ce_time", &self.event_time),
            ("content-type", "application/json"),
        ];
        let (key, value) = (&self.key, &self.value);
        sender.send(OutputRecord { topic: OutputTopic::Alarms, key, value, headers: &headers })
    }

    /// Sends what is written, without headers.
    #[inline]
    fn send<S: OutputSender>(&self, topic: OutputTopic, sender: &mut S) -> Result<(), S::Error> {
        sender.send(OutputRecord { topic, key: &self.key, value: &self.value, headers: &[] })
    }

    /// The key of a window's records; the value is still to be written.
    #[inline]
    fn set_window(&mut self, bare_key: usize, minutes: u32) {
        self.key.truncate(bare_key);
        push_integer(&mut self.key, u64::from(minutes));
        self.value.clear();
    }
}
