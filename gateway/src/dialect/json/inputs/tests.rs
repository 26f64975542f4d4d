use super::*;

fn read(body: &str, has_keyed_tools: bool) -> Inputs {
    Inputs::read(body.as_bytes(), has_keyed_tools).unwrap()
}

#[test]
fn text_is_its_bytes() {
    for body in [
        r#"{"messages":[{"role":"user","content":"look at \"image_url\": it is a key"}]}"#,
        r#"{"messages":[{"content":[{"type":"text","text":"\ud800 \u003c"}]}],"previous_response_id":null}"#,
        // OpenAI's chat, with tools and what they said.
        r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":
            {"url":{"type":"string"},"image":{"type":"x"},"file_id":{}}}}}],"tool_choice":{"type":"function"},
            "response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}},"audio":null}"#,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"arguments":"{}"}}]}]}"#,
        // Codex.
        r#"{"type":"response.create","input":[{"type":"message","content":[{"type":"input_text","text":"x"}]},
            {"type":"function_call","arguments":"{\"type\":\"image\"}"},{"type":"function_call_output","output":"x"},
            {"type":"reasoning","encrypted_content":"x","summary":[{"type":"summary_text","text":"x"}]}],
            "tools":[{"type":"custom","name":"apply_patch","format":{"type":"grammar","syntax":"lark"}},
            {"type":"namespace","name":"n","tools":[{"type":"function","name":"g"}]}],
            "text":{"format":{"type":"json_schema","schema":{}}},"background":false,"prompt":null}"#,
        // Claude Code.
        r#"{"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"thinking":{"type":"adaptive"},
            "messages":[{"content":[{"type":"tool_use","input":{"type":"image","file_id":"x"}},
            {"type":"tool_result","content":[{"type":"text"}]},{"type":"thinking","signature":"x"}]}],
            "context_management":{"edits":[{"type":"clear_thinking_20251015"}]},
            "tools":[{"name":"Read","input_schema":{"type":"object","properties":{"image":{}}}},
            {"type":"custom","name":"x"}],"metadata":{"type":"image"}}"#,
        r#"{"messages":[{"role":"user","content":"x","tool_calls":[{"function":{"arguments":{"images":[1]}}}]}],
            "format":{"type":"object","properties":{}},"options":{"num_predict":1}}"#,
    ] {
        assert_eq!(read(body, false), Inputs::default(), "{body}");
    }
    for body in [
        r#"{"messages":[{"content":[{"text":"x"},{"toolUse":{"input":{"image":1}}},
            {"toolResult":{"content":[{"json":{"video":1,"type":"x"}},{"text":"x"}]}},{"cachePoint":{"type":"default"}}]}],
            "toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}]},
            "additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":9}}}"#,
        r#"{"contents":[{"parts":[{"text":"x"},{"functionCall":{"args":{"inlineData":1}}},
            {"functionResponse":{"response":{"type":"x","fileData":1}}}]}],
            "tools":[{"functionDeclarations":[{"parameters":{"type":"OBJECT"},"response":{"type":"OBJECT"}}]}],
            "generationConfig":{"responseSchema":{"type":"STRING"}},"labels":{"type":"x"}}"#,
    ] {
        assert_eq!(read(body, true), Inputs::default(), "{body}");
    }
}

#[test]
fn media_and_what_is_kept_are_more() {
    for body in [
        r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#,
        r#"{"messages":[{"content":[{"ty\u0070e":"\u0069mage_url"}]}]}"#,
        r#"{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":""}}]}]}"#,
        r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#,
        r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]}"#,
        r#"{"input":[{"type":"input_image","file_id":"f"}]}"#,
        r#"{"input":[{"type":"item_reference","id":"i"}]}"#,
        r#"{"input":[{"type":"something_new","id":"i"}]}"#,
        r#"{"input":"x","previous_response_id":"r"}"#,
        r#"{"input":"x","conversation":{"id":"c"}}"#,
        r#"{"messages":[{"content":[{"type":"image","source":{"type":"base64","data":""}}]}]}"#,
        r#"{"messages":[{"content":[{"type":"tool_result","content":[{"type":"document"}]}]}]}"#,
        r#"{"messages":[{"content":[{"type":"tool_reference","tool_name":"t"}]}]}"#,
        r#"{"tools":[{"type":"bash_20250124","name":"bash"}]}"#,
        r#"{"messages":[{"content":"x","images":["aGk="]}]}"#,
        r#"{"messages":[{"content":"x","Images":["aGk="]}]}"#,
        r#"{"prompt":"x","images":["aGk="]}"#,
    ] {
        let more = Inputs {
            is_more: true,
            ..Inputs::default()
        };
        assert_eq!(read(body, false), more, "{body}");
    }
    for body in [
        r#"{"messages":[{"content":[{"image":{"format":"png","source":{"bytes":""}}}]}]}"#,
        r#"{"messages":[{"content":[{"document":{"source":{"s3Location":{}}}}]}]}"#,
        r#"{"messages":[{"content":[{"toolResult":{"content":[{"image":{}}]}}]}]}"#,
        r#"{"contents":[{"parts":[{"inlineData":{"data":""}}]}]}"#,
        r#"{"contents":[{"parts":[{"file_data":{"file_uri":"gs://x"}}]}]}"#,
        r#"{"contents":[{"parts":[{"functionResponse":{"response":{},"parts":[{"inlineData":{}}]}}]}]}"#,
        r#"{"cachedContent":"cachedContents/1","contents":[]}"#,
    ] {
        assert!(read(body, true).is_more, "{body}");
    }
}

#[test]
fn tools_that_the_provider_runs_are_noticed() {
    let other = HostedTools {
        other: true,
        ..HostedTools::default()
    };
    for (body, expected) in [
        (
            r#"{"tools":[{"type":"web_search_preview"}]}"#,
            HostedTools {
                web_search: true,
                ..HostedTools::default()
            },
        ),
        (
            r#"{"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}"#,
            HostedTools {
                code_interpreter: true,
                ..HostedTools::default()
            },
        ),
        (
            r#"{"tools":[{"type":"web_search_20250305","max_uses":3},{"max_uses":2,"type":"web_search_20250305"}]}"#,
            HostedTools {
                plain_search: true,
                uses: 5,
                ..HostedTools::default()
            },
        ),
        (
            r#"{"tools":[{"type":"web_search_20250305","max_uses":3,"max_uses":"9"}]}"#,
            HostedTools {
                plain_search: true,
                uses_are_open: true,
                ..HostedTools::default()
            },
        ),
        (r#"{"tools":[{"type":"function","type":"mcp"}]}"#, other),
        (r#"{"tools":[{"type":7}]}"#, other),
        (r#"{"tools":["web_search"]}"#, other),
        (r#"{"tools":[{"googleSearch":{}}]}"#, other),
        (r#"{"TOOLS":[{"type":"mcp"}]}"#, other),
        (r#"{"tools":{"type":"mcp"}}"#, other),
        (
            r#"{"tools":[{"type":"namespace","tools":[{"type":"mcp"}]}]}"#,
            other,
        ),
        (
            r#"{"input":[{"type":"message","tools":[{"type":"shell"}]}]}"#,
            other,
        ),
        (r#"{"tools":[{"type":"image_generation"}]}"#, other),
        (
            r#"{"tools":[{"type":"code_execution_20250825","name":"c"}]}"#,
            other,
        ),
    ] {
        assert_eq!(read(body, false).tools, expected, "{body}");
    }
    for body in [
        r#"{"tools":[{"functionDeclarations":[],"googleSearch":{}}]}"#,
        r#"{"tools":[{"url_context":{}}]}"#,
        r#"{"tools":[{"name":"x"}]}"#,
        r#"{"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}}"#,
        r#"{"additionalModelRequestFields":{"tools":[{"type":"web_search_20250305"}]}}"#,
    ] {
        assert!(read(body, true).tools.any(), "{body}");
    }
}

#[test]
fn what_has_no_end_says_why() {
    for (body, expected) in [
        (r#"{"prompt":{"id":"pmpt_1"}}"#, Some(Endless::StoredPrompt)),
        (r#"{"prompt":"text"}"#, None),
        (r#"{"background":true}"#, Some(Endless::Background)),
        (r#"{"background":false}"#, None),
        (
            r#"{"prediction":{"type":"content"}}"#,
            Some(Endless::Output),
        ),
        (r#"{"mcp_servers":[{"url":"x"}]}"#, Some(Endless::Tools)),
        (r#"{"models":["a","b"]}"#, Some(Endless::Elsewhere)),
        (
            r#"{"context_management":[{"type":"compaction","compact_threshold":1}]}"#,
            Some(Endless::Compaction),
        ),
        (
            r#"{"context_management":{"edits":[{"type":"compact_20260112"}]}}"#,
            Some(Endless::Compaction),
        ),
        (
            r#"{"additionalModelRequestFields":{"max_tokens":9}}"#,
            Some(Endless::Output),
        ),
        (
            r#"{"additionalModelRequestFields":{"parameters":{"max_new_tokens":9}}}"#,
            Some(Endless::Output),
        ),
        (
            r#"{"additionalModelRequestFields":{"a":[{"maxTokenCount":9}]}}"#,
            Some(Endless::Output),
        ),
    ] {
        assert_eq!(read(body, false).endless, expected, "{body}");
    }
    for body in ["", "[]", "{", r#"{"a":1}x"#] {
        assert_eq!(Inputs::read(body.as_bytes(), false), None, "{body}");
    }
}
