//! JSON Pointers (RFC 6901) in which a ticker may stand.

use crate::limits::MAX_POINTER;
use crate::problem::shown;

/// What stands for a ticker in a URL or a pointer.
pub(crate) const SYMBOL: &str = "{symbol}";

/// The steps from a JSON value to one within it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer {
    /// Unescaped; none: the value itself.
    steps: Vec<String>,
}

impl Pointer {
    /// Reads `/a/0/b`; `""` is the value itself.
    ///
    /// # Errors
    /// A sentence that says what a pointer is.
    ///
    /// ```
    /// use stockwatch_crds::Pointer;
    ///
    /// let pointer = Pointer::parse("/trades/{symbol}/a~1b~0c")?;
    /// assert_eq!(pointer.steps("BTC/USD").collect::<Vec<_>>(), ["trades", "BTC/USD", "a/b~c"]);
    /// assert!(Pointer::parse("trades").is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is not a JSON Pointer (RFC 6901): /key for each step is allowed, at most {MAX_POINTER} characters \
                 altogether, such as /data/price or /0/price; in a key ~ is ~0 and / is ~1",
                shown(text)
            )
        };
        if text.chars().count() > MAX_POINTER {
            return Err(wrong());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() { Ok(Self::default()) } else { Err(wrong()) };
        };
        let steps: Option<Vec<String>> = rest.split('/').map(unescaped).collect();
        Ok(Self { steps: steps.ok_or_else(wrong)? })
    }

    /// Returns the steps of a ticker's value: its symbol takes the place of `{symbol}`, and needs no escapes.
    pub fn steps<'a>(&'a self, symbol: &'a str) -> impl Iterator<Item = String> + 'a {
        self.steps.iter().map(|step| step.replace(SYMBOL, symbol))
    }

    /// True of `""`.
    pub(crate) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// True if another ticker's value lies elsewhere.
    pub(crate) fn has_symbol(&self) -> bool {
        self.steps.iter().any(|step| step.contains(SYMBOL))
    }
}

/// `None` if a `~` is followed by neither `0` nor `1`.
fn unescaped(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text)
}
