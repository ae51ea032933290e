//! Times and texts as a status has them.

use k8s_openapi::jiff::Timestamp;

/// Seconds since 1970 as RFC 3339; a time before 1970, or out of range, as 1970.
pub(super) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds.max(0)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// The text, or as many of its characters as a status has room for: reports are what others answer.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
