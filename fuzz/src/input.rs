//! An input's parts.

use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// Between two parts.
pub const PART: u8 = 0x1e;
/// Between a part's fields.
pub const FIELD: u8 = 0x1f;

/// A structured quote follows.
pub const QUOTE: u8 = 1;
/// Other windows and entities follow.
pub const EDIT: u8 = 2;
/// A commit with a budget for checkpoints follows.
pub const COMMIT: u8 = 3;
/// The state is lost.
pub const CRASH: u8 = 4;
/// A record with a timestamp and a key follows.
pub const RECORD: u8 = 5;

/// Event times of structured quotes lie around this, in seconds.
pub const START: i64 = 1_700_000_000;

/// The parts of an input, at most `most`.
pub fn parts(data: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == PART).take(most)
}

/// A part's key and value; no value without a [`FIELD`].
pub fn key_and_value(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match part.iter().position(|byte| *byte == FIELD) {
        Some(at) => (&part[..at], Some(&part[at + 1..])),
        None => (part, None),
    }
}

/// What happens to a partition.
#[derive(Debug)]
pub enum Event {
    /// A record comes, stamped with ms since 1970.
    Record {
        /// As written.
        key: Option<Vec<u8>>,
        /// `None` for a tombstone.
        value: Option<Vec<u8>>,
        /// Negative if it has none.
        timestamp: i64,
    },
    /// Other windows and entities are wanted.
    Edit {
        /// In minutes, ascending.
        windows: Vec<u32>,
        /// A bit for each of [`ENTITIES`].
        entities: u8,
        /// All others too.
        wildcard: bool,
    },
    /// Checkpoints are written, and all is committed.
    Commit {
        /// No more checkpoints are begun after so many bytes.
        budget: usize,
    },
    /// What is not committed is lost.
    Crash,
}

/// The names of structured quotes.
pub const ENTITIES: [&str; 4] = ["a", "b", "c \"q\"", "général motors"];
/// The lengths that an edit chooses from, in minutes.
pub const WINDOWS: [u32; 8] = [1, 2, 3, 5, 8, 60, 1439, 1440];

/// What a part says; anything that is no order is a record's value.
pub fn event(part: &[u8]) -> Event {
    let (Some(order), rest) = (part.first(), part.get(1..).unwrap_or_default()) else {
        return Event::Record { key: None, value: None, timestamp: START * 1000 };
    };
    let mut input = Unstructured::new(rest);
    match *order {
        QUOTE => quote(&mut input).unwrap_or(Event::Crash),
        EDIT => {
            let [windows, entities, wildcard] = input.arbitrary::<[u8; 3]>().unwrap_or_default();
            let windows = WINDOWS.into_iter().enumerate().filter(|(i, _)| windows >> i & 1 == 1);
            Event::Edit { windows: windows.map(|(_, m)| m).collect(), entities, wildcard: wildcard % 2 == 1 }
        }
        COMMIT => Event::Commit { budget: usize::from(input.arbitrary::<u16>().unwrap_or(u16::MAX)) },
        CRASH => Event::Crash,
        RECORD => {
            let timestamp = input.arbitrary::<i64>().unwrap_or(-1);
            let (key, value) = key_and_value(input.take_rest());
            Event::Record { key: Some(key.to_vec()), value: value.map(<[u8]>::to_vec), timestamp }
        }
        _ => Event::Record { key: None, value: Some(part.to_vec()), timestamp: START * 1000 },
    }
}

fn quote(input: &mut Unstructured<'_>) -> Result<Event> {
    let entity = ENTITIES[usize::from(input.arbitrary::<u8>()?) % ENTITIES.len()];
    let second = START + i64::from(input.arbitrary::<i16>()?);
    let cents = i64::from(input.arbitrary::<i16>()?);
    let mut value = format!(
        r#"{{"entityname":{},"currentstockprice":{cents}e-2,"lastupdatedate":{second}"#,
        serde_json::Value::from(entity)
    );
    // Other fields, of which `isduplicate` is one that the worker takes out.
    let others = input.arbitrary::<u8>().unwrap_or_default();
    for (i, field) in [r#""isduplicate":true"#, r#""x":[1]"#, r#""entityname":"b""#].iter().enumerate() {
        if others >> i & 1 == 1 {
            value.push(',');
            value.push_str(field);
        }
    }
    value.push('}');
    Ok(Event::Record { key: None, value: Some(value.into_bytes()), timestamp: second * 1000 - 250_000 })
}
