//! The patterns with which a class says what it allows.

/// Whether `text` is matched by `pattern`, in which `*` stands for any run of characters, the empty one included.
///
/// The whole text must match: `n1-*` matches `n1-standard-4`, and not `xn1-standard-4`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether any of `patterns` matches `text`.
pub fn any_matches<'a>(patterns: impl IntoIterator<Item = &'a String>, text: &str) -> bool {
    patterns.into_iter().any(|pattern| matches(pattern, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "anything"),
            ("n1-*", "n1-standard-4"),
            ("n1-*", "n1-"),
            ("*-standard-*", "n1-standard-4"),
            ("a*b*c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("n1-standard-4", "n1-standard-4"),
            ("*@p.iam.gserviceaccount.com", "nb@p.iam.gserviceaccount.com"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn the_whole_text_must_match() {
        for (pattern, text) in [
            ("", "x"),
            ("n1-*", "xn1-standard-4"),
            ("n1", "n1-standard-4"),
            ("*-4", "n1-standard-4x"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("a*b*c", "ac"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
