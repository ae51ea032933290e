//! The same, by workers that begin anew in the middle of it.

use super::*;

#[test]
fn thirty_days_of_restarts_give_no_false_alarm() {
    for market in markets() {
        let mut world = World::new(vec![market], day(10, 12));
        // At all times of the day, by and by.
        for _ in 0..30 * 24 * 60 / 301 {
            world.honest(301);
            world.restart();
        }
    }
}

#[test]
fn a_worker_that_begins_in_the_middle_of_trouble_says_what_the_one_before_did() {
    for market in [new_york(), xetra(), tokyo(), crypto()] {
        let frozen = market.newest(World::on_thursday(&market).now);
        let wrong: [(&Answer<'_>, FlowReason); 7] = [
            (&|_, _| Err(FetchOutcome::RateLimited), FlowReason::RateLimited),
            (&|_, _| Err(FetchOutcome::Refused), FlowReason::AllRefused),
            (&|_, _| Err(FetchOutcome::Timeout), FlowReason::NoQuotes),
            (&|_, _| Err(FetchOutcome::NotFound), FlowReason::NoQuotes),
            (&|_, event| Ok(event - DAY), FlowReason::StaleQuotes),
            (&|_, event| Ok(event - 8 * DAY), FlowReason::StaleQuotes),
            (&|_, _| Ok(frozen), FlowReason::NoQuotes),
        ];
        for (answer, expected) in wrong {
            let mut world = World::on_thursday(&market);
            assert_eq!(world.turns(false, answer).1, expected, "{}", market.name);
            for _ in 0..3 {
                world.restart();
                world.said.clear();
                (0..10).for_each(|_| world.minute(answer));
                assert!(world.said.iter().all(|said| *said == expected), "{}: {:?}", market.name, world.said);
            }
            world.restart();
            assert!(world.turns(true, &|_, event| Ok(event)).0 <= 5, "{}", market.name);
        }
    }
}

#[test]
fn a_soft_ban_of_days_is_said_by_all_workers_that_begin_in_it() {
    for market in [new_york(), xetra(), tokyo(), crypto()] {
        let mut world = World::on_thursday(&market);
        let eight_days_old: &Answer<'_> = &|_, event| Ok(event - 8 * DAY);
        world.turns(false, eight_days_old);
        world.said.clear();
        for minute in 0..6 * 24 * 60 {
            if minute % 407 == 0 {
                world.restart();
            }
            world.minute(eight_days_old);
        }
        assert!(world.said.iter().all(|said| *said == FlowReason::StaleQuotes), "{}", market.name);
    }
}

#[test]
fn a_feed_that_stands_still_for_days_is_never_said_to_flow_by_workers_that_begin_in_it() {
    for market in [new_york(), xetra(), tokyo(), crypto()] {
        let mut world = World::on_thursday(&market);
        let frozen = market.newest(world.now);
        world.turns(false, &|_, _| Ok(frozen));
        world.said.clear();
        for minute in 0..13 * 24 * 60 {
            if minute % 407 == 0 {
                world.restart();
            }
            world.minute(&|_, _| Ok(frozen));
        }
        assert!(!world.said.contains(&FlowReason::Flowing), "{}", market.name);
        assert_eq!(world.said.last(), Some(&FlowReason::StaleQuotes), "{}", market.name);
    }
}
