//! The events of a watch: one JSON object a line, in an answer that does not end by itself.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::Document;
use super::error::MAX_LINE;
use super::error::{ApiError, EventError};

/// What a watch tells.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// This is how the StockWatch is now.
    Is(Box<Document>),
    /// It was deleted.
    Deleted,
}

#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

/// The events of one watch.
#[derive(Debug)]
pub struct Events {
    answer: reqwest::Response,
    lines: Lines,
}

impl Events {
    pub(super) fn new(answer: reqwest::Response) -> Self {
        Self { answer, lines: Lines::default() }
    }

    /// The next one; `None` at the watch's end. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            while let Some(line) = self.lines.next() {
                if let Some(event) = event(&line)? {
                    return Ok(Some(event));
                }
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.lines.add(&chunk)?,
                None => return Ok(None),
            }
        }
    }
}

/// Cuts pieces into lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    /// So many bytes of the rest have no line end.
    searched: usize,
}

impl Lines {
    fn add(&mut self, piece: &[u8]) -> Result<(), EventError> {
        if self.rest.len() + piece.len() > MAX_LINE {
            return Err(EventError::TooLong);
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        match self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let after = self.rest.split_off(self.searched + end + 1);
                self.searched = 0;
                Some(std::mem::replace(&mut self.rest, after))
            }
            None => {
                self.searched = self.rest.len();
                None
            }
        }
    }
}

/// `None` for a line that tells nothing.
fn event(line: &[u8]) -> Result<Option<Event>, EventError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Line { kind, object } = serde_json::from_slice(line)?;
    Ok(match kind {
        "ADDED" | "MODIFIED" => Some(Event::Is(serde_json::from_str(object.get())?)),
        "DELETED" => Some(Event::Deleted),
        "ERROR" => {
            let Status { message } = serde_json::from_str(object.get())?;
            return Err(EventError::Ended(message));
        }
        // Bookmarks, and what is yet to come.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::document::tests::document;
    use super::*;

    fn line(kind: &str) -> String {
        let object = serde_json::to_string(&document("a", 3, "1%")).unwrap();
        format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
    }

    #[test]
    fn events_come_out_of_pieces_of_any_length() {
        let text = [line("ADDED"), "\n".into(), line("BOOKMARK"), line("MODIFIED"), line("DELETED")].concat();
        for length in [1, 7, 100, text.len()] {
            let (mut lines, mut events) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(length) {
                lines.add(piece).unwrap();
                while let Some(line) = lines.next() {
                    events.extend(event(&line).unwrap());
                }
            }
            let is = || Event::Is(Box::new(document("a", 3, "1%")));
            assert_eq!(events, [is(), is(), Event::Deleted], "pieces of {length}");
        }
    }

    #[test]
    fn an_error_of_the_server_ends_the_watch_with_its_words() {
        let text = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
        let error = event(text.as_bytes()).unwrap_err();
        assert!(error.to_string().ends_with("too old"), "{error}");
        assert!(event(b"{").is_err());
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut lines = Lines::default();
        let piece = vec![b' '; MAX_LINE / 2];
        lines.add(&piece).unwrap();
        lines.add(&piece).unwrap();
        assert!(matches!(lines.add(b" "), Err(EventError::TooLong)));
    }
}
