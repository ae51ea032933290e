//! What a raw record did to its partition.

use crate::account::{Account, Entry};
use crate::average::Average;
use crate::entity::{Entity, Name};
use crate::judge::{Judgement, Moved};
use crate::sample::{Origin, Sample};
use crate::shape::Shape;
use crate::wire::DeadLetterReason;

/// What a record did.
#[derive(Debug)]
pub enum Effect<'a> {
    /// It was accepted: an average follows for each window, and perhaps an alarm.
    Accepted(Accepted<'a>),
    /// A quote of the same entity and time was accepted before.
    Duplicate {
        /// It had another price.
        other_price: bool,
    },
    /// Older than every window of its entity.
    TooLate,
    /// Its entity is not listed.
    Unlisted,
    /// Its entity would be one too many under the wildcard.
    OverLimit,
    /// It is no quote, or one of another currency.
    Bad(DeadLetterReason),
    /// Its offset is below what the partition, or the restored checkpoint of its entity, has computed.
    Covered,
}

/// An accepted quote with all that its output records say.
#[derive(Debug)]
pub struct Accepted<'a> {
    /// The entity, this quote included.
    pub entity: &'a Entity,
    /// Its name.
    pub name: &'a str,
    /// Its event time and price.
    pub quote: Sample,
    /// Each window's last computed average, without this quote.
    pub previous: &'a [Option<Average>],
    /// Event time of those averages, nanoseconds since 1970; `None` before the first.
    pub previous_time: Option<i64>,
    /// The rules in force.
    pub shape: &'a Shape,
    /// It was older than the entity's newest.
    pub late: bool,
    /// What it is for each window by those rules.
    pub judgement: &'a Judgement,
    /// Its raw record.
    pub origin: Origin,
    /// What the entity's paper account did.
    pub entries: &'a Vec<Entry>,
}

impl Accepted<'_> {
    /// What can be judged by other rules with the same windows.
    pub fn moved(&self) -> Moved<'_> {
        let Self { name, entity, previous, previous_time, origin, .. } = *self;
        Moved { name, entity, previous, previous_time, origin }
    }
}

/// An entity that is computed no more: its table records are to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The entity.
    pub name: Name,
    /// Its chunks' numbers.
    pub chunks: Vec<u64>,
    /// It has a record of what was said of it.
    pub has_said: bool,
    /// Its account, if it has one and there is a ledger to say that it is void.
    pub orphan: Option<Box<Orphan>>,
}

/// The account of an entity that is computed no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// As it stands.
    pub account: Account,
    /// Event time of the entity's newest quote, nanoseconds since 1970.
    pub time: i64,
    /// The value of its last accepted raw record.
    pub value: Vec<u8>,
}
