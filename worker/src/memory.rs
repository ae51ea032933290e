//! How much memory this process has, and how much its container may have.

use std::fs;

/// Where a container sees the limit of its own control group, in version 2 and in version 1.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Version 1 writes "no limit" as a number beyond any machine.
const NO_LIMIT: i64 = 1 << 50;

/// Returns the resident bytes of this process; 0 where the kernel does not tell.
pub fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kibibytes.and_then(|text| text.parse::<i64>().ok()).map_or(0, |kibibytes| kibibytes.saturating_mul(1024))
}

/// Returns the bytes that the container may have; 0: there is no limit, or it cannot be seen.
pub fn limit() -> i64 {
    let read = |file| fs::read_to_string(file).ok();
    LIMITS.into_iter().find_map(read).map_or(0, |text| parse_limit(&text))
}

/// `max` is no limit.
fn parse_limit(text: &str) -> i64 {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_that_a_machine_may_have() {
        for (text, expected) in
            [("536870912\n", 536_870_912), ("max\n", 0), ("9223372036854771712\n", 0), ("", 0)]
        {
            assert_eq!(parse_limit(text), expected, "{text}");
        }
    }

    #[test]
    fn a_process_has_some_memory() {
        assert!((1 << 20..1 << 40).contains(&resident()), "{}", resident());
    }
}
