//! Whether a request refers to input that is not in its body, so that the body's size says nothing about what it
//! will use: images and files by their names, stored conversations, tools that the vendor runs.

use std::sync::LazyLock;

use memchr::memmem::{Finder, find_iter};

/// Keys, and values that name a tool. With their quotes, as text inside a string has none that are plain.
const MARKS: [&str; 30] = [
    // OpenAI
    "\"image_url\"",
    "\"file_id\"",
    "\"file_url\"",
    "\"file_ids\"",
    "\"vector_store_ids\"",
    "\"previous_response_id\"",
    "\"conversation\"",
    "\"background\"",
    "\"server_url\"",
    "\"connector_id\"",
    "\"web_search_options\"",
    "\"prediction\"",
    "\"image_generation\"",
    "\"code_interpreter\"",
    "\"item_reference\"",
    "\"pmpt_",
    "\"web_search",
    // Anthropic
    "\"web_fetch",
    "\"code_execution",
    "\"tool_search",
    "\"mcp_servers\"",
    "\"container\"",
    // Google
    "\"fileData\"",
    "\"file_data\"",
    "\"fileUri\"",
    "\"cachedContent\"",
    "\"cached_content\"",
    "\"google",
    "\"urlContext\"",
    // Bedrock
    "\"s3Location\"",
];

static FINDERS: LazyLock<Vec<Finder<'static>>> =
    LazyLock::new(|| MARKS.iter().map(Finder::new).collect());

/// True when in doubt: a letter that is written as an escape could be part of such a key.
pub fn refers_elsewhere(body: &[u8]) -> bool {
    let is_letter = |at: usize| matches!(body.get(at + 4), Some(b'4'..=b'7'));
    find_iter(body, b"\\u00").any(is_letter)
        || find_iter(body, URL).any(|at| is_value(&body[at + URL.len()..]))
        || FINDERS.iter().any(|finder| finder.find(body).is_some())
}

/// As a value it is the kind of a source. Agents' own tools have keys of this name.
const URL: &[u8] = b"\"url\"";

fn is_value(after: &[u8]) -> bool {
    !after.trim_ascii_start().starts_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_body_is_noticed() {
        for (body, expected) in [
            (
                r#"{"messages":[{"content":"look at \"image_url\": it is a key"}]}"#,
                false,
            ),
            (
                r#"{"messages":[{"content":"a \u003c b, \u00e9, \u0007"}]}"#,
                false,
            ),
            (
                r#"{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}"#,
                true,
            ),
            (
                r#"{"tools":[{"type":"web_search_20250305","name":"w"}]}"#,
                true,
            ),
            (r#"{"tools":[{"googleSearch":{}}]}"#, true),
            (
                r#"{"tools":[{"type":"function","function":{"name":"f"}}]}"#,
                false,
            ),
            (r#"{"previous_response_\u0069d":"r"}"#, true),
            (r#"{"source":{"type":"url","url":"https://x"}}"#, true),
            (
                r#"{"tools":[{"parameters":{"properties":{"url" :{}}}}]}"#,
                false,
            ),
        ] {
            assert_eq!(refers_elsewhere(body.as_bytes()), expected, "{body}");
        }
    }
}
