//! Who leads, decided from the Lease as it was read: pure.
//!
//! A holder's time is counted from when this process first saw its last renewal, by this process's own clock: no
//! clock of another machine is believed.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

/// A holder that has not renewed for so long holds nothing any more.
const DURATION: Duration = Duration::from_secs(10);
const DURATION_SECONDS: i32 = 10;
/// A leader gives its last write up by the end of that time; so much later nothing of it is under way.
const MARGIN: Duration = Duration::from_millis(500);

/// What a candidate has seen of a Lease.
#[derive(Debug, Default)]
pub(super) struct Candidate {
    /// Its holder and last renewal, and when this process first saw them.
    seen: Option<(Option<String>, Option<MicroTime>, Duration)>,
    /// When the holder's time is over, and that of its last write.
    until: Option<Duration>,
}

/// What a candidate does now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Another one holds it.
    Wait,
    /// Take it, with this spec.
    Take(LeaseSpec),
}

impl Candidate {
    /// Looks at the Lease as it was read. `now` is this process's [`boot_time`](crate::fence::boot_time).
    pub(super) fn look(&mut self, me: &str, lease: &Lease, now: Duration, time: Timestamp) -> Next {
        let absent = LeaseSpec::default();
        let spec = lease.spec.as_ref().unwrap_or(&absent);
        let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
        let taken = |spec: &LeaseSpec| {
            let transitions = spec.lease_transitions.unwrap_or_default();
            let same = holder == Some(me);
            LeaseSpec {
                lease_transitions: Some(if same { transitions } else { transitions.saturating_add(1) }),
                acquire_time: Some(MicroTime(time)),
                ..held(me, time)
            }
        };
        match holder {
            // A container that was started anew has the name of the one before, which is gone.
            None => return Next::Take(taken(spec)),
            Some(holder) if holder == me => return Next::Take(taken(spec)),
            Some(_) => {}
        }
        let fresh = match &self.seen {
            Some((holder, renewed, _)) => {
                *holder != spec.holder_identity || renewed.as_ref() != spec.renew_time.as_ref()
            }
            None => true,
        };
        if fresh {
            self.seen = Some((spec.holder_identity.clone(), spec.renew_time.clone(), now));
        }
        let length = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let length = length.map_or(DURATION, Duration::from_secs);
        self.until = self.seen.as_ref().map(|(_, _, since)| *since + length + MARGIN);
        match self.until {
            Some(until) if now >= until => Next::Take(taken(spec)),
            _ => Next::Wait,
        }
    }

    /// Returns how long another holder's Lease can remain valid if it is not renewed; `Duration::MAX` before the first look.
    pub(super) fn patience(&self, now: Duration) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_sub(now))
    }
}

/// The spec of a Lease that is held or renewed by `me`.
pub(super) fn held(me: &str, time: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(MicroTime(time)),
        ..LeaseSpec::default()
    }
}

/// The spec of a Lease that anyone may take.
pub(super) fn released(spec: &LeaseSpec, time: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(time)),
        ..spec.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "operator-a";

    fn lease(holder: &str, renewed: i64) -> Lease {
        let time = Timestamp::from_second(renewed).unwrap_or_default();
        Lease {
            spec: Some(LeaseSpec { lease_transitions: Some(3), ..held(holder, time) }),
            ..Lease::default()
        }
    }

    fn look(candidate: &mut Candidate, lease: &Lease, now: u64) -> Next {
        candidate.look(ME, lease, Duration::from_secs(now), Timestamp::UNIX_EPOCH)
    }

    fn transitions(next: &Next) -> Option<i32> {
        match next {
            Next::Take(spec) => spec.lease_transitions,
            Next::Wait => None,
        }
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        for free in [Lease::default(), lease("", 5)] {
            assert!(matches!(look(&mut Candidate::default(), &free, 0), Next::Take(_)));
        }
    }

    #[test]
    fn a_holder_that_renews_keeps_it_whatever_its_clock_says() {
        let mut candidate = Candidate::default();
        for second in 0..100 {
            // Its clock is an hour behind.
            let renewed = lease("operator-b", 1_000_000 - 3600 + i64::try_from(second).unwrap_or_default());
            assert_eq!(look(&mut candidate, &renewed, second), Next::Wait, "{second}");
        }
    }

    #[test]
    fn a_holder_that_is_silent_for_the_whole_time_loses_it() {
        let mut candidate = Candidate::default();
        let silent = lease("operator-b", 7);
        assert_eq!(look(&mut candidate, &silent, 50), Next::Wait);
        assert_eq!(look(&mut candidate, &silent, 60), Next::Wait);
        assert_eq!(candidate.patience(Duration::from_secs(60)), MARGIN);
        assert_eq!(transitions(&look(&mut candidate, &silent, 61)), Some(4));
    }

    #[test]
    fn a_process_started_anew_under_the_same_name_goes_on() {
        assert_eq!(transitions(&look(&mut Candidate::default(), &lease(ME, 7), 0)), Some(3));
    }

    #[test]
    fn a_released_lease_is_free() {
        let spec = lease(ME, 7).spec.unwrap_or_default();
        let free = Lease { spec: Some(released(&spec, Timestamp::UNIX_EPOCH)), ..Lease::default() };
        assert_eq!(
            transitions(&Candidate::default().look(
                "operator-b",
                &free,
                Duration::ZERO,
                Timestamp::UNIX_EPOCH
            )),
            Some(4)
        );
    }
}
