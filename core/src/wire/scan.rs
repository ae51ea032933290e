//! The usual quote, read in one pass: a flat object of plain strings, numbers and words.
//!
//! Anything else (escapes, nesting, errors) is left to `serde_json`, which also says what is wrong.
//! This takes a third of its time, which is most of what computing a quote costs.

/// The fields of a flat object that matter, as written; values keep their quotes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flat<'a> {
    pub(crate) entity: Option<&'a str>,
    pub(crate) price: Option<&'a str>,
    pub(crate) time: Option<&'a str>,
    pub(crate) symbol: Option<&'a str>,
    pub(crate) currency: Option<&'a str>,
    pub(crate) marked: bool,
}

/// The fields of `text`, if it is a flat object as JSON has it; of a name written twice the last one counts.
pub(crate) fn flat(text: &str) -> Option<Flat<'_>> {
    let mut found = Flat::default();
    let mut at = Cursor { text, at: 0 };
    at.space();
    at.byte(b'{')?;
    at.space();
    if at.byte(b'}').is_none() {
        loop {
            let name = at.string()?;
            at.space();
            at.byte(b':')?;
            at.space();
            let value = at.value()?;
            match name {
                "\"entityname\"" => found.entity = Some(value),
                "\"currentstockprice\"" => found.price = Some(value),
                "\"lastupdatedate\"" => found.time = Some(value),
                "\"symbol\"" => found.symbol = Some(value),
                "\"currency\"" => found.currency = Some(value),
                "\"isduplicate\"" => found.marked = true,
                _ => {}
            }
            at.space();
            if at.byte(b',').is_none() {
                break;
            }
            at.space();
        }
        at.byte(b'}')?;
    }
    at.space();
    (at.at == text.len()).then_some(found)
}

/// Bytes that stand for themselves in a string. Strings are most of a quote, and one look is less than three comparisons.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().position(|b| !wanted(*b)).unwrap_or(rest.len());
        self.at += count;
        count
    }

    fn space(&mut self) {
        // Mostly there is none.
        if self.peek().is_none_or(|b| b > b' ') {
            return;
        }
        self.skip(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn since(&self, from: usize) -> Option<&'a str> {
        self.text.get(from..self.at)
    }

    /// A string without escapes, quotes included.
    fn string(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.byte(b'"')?;
        self.skip(|b| PLAIN[usize::from(b)]);
        self.byte(b'"')?;
        self.since(from)
    }

    fn value(&mut self) -> Option<&'a str> {
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => ["true", "false", "null"].into_iter().find(|w| self.text[self.at..].starts_with(w)).inspect(
                |w| {
                    self.at += w.len();
                },
            ),
        }
    }

    fn number(&mut self) -> Option<&'a str> {
        let from = self.at;
        let _ = self.byte(b'-');
        if self.byte(b'0').is_none() {
            self.digits()?;
        }
        if self.byte(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.since(from)
    }

    fn digits(&mut self) -> Option<()> {
        (self.skip(|b| b.is_ascii_digit()) > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let text = " { \"x\" : null, \"lastupdatedate\":1e3 ,\"entityname\":\"ä\",\"currentstockprice\":-0.5,\"isduplicate\":true}\n";
        let found = Flat {
            entity: Some("\"ä\""),
            price: Some("-0.5"),
            time: Some("1e3"),
            marked: true,
            ..Flat::default()
        };
        assert_eq!(flat(text), Some(found));
        assert_eq!(flat("{}"), Some(Flat::default()));
    }

    proptest! {
        #[test]
        fn what_it_takes_is_json(text in r#"[ ]?\{("[a-z\\"]{0,3}"[ ]?:[ ]?("[a-zé\\]{0,3}"|-?[0-9.eE+-]{0,4}|true|nul{1,2}|\[\]),?){0,3}\}?[ }]?"#) {
            if flat(&text).is_some() {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn it_takes_every_flat_object_without_escapes(fields in prop::collection::btree_map("[a-z]{1,4}", any::<f64>(), 0..4)) {
            let text = serde_json::to_string(&fields).unwrap_or_default();
            prop_assert!(flat(&text).is_some(), "{}", text);
        }
    }
}
