//! What differs between releases: this one.

use std::convert::Infallible;
use std::hint::black_box;

use stockwatch_core::{Encoder, OutputRecord, OutputSender, Partition, checkpoint};

#[derive(Default)]
pub(crate) struct Sink;

impl OutputSender for Sink {
    type Error = Infallible;

    fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Infallible> {
        black_box(record);
        Ok(())
    }
}

pub(crate) fn encoder() -> Encoder {
    Encoder::new("default.first.raw-input", "default", "first")
}

pub(crate) fn write_said(
    partition: &mut Partition,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Infallible>,
) {
    let Ok(_) = checkpoint::write_said(partition, put);
}
