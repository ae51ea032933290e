//! Looks values up in a JSON text by their paths, all in one pass, without a tree of it: what is found are pieces of the
//! text, so that no number passes through a float.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Paths to look up, each a row of keys (RFC 6901, unescaped). An array's items have their index for a key.
#[derive(Debug, Default)]
pub struct Pointers {
    root: Node,
    count: usize,
}

/// A value that paths lead to or through.
#[derive(Debug, Default)]
struct Node {
    below: HashMap<String, Node>,
    /// The numbers of the paths that end here.
    ends: Vec<usize>,
}

impl Pointers {
    /// Adds a path and returns its number.
    pub fn add(&mut self, steps: impl IntoIterator<Item = String>) -> usize {
        let node = steps.into_iter().fold(&mut self.root, |node, step| node.below.entry(step).or_default());
        node.ends.push(self.count);
        self.count += 1;
        self.count - 1
    }

    /// Returns the value at each path, by its number; `None` where there is none. Of several members of one name the last
    /// one counts.
    ///
    /// # Errors
    /// The text is not one JSON value, or is nested deeper than serde_json reads.
    pub fn find<'a>(&self, json: &'a [u8]) -> serde_json::Result<Vec<Option<&'a RawValue>>> {
        let mut found = vec![None; self.count];
        self.root.take(serde_json::from_slice(json)?, &mut found)?;
        Ok(found)
    }
}

impl Node {
    /// Notes a value that lies here, and what lies below it.
    fn take<'a>(&self, value: &'a RawValue, found: &mut [Option<&'a RawValue>]) -> serde_json::Result<()> {
        self.note(Some(value), found);
        if self.below.is_empty() {
            return Ok(());
        }
        let mut json = serde_json::Deserializer::from_str(value.get());
        let below = Below { node: self, found };
        match value.get().as_bytes().first() {
            Some(b'{') => json.deserialize_map(below),
            Some(b'[') => json.deserialize_seq(below),
            _ => Ok(()),
        }
    }

    fn note<'a>(&self, value: Option<&'a RawValue>, found: &mut [Option<&'a RawValue>]) {
        for end in &self.ends {
            if let Some(place) = found.get_mut(*end) {
                *place = value;
            }
        }
    }

    /// Forgets what an earlier member of the same name had.
    fn forget(&self, found: &mut [Option<&RawValue>]) {
        for end in &self.ends {
            if let Some(place) = found.get_mut(*end) {
                *place = None;
            }
        }
        self.below.values().for_each(|node| node.forget(found));
    }
}

/// The members of an object or the items of an array.
struct Below<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut [Option<&'a RawValue>],
}

impl<'de> Visitor<'de> for Below<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(Member(self.node))? {
            match member {
                Some(node) => {
                    node.forget(self.found);
                    node.take(map.next_value()?, self.found).map_err(A::Error::custom)?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            if let Some(node) = self.node.below.get(&index.to_string()) {
                node.take(item, self.found).map_err(A::Error::custom)?;
            }
            index += 1;
        }
        Ok(())
    }
}

/// What a member's name leads to.
struct Member<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Member<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Member<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.below.get(name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use stockwatch_crds::Pointer;

    use super::*;

    fn find<'a>(json: &'a str, paths: &[&str]) -> Vec<Option<&'a str>> {
        let mut pointers = Pointers::default();
        for path in paths {
            let steps: Vec<String> = Pointer::parse(path).unwrap().steps("").collect();
            pointers.add(steps);
        }
        let found = pointers.find(json.as_bytes()).unwrap();
        found.into_iter().map(|value| value.map(RawValue::get)).collect()
    }

    #[test]
    fn values_are_found_as_they_are_written() {
        let json = r#" {"a": [ 12.500000000000000001, {"b/c": 1e999}], "~": "x\u0041", "a~1": {"": null}} "#;
        assert_eq!(
            find(json, &["/a/0", "/a/1/b~1c", "/~0", "/a~01/", "/a/2", "/a/-", "/a/00", "/none/x", "/~0/0"]),
            [
                Some("12.500000000000000001"),
                Some("1e999"),
                Some(r#""x\u0041""#),
                Some("null"),
                None,
                None,
                None,
                None,
                None
            ]
        );
    }

    #[test]
    fn paths_may_begin_alike_and_lead_through_one_another() {
        let json = r#"{"a":{"b":[1,2],"c":3}}"#;
        let found = find(json, &["", "/a", "/a/b/1", "/a/b", "/a/b/1"]);
        assert_eq!(found, [Some(json), Some(r#"{"b":[1,2],"c":3}"#), Some("2"), Some("[1,2]"), Some("2")]);
    }

    #[test]
    fn of_two_members_of_one_name_the_last_one_counts() {
        assert_eq!(find(r#"{"a":{"b":1},"a":{"c":2}}"#, &["/a/b", "/a/c"]), [None, Some("2")]);
    }

    #[test]
    fn what_is_no_json_is_an_error_wherever_the_paths_lead() {
        for json in ["", "{", "[1,]", "{\"a\":1} x", "\u{feff}1", "{\"b\":tru}"] {
            let mut pointers = Pointers::default();
            pointers.add(["a".to_owned()]);
            assert!(pointers.find(json.as_bytes()).is_err(), "{json}");
        }
        assert!(Pointers::default().find(b"\"\xff\"").is_err(), "it is no text");
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let mut pointers = Pointers::default();
        pointers.add(vec!["0".to_owned(); 128]);
        let _ = pointers.find(deep.as_bytes());
    }

    /// One step after the other over a tree.
    fn naive<'a>(tree: &'a Value, steps: &[String]) -> Option<&'a Value> {
        steps.iter().try_fold(tree, |value, step| match value {
            Value::Object(members) => members.get(step),
            Value::Array(items) => {
                let index = (0..items.len()).find(|index| index.to_string() == *step)?;
                items.get(index)
            }
            _ => None,
        })
    }

    fn key() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "0", "1", "00", "", "/", "~", "é"]).prop_map(str::to_owned)
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 48, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn one_pass_finds_what_a_walk_over_the_tree_finds(
            tree in value(),
            paths in prop::collection::vec(prop::collection::vec(key(), 0..5), 0..8),
            pretty: bool,
        ) {
            let text =
                if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
            let mut pointers = Pointers::default();
            for (number, path) in paths.iter().enumerate() {
                prop_assert_eq!(pointers.add(path.clone()), number);
            }
            let found = pointers.find(text.as_bytes()).unwrap();
            for (path, found) in paths.iter().zip(found) {
                let found: Option<Value> = found.map(|found| serde_json::from_str(found.get()).unwrap());
                prop_assert_eq!(found.as_ref(), naive(&tree, path), "{:?}", path);
            }
        }
    }
}
