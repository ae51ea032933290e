//! Who wrote what to the API server, and who read Secrets, by its audit log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::wait::{soon, wait_for};

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
    /// The pod whose token it carried; empty for who is no pod.
    pub pod: String,
    /// When the server received it, and when it had answered: RFC 3339, comparable as text.
    pub time: (String, String),
}

impl Request {
    /// Whether it took, kept or released a Lease.
    pub fn leases(&self) -> bool {
        self.resource == "leases" && self.succeeded()
    }

    /// Whether it did what it asked for.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Panics where another of the pods that made these requests acted than the one that held the Lease.
///
/// Who holds the Lease makes requests until another one takes it: after another pod's, the first request of a pod must
/// be one that took the Lease. That a Lease could not be had is no act.
pub fn assert_one_leads(requests: &[Request]) {
    let acts: Vec<&Request> =
        requests.iter().filter(|request| request.resource != "leases" || request.leases()).collect();
    for pair in acts.windows(2) {
        let [before, after] = pair else { continue };
        assert!(
            before.pod == after.pod || after.leases(),
            "{} acted while {} led:\n{after:#?}\nafter\n{before:#?}",
            after.pod,
            before.pod
        );
    }
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

    /// The requests of one user since the last look, once they are as `enough` says.
    pub fn await_of(
        &mut self,
        user: &str,
        what: &str,
        mut enough: impl FnMut(&[Request]) -> bool,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        wait_for(90, what, || {
            requests.extend(self.of(user));
            soon(enough(&requests), (requests.len(), requests.last()))
        });
        requests
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
        pod: text(&event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]),
        time: (text(&event["requestReceivedTimestamp"]), text(&event["stageTimestamp"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(made: &[(&str, &str, u64)]) -> Vec<Request> {
        let request = |(pod, resource, status): &(&str, &str, u64)| Request {
            user: String::new(),
            verb: "patch".into(),
            resource: (*resource).into(),
            namespace: String::new(),
            name: String::new(),
            status: *status,
            pod: (*pod).into(),
            time: (String::new(), String::new()),
        };
        made.iter().map(request).collect()
    }

    #[test]
    fn leaders_one_after_another_are_right_and_a_lease_that_one_could_not_have_is_no_act() {
        assert_one_leads(&requests(&[
            ("a", "leases", 201),
            ("a", "deployments", 200),
            ("b", "leases", 200),
            ("a", "leases", 409),
            ("b", "stockwatches/status", 409),
            ("a", "leases", 200),
            ("a", "events", 201),
        ]));
    }

    #[test]
    #[should_panic(expected = "a acted while b led")]
    fn a_request_of_a_former_leader_is_wrong_even_if_it_was_refused() {
        assert_one_leads(&requests(&[
            ("a", "leases", 200),
            ("b", "leases", 200),
            ("a", "stockwatches/status", 409),
        ]));
    }
}
