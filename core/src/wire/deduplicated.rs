//! Records of `after-dedup-stream`: an accepted quote's raw value with one more field.

use std::fmt::Write as _;
use std::ptr;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::object::json_of;
use super::raw::Quote;

/// What follows a raw value without its last brace.
pub(crate) const DEDUPLICATED_END: &[u8] = br#","isduplicate":false}"#;

/// Appends a raw value without its last brace, without a field `isduplicate` of its own, and with numbers for price and
/// time where it has texts: older readers know only those. Nothing else is touched.
///
/// `value` is a JSON object, and `quote` what [`Quote::read`] made of it.
pub(crate) fn push_bare_value(out: &mut Vec<u8>, value: &[u8], quote: &Quote<'_>) {
    let whole = json_of(value).trim_ascii();
    if quote.is_marked {
        push_unmarked(out, whole, quote);
    } else if quote.has_texts() {
        push_with_numbers(out, whole, quote);
        out.pop();
    } else {
        out.extend_from_slice(whole.strip_suffix(b"}").unwrap_or(whole));
    }
}

/// Appends `whole` with numbers in the place of texts, which are pieces of it.
fn push_with_numbers(out: &mut Vec<u8>, whole: &[u8], quote: &Quote<'_>) {
    let place = |piece: &str| piece.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    let mut texts: Vec<_> = quote.texts().map(|(text, number)| (place(text), text.len(), number)).collect();
    texts.sort_unstable_by_key(|(place, ..)| *place);
    let mut at = 0;
    for (place, length, number) in texts {
        out.extend_from_slice(whole.get(at..place).unwrap_or_default());
        out.extend_from_slice(number.as_bytes());
        at = place + length;
    }
    out.extend_from_slice(whole.get(at..).unwrap_or_default());
}

/// Appends all fields but `isduplicate`, without the last brace.
fn push_unmarked(out: &mut Vec<u8>, whole: &[u8], quote: &Quote<'_>) {
    let fields: Others<'_> = serde_json::from_slice(whole).unwrap_or_default();
    let mut text = String::from("{");
    for (i, (name, field)) in fields.0.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let number = quote.texts().find(|(text, _)| ptr::eq(*text, field.get()));
        let field = number.as_ref().map_or(field.get(), |(_, number)| number);
        let _ = write!(text, "{comma}{}:{field}", serde_json::Value::from(name.as_str()));
    }
    out.extend_from_slice(text.as_bytes());
}

/// All fields but `isduplicate`, in order, as written.
#[derive(Default)]
struct Others<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Others<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OthersVisitor;
        impl<'de> Visitor<'de> for OthersVisitor {
            type Value = Others<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Others<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if name != "isduplicate" {
                        fields.push((name, value));
                    }
                }
                Ok(Others(fields))
            }
        }
        deserializer.deserialize_map(OthersVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bare(value: &str) -> String {
        let mut out = Vec::new();
        push_bare_value(&mut out, value.as_bytes(), &Quote::read(value.as_bytes()).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_take_the_place_of_texts_and_all_else_stays_as_it_is() {
        let given = "\u{feff} {\"lastupdatedate\" : \"2023-11-14T22:14:20.50Z\",\"x\":\"1\", \"entityname\":\"e\",\"currentstockprice\":\"512.340\" } ";
        let written =
            r#"{"lastupdatedate" : 1700000060.5,"x":"1", "entityname":"e","currentstockprice":512.340 "#;
        assert_eq!(bare(given), written);
        let plain = r#"{"entityname":"e","currentstockprice":512.340,"lastupdatedate":17e8}"#;
        assert_eq!(bare(plain), plain.trim_end_matches('}'));
    }

    #[test]
    fn numbers_take_the_place_of_texts_also_where_a_field_is_left_out() {
        let given = r#"{"isduplicate":true,"entityname":"e","currentstockprice":"1","currentstockprice":"2","lastupdatedate":"3"}"#;
        let written = r#"{"entityname":"e","currentstockprice":"1","currentstockprice":2,"lastupdatedate":3"#;
        assert_eq!(bare(given), written, "of a field written twice the last one counts");
    }
}
