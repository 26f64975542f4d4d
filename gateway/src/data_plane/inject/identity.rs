//! Who calls, as gateways are told: names, limits and escapes. First-party vendors have no identity
//! format and are told nothing.

use http::HeaderName;

use crate::{
    dialect::IdentityFormat,
    handoff::{reason::Reason, snapshot::Principal},
    policy::route::Route,
};

/// Longest user in a header of its own, in bytes (Vercel's limit, the smallest known).
const USER_BYTES_LIMIT: usize = 256;
/// Longest list of groups in a header of its own, in bytes.
const GROUPS_BYTES_LIMIT: usize = 2048;
/// Vercel answers 400 to more tags, or to longer ones.
const VERCEL_TAGS: TagLimits = TagLimits {
    count: 10,
    tag_bytes: 64,
};
const NO_TAG_LIMITS: TagLimits = TagLimits {
    count: usize::MAX,
    tag_bytes: usize::MAX,
};

#[derive(Clone, Copy)]
struct TagLimits {
    count: usize,
    tag_bytes: usize,
}

/// The name under which a caller is told: the display name, else the id.
pub fn user(principal: &Principal) -> &str {
    if principal.display_name.is_empty() {
        &principal.id
    } else {
        &principal.display_name
    }
}

/// Names of the groups that authorised the route: sorted, each once. Quadratic in their number, which
/// spares the allocation of sorting them.
pub fn group_names<'a>(route: &Route<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let names = route.authorising_groups().map(|group| &*group.name);
    let first = names.clone().min();
    std::iter::successors(first, move |last| {
        names.clone().filter(|name| name > last).min()
    })
}

/// What Converse is told of the caller in its body: the keys and values of `requestMetadata`.
pub fn request_metadata<'a>(route: &Route<'a>) -> Vec<(&'a str, String)> {
    let Some(IdentityFormat::JsonHeader {
        user_key,
        groups_key,
        value_bytes_limit,
        bedrock: true,
        ..
    }) = &route.provider.identity
    else {
        return Vec::new();
    };
    let restricted = |text: &str| {
        let mut value = Vec::with_capacity(text.len());
        push_restricted(text, &mut value);
        String::from_utf8(value).expect("only ASCII is pushed")
    };
    let user = || restricted(cut(user(route.principal()), *value_bytes_limit));
    let groups = || {
        let tags: Vec<_> = tags(route, NO_TAG_LIMITS, *value_bytes_limit).collect();
        restricted(&tags.join(","))
    };
    let user = user_key.as_deref().map(|key| (key, user()));
    let groups = groups_key.as_deref().map(|key| (key, groups()));
    user.into_iter().chain(groups).collect()
}

/// Calls `write` for each identity header of the route's provider that has a value. `in_body`: the body
/// tells it, where a provider takes it there.
pub(super) fn for_each_header(
    route: &Route<'_>,
    in_body: bool,
    write: &mut impl FnMut(&HeaderName, &[u8]) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut value = Vec::new();
    match &route.provider.identity {
        None | Some(IdentityFormat::Body(_)) => {}
        Some(IdentityFormat::HeaderPair { user, groups, .. }) => {
            if let Some(name) = user {
                push_plain(
                    cut(self::user(route.principal()), USER_BYTES_LIMIT),
                    &mut value,
                );
                write_filled(name, &value, write)?;
            }
            if let Some(name) = groups {
                value.clear();
                let limits = tag_limits(name);
                for tag in tags(route, limits, GROUPS_BYTES_LIMIT) {
                    if !value.is_empty() {
                        value.push(b',');
                    }
                    push_tag(tag, &mut value);
                }
                write_filled(name, &value, write)?;
            }
        }
        Some(IdentityFormat::JsonHeader {
            header,
            user_key,
            groups_key,
            value_bytes_limit,
            bedrock,
        }) => {
            if *bedrock && in_body {
                return Ok(());
            }
            let limit = *value_bytes_limit;
            let push = |text: &str, out: &mut Vec<u8>| match bedrock {
                true => push_restricted(text, out),
                false => push_escaped(text, out),
            };
            let comma = if *bedrock { b'_' } else { b',' };
            value.push(b'{');
            if let Some(key) = user_key {
                push_key(key, &mut value);
                push(cut(user(route.principal()), limit), &mut value);
                value.push(b'"');
            }
            if let Some(key) = groups_key {
                if user_key.is_some() {
                    value.push(b',');
                }
                push_key(key, &mut value);
                for (at, tag) in tags(route, NO_TAG_LIMITS, limit).enumerate() {
                    if at > 0 {
                        value.push(comma);
                    }
                    let start = value.len();
                    push(tag, &mut value);
                    replace_commas(&mut value[start..]);
                }
                value.push(b'"');
            }
            value.push(b'}');
            write(header, &value)?;
        }
    }
    Ok(())
}

fn write_filled(
    name: &HeaderName,
    value: &[u8],
    write: &mut impl FnMut(&HeaderName, &[u8]) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return Ok(());
    }
    write(name, value)
}

fn tag_limits(header: &HeaderName) -> TagLimits {
    match header.as_str() {
        "ai-reporting-tags" => VERCEL_TAGS,
        _ => NO_TAG_LIMITS,
    }
}

/// As many whole names as fit into `bytes_limit` with their commas; the first is cut rather than left out.
fn tags<'a>(
    route: &Route<'a>,
    limits: TagLimits,
    bytes_limit: usize,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let mut left = bytes_limit;
    group_names(route)
        .filter(|name| name.bytes().any(|byte| byte.is_ascii_graphic()))
        .take(limits.count)
        .enumerate()
        .map_while(move |(at, name)| {
            let name = cut(name, limits.tag_bytes);
            let name = if at == 0 { cut(name, left) } else { name };
            left = left.checked_sub(name.len() + usize::from(at > 0))?;
            Some(name)
        })
}

/// The longest beginning of `text` that has at most `bytes_limit` bytes and whole characters.
fn cut(text: &str, bytes_limit: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_limit)]
}

/// What is safe in any header: visible ASCII and spaces; the rest is left out.
fn push_plain(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().filter(|byte| matches!(byte, b' '..=b'~')));
}

/// A comma inside a name would make two tags of it.
fn push_tag(tag: &str, out: &mut Vec<u8>) {
    let start = out.len();
    push_plain(tag, out);
    replace_commas(&mut out[start..]);
}

fn replace_commas(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte == b',') {
        *byte = b'_';
    }
}

fn push_key(key: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    push_escaped(key, out);
    out.extend_from_slice(b"\":\"");
}

/// In the characters that Bedrock takes as metadata; it refuses the whole request for another one.
fn push_restricted(text: &str, out: &mut Vec<u8>) {
    out.extend(text.chars().map(|character| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => character as u8,
        ' ' | '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@' => character as u8,
        _ => b'_',
    }));
}

/// Inside a JSON string, in ASCII, since headers have no other encoding that all servers read alike.
/// Control characters are left out.
fn push_escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            // The guard makes it one byte.
            ' '..='~' => out.push(character as u8),
            _ if character.is_control() => {}
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    let digit = |shift: u16| HEX[usize::from((*unit >> shift) & 0xf)];
                    out.extend([12, 8, 4, 0].map(digit));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        dialect::{BodyIdentity, Dialect, Operation},
        policy::{
            route::route,
            tests::{granted, principal, provider, request, snapshot},
        },
    };

    /// Headers told by `identity` about a caller of this name, in groups of these names.
    fn told(identity: Option<IdentityFormat>, user: &str, names: &[&str]) -> Vec<(String, String)> {
        let indexes: Vec<_> = (0..).take(names.len()).collect();
        let mut own = provider("p", "");
        own.identity = identity;
        own.grants = granted(&indexes);
        let snapshot = snapshot(vec![own]);
        // One more group, which does not authorise.
        let mut caller = principal(&[indexes.as_slice(), &[99]].concat());
        caller.display_name = user.into();
        let all = Arc::get_mut(&mut caller.all_groups).unwrap();
        for (group, name) in all.iter_mut().zip(names) {
            group.name = Arc::from(*name);
        }
        let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
        let route = route(&snapshot, &caller, &chat, Some("m"), None).unwrap();
        let mut told = Vec::new();
        for_each_header(&route, false, &mut |name, value| {
            let value = String::from_utf8(value.to_vec()).unwrap();
            told.push((name.to_string(), value));
            Ok(())
        })
        .unwrap();
        told
    }

    fn pair(user: &'static str, groups: &'static str) -> Option<IdentityFormat> {
        let name = |text: &'static str| (!text.is_empty()).then(|| HeaderName::from_static(text));
        Some(IdentityFormat::HeaderPair {
            user: name(user),
            groups: name(groups),
            body: BodyIdentity::default(),
        })
    }

    fn json(
        user_key: Option<&str>,
        groups_key: Option<&str>,
        limit: usize,
    ) -> Option<IdentityFormat> {
        Some(IdentityFormat::JsonHeader {
            header: HeaderName::from_static("x-json"),
            user_key: user_key.map(Into::into),
            groups_key: groups_key.map(Into::into),
            value_bytes_limit: limit,
            bedrock: false,
        })
    }

    #[test]
    fn pairs_of_headers() {
        let long = "u".repeat(300);
        type Told<'a> = &'a [(&'a str, &'a str)];
        let table: [(Option<IdentityFormat>, &str, &[&str], Told<'_>); 9] = [
            (None, "ada", &["dev"], &[]),
            (
                Some(IdentityFormat::Body(BodyIdentity {
                    user: true,
                    tags: true,
                })),
                "ada",
                &["dev"],
                &[],
            ),
            (
                pair("x-user", "x-groups"),
                "ada@example.com",
                &["zeta", "dev", "dev", "alpha"],
                &[
                    ("x-user", "ada@example.com"),
                    ("x-groups", "alpha,dev,zeta"),
                ],
            ),
            (
                pair("", "x-groups"),
                "ada",
                &["dev"],
                &[("x-groups", "dev")],
            ),
            (pair("x-user", ""), "ada", &["dev"], &[("x-user", "ada")]),
            (pair("x-user", ""), "", &["dev"], &[("x-user", "u1")]),
            (
                pair("x-user", "x-groups"),
                "a\r\nx: y\u{e9}",
                &["a,b", "\u{e9}", "c\r\nd"],
                &[("x-user", "ax: y"), ("x-groups", "a_b,cd")],
            ),
            (pair("x-user", "x-groups"), "\u{e9}", &["\u{e9}"], &[]),
            (
                pair("x-user", ""),
                &long,
                &["dev"],
                &[("x-user", &long[..256])],
            ),
        ];
        for (identity, user, groups, expected) in table {
            let told = told(identity, user, groups);
            let told: Vec<_> = told.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(told, expected, "{user} {groups:?}");
        }
    }

    #[test]
    fn vercel_refuses_more_than_ten_tags_of_sixty_four() {
        let names: Vec<_> = (10..30).map(|n| format!("{n}{}", "x".repeat(80))).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let told = told(pair("", "ai-reporting-tags"), "ada", &names);
        let tags: Vec<_> = told[0].1.split(',').collect();
        assert_eq!(tags.len(), 10);
        assert!(tags.iter().all(|tag| tag.len() == 64));
    }

    #[test]
    fn bedrock_takes_few_characters() {
        let limit = "u".repeat(256);
        for (user, groups, expected) in [
            (
                "ada@example.com",
                &["ops", "dev team"][..],
                ("ada@example.com", "dev team_ops"),
            ),
            ("a\"b,c\u{e9}\r\n", &["x,y"], ("a_b_c___", "x_y")),
            (&"u".repeat(300), &["a"], (&*limit, "a")),
        ] {
            let mut format = json(Some("user"), Some("group"), 256);
            if let Some(IdentityFormat::JsonHeader { bedrock, .. }) = &mut format {
                *bedrock = true;
            }
            let told = told(format, user, groups);
            let expected = format!(r#"{{"user":"{}","group":"{}"}}"#, expected.0, expected.1);
            assert_eq!(told, [("x-json".to_owned(), expected)]);
        }
    }

    #[test]
    fn json_in_one_header() {
        let keys = (Some("_user"), Some("groups"));
        let table: [(Option<IdentityFormat>, &str, &[&str], &str); 7] = [
            (
                json(keys.0, keys.1, 128),
                "ada",
                &["b", "a"],
                r#"{"_user":"ada","groups":"a,b"}"#,
            ),
            (json(keys.0, None, 128), "ada", &["a"], r#"{"_user":"ada"}"#),
            (json(None, keys.1, 128), "ada", &["a"], r#"{"groups":"a"}"#),
            (
                json(keys.0, keys.1, 128),
                "a\"b\\c\r\n\u{e9}\u{1f600}",
                &["x,\"y"],
                r#"{"_user":"a\"b\\c\u00e9\ud83d\ude00","groups":"x_\"y"}"#,
            ),
            (
                json(keys.0, keys.1, 4),
                "adaada",
                &["aa", "b", "c"],
                r#"{"_user":"adaa","groups":"aa,b"}"#,
            ),
            (
                json(keys.0, keys.1, 4),
                "ada\u{e9}",
                &["aaaaaa", "b"],
                r#"{"_user":"ada","groups":"aaaa"}"#,
            ),
            (
                json(Some("k\"1"), None, 4),
                "ada",
                &["a"],
                r#"{"k\"1":"ada"}"#,
            ),
        ];
        for (identity, user, groups, expected) in table {
            let told = told(identity, user, groups);
            assert_eq!(told, [("x-json".to_owned(), expected.to_owned())]);
            let parsed: serde_json::Value = serde_json::from_str(&told[0].1).unwrap();
            assert!(parsed.is_object());
        }
    }
}
