//! A gauge that is there only where quotes come from a stream.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Whether a stream is connected: 1 or 0, and no series at all where no stream is asked for.
#[derive(Debug, Clone, Default)]
pub struct StreamConnected(pub(super) Family<NoLabels, Gauge>);

/// The labels of a series that may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct NoLabels;

impl EncodeLabelSet for NoLabels {
    fn encode(&self, _encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

impl StreamConnected {
    /// There is a stream.
    pub fn set(&self, is_connected: bool) {
        self.0.get_or_create(&NoLabels).set(i64::from(is_connected));
    }

    /// There is none any more.
    pub fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn whether_a_stream_is_connected_is_said_only_where_there_is_one() {
        let metrics = Metrics::new();
        let line = || {
            let text = metrics.encode();
            text.lines().find(|line| line.starts_with("stockwatch_stream_connected")).map(str::to_owned)
        };
        assert_eq!(line(), None);
        for is_connected in [false, true] {
            metrics.stream_connected.set(is_connected);
            let value = format!(" {}", u8::from(is_connected));
            assert!(line().is_some_and(|line| line.ends_with(&value)), "{:?}", line());
        }
        metrics.stream_connected.clear();
        assert_eq!(line(), None);
    }
}
