//! Texts that others wrote, as one line of a log or a terminal shows them.

/// What is repeated of a text that others wrote is a part of a line.
const MAX_SAID_CHARS: usize = 200;

/// Returns the beginning of a text that others wrote, as a line shows it.
pub(super) fn short(text: &str) -> String {
    let start: String = text.chars().take(MAX_SAID_CHARS).collect();
    printable(&start).chars().take(MAX_SAID_CHARS).collect()
}

/// Returns a text with all characters escaped that a terminal obeys or that nobody sees.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}
