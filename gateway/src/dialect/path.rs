//! Reads request paths: which dialect has this path, with which methods, and where the model is.
//! Only listed paths pass, so that a provider's administration (`/v1/organizations…`) and its minting
//! of client keys (`/v1/realtime/client_secrets`) are out of an agent's reach.

use std::borrow::Cow;

use http::Method;

use super::{Dialect, Object, Operation, anthropic, azure, bedrock, google, ollama, openai};

/// The methods that dialects use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Head,
    Post,
    Delete,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" => Some(Self::Get),
            "HEAD" => Some(Self::Head),
            "POST" => Some(Self::Post),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Where a path's requests name their model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelPlace {
    Body,
    /// Of a form, or of a JSON body.
    Form,
    Path,
    Nowhere,
}

/// What one method means on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) verb: Verb,
    pub(super) operation: Operation,
    pub(super) model: ModelPlace,
}

pub(super) const fn rule(verb: Verb, operation: Operation, model: ModelPlace) -> Rule {
    Rule {
        verb,
        operation,
        model,
    }
}

/// A path that a dialect has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known<'a> {
    pub(super) dialect: Dialect,
    pub(super) rules: &'static [Rule],
    /// The model as the path has it, percent-encoded.
    pub(super) model: Option<&'a str>,
    /// [`Object::Made`] where `POST` makes one.
    pub(super) object: Object<'a>,
}

const HELLO: &[Rule] = &[
    rule(Verb::Get, Operation::Hello, ModelPlace::Nowhere),
    rule(Verb::Head, Operation::Hello, ModelPlace::Nowhere),
];

/// Which dialect has this path. `None` when none has, and for every path that a server on the way
/// could read as another one.
pub(super) fn lookup(path: &str, has_anthropic_version: bool) -> Option<Known<'_>> {
    let encoded_slash = plain(path)?;
    let known = find(path, has_anthropic_version)?;
    // An encoded slash is part of a model's name (`vendor/model`), of an ARN, or a second meaning.
    let takes_slash = known.model.is_some() || known.dialect == Dialect::Bedrock;
    (!encoded_slash || takes_slash).then_some(known)
}

fn find(path: &str, has_anthropic_version: bool) -> Option<Known<'_>> {
    if path == "/api/hello" {
        return Some(Known {
            dialect: Dialect::Anthropic,
            rules: HELLO,
            model: None,
            object: Object::None,
        });
    }
    if let Some(known) = bedrock::lookup(path)
        .or_else(|| azure::lookup(path))
        .or_else(|| ollama::lookup(path))
        .or_else(|| google::lookup(path))
    {
        return Some(known);
    }
    let shape = AgentPath::of(path);
    let anthropic = || anthropic::lookup(shape.rest);
    let openai = || openai::lookup(shape.rest);
    match shape.prefix {
        Some(Dialect::Anthropic) => anthropic(),
        Some(Dialect::OpenAi) => openai(),
        Some(
            Dialect::Bedrock | Dialect::Vertex | Dialect::Azure | Dialect::Gemini | Dialect::Ollama,
        ) => None,
        // The header matters on paths that both have; elsewhere the path decides alone.
        None if has_anthropic_version => anthropic().or_else(openai),
        None => openai().or_else(|| anthropic().filter(|_| !anthropic::is_shared(shape.rest))),
    }
}

/// An agent's path without what differs between base URLs: `/anthropic`, `/openai` or the Gemini API's
/// `/v1beta/openai` in front, and `/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentPath<'a> {
    /// Some servers have one dialect under `/anthropic`, another under `/openai`; agents configured for
    /// them keep their paths.
    pub prefix: Option<Dialect>,
    /// Without a leading slash.
    pub rest: &'a str,
}

impl<'a> AgentPath<'a> {
    pub fn of(path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (prefix, path) = if let Some(rest) = path.strip_prefix("anthropic/") {
            (Some(Dialect::Anthropic), rest)
        } else if let Some(rest) = path
            .strip_prefix("openai/")
            .or_else(|| path.strip_prefix("v1beta/openai/"))
        {
            (Some(Dialect::OpenAi), rest)
        } else {
            (None, path)
        };
        Self {
            prefix,
            rest: path.strip_prefix("v1/").unwrap_or(path),
        }
    }
}

/// The path in front of a dialect's own paths at one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UpstreamBase<'a> {
    pub(crate) base_path: &'a str,
    /// The version is in there already.
    pub(crate) has_version: bool,
}

/// `v1`, `v4`, `v1beta`.
pub(super) fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|version| {
        version.starts_with(|first: char| first.is_ascii_digit())
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// The model of [`super::ModelSource::Path`] as the agent meant it. `None` when it is no UTF-8.
pub fn decode_model(model: &str) -> Option<Cow<'_, str>> {
    if !model.contains('%') {
        return Some(Cow::Borrowed(model));
    }
    let mut decoded = Vec::with_capacity(model.len());
    let mut rest = model.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escape = if byte == b'%' { tail.get(..2) } else { None };
        match escape.and_then(hex_pair) {
            Some(byte) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            None => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn hex_pair(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// `Some` when every server reads the path alike: absolute, visible ASCII, no empty or dot segment, no
/// backslash, and none of these encoded. The value says whether it has an encoded slash.
fn plain(path: &str) -> Option<bool> {
    let bytes = path.strip_prefix('/')?.as_bytes();
    let mut encoded_slash = false;
    let mut segment = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
            b'/' => {
                is_name(&bytes[segment..at]).then_some(())?;
                segment = at + 1;
            }
            b'%' => match hex_pair(bytes.get(at + 1..at + 3)?)? {
                b'/' => encoded_slash = true,
                b'.' | b'\\' | b'%' | 0x00..=0x1f | 0x7f => return None,
                _ => {}
            },
            b'\\' | b'?' | b'#' => return None,
            0x21..=0x7e => {}
            _ => return None,
        }
    }
    is_name(&bytes[segment..]).then_some(encoded_slash)
}

fn is_name(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_every_server_reads_alike_are_plain() {
        let table = [
            ("/v1/models", Some(false)),
            ("/v1/models/a%2Fb", Some(true)),
            ("/v1/models/a%3Ab", Some(false)),
            ("", None),
            ("v1/models", None),
            ("*", None),
            ("/", None),
            ("/v1/", None),
            ("//v1/models", None),
            ("/v1/./models", None),
            ("/v1/files/../organizations", None),
            ("/v1/files/%2e%2E/organizations", None),
            ("/v1/files/%2e", None),
            ("/v1/files\\x", None),
            ("/v1/files/%5c", None),
            ("/v1/files/%252e", None),
            ("/v1/files/%00", None),
            ("/v1/files/%0d", None),
            ("/v1/files/%", None),
            ("/v1/files/%2", None),
            ("/v1/files/%zz", None),
            ("/v1/files/a b", None),
            ("/v1/files/\u{e9}", None),
            ("/v1/files?x", None),
            ("/v1/files#x", None),
        ];
        for (path, expected) in table {
            assert_eq!(plain(path), expected, "{path}");
        }
    }

    #[test]
    fn models_are_decoded_once() {
        let table = [
            ("gpt-4o", Some("gpt-4o")),
            ("openai%2Fgpt-4o", Some("openai/gpt-4o")),
            ("nova-v1%3A0", Some("nova-v1:0")),
            ("a%zz", Some("a%zz")),
            ("a%2", Some("a%2")),
            ("%ff", None),
        ];
        for (model, expected) in table {
            assert_eq!(decode_model(model).as_deref(), expected, "{model}");
        }
    }
}
