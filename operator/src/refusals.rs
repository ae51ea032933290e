//! What the API server refuses, in its own words, and when it is asked again: policies and quotas go away without a word.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::core::Status;
use stockwatch_crds::Backoff;
use tokio::time::Instant;

use crate::key::Key;
use crate::metrics::Write;
use crate::resources::Kind;

/// The wait while the obstacle is new: its end is noticed within a minute.
const RETRY: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(40));
/// An obstacle of this age is there to stay.
const OLD: Duration = Duration::from_secs(3600);
/// The wait from then on.
const RARELY: Duration = Duration::from_secs(300);
/// Of the API server's own words, in characters.
const WORDS: usize = 512;

/// A request that the API server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status of the answer.
    pub code: u16,
    /// The API server's own words, cut to a bounded length.
    pub words: String,
    /// When it is tried again, unless something else is wanted before.
    pub retry: Instant,
}

impl Refusal {
    /// What an answer says, with the time of the next try.
    pub fn of(status: &Status, retry: Instant) -> Self {
        Self { code: status.code, words: cut(&status.message), retry }
    }

    /// How long until it is tried again.
    pub fn wait(&self) -> Duration {
        self.retry.saturating_duration_since(Instant::now())
    }
}

/// Whether an answer says no to what was asked, rather than that the API server cannot answer just now.
pub fn is_refusal(status: &Status) -> bool {
    // Webhooks and policies choose the code themselves, one that is otherwise transient too.
    if ["denied the request", "denied request"].iter().any(|words| status.message.contains(words)) {
        return true;
    }
    match status.code {
        // Our credentials, the object that is gone, a timeout, a conflict, too many requests.
        401 | 404 | 408 | 409 | 429 => false,
        // Everything in a namespace that is being deleted is about to go.
        400..500 => !status.details.iter().flat_map(|details| &details.causes).any(is_end_of_namespace),
        // A webhook that does not work, or no address left for a Service; but etcd's elections pass.
        500 => !status.message.contains("etcdserver"),
        _ => false,
    }
}

fn is_end_of_namespace(cause: &kube::core::response::StatusCause) -> bool {
    cause.reason == "NamespaceTerminating"
}

/// Returns the wait after `refusals` in a row, at least one, the first of them `age` ago.
fn wait(refusals: u32, age: Duration) -> Duration {
    if age >= OLD { RARELY } else { RETRY.after(refusals, 0.0) }
}

/// Somebody else's words, at a length that a condition has room for.
pub(crate) fn cut(words: &str) -> String {
    cut_to(words, WORDS)
}

/// The same at a length of its own, in characters.
pub(crate) fn cut_to(words: &str, most: usize) -> String {
    match words.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// A request of which only one form is wanted at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Whose.
    pub(crate) key: Key,
    /// What is done.
    pub(crate) write: Write,
    /// To which of its objects; `None`: to the StockWatch itself.
    pub(crate) kind: Option<Kind>,
}

/// The refusals that stand.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<Request, Standing>>);

#[derive(Debug)]
struct Standing {
    /// What was asked: another form is tried at once.
    form: String,
    since: Instant,
    count: u32,
    last: Refusal,
}

impl Refusals {
    /// Why the request is not made now.
    pub(crate) fn standing(&self, request: &Request, form: &str, now: Instant) -> Option<Refusal> {
        let known = self.lock();
        let standing =
            known.get(request).filter(|standing| standing.form == form && now < standing.last.retry)?;
        Some(standing.last.clone())
    }

    /// The request was refused.
    pub(crate) fn note(&self, request: Request, form: &str, status: &Status, now: Instant) -> Refusal {
        let mut known = self.lock();
        let before = known.remove(&request).filter(|before| before.form == form);
        let (since, count) = before.map_or((now, 0), |before| (before.since, before.count));
        let count = count.saturating_add(1);
        let last = Refusal::of(status, now + wait(count, now.duration_since(since)));
        known.insert(request, Standing { form: form.to_owned(), since, count, last: last.clone() });
        last
    }

    /// The request was granted.
    pub(crate) fn end(&self, request: &Request) {
        self.lock().remove(request);
    }

    /// The StockWatch is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().retain(|request, _| request.key != *key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Request, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    const FIRST: Duration = Duration::from_secs(10);

    fn status(code: u16, message: &str) -> Status {
        serde_json::from_value(json!({"status": "Failure", "code": code, "message": message, "reason": ""}))
            .unwrap()
    }

    fn request() -> Request {
        Request { key: Key::new("market", "tech"), write: Write::Apply, kind: Some(Kind::Service) }
    }

    #[test]
    fn a_no_to_what_was_asked_is_a_refusal() {
        for (code, message) in [
            (403, "services \"tech-stockwatch\" is forbidden: exceeded quota: none"),
            (400, "admission webhook \"a.b.c\" denied the request: no"),
            (422, "Service \"tech-stockwatch\" is invalid"),
            (500, "Internal error occurred: failed calling webhook \"a.b.c\": connection refused"),
            (409, "admission webhook \"a.b.c\" denied the request: busy"),
            (503, "admission webhook \"a.b.c\" denied the request: not now"),
            (401, "ValidatingAdmissionPolicy 'a' with binding 'a' denied request: who are you"),
            (413, "request entity too large"),
        ] {
            assert!(is_refusal(&status(code, message)), "{code} {message}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_none() {
        for (code, message) in [
            (401, "Unauthorized"),
            (404, "not found"),
            (409, "the object has been modified"),
            (429, "too many requests"),
            (500, "etcdserver: leader changed"),
            (502, "bad gateway"),
            (503, "the server is currently unable to handle the request"),
            (504, "Timeout: request did not complete within the allotted timeout"),
        ] {
            assert!(!is_refusal(&status(code, message)), "{code} {message}");
        }
        let ends: Value = json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "message": "it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]},
        });
        assert!(!is_refusal(&serde_json::from_value(ends).unwrap()));
    }

    #[test]
    fn the_end_of_an_obstacle_of_less_than_an_hour_is_noticed_within_a_minute() {
        let (mut at, mut tries, mut waits) = (Duration::ZERO, 1, Vec::new());
        while at < OLD {
            let wait = wait(tries, at);
            assert!(wait < Duration::from_secs(60), "asked at {at:?}, then only {wait:?} later");
            waits.push(wait.as_secs());
            at += wait;
            tries += 1;
        }
        assert_eq!(waits[..4], [10, 20, 40, 40]);
        assert_eq!(wait(tries, at), RARELY);
        assert_eq!(wait(u32::MAX, OLD * 100), RARELY);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_asked_again_before_its_time() {
        let (refusals, no) = (Refusals::default(), status(403, "no"));
        let begin = Instant::now();
        assert_eq!(refusals.standing(&request(), "a", begin), None);
        let first = refusals.note(request(), "a", &no, begin);
        assert_eq!(first.wait(), FIRST);
        assert_eq!(refusals.standing(&request(), "a", begin + FIRST / 2), Some(first));
        assert_eq!(refusals.standing(&request(), "a", begin + FIRST), None);
        let second = refusals.note(request(), "a", &no, begin + FIRST);
        assert_eq!(second.retry, begin + FIRST + 2 * FIRST);
        refusals.end(&request());
        assert_eq!(refusals.note(request(), "a", &no, begin).wait(), FIRST, "another obstacle");
    }

    #[tokio::test(start_paused = true)]
    async fn another_form_is_asked_at_once_and_begins_anew() {
        let (refusals, no) = (Refusals::default(), status(422, "no"));
        let now = Instant::now();
        refusals.note(request(), "a", &no, now);
        refusals.note(request(), "a", &no, now);
        assert_eq!(refusals.standing(&request(), "b", now), None);
        assert_eq!(refusals.note(request(), "b", &no, now).wait(), FIRST);
        let other = Request { kind: Some(Kind::Role), ..request() };
        assert_eq!(refusals.standing(&other, "b", now), None);
        refusals.forget(&request().key);
        assert_eq!(refusals.standing(&request(), "b", now), None);
    }

    #[test]
    fn words_are_bounded() {
        let refusals = Refusals::default();
        let words = refusals.note(request(), "a", &status(400, &"ä".repeat(9999)), Instant::now()).words;
        assert_eq!(words.chars().count(), WORDS + 1);
        assert!(words.ends_with("ä…"));
    }
}
