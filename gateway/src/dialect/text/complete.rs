//! JSON that was cut off somewhere, completed so that a parser takes it.

/// What the text is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where a value or a key may come, or after one.
    Between,
    Key,
    Text,
}

/// `json` up to where it is whole, its last text included as far as it goes, with all brackets closed.
pub(super) fn completed(json: &str) -> String {
    let mut closers = Vec::new();
    let mut place = Place::Between;
    // Up to here it could end, were the brackets closed.
    let mut whole = 0;
    // In an object, before a colon.
    let mut is_key_next = false;
    let mut escape = None;
    for (at, byte) in json.bytes().enumerate() {
        match (place, byte) {
            (Place::Between, b'"') if is_key_next => place = Place::Key,
            (Place::Between, b'"') => place = Place::Text,
            (Place::Between, b'{' | b'[') => {
                closers.push(if byte == b'{' { '}' } else { ']' });
                is_key_next = byte == b'{';
                whole = at + 1;
            }
            (Place::Between, b'}' | b']') => {
                closers.pop();
                whole = at + 1;
            }
            (Place::Between, b',') => {
                is_key_next = closers.last() == Some(&'}');
                whole = at;
            }
            (Place::Between, b':') => is_key_next = false,
            (Place::Between, _) => {}
            (Place::Key | Place::Text, _) if escape.is_some_and(|from| at < end(json, from)) => {}
            (Place::Key | Place::Text, b'\\') => escape = Some(at),
            (Place::Key, b'"') => place = Place::Between,
            (Place::Text, b'"') => {
                place = Place::Between;
                whole = at + 1;
            }
            (Place::Key | Place::Text, _) => {}
        }
    }
    let mut completed = match place {
        Place::Between | Place::Key => json[..whole].to_owned(),
        Place::Text => {
            let cut = escape.filter(|from| end(json, *from) > json.len());
            format!("{}\"", &json[..cut.unwrap_or(json.len())])
        }
    };
    completed.extend(closers.into_iter().rev());
    completed
}

/// Where the escape ends that begins at `from`. The two halves of a surrogate pair are one.
fn end(json: &str, from: usize) -> usize {
    let escape = &json.as_bytes()[from..];
    match escape {
        [
            _,
            b'u',
            b'd' | b'D',
            b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
            ..,
        ] => from + 12,
        [_, b'u', ..] => from + 6,
        _ => from + 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wherever_it_is_cut_it_can_be_read() {
        let json = r#" {"a": [1, {"k\"1": "v\\", "é": null}, "x\u00e9\ud83e\udda6"], "b": true, "c": {}, "d": "end"} "#;
        for at in (0..json.len()).filter(|at| json.is_char_boundary(*at)) {
            let completed = completed(&json[..at]);
            let read = serde_json::from_str::<serde_json::Value>(&completed);
            assert!(read.is_ok() || at < 2, "{at}: {completed}: {read:?}");
        }
    }

    #[test]
    fn texts_are_kept_as_far_as_they_go() {
        for (cut, expected) in [
            (r#"{"a": "xyz"#, r#"{"a": "xyz"}"#),
            (r#"{"a": "xy\"#, r#"{"a": "xy"}"#),
            (r#"{"a": "xy\u00"#, r#"{"a": "xy"}"#),
            (r#"{"a": "xy\ud83e\udda"#, r#"{"a": "xy"}"#),
            (r#"{"a": "x", "b"#, r#"{"a": "x"}"#),
            (r#"{"a": "x", "b": 1"#, r#"{"a": "x"}"#),
            (r#"{"a": [{"b": "x"}"#, r#"{"a": [{"b": "x"}]}"#),
        ] {
            assert_eq!(completed(cut), expected);
        }
    }
}
