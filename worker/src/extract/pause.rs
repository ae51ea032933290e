//! The pause of a whole source that refuses, shared by all who ask it: requests of a schedule, and a stream.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::backoff;

/// Doubled by each further refusal, forgotten with the first answer; when it ends, one request tries. Each clone is the same
/// pause.
///
/// It is this process's: workers behind one address find a ban's end each for itself, so that W of them send W times the
/// trial requests of one. Pauses W times as long would cost no more, but the end of a ban would be found hours late.
#[derive(Debug, Clone, Default)]
pub(super) struct Pause(watch::Sender<State>);

/// How things stand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Pauses since the last answer: after 0, each request is a trial.
    pub(super) refusals: u32,
    /// When the last pause ends or ended.
    pub(super) end: Option<Instant>,
    /// A trial is under way.
    pub(super) is_tried: bool,
}

impl Pause {
    /// Returns how things stand.
    pub(super) fn state(&self) -> State {
        *self.0.borrow()
    }

    /// Hears of what others who ask the source do to the pause.
    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// A request starts; returns whether it is a trial, of whose end [`Self::tried`] must hear.
    pub(super) fn starts(&self) -> bool {
        self.0.send_if_modified(|state| {
            state.is_tried = state.refusals > 0;
            state.is_tried
        })
    }

    /// The trial has ended, however it did.
    pub(super) fn tried(&self) {
        self.0.send_modify(|state| state.is_tried = false);
    }

    /// Begins a pause and returns its length; `None` if the refused request was sent before the pause that is running.
    pub(super) fn refused(&self, now: Instant, retry_after: Option<Duration>) -> Option<Duration> {
        let mut begun = None;
        self.0.send_modify(|state| {
            if let Some(end) = state.end.filter(|end| now < *end) {
                state.end = Some(end.max(now + backoff::at_least(retry_after, Duration::ZERO)));
                return;
            }
            state.refusals = state.refusals.saturating_add(1);
            let pause = backoff::of_source(retry_after, state.refusals);
            state.end = Some(now + pause);
            begun = Some(pause);
        });
        begun
    }

    /// Takes note of an answer; true if it ends the pauses. One to a request from before the pause says nothing.
    pub(super) fn answered(&self, now: Instant) -> bool {
        self.0.send_if_modified(|state| {
            let ends = state.refusals > 0 && state.end.is_none_or(|end| end <= now);
            if ends {
                state.refusals = 0;
            }
            ends
        })
    }

    /// Waits until a request may start. A trial is left to others for `behind` after the pause, or for good if it may not be one.
    pub(super) async fn over(&self, behind: Duration, may_try: bool) {
        let mut changes = self.subscribe();
        loop {
            let State { refusals, end, is_tried } = *changes.borrow_and_update();
            if refusals == 0 {
                return;
            }
            let may_try = may_try && !is_tried;
            let end = end.unwrap_or_else(Instant::now) + behind;
            if may_try && end <= Instant::now() {
                return;
            }
            tokio::select! {
                // The sender is this pause.
                _ = changes.changed() => {}
                () = sleep_until(end), if may_try => {}
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use futures::future::FutureExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn between(wait: Duration, most: u32) -> bool {
        most * SECOND / 2 <= wait && wait <= most * SECOND
    }

    #[test]
    fn requests_refused_together_are_one_refusal_and_only_an_answer_to_a_trial_ends_the_pauses() {
        let (pause, now) = (Pause::default(), Instant::now());
        assert!(between(pause.refused(now, None).unwrap(), 60));
        assert_eq!(pause.refused(now + SECOND, None), None);
        assert!(!pause.answered(now + SECOND), "the request was sent before the pause");
        let hour = 3600 * SECOND;
        assert_eq!(pause.refused(now + SECOND, Some(hour)), None);
        assert_eq!(pause.state().end, Some(now + SECOND + hour), "but what it asks for is heard");
        let later = now + SECOND + hour;
        assert!(between(pause.refused(later, None).unwrap(), 120));
        let trial = pause.state().end.unwrap();
        assert!(pause.answered(trial));
        assert!(!pause.answered(trial), "just once");
        assert!(between(pause.refused(trial, None).unwrap(), 60), "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_tries_and_the_others_wait_for_what_becomes_of_it() {
        let pause = Pause::default();
        assert!(!pause.starts(), "no trial while the source answers");
        pause.refused(Instant::now(), None);
        let other = pause.clone();
        pause.over(5 * SECOND, true).await;
        assert!(Instant::now() >= pause.state().end.unwrap() + 5 * SECOND);
        assert!(pause.starts());
        let mut waiting = Box::pin(other.over(Duration::ZERO, true));
        let mut never_trying = Box::pin(pause.over(Duration::ZERO, false));
        assert!(waiting.as_mut().now_or_never().is_none(), "a trial is under way");
        pause.tried();
        assert!(waiting.as_mut().now_or_never().is_some(), "it said nothing");
        assert!(never_trying.as_mut().now_or_never().is_none());
        pause.answered(Instant::now());
        assert!(never_trying.as_mut().now_or_never().is_some());
    }
}
