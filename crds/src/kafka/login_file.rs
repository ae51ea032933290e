//! Who logs in, and by what, in one value of a Secret, as Confluent for Kubernetes has them.

/// A key of a Secret whose value has both who logs in and by what, in a line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFile {
    /// A user's name and password.
    Plain,
    /// An OAuth client's id and secret.
    OAuth,
}

impl LoginFile {
    /// The Secret's key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain.txt",
            Self::OAuth => "oauth.txt",
        }
    }

    /// Of a text that cannot be read: what it lacks.
    pub const fn lacks(self) -> &'static str {
        match self {
            Self::Plain => "has no lines username=… and password=…",
            Self::OAuth => "has no lines clientId=… and clientSecret=…",
        }
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("username", "password"),
            Self::OAuth => ("clientId", "clientSecret"),
        }
    }

    /// Returns who logs in and by what; `None` where a line of them is missing or empty. The lines are as Java's properties
    /// have them, since Confluent's own clients read them so: a backslash stands before what is meant as it is. Letters by
    /// their number (`\u00e9`) and lines that go on are not read.
    pub fn read(self, text: &str) -> Option<(String, String)> {
        // Of two lines of one name the last one counts.
        let value = |name: &str| text.lines().rev().find_map(|line| named(line, name)).and_then(unescaped);
        let (user, password) = self.names();
        Some((value(user)?, value(password)?))
    }
}

/// What a line has for this name.
fn named<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == name).then(|| value.trim_start())
}

fn unescaped(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        let meant = match letter {
            '\\' => match letters.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\x0c',
                'u' => return None,
                other => other,
            },
            other => other,
        };
        text.push(meant);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String)> {
        LoginFile::Plain.read(text)
    }

    #[test]
    fn both_lines_are_read_whatever_their_order_and_what_is_around_them() {
        let expected = Some(("kafka".to_owned(), "pa=ss word".to_owned()));
        for text in [
            "username=kafka\npassword=pa=ss word\n",
            "password = pa=ss word\r\nusername = kafka\r\n",
            "# of the brokers\npassword=old\n\n  username=kafka\n  password=pa=ss word",
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_backslash_stands_before_what_is_meant_as_it_is() {
        let read = read("username=a\\=b\npassword=c\\\\d\\:\\te");
        assert_eq!(read, Some(("a=b".to_owned(), "c\\d:\te".to_owned())));
    }

    #[test]
    fn a_client_is_read_by_its_own_lines() {
        let text = "clientId=worker\nclientSecret=s3\nusername=kafka\npassword=p\n";
        assert_eq!(LoginFile::OAuth.read(text), Some(("worker".to_owned(), "s3".to_owned())));
        assert_eq!(LoginFile::OAuth.read("username=kafka\npassword=p"), None);
    }

    #[test]
    fn what_lacks_one_of_them_is_none() {
        for text in [
            "",
            "username=kafka",
            "password=secret",
            "username=\npassword=secret",
            "username=kafka\npassword=",
            "#username=kafka\npassword=secret",
            "username=kafka\npassword=s\\u00e9",
            "username=kafka\npassword=goes on\\",
            "user: kafka",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
