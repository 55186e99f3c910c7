//! Glob patterns as `KEYS`, `SCAN` and `CONFIG GET` understand them.

/// How letters compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    Insensitive,
}

/// Whether `pattern` (`*`, `?`, `[a-z]`, `[^a]`, `\` for the next character itself) describes the whole of `text`.
///
/// Only the last `*` is ever retried, so that no pattern takes more than `pattern × text` steps.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if let Some(used) = match_one(&pattern[p..], text[t], case) {
            p += used;
            t += 1;
            continue;
        }
        let Some((after_star, star_text)) = retry else { return false };
        retry = Some((after_star, star_text + 1));
        p = after_star;
        t = star_text + 1;
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// How many bytes of the pattern describe `byte`, if its first element does.
fn match_one(pattern: &[u8], byte: u8, case: Case) -> Option<usize> {
    let fold = |byte: u8| if case == Case::Insensitive { byte.to_ascii_lowercase() } else { byte };
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let (inside, used) = match_set(rest, fold(byte), fold);
            inside.then_some(used + 1)
        }
        [b'\\', literal, ..] => (fold(*literal) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// Whether the set that starts after `[` holds `byte`, and its length with the closing bracket.
fn match_set(set: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut inside = false;
    loop {
        match &set[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                inside |= fold(*literal) == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (low, high) = (fold(*from).min(fold(*to)), fold(*from).max(fold(*to)));
                inside |= (low..=high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                inside |= fold(*literal) == byte;
                at += 1;
            }
        }
    }
    (inside != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive)
    }

    #[test]
    fn patterns_describe_whole_texts() {
        for (pattern, text) in [
            ("*", ""),
            ("cache:*", "cache:17"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("[a-c]*[x-z]", "b--y"),
            ("\\*", "*"),
            ("a*b*c", "a1b2b3c"),
        ] {
            assert!(is_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("h?llo", "hllo"), ("h[^e]llo", "hello"), ("\\*", "a"), ("a*b", "a")]
        {
            assert!(!is_match(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_adversarial_pattern_takes_no_exponential_time() {
        let pattern = "a*".repeat(50) + "b";
        assert!(!is_match(&pattern, &"a".repeat(5000)));
    }

    #[test]
    fn letters_fold_on_request() {
        assert!(matches(b"MAX*", b"maxclients", Case::Insensitive));
        assert!(!matches(b"MAX*", b"maxclients", Case::Sensitive));
    }
}
