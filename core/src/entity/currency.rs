//! The currency of an entity's prices: prices of two currencies have no average.

use super::{Currency, Entity, WindowSum};

impl Entity {
    /// Whether a quote that says this currency is of the entity's.
    #[inline]
    pub fn is_of_currency(&self, code: Option<&str>) -> bool {
        self.currency.as_ref().zip(code).is_none_or(|(own, code)| *own.code == *code)
    }

    /// Notes the currency that an accepted quote says; returns whether it is the first.
    #[inline]
    pub(crate) fn note_currency(&mut self, code: Option<&str>, time: i64) -> bool {
        let Some(code) = code else { return false };
        match &mut self.currency {
            Some(own) => {
                own.time = own.time.max(time);
                false
            }
            None => {
                self.currency = Some(Currency { code: code.into(), time });
                true
            }
        }
    }

    /// Begins anew at a raw offset, as an entity without a quote; the next checkpoint deletes its chunks.
    pub(crate) fn begin_anew(&mut self, offset: i64) {
        self.since = offset;
        self.currency = None;
        self.samples.clear();
        self.saved.late.clear();
        self.saved.chunked_until = i64::MIN;
        for (_, newest) in &mut self.saved.chunks {
            *newest = i64::MIN;
        }
        for window in &mut self.windows {
            *window = WindowSum { length: window.length, start: 0, sum: 0, primed: false };
        }
    }
}
