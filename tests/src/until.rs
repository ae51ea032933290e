//! What an object of the API server is awaited to be.

use std::fmt::Display;

use serde_json::{Value, json};

/// Whether an object, if there is one, is as it shall be.
type Holds = dyn Fn(Option<&Value>) -> bool + Send + Sync;

/// A state of an object.
pub struct Until {
    what: String,
    holds: Box<Holds>,
}

impl Until {
    fn new(what: impl Display, holds: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        Self { what: what.to_string(), holds: Box::new(move |object| object.is_some_and(&holds)) }
    }

    /// Its condition `Ready` is true, and of its generation: as `kubectl wait --for=condition=Ready` has it.
    pub fn ready() -> Self {
        Self::new("Ready", |object| {
            let ready = condition(object, "Ready");
            let observed = |by: &Value| by.as_u64().unwrap_or(u64::MAX);
            ready["status"] == "True"
                && observed(&ready["observedGeneration"])
                    >= object["metadata"]["generation"].as_u64().unwrap_or(0)
        })
    }

    /// A condition has a reason.
    pub fn because(kind: &'static str, reason: &str) -> Self {
        let expected = json!(reason);
        Self::new(format!("{kind} because of {reason}"), move |object| {
            condition(object, kind)["reason"] == expected
        })
    }

    /// A condition has a status: `True`, `False` or `Unknown`.
    pub fn condition(kind: &'static str, status: &str) -> Self {
        let expected = json!(status);
        Self::new(format!("{kind}={status}"), move |object| condition(object, kind)["status"] == expected)
    }

    /// A field of the status has a value.
    pub fn status(field: &'static str, expected: impl Into<Value>) -> Self {
        let expected = expected.into();
        Self::new(format!("with {field} {expected}"), move |object| object["status"][field] == expected)
    }

    /// Every ready worker computes with a generation.
    pub fn applied(generation: u64) -> Self {
        Self::status("appliedGeneration", generation)
    }

    /// All that the edit of a generation would have changed is known.
    pub fn evaluated(generation: u64) -> Self {
        let expected = json!(generation);
        Self::new(format!("with the edit {generation} evaluated"), move |object| {
            let edit = &object["status"]["lastEdit"];
            edit["generation"] == expected && edit["complete"] == true
        })
    }

    /// There is no such object.
    pub fn gone() -> Self {
        Self { what: "gone".into(), holds: Box::new(|object| object.is_none()) }
    }

    pub(crate) fn holds(&self, object: Option<&Value>) -> bool {
        (self.holds)(object)
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }
}

/// A condition of an object's status; null where it has none of that type.
pub fn condition<'o>(object: &'o Value, kind: &str) -> &'o Value {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|said| said["type"] == kind).unwrap_or(&Value::Null)
}
