//! A consumed message as the computation takes it.

use rdkafka::Message;

use stockwatch_core::wire::RawRecord;

pub(super) fn raw_record<'a, M: Message>(message: &'a M) -> RawRecord<'a> {
    RawRecord {
        key: message.key(),
        value: message.payload(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        offset: message.offset(),
    }
}
