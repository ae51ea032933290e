//! From a document's tree to the API types: every value of a wrong type is a problem, not just the first.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_path_to_error::{Segment, Track};

use crate::problem::{Problems, shown};
use crate::v1alpha1::StockWatch;

/// Unknown fields listed at most.
const LISTED: usize = 100;
/// Values of a wrong type reported at most: each costs a pass over the document.
const REPORTED: usize = 20;

pub(crate) struct Decoded {
    pub(crate) stockwatch: StockWatch,
    /// Paths of unknown fields.
    pub(crate) ignored: Vec<String>,
}

/// The API types of a document. Each value of a wrong type is added as a problem and something of the right
/// type is put in its place, so that the rest is read too; `None` if that did not help.
pub(crate) fn decode(mut document: Value, problems: &mut Problems) -> Option<Decoded> {
    if let Some(document) = document.as_object_mut() {
        // Checked before, or ours to write and never to read.
        for field in ["apiVersion", "kind", "status"] {
            document.remove(field);
        }
    }
    if let Some(spec) = document.get_mut("spec") {
        refuse_nulls(spec, "spec", problems);
    }
    let mut tries: BTreeMap<String, u8> = BTreeMap::new();
    loop {
        let mut ignored = Vec::new();
        let mut track = Track::new();
        let deserializer = serde_path_to_error::Deserializer::new(&document, &mut track);
        let result: Result<StockWatch, _> = serde_ignored::deserialize(deserializer, |path| {
            if ignored.len() < LISTED {
                ignored.push(ignored_path(&path));
            }
        });
        let error = match result {
            Ok(stockwatch) => return Some(Decoded { stockwatch, ignored }),
            Err(error) => error.to_string(),
        };
        let mut path: Vec<Step> = track.path().iter().filter_map(Step::of).collect();
        let (missing, expected) = (missing_field(&error), Expected::of(&error));
        if let Some(field) = missing {
            path.push(Step::Field(field.to_owned()));
        }
        let shown_path = display(&path);
        let tried = tries.entry(shown_path.clone()).or_default();
        *tried += 1;
        match (*tried, problems.len()) {
            // A part of what was put in the place of something.
            (1, _) if problems.cover(&shown_path) => {}
            (1, 0..REPORTED) if missing.is_some() => problems.add(shown_path, "is required"),
            (1, 0..REPORTED) => problems.add(shown_path, expected.sentence(&error, at(&mut document, &path))),
            // What was put in the place of a missing field has the wrong type: once more, with the right one.
            (2, _) => {}
            _ => return None,
        }
        put(&mut document, &path, if missing.is_some() { Value::Null } else { expected.placeholder() })?;
    }
}

/// One step from a value to a member of it.
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Item(usize),
}

impl Step {
    fn of(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Seq { index } => Some(Self::Item(*index)),
            Segment::Map { key } => Some(Self::Field(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}

fn display(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(key) => push_field(&mut text, key),
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    if text.is_empty() { "the document".to_owned() } else { text }
}

fn push_field(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !plain {
        path.push_str(&format!("[{}]", shown(key)));
    } else if path.is_empty() {
        path.push_str(key);
    } else {
        path.push('.');
        path.push_str(key);
    }
}

fn ignored_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", ignored_path(parent)),
        Path::Map { parent, key } => {
            let mut text = ignored_path(parent);
            push_field(&mut text, key);
            text
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            ignored_path(parent)
        }
    }
}

/// The API server refuses a null where a field is not nullable, and none is.
fn refuse_nulls(value: &mut Value, path: &str, problems: &mut Problems) {
    match value {
        Value::Object(members) => {
            members.retain(|key, member| {
                let mut path = path.to_owned();
                push_field(&mut path, key);
                if member.is_null() && problems.len() < REPORTED {
                    problems.add(path, "has no value: give it one or leave the field out");
                    return false;
                }
                refuse_nulls(member, &path, problems);
                true
            });
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                refuse_nulls(item, &format!("{path}[{index}]"), problems);
            }
        }
        _ => {}
    }
}

/// What serde expected where it found something else.
enum Expected<'a> {
    Text,
    Flag,
    List,
    Number,
    /// The variants, as serde lists them: `a`, `b`.
    Choice(&'a str),
    Object,
}

impl<'a> Expected<'a> {
    fn of(error: &'a str) -> Self {
        let expected = error.rsplit_once("expected ").map_or("", |(_, expected)| expected);
        match expected {
            "a string" => Self::Text,
            "a boolean" => Self::Flag,
            "a sequence" => Self::List,
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => Self::Number,
            _ if expected.contains('`') => Self::Choice(expected.strip_prefix("one of ").unwrap_or(expected)),
            _ => Self::Object,
        }
    }

    /// Something of that type.
    fn placeholder(&self) -> Value {
        match self {
            Self::Text => Value::String(String::new()),
            Self::Flag => Value::Bool(false),
            Self::List => Value::Array(Vec::new()),
            Self::Number => Value::from(0),
            Self::Choice(variants) => {
                Value::String(variants.split('`').nth(1).unwrap_or_default().to_owned())
            }
            Self::Object => Value::Object(Map::new()),
        }
    }

    /// serde's message as a sentence that says what to write.
    fn sentence(&self, error: &str, found: Option<&mut Value>) -> String {
        let found = found.map_or_else(|| "this".to_owned(), |value| describe(value));
        match self {
            // What was written is not known any more.
            Self::Text if found == "true" => "true is not a text: YAML reads ON, YES, Y and TRUE as true; \
                put what you mean in quotes, such as \"ON\""
                .to_owned(),
            Self::Text if found == "false" => {
                "false is not a text: YAML reads OFF, NO, N and FALSE as false; \
                put what you mean in quotes, such as \"NO\""
                    .to_owned()
            }
            Self::Text if found.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                format!("{found} is not a text: put it in quotes, \"{found}\"")
            }
            Self::Text => format!("{found} is not a text"),
            Self::Flag => format!("{found} is neither true nor false"),
            Self::List => format!("{found} is not a list"),
            Self::Number => format!("{found} is not a whole number, or too large"),
            Self::Choice(variants) => format!("{found} is not allowed: write {}", variants.replace('`', "")),
            Self::Object if error.contains("invalid type") => format!("{found} is not an object with fields"),
            Self::Object => error.chars().take(256).collect(),
        }
    }
}

/// A scalar as it is, anything else by its kind.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => shown(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn missing_field(error: &str) -> Option<&str> {
    error.strip_prefix("missing field `")?.strip_suffix('`')
}

fn at<'a>(document: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, step| match step {
        Step::Field(key) => value.get_mut(key),
        Step::Item(index) => value.get_mut(index),
    })
}

fn put(document: &mut Value, path: &[Step], value: Value) -> Option<()> {
    match path.split_last() {
        Some((Step::Field(key), parent)) => {
            at(document, parent)?.as_object_mut()?.insert(key.clone(), value);
        }
        Some((Step::Item(_), _)) => *at(document, path)? = value,
        None => *document = value,
    }
    Some(())
}
