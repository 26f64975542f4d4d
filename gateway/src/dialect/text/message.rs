//! The text of whole messages, in whatever nesting of parts.

use serde_json::Value;

/// Where text lies inside a message, in the order in which it is shown.
const TEXT_KEYS: [&str; 19] = [
    "thinking",
    "reasoning_content",
    "summary",
    "text",
    "outputText",
    "content",
    "parts",
    "message",
    "refusal",
    "transcript",
    "output",
    "tool_calls",
    "function",
    "functionCall",
    "functionResponse",
    "toolUse",
    "toolResult",
    "delta",
    "instruction",
];
/// What a tool is called with and answers, which may be data instead of text.
const DATA_KEYS: [&str; 5] = ["arguments", "args", "input", "response", "json"];

/// All text of `message`, in lines, after its role.
pub(super) fn text(message: &Value) -> String {
    let mut lines = String::new();
    gather(message, &mut lines);
    match message.get("role").and_then(Value::as_str) {
        Some(role) if !lines.is_empty() => format!("{role}: {lines}"),
        Some(_) | None => lines,
    }
}

fn gather(value: &Value, lines: &mut String) {
    match value {
        Value::String(text) => push_line(text, lines),
        Value::Array(values) => values.iter().for_each(|value| gather(value, lines)),
        Value::Object(fields) => {
            for found in TEXT_KEYS.iter().filter_map(|key| fields.get(*key)) {
                gather(found, lines);
            }
            for data in DATA_KEYS.iter().filter_map(|key| fields.get(*key)) {
                if let Some(name) = fields.get("name").and_then(Value::as_str) {
                    push_line(name, lines);
                }
                match data {
                    Value::String(text) => push_line(text, lines),
                    Value::Null => {}
                    Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        push_line(&data.to_string(), lines);
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn push_line(text: &str, lines: &mut String) {
    if !lines.is_empty() && !text.is_empty() {
        lines.push('\n');
    }
    lines.push_str(text);
}
