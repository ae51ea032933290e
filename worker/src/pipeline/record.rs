//! A consumed message as the computation takes it.

use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, Timestamp};

use stockwatch_core::wire::{Envelope, RawRecord};

pub(crate) fn raw_record<'a, M: Message>(message: &'a M) -> RawRecord<'a> {
    RawRecord {
        key: message.key(),
        value: message.payload(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        offset: message.offset(),
    }
}

/// What a consumed message has besides.
pub(super) fn envelope<'a>(message: &'a BorrowedMessage<'_>) -> Envelope<'a> {
    let timestamp_type = match message.timestamp() {
        Timestamp::CreateTime(_) => Some("CreateTime"),
        Timestamp::LogAppendTime(_) => Some("LogAppendTime"),
        Timestamp::NotAvailable => None,
    };
    let headers = message.headers().map(|headers| headers.iter().map(|h| (h.key, h.value)).collect());
    Envelope { timestamp_type, headers: headers.unwrap_or_default() }
}
