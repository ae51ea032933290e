//! The API server's words of one and the same refusal: they carry ports, times and counts that differ each time.

/// `next`, or `before` where both say the same but for numbers: a status that is written differs in what matters.
pub(super) fn unless_said(before: Option<&str>, next: String) -> String {
    match before {
        Some(before) if say_the_same(before, &next) => before.to_owned(),
        _ => next,
    }
}

fn say_the_same(a: &str, b: &str) -> bool {
    const CUT: char = '…';
    let is_cut = a.ends_with(CUT) || b.ends_with(CUT);
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split_whitespace().collect(), b.split_whitespace().collect());
    if !is_cut && a.len() != b.len() {
        return false;
    }
    // The last word may be cut.
    let compared = if is_cut { a.len().min(b.len()).saturating_sub(1) } else { a.len() };
    a.iter().zip(&b).take(compared).all(|(a, b)| a == b || (has_digit(a) && has_digit(b)))
}

fn has_digit(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(before: &str, next: &str) -> bool {
        unless_said(Some(before), next.to_owned()) == before
    }

    #[test]
    fn ports_counts_and_ids_say_nothing_new() {
        for (before, next) in [
            ("read tcp 10.0.0.1:43210->10.0.0.2:443: reset", "read tcp 10.0.0.1:43977->10.0.0.2:443: reset"),
            ("exceeded quota: q, used: count/services=5", "exceeded quota: q, used: count/services=6"),
            ("no (request 3f2a-77)", "no (request 99ab-11)"),
        ] {
            assert!(is_kept(before, next), "{before} {next}");
        }
    }

    #[test]
    fn other_words_do() {
        assert!(!is_kept("admission webhook \"a\" denied the request: no", "exceeded quota: q"));
        assert!(!is_kept("refuses Service tech: no", "refuses Role tech: no"));
        assert!(!is_kept("refuses Service: no", "refuses Service: no at all"));
        assert_eq!(unless_said(None, "no".into()), "no");
    }

    #[test]
    fn where_words_are_cut_the_last_one_may_differ() {
        assert!(is_kept("used 99 of the lim…", "used 100 of the li…"));
        assert!(!is_kept("used 99 of the lim…", "left 99 of the lim…"));
    }
}
