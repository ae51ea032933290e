//! The worker's HTTP endpoints.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::program::Program;

/// Returns the body of an answer whose status is 200.
pub(crate) fn get(at: impl ToSocketAddrs, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1)?.eq("200").then(|| body.to_owned())
}

/// A worker of this machine.
fn local(port: u16) -> (&'static str, u16) {
    ("127.0.0.1", port)
}

/// Waits until `/readyz` answers 200; returns that moment.
pub(crate) fn ready(program: &mut Program, port: u16, limit: Duration) -> Result<Instant> {
    until("/readyz", limit, || Ok(get(local(port), "/readyz").is_some()), program)
}

/// Waits until it computes with a generation; gives the moment.
pub(crate) fn applied(program: &mut Program, port: u16, generation: u64, limit: Duration) -> Result<Instant> {
    let path = format!("/config?generation={generation}&wait=1s");
    let applied = format!(r#""appliedGeneration":{generation},"#);
    let reached = || Ok(get(local(port), &path).is_some_and(|answer| answer.contains(&applied)));
    until(&path, limit, reached, program)
}

/// Waits until a metric, summed over its labels, is `value`.
pub(crate) fn metric_is(
    program: &mut Program,
    port: u16,
    name: &str,
    value: f64,
    limit: Duration,
) -> Result<Instant> {
    metric_until(program, port, name, limit, |seen| seen == value)
}

/// Waits until a metric, summed over its labels, is as wanted.
pub(crate) fn metric_until(
    program: &mut Program,
    port: u16,
    name: &str,
    limit: Duration,
    is_wanted: impl Fn(f64) -> bool,
) -> Result<Instant> {
    until(name, limit, || Ok(metric(port, name).is_some_and(&is_wanted)), program)
}

/// A metric, summed over its labels.
pub(crate) fn metric(port: u16, name: &str) -> Option<f64> {
    let values: Vec<f64> = get(local(port), "/metrics")?
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn until(
    what: &str,
    limit: Duration,
    reached: impl Fn() -> Result<bool>,
    program: &mut Program,
) -> Result<Instant> {
    let started = Instant::now();
    while started.elapsed() < limit {
        program.check()?;
        if reached()? {
            return Ok(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(format!("the worker does not reach {what} within {limit:?}").into())
}
