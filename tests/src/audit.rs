//! Who wrote what to the API server, and who read Secrets, by its audit log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::Value;

use crate::cluster::Cluster;

/// A request that changed something, or read a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked, as `system:serviceaccount:<namespace>:<name>`.
    pub user: String,
    /// `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// The resource, with its subresource: `stockwatches/status`.
    pub resource: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name; empty where the server chose it.
    pub name: String,
    /// The answer's status.
    pub status: u64,
}

/// The requests since a moment.
#[derive(Debug)]
pub struct Audit {
    log: File,
}

impl Audit {
    /// From now on.
    pub fn begin(cluster: &Cluster) -> Self {
        let mut log = File::open(cluster.directory().join("audit.log")).unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        Self { log }
    }

    /// The requests of one user that were answered since the last look.
    pub fn of(&mut self, user: &str) -> Vec<Request> {
        self.all().into_iter().filter(|request| request.user == user).collect()
    }

    /// Everyone's requests that were answered since the last look.
    pub fn all(&mut self) -> Vec<Request> {
        let mut text = String::new();
        self.log.read_to_string(&mut text).unwrap();
        // The last line may be half written: it is for the next look.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.log.seek_relative(i64::try_from(whole).unwrap() - i64::try_from(text.len()).unwrap()).unwrap();
        text[..whole].lines().map(|line| request(&serde_json::from_str(line).unwrap())).collect()
    }
}

fn request(event: &Value) -> Request {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let sub = object["subresource"].as_str().map_or_else(String::new, |sub| format!("/{sub}"));
    Request {
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        resource: text(&object["resource"]) + &sub,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        status: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
    }
}
