#![allow(clippy::unwrap_used, clippy::panic)]

use clap::CommandFactory;

use super::*;

fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
    let all = ["stockwatch-worker", "run", "--watch-file", "tech.yaml"];
    let parsed = Arguments::try_parse_from(all.iter().chain(arguments))?;
    match parsed.command {
        Command::Run(run) => Ok(*run),
        _ => panic!("run was asked for"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn only_the_stockwatch_must_be_named() {
    let run = run(&[]).unwrap();
    assert_eq!(run.http.to_string(), "[::]:8080");
    assert_eq!(run.credentials, PathBuf::from("/etc/stockwatch/credentials"));
    assert!(Arguments::try_parse_from(["stockwatch-worker", "run"]).is_err());
}

#[test]
fn a_stockwatch_is_a_file_or_a_resource_with_its_uid() {
    let parsed = |arguments: &[&str]| {
        Arguments::try_parse_from(["stockwatch-worker", "run"].iter().chain(arguments)).is_ok()
    };
    assert!(parsed(&["--watch", "default/tech", "--uid", "a"]));
    assert!(!parsed(&["--watch", "default/tech"]));
    assert!(!parsed(&["--watch", "default/tech", "--uid", "a", "--watch-file", "tech.yaml"]));
    assert!(!parsed(&["--watch-file", "tech.yaml", "--uid", "a"]));
    for bad in ["tech", "/tech", "default/", "a/b/c", "Default/tech", "default/tech?x"] {
        assert!(!parsed(&["--watch", bad, "--uid", "a"]), "{bad}");
    }
}

#[test]
fn what_if_takes_many_candidates_and_any_number_of_hours() {
    let parsed = |arguments: &[&str]| {
        Arguments::try_parse_from(["stockwatch-worker", "whatif"].iter().chain(arguments))
    };
    let all = ["--set", "5m=0.2%", "--set", "10m=1", "--sweep", "5m=0.05%..1%", "--since", "7d"];
    let Command::Whatif(whatif) = parsed(&all).unwrap().command else { panic!("whatif was asked for") };
    assert_eq!((whatif.set.len(), whatif.sweep.len()), (2, 1));
    assert_eq!(written_since(whatif.since), "168h");
    for bad in [["--since", "0h"], ["--since", "1"], ["--set", "5m"], ["--sweep", "5m=1%"]] {
        assert!(parsed(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_default_id_is_another_one_each_time_and_may_be_given() {
    let [one, other] = [run(&[]).unwrap().id(), run(&[]).unwrap().id()];
    assert_ne!(one, other);
    assert_eq!(id(&one).unwrap(), one);
    assert_eq!(run(&["--id", "blue-0"]).unwrap().id(), "blue-0");
}

#[test]
fn in_a_pod_tail_needs_only_the_topic() {
    let parsed = |topic| Arguments::try_parse_from(["stockwatch-worker", "tail", topic]);
    for (name, topic) in [("alarms", TailTopic::Alarms), ("dead-letter", TailTopic::DeadLetter)] {
        let Command::Tail(tail) = parsed(name).unwrap().command else { panic!("tail was asked for") };
        assert_eq!((tail.topic, tail.from_beginning, tail.max), (topic, false, None));
        assert_eq!(tail.pod.copies.spec_directory, PathBuf::from(SPEC_DIRECTORY));
    }
    assert!(parsed("raw-input").is_err());
}

#[test]
fn an_id_that_kafka_could_not_use_is_refused() {
    for bad in ["", "a b", "ä", &"x".repeat(129)] {
        assert!(run(&["--id", bad]).is_err(), "{bad}");
    }
}
