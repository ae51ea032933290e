//! Frames of Yahoo's stream: `{"type":"pricing","message":"<base64>"}`, in which four fields of a protocol buffer count.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Of the field `market_hours`: between the exchange's opening and its close.
const REGULAR: u64 = 1;

/// A price in regular hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// As it was subscribed to.
    pub symbol: String,
    /// The shortest decimal of the float that was sent: another one than the exchange's from 131,072 on.
    pub price: String,
    /// In seconds since 1970, a JSON number.
    pub time: String,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

/// The fields that count.
#[derive(Debug, Default)]
struct Fields<'a> {
    id: &'a [u8],
    price: f32,
    /// Milliseconds, zigzag.
    time: u64,
    market_hours: u64,
}

/// Returns the tick of a frame. `None`: it is of another type or from outside regular hours, lacks a symbol, a price or a
/// time, or cannot be read.
pub fn read(frame: &str) -> Option<Tick> {
    let frame: Frame<'_> = serde_json::from_str(frame).ok()?;
    if frame.kind != "pricing" {
        return None;
    }
    let message = STANDARD.decode(frame.message?.as_bytes()).ok()?;
    let Fields { id, price, time, market_hours } = fields(&message)?;
    let symbol = std::str::from_utf8(id).ok().filter(|id| !id.is_empty())?;
    let is_price = price.is_finite() && price != 0.0;
    // An odd zigzag number is a negative one.
    let is_time = time != 0 && time.is_multiple_of(2);
    (market_hours == REGULAR && is_price && is_time).then(|| Tick {
        symbol: symbol.to_owned(),
        price: price.to_string(),
        time: seconds(time / 2),
    })
}

/// `None` if the bytes are no message of the wire types 0, 1, 2 and 5.
fn fields(mut bytes: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        match (key >> 3, key & 7) {
            (number, 0) => {
                let value = varint(&mut bytes)?;
                match number {
                    3 => fields.time = value,
                    7 => fields.market_hours = value,
                    _ => {}
                }
            }
            (_, 1) => {
                bytes.split_off(..8)?;
            }
            (number, 2) => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let value = bytes.split_off(..length)?;
                if number == 1 {
                    fields.id = value;
                }
            }
            (number, 5) => {
                let value = bytes.split_off(..4)?;
                if number == 2 {
                    fields.price = f32::from_le_bytes(value.try_into().ok()?);
                }
            }
            _ => return None,
        }
    }
    Some(fields)
}

/// Seven bits a byte, the least first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = u64::from(*bytes.split_off_first()?);
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn seconds(millis: u64) -> String {
    match (millis / 1000, millis % 1000) {
        (seconds, 0) => seconds.to_string(),
        (seconds, rest) => format!("{seconds}.{rest:03}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pricing(message: &[u8]) -> String {
        format!(r#"{{"type":"pricing","message":"{}"}}"#, STANDARD.encode(message))
    }

    fn encoded(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    }

    /// A message in regular hours.
    fn message(id: &str, price: f32, millis: u64) -> Vec<u8> {
        [
            &[0x0a][..],
            &encoded(id.len() as u64),
            id.as_bytes(),
            &[0x15],
            &price.to_le_bytes(),
            &[0x18],
            &encoded(2 * millis),
            &[0x38, 1],
        ]
        .concat()
    }

    fn tick(symbol: &str, price: &str, time: &str) -> Option<Tick> {
        Some(Tick { symbol: symbol.into(), price: price.into(), time: time.into() })
    }

    #[test]
    fn a_usual_frame_is_a_tick() {
        let frame = r#"{"type":"pricing","message":"CgRBQ01FFQAASEEYgLCDxZhoKgNOTVMwCDgB"}"#;
        assert_eq!(read(frame), tick("ACME", "12.5", "1790000000"));
    }

    #[test]
    fn a_price_is_the_shortest_decimal_of_its_float() {
        for (price, expected) in
            [(676.08, "676.08"), (1.15327, "1.15327"), (131_072.02, "131072.02"), (-37.63, "-37.63")]
        {
            assert_eq!(
                read(&pricing(&message("A", price, 1_790_000_000_120))),
                tick("A", expected, "1790000000.12")
            );
        }
        assert_eq!(
            read(&pricing(&message("A", "131072.01".parse().unwrap(), 1000))),
            tick("A", "131072.02", "1"),
            "cents are lost"
        );
    }

    #[test]
    fn fields_that_nobody_asked_for_are_passed_over() {
        let more =
            [&[0x22, 3][..], b"USD", &[0x45], &[0; 4], &[0x81, 0x02], &[0; 8], &[0x48, 0x80, 1]].concat();
        let with = [more.clone(), message("A", 2.0, 3000), more].concat();
        assert_eq!(read(&pricing(&with)), tick("A", "2", "3"));
    }

    #[test]
    fn outside_regular_hours_and_without_price_or_time_there_is_no_tick() {
        let good = message("A", 2.0, 3000);
        let hours = good.len() - 1;
        for other in [0, 2, 3, 0x7f] {
            assert_eq!(read(&pricing(&[&good[..hours], &[other]].concat())), None);
        }
        assert_eq!(read(&pricing(&good[..hours - 1])), None, "before the opening the field is left out");
        for bad in [
            message("", 2.0, 3000),
            message("A", 0.0, 3000),
            message("A", f32::NAN, 3000),
            message("A", f32::INFINITY, 3000),
            message("A", 2.0, 0),
            [good.clone(), vec![0x18, 3]].concat(),
        ] {
            assert_eq!(read(&pricing(&bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn other_frames_and_broken_ones_are_passed_over() {
        let good = message("A", 2.0, 3000);
        for frame in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"type":"pricing"}"#,
            r#"{"type":"pricing","message":"%"}"#,
            r#"{"type":"pricing","message":7}"#,
            r#"{"type":7,"message":""}"#,
        ] {
            assert_eq!(read(frame), None, "{frame}");
        }
        assert_eq!(read(&pricing(&good).replace("pricing", "status")), None);
        for length in 0..good.len() {
            assert_eq!(read(&pricing(&good[..length])), None, "cut off at {length}");
        }
        for tail in [
            &[0x0b][..],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x80; 11],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(read(&pricing(&[&good[..], tail].concat())), None, "{tail:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_price_and_time_come_through(id in "[A-Z^=.]{1,8}", price in any::<f32>(), millis in 1_u64..1 << 60) {
            let read = read(&pricing(&message(&id, price, millis)));
            prop_assert_eq!(read.is_some(), price.is_finite() && price != 0.0);
            if let Some(tick) = read {
                prop_assert_eq!(tick.price.parse::<f32>().unwrap(), price);
                let nanos = stockwatch_core::parse_nanos(tick.time.as_bytes()).unwrap();
                prop_assert_eq!(nanos, i128::from(millis) * 1_000_000);
            }
        }

        #[test]
        fn no_message_makes_it_panic(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&pricing(&message));
        }
    }
}
