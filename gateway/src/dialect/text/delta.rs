//! The text that one event of a stream adds.

use serde_json::Value;

/// Where events have it.
const EVENT_KEYS: [&str; 10] = [
    "choices",
    "candidates",
    "content_block",
    "start",
    "delta",
    "message",
    "response",
    "generation",
    "outputText",
    "completion",
];
/// Where it lies inside of those.
const PIECE_KEYS: [&str; 17] = [
    "delta",
    "message",
    "reasoning_content",
    "reasoningContent",
    "thinking",
    "text",
    "content",
    "parts",
    "refusal",
    "partial_json",
    "tool_calls",
    "function",
    "functionCall",
    "toolUse",
    "arguments",
    "args",
    "input",
];
/// What OpenAI's events of text have in their names: `response.output_text.delta` and the like.
const TEXT_DELTAS: [&str; 4] = ["text", "refusal", "arguments", "transcript"];

pub(super) fn push_delta(event: &Value, text: &mut String) {
    let name = event.get("type").and_then(Value::as_str).unwrap_or("");
    if name.contains('.') {
        let is_text = TEXT_DELTAS.iter().any(|kind| name.contains(kind));
        if let (true, true, Some(delta)) = (
            is_text,
            name.ends_with(".delta"),
            event.get("delta").and_then(Value::as_str),
        ) {
            text.push_str(delta);
        }
        return;
    }
    for found in EVENT_KEYS.iter().filter_map(|key| event.get(key)) {
        match found.as_array() {
            // Of several answers at once the first.
            Some(answers) => answers
                .iter()
                .filter(|answer| !matches!(answer.get("index"), Some(index) if *index != 0))
                .for_each(|answer| push_pieces(answer, text)),
            None => push_pieces(found, text),
        }
    }
}

fn push_pieces(value: &Value, text: &mut String) {
    match value {
        Value::String(piece) => text.push_str(piece),
        Value::Array(values) => values.iter().for_each(|value| push_pieces(value, text)),
        Value::Object(fields) => {
            if let Some(tool) = fields.get("name").and_then(Value::as_str) {
                push_tool(tool, text);
            }
            for key in PIECE_KEYS {
                let Some(piece) = fields.get(key) else {
                    continue;
                };
                // Gemini sends a tool's arguments whole; Anthropic begins with none.
                let data = piece
                    .as_object()
                    .filter(|_| matches!(key, "args" | "input"));
                match data {
                    Some(data) if data.is_empty() => {}
                    Some(_) => text.push_str(&piece.to_string()),
                    None => push_pieces(piece, text),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A call of a tool begins.
fn push_tool(name: &str, text: &mut String) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(name);
    text.push(' ');
}
