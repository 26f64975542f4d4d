//! Edits of a request body as splices: what is inserted, what is overwritten, and how the edited body
//! is read without copying it.
//!
//! An empty object gets no edit: it names no model and is refused long before.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ObjectSpan, ScannedBody, Shape, Splice};
use crate::dialect::output::OutputBound;

/// Asks OpenAI for the usage chunk: sets `stream_options.include_usage` of a streaming request to true.
/// `None` when nothing is to be done, or `stream_options` is something the provider will refuse.
pub fn include_usage_splice(body: &ScannedBody) -> Option<Splice> {
    if !body.stream || body.include_usage == Some(true) {
        return None;
    }
    if let Some(range) = &body.spans.include_usage {
        return Some(Splice {
            range: range.clone(),
            with: b"true".to_vec(),
        });
    }
    member_splice(
        body,
        "stream_options",
        body.spans.stream_options.as_ref(),
        "\"include_usage\":true",
    )
}

/// Sets top-level `user`, whatever the agent wrote there.
pub fn user_splice(body: &ScannedBody, user: &str) -> Option<Splice> {
    let value = literal(user);
    match &body.spans.user {
        Some(range) => Some(Splice {
            range: range.clone(),
            with: value.into_bytes(),
        }),
        None => insert(body, &format!("\"user\":{value}")),
    }
}

/// Bounds the output, by a key that the body does not have or has as null. `None` where
/// [`OutputWish::may_be_bounded`](super::OutputWish::may_be_bounded) says no.
pub fn output_bound_splice(body: &ScannedBody, bound: OutputBound) -> Option<Splice> {
    let OutputBound { key, tokens } = bound;
    if let Some(range) = body.output.null(key) {
        return Some(Splice {
            range: range.clone(),
            with: tokens.to_string().into_bytes(),
        });
    }
    let member = format!("\"{}\":{tokens}", key.name());
    match key.object() {
        None => insert(body, &member),
        Some(object) => member_splice(body, object, body.output.object(key), &member),
    }
}

/// Sets `metadata.tags`. `None` when `metadata` is there and neither object nor null.
pub fn tags_splice(body: &ScannedBody, tags: &[&str]) -> Option<Splice> {
    let mut value = String::from("[");
    for (index, tag) in tags.iter().enumerate() {
        if index > 0 {
            value.push(',');
        }
        value.push_str(&literal(tag));
    }
    value.push(']');
    if let Some(range) = &body.spans.metadata_tags {
        return Some(Splice {
            range: range.clone(),
            with: value.into_bytes(),
        });
    }
    member_splice(
        body,
        "metadata",
        body.spans.metadata.as_ref(),
        &format!("\"tags\":{value}"),
    )
}

/// Sets `own` keys of Converse's `requestMetadata`; the agent's other ones stay. `bytes` is the body that
/// was scanned. `None` when it is there and neither object nor null.
pub fn request_metadata_splice(
    body: &ScannedBody,
    bytes: &[u8],
    own: &[(&str, String)],
) -> Option<Splice> {
    let mut members: Vec<String> = own
        .iter()
        .map(|(key, value)| format!("{}:{}", literal(key), literal(value)))
        .collect();
    if members.is_empty() {
        return None;
    }
    let Some(ObjectSpan { range, shape }) = &body.spans.request_metadata else {
        let member = format!("\"requestMetadata\":{{{}}}", members.join(","));
        return insert(body, &member);
    };
    match shape {
        Shape::Object => {
            let theirs: Members<'_> = serde_json::from_slice(bytes.get(range.clone())?).ok()?;
            let kept = theirs
                .0
                .into_iter()
                .filter(|(key, _)| own.iter().all(|(own, _)| own != key));
            members.extend(kept.map(|(key, value)| format!("{}:{}", literal(&key), value.get())));
        }
        Shape::EmptyObject | Shape::Null => {}
        Shape::Other => return None,
    }
    Some(Splice {
        range: range.clone(),
        with: format!("{{{}}}", members.join(",")).into_bytes(),
    })
}

/// The members of an object in their order, doubled ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyMembers;
        impl<'de> Visitor<'de> for AnyMembers {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(AnyMembers)
    }
}

/// Length of a body of `len` bytes after `splices`.
pub fn spliced_len(len: usize, splices: &[Splice]) -> usize {
    splices.iter().fold(len, |len, splice| {
        len - splice.range.len() + splice.with.len()
    })
}

/// The edited body as slices of its segments and of the splices, in order, nothing copied. `splices` are
/// sorted by range and lie within the body; of two insertions at one place the first comes first.
pub fn pieces<'a, S: AsRef<[u8]>>(
    segments: &'a [S],
    splices: &'a [Splice],
) -> impl Iterator<Item = &'a [u8]> {
    let mut segments = segments.iter().map(AsRef::as_ref);
    let mut splices = splices.iter().peekable();
    // What is left of the current segment, and where in the body it starts.
    let mut rest: &'a [u8] = &[];
    let mut at = 0;
    let mut skip_until = 0;
    std::iter::from_fn(move || {
        loop {
            if at >= skip_until
                && let Some(splice) = splices.next_if(|splice| splice.range.start == at)
            {
                skip_until = splice.range.end;
                if !splice.with.is_empty() {
                    return Some(splice.with.as_slice());
                }
                continue;
            }
            if rest.is_empty() {
                rest = segments.next()?;
                continue;
            }
            let skipping = at < skip_until;
            let until = match splices.peek() {
                _ if skipping => skip_until,
                Some(splice) => splice.range.start,
                None => usize::MAX,
            };
            let (piece, left) = rest.split_at(rest.len().min(until - at));
            at += piece.len();
            rest = left;
            if !skipping {
                return Some(piece);
            }
        }
    })
}

/// Adds `member` to the object at top-level `key`, which holds no such member yet.
fn member_splice(
    body: &ScannedBody,
    key: &str,
    object: Option<&ObjectSpan>,
    member: &str,
) -> Option<Splice> {
    let Some(ObjectSpan { range, shape }) = object else {
        return insert(body, &format!("\"{key}\":{{{member}}}"));
    };
    match shape {
        Shape::Object => Some(Splice {
            range: range.start + 1..range.start + 1,
            with: format!("{member},").into_bytes(),
        }),
        Shape::EmptyObject | Shape::Null => Some(Splice {
            range: range.clone(),
            with: format!("{{{member}}}").into_bytes(),
        }),
        Shape::Other => None,
    }
}

/// Adds a top-level member in front of the others.
fn insert(body: &ScannedBody, member: &str) -> Option<Splice> {
    let at = body.spans.object_start;
    (!body.spans.object_is_empty).then(|| Splice {
        range: at..at,
        with: format!("{member},").into_bytes(),
    })
}

/// `text` as a JSON string.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dialect::json::BodyScanner;

    fn scan(body: &str) -> ScannedBody {
        let mut scanner = BodyScanner::default();
        scanner.feed(body.as_bytes()).unwrap();
        scanner.finish().unwrap()
    }

    /// `body` with `splices`, read over segments of every size.
    fn edited(body: &str, splices: &[Splice]) -> String {
        let mut results = (1..=body.len()).map(|size| {
            let segments: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            pieces(&segments, splices).collect::<Vec<_>>().concat()
        });
        let first = results.next().unwrap();
        assert!(results.all(|other| other == first));
        assert_eq!(first.len(), spliced_len(body.len(), splices));
        String::from_utf8(first).unwrap()
    }

    #[test]
    fn own_request_metadata_wins_and_the_agents_other_keys_stay() {
        let own = [("user", "ada".to_owned()), ("group", "dev".to_owned())];
        for (body, expected) in [
            (
                r#"{"messages":[]}"#,
                r#"{"requestMetadata":{"user":"ada","group":"dev"},"messages":[]}"#,
            ),
            (
                r#"{"requestMetadata":null}"#,
                r#"{"requestMetadata":{"user":"ada","group":"dev"}}"#,
            ),
            (
                r#"{"requestMetadata":{ },"a":1}"#,
                r#"{"requestMetadata":{"user":"ada","group":"dev"},"a":1}"#,
            ),
            (
                r#"{"requestMetadata":{"team" : "x\u00e9","user":"eve","us\u0065r":"eve"}}"#,
                r#"{"requestMetadata":{"user":"ada","group":"dev","team":"x\u00e9"}}"#,
            ),
            (r#"{"requestMetadata":[1]}"#, r#"{"requestMetadata":[1]}"#),
        ] {
            let splice = request_metadata_splice(&scan(body), body.as_bytes(), &own);
            assert_eq!(edited(body, splice.as_slice()), expected, "{body}");
        }
        let body = r#"{"a":1}"#;
        assert_eq!(
            request_metadata_splice(&scan(body), body.as_bytes(), &[]),
            None
        );
    }

    #[test]
    fn include_usage_is_asked_for() {
        for (body, expected) in [
            (
                r#"{"stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{ }}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":null},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            ),
        ] {
            let splice = include_usage_splice(&scan(body)).unwrap();
            assert_eq!(edited(body, &[splice]), expected);
        }
        for body in [
            r#"{"stream":false}"#,
            r#"{"model":"m"}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":[]}"#,
        ] {
            assert_eq!(include_usage_splice(&scan(body)), None, "{body}");
        }
    }

    #[test]
    fn identity_is_written() {
        for (body, expected) in [
            (
                r#"{"model":"m"}"#,
                r#"{"user":"a\"b","metadata":{"tags":["x","y"]},"model":"m"}"#,
            ),
            (
                r#"{"user":"me","metadata":{}}"#,
                r#"{"user":"a\"b","metadata":{"tags":["x","y"]}}"#,
            ),
            (
                r#"{"user":null,"metadata":{"a":1,"tags":["old"]}}"#,
                r#"{"user":"a\"b","metadata":{"a":1,"tags":["x","y"]}}"#,
            ),
            (
                r#"{"user":[1],"metadata":{"a":1}}"#,
                r#"{"user":"a\"b","metadata":{"tags":["x","y"],"a":1}}"#,
            ),
            (
                r#"{"metadata":null,"model":"m"}"#,
                r#"{"user":"a\"b","metadata":{"tags":["x","y"]},"model":"m"}"#,
            ),
        ] {
            let scanned = scan(body);
            let mut splices = vec![
                user_splice(&scanned, "a\"b").unwrap(),
                tags_splice(&scanned, &["x", "y"]).unwrap(),
            ];
            splices.sort_by_key(|splice| splice.range.start);
            assert_eq!(edited(body, &splices), expected);
        }
        assert_eq!(tags_splice(&scan(r#"{"metadata":"x"}"#), &[]), None);
        assert_eq!(user_splice(&scan("{}"), "a"), None);
    }

    #[test]
    fn pieces_cover_edges() {
        let splice = |range: std::ops::Range<usize>, with: &str| Splice {
            range,
            with: with.into(),
        };
        for (splices, expected) in [
            (vec![], "0123456789"),
            (vec![splice(0..0, "a"), splice(0..0, "b")], "ab0123456789"),
            (vec![splice(10..10, "z")], "0123456789z"),
            (vec![splice(0..10, "")], ""),
            (
                vec![splice(2..4, "x"), splice(4..4, "y"), splice(4..7, "")],
                "01xy789",
            ),
        ] {
            assert_eq!(edited("0123456789", &splices), expected);
        }
    }
}
