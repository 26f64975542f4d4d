//! Everything that is printed is read back by what it is written in.
#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::*;

fn place(ca_file: Option<&str>) -> Place {
    Place {
        url: "https://brave-otter.example".to_owned(),
        ca_file: ca_file.map(str::to_owned),
        model: "model-x".to_owned(),
        model_is_wanted: true,
        project: "project-x".to_owned(),
        region: "region-x".to_owned(),
    }
}

fn all() -> impl Iterator<Item = (Tool, Via)> {
    let tools = Tool::value_variants().iter();
    tools.flat_map(|tool| tool.vias().iter().map(|via| (*tool, *via)))
}

/// The variable, option or key by which a tool learns of the CA.
fn trusts_by(tool: Tool) -> &'static str {
    match tool {
        Tool::ClaudeCode | Tool::GeminiCli | Tool::VercelAiSdk => "NODE_EXTRA_CA_CERTS",
        Tool::Codex => "CODEX_CA_CERTIFICATE",
        Tool::OpenAi | Tool::Anthropic | Tool::GoogleGenai | Tool::LangChain | Tool::LiteLlm => {
            "SSL_CERT_FILE"
        }
        Tool::Boto3 => "AWS_CA_BUNDLE",
        Tool::Curl => "--cacert",
    }
}

#[test]
fn every_setup_names_the_endpoint_its_model_and_its_ca() {
    for (tool, via) in all() {
        let with_ca = place(Some("/ca"))
            .setup(tool, via)
            .text(&place(Some("/ca")));
        assert!(with_ca.contains("https://brave-otter.example"), "{with_ca}");
        assert!(with_ca.contains("model-x"), "{with_ca}");
        let trust = trusts_by(tool);
        let ways = [
            format!("{trust}=/ca"),
            format!("{trust} /ca"),
            format!("\"{trust}\": \"/ca\""),
        ];
        assert!(ways.iter().any(|way| with_ca.contains(way)), "{with_ca}");
        let without = place(None).setup(tool, via).text(&place(None));
        for word in ["CA_", "_CA", "cert", "CERT"] {
            assert!(!without.contains(word), "{without}");
        }
    }
}

#[test]
fn blocks_are_what_they_say_they_are() {
    for (tool, via) in all() {
        let place = place(Some("/ca"));
        let setup = place.setup(tool, via).json("t", via.name(), &place);
        for block in setup["blocks"].as_array().unwrap() {
            let content = block["content"].as_str().unwrap_or_default();
            let what = format!("{tool:?} {via:?}: {content}");
            match (
                block["kind"].as_str().unwrap(),
                block["path"].as_str(),
                block["language"].as_str(),
            ) {
                ("environment", ..) => {
                    let variables = block["variables"].as_object().unwrap();
                    assert!(variables.values().all(Value::is_string));
                }
                ("file", Some(path), _) if path.ends_with(".json") => {
                    serde_json::from_str::<Value>(content).expect(&what);
                }
                ("file", Some(path), _) if path.ends_with(".toml") => {
                    content.parse::<toml::Table>().expect(&what);
                }
                ("file", Some("config.yaml"), _) => {}
                ("code", _, Some("python")) => accepts(
                    "python3",
                    &["-c", "import ast, sys; ast.parse(sys.stdin.read())"],
                    content,
                    &what,
                ),
                ("code", _, Some("javascript")) => accepts(
                    "node",
                    &["--check", "--input-type=module", "-"],
                    content,
                    &what,
                ),
                ("code", _, Some("shell")) => accepts("sh", &["-n"], content, &what),
                other => panic!("{other:?} in {what}"),
            }
        }
    }
}

#[test]
fn the_text_for_people_is_a_shell_script_where_it_is_environment() {
    let place = place(Some("/ca"));
    for tool in [Tool::Boto3, Tool::OpenAi, Tool::Anthropic] {
        let text = place.setup(tool, tool.vias()[0]).text(&place);
        let exports: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("export "))
            .collect();
        assert!(exports.len() >= 3, "{text}");
        accepts("sh", &["-n"], &exports.join("\n"), &text);
    }
}

#[test]
fn codex_is_given_a_whole_provider() {
    let place = place(None);
    let setup = place.codex().json("codex", "openai", &place);
    let table: toml::Table = setup["blocks"][0]["content"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(table["model_provider"].as_str(), Some("keyway"));
    assert_eq!(table["model"].as_str(), Some("model-x"));
    let provider = &table["model_providers"]["keyway"];
    assert_eq!(provider["wire_api"].as_str(), Some("responses"));
    assert_eq!(
        provider["base_url"].as_str(),
        Some("https://brave-otter.example/v1")
    );
}

#[test]
fn claude_code_speaks_three_apis() {
    let env = |via| {
        let place = place(None);
        let setup = place.claude_code(via).json("claude-code", "", &place);
        let content = setup["blocks"][0]["content"].as_str().unwrap().to_owned();
        serde_json::from_str::<Value>(&content).unwrap()
    };
    let anthropic = env(Via::Anthropic);
    assert_eq!(anthropic["apiKeyHelper"], "echo '-'");
    assert_eq!(
        anthropic["env"]["ANTHROPIC_BASE_URL"],
        "https://brave-otter.example"
    );
    let bedrock = &env(Via::Bedrock)["env"];
    assert_eq!(
        bedrock["ANTHROPIC_BEDROCK_BASE_URL"],
        "https://brave-otter.example/bedrock"
    );
    assert_eq!(bedrock["CLAUDE_CODE_SKIP_BEDROCK_AUTH"], "1");
    let vertex = &env(Via::Vertex)["env"];
    assert_eq!(
        vertex["ANTHROPIC_VERTEX_BASE_URL"],
        "https://brave-otter.example/v1"
    );
    assert_eq!(vertex["ANTHROPIC_VERTEX_PROJECT_ID"], "project-x");
}

/// Has a program check its input; nothing is checked where the program is not installed.
fn accepts(program: &str, arguments: &[&str], input: &str, what: &str) {
    let mut child = match Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
    {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => panic!("{program}: {error}"),
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{what}");
}
