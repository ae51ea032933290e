//! Answers of HTTP servers that tests play, good and bad ones.

use std::io::{self, Write};
use std::time::Duration;

/// One answer, byte for byte.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, further header lines, body.
    Whole(u16, &'static str, String),
    /// Status 200 with a body that ends before its announced length.
    CutOff(String),
    /// A body of spaces that never ends.
    Endless,
    /// A byte now and then: the connection is alive, but the answer does not get there.
    Slow,
    /// The connection stays open and silent.
    Silence,
    /// The connection is closed without an answer.
    Close,
}

impl Answer {
    /// A body of JSON with status 200.
    pub fn json(body: impl Into<String>) -> Self {
        Self::Whole(200, "Content-Type: application/json", body.into())
    }

    /// Writes it; the connection is to be closed after that.
    pub(crate) fn write(self, connection: &mut impl Write) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\nConnection: close\r\n\r\n";
        match self {
            Self::Whole(status, headers, body) => {
                let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
                let length = body.len();
                write!(
                    connection,
                    "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
            }
            Self::CutOff(body) => write!(connection, "{head}{body}"),
            Self::Endless => {
                let spaces = " ".repeat(1 << 16);
                write!(connection, "{head}")?;
                while connection.write_all(spaces.as_bytes()).is_ok() {}
                Ok(())
            }
            Self::Slow => {
                write!(connection, "{head}")?;
                while connection.write_all(b" ").is_ok() {
                    std::thread::park_timeout(Duration::from_millis(200));
                }
                Ok(())
            }
            Self::Silence => loop {
                std::thread::park();
            },
            Self::Close => Ok(()),
        }
    }
}
