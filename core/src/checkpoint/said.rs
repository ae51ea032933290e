//! What was said of entities, in the table: no checkpoint, since nothing else could give it back.

use std::collections::HashMap;

use super::{Corrupt, TableReader, counting};
use crate::partition::Partition;
use crate::said::Said;
use crate::wire::{encode_said, read_said, said_key};

/// Writes what has changed of it since the last transaction; gives the bytes and records. Whoever ends a transaction
/// calls this first.
///
/// # Errors
/// Those of `put`.
pub fn write_said<E>(
    partition: &mut Partition,
    put: &mut impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(usize, u64), E> {
    let mut written = (0, 0);
    while let Some(name) = partition.next_stray() {
        counting(put, &mut written)(&said_key(&name), None)?;
    }
    while let Some((name, entity)) = partition.next_said() {
        let value = (!entity.said.is_empty()).then(|| encode_said(entity.born, &entity.said));
        if value.is_some() || entity.is_said_in_table {
            counting(put, &mut written)(&said_key(name), value.as_deref())?;
        }
        entity.is_said_in_table = value.is_some();
    }
    Ok(written)
}

impl TableReader {
    /// What was said, by entity: with the raw offset of the entity's birth.
    ///
    /// # Errors
    /// The first record that cannot be read.
    pub(crate) fn said(&self) -> Result<HashMap<String, (i64, Said)>, Corrupt> {
        let read = |(name, value): (&String, &Vec<u8>)| match read_said(value) {
            Ok(said) => Ok((name.clone(), said)),
            Err(problem) => Err(Corrupt::new(&said_key(name), &problem)),
        };
        self.said.iter().map(read).collect()
    }
}
