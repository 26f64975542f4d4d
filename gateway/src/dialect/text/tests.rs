use serde_json::json;

use super::*;

const ALL: usize = 1 << 16;

#[test]
fn every_dialects_request_has_its_text() {
    for (body, expected) in [
        (
            json!({"model": "m", "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ]},
                {"role": "assistant", "tool_calls": [
                    {"id": "c", "function": {"name": "look", "arguments": "{\"at\":1}"}},
                ]},
                {"role": "tool", "content": "an otter"},
            ], "tools": [{"function": {"name": "look"}}]}),
            "system: Be brief.\nuser: What is this?\nassistant: look\n{\"at\":1}\ntool: an otter",
        ),
        (json!({"model": "m", "prompt": "Once upon"}), "Once upon"),
        (
            json!({"model": "m", "instructions": "Be brief.", "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call_output", "call_id": "c", "output": "42"},
            ]}),
            "Be brief.\nuser: Hi\n42",
        ),
        (
            json!({"model": "m", "system": [{"type": "text", "text": "Be brief."}], "messages": [
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Hm."},
                    {"type": "tool_use", "name": "look", "input": {"at": 1}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "content": [{"type": "text", "text": "an otter"}]},
                    {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
                ]},
            ]}),
            "Be brief.\nassistant: Hm.\nlook\n{\"at\":1}\nuser: an otter",
        ),
        (
            json!({"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
                {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"data": "AAAA"}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"at": 1}}}]},
            ]}),
            "Be brief.\nuser: Hi\nmodel: look\n{\"at\":1}",
        ),
        (
            json!({"system": [{"text": "Be brief."}], "messages": [
                {"role": "user", "content": [{"text": "Hi"}, {"toolResult": {"content": [{"json": {"a": 1}}]}}]},
            ]}),
            "Be brief.\nuser: Hi\n{\"a\":1}",
        ),
        (json!({"input": ["one", "two"]}), "one\ntwo"),
        (json!({"model": "m", "n": 1}), ""),
    ] {
        assert_eq!(of_request(body.to_string().as_bytes(), ALL), expected);
    }
    assert_eq!(of_request(b"no JSON", ALL), "");
    assert_eq!(of_request(b"", ALL), "");
}

#[test]
fn the_newest_messages_are_kept() {
    let body = json!({"system": "s".repeat(100), "messages": [
        {"role": "user", "content": "first"},
        {"role": "user", "content": "second"},
    ]})
    .to_string();
    let text = |bytes_max| of_request(body.as_bytes(), bytes_max);
    assert_eq!(text(27), "user: first\nuser: second");
    assert_eq!(text(24), "user: second");
    assert_eq!(text(3), "user: second");
    // Cut off in the middle of it.
    let cut = body.find("ond").expect("of the second");
    assert_eq!(of_request(&body.as_bytes()[..cut], 27), "user: first\nsec");
}

#[test]
fn every_dialects_answer_has_its_text() {
    for (body, expected) in [
        (
            json!({"choices": [{"message": {"role": "assistant", "content": "Hello"}}]}),
            "Hello",
        ),
        (json!({"choices": [{"text": "there was"}]}), "there was"),
        (
            json!({"output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
            ]}),
            "Hm.\nHello",
        ),
        (
            json!({"type": "message", "content": [{"type": "text", "text": "Hello"}]}),
            "Hello",
        ),
        (
            json!({"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}),
            "Hello",
        ),
        (
            json!({"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}}),
            "Hello",
        ),
        (
            json!({"message": {"content": "Hello"}, "done": true}),
            "Hello",
        ),
        (json!({"response": "Hello", "done": true}), "Hello"),
        (json!({"results": [{"outputText": "Hello"}]}), "Hello"),
        (json!({"data": [{"embedding": [0.1]}]}), ""),
        (json!({"error": {"message": "no"}}), ""),
    ] {
        let body = body.to_string();
        let text = of_answer(
            b"application/json; charset=utf-8",
            b"",
            body.as_bytes(),
            ALL,
        );
        assert_eq!(text, expected, "{body}");
    }
}

#[test]
fn every_dialects_stream_has_its_text() {
    let sse = |events: &[Value]| -> String {
        let events = events.iter().map(|event| format!("data: {event}\n\n"));
        events.collect::<String>() + "data: [DONE]\n\n"
    };
    let chat = |content: &str| json!({"choices": [{"index": 0, "delta": {"content": content}}]});
    for (events, expected) in [
        (
            vec![
                json!({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}),
                chat("Hel"),
                json!({"choices": [{"index": 1, "delta": {"content": "other"}}]}),
                chat("lo"),
                json!({"choices": [{"index": 0, "delta": {"tool_calls": [
                    {"index": 0, "function": {"name": "look", "arguments": "{\"at\""}},
                ]}}]}),
                json!({"choices": [{"index": 0, "delta": {"tool_calls": [
                    {"index": 0, "function": {"arguments": ":1}"}},
                ]}}]}),
            ],
            "Hello\nlook {\"at\":1}",
        ),
        (
            vec![
                json!({"type": "response.created", "response": {"output": []}}),
                json!({"type": "response.output_text.delta", "delta": "Hel"}),
                json!({"type": "response.output_text.delta", "delta": "lo"}),
                json!({"type": "response.output_text.done", "text": "Hello"}),
                json!({"type": "response.audio.delta", "delta": "AAAA"}),
                json!({"type": "response.completed", "response": {"output": [{"content": [{"text": "Hello"}]}]}}),
            ],
            "Hello",
        ),
        (
            vec![
                json!({"type": "message_start", "message": {"role": "assistant", "content": []}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "look", "input": {}}}),
                json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"at\":1}"}}),
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
            ],
            "Hello\nlook {\"at\":1}",
        ),
        (
            vec![
                json!({"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]}),
                json!({"candidates": [{"content": {"parts": [{"text": "lo"}]}, "index": 0}]}),
            ],
            "Hello",
        ),
    ] {
        let stream = sse(&events);
        let text = of_answer(b"text/event-stream", b"", stream.as_bytes(), ALL);
        assert_eq!(text, expected);
        // Gemini's other form of a stream.
        let array = Value::from(events).to_string();
        assert_eq!(
            of_answer(b"application/json", b"", array.as_bytes(), ALL),
            expected
        );
    }
    let lines = "{\"message\":{\"content\":\"Hel\"}}\n{\"message\":{\"content\":\"lo\"}}\n{\"mess";
    assert_eq!(
        of_answer(LINES.as_bytes(), b"", lines.as_bytes(), ALL),
        "Hello"
    );
}

#[test]
fn a_compressed_answer_is_decoded() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let body = json!({"choices": [{"message": {"content": "Hello"}}]}).to_string();
    gzip.write_all(body.as_bytes()).expect("memory takes all");
    let gzip = gzip.finish().expect("memory takes all");
    assert_eq!(of_answer(b"application/json", b"gzip", &gzip, ALL), "Hello");
    assert_eq!(of_answer(b"application/json", b"br", &gzip, ALL), "");
    let cut = &gzip[..gzip.len() - 12];
    assert!("Hello".starts_with(&of_answer(b"application/json", b"gzip", cut, ALL)));
}
