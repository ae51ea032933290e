//! Records of `after-dedup-stream`: an accepted quote's raw value with one more field.

use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What follows a raw value without its last brace.
pub(crate) const DEDUPLICATED_END: &[u8] = br#","isduplicate":false}"#;

/// Appends a raw value without its last brace, and without a field `isduplicate` of its own.
///
/// `value` is a JSON object that [`super::Quote::read`] accepted; `marked` is what that said.
pub(crate) fn push_bare_value(out: &mut Vec<u8>, value: &[u8], marked: bool) {
    if !marked {
        let whole = value.trim_ascii();
        out.extend_from_slice(whole.strip_suffix(b"}").unwrap_or(whole));
        return;
    }
    let fields: Others<'_> = serde_json::from_slice(value).unwrap_or_default();
    let mut text = String::from("{");
    for (i, (name, field)) in fields.0.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
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
