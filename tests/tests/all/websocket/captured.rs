//! Texts of responses that were asked for on a WebSocket.

use super::*;
use crate::capture::{capturing, exchanges, written};

#[tokio::test]
async fn each_responses_texts_are_kept() {
    let settings = ["--prompt-collection", "true"];
    let (_standin, node, alice) = capturing(Vendor::OpenAi, &settings, &["--capture"]).await;
    let mut socket = Socket::open(&alice, RESPONSES).await;
    let mut answers = Vec::new();
    for prompt in ["planted one", "planted two"] {
        socket.create(prompt).await;
        let events = socket.until(&["response.completed", "error"]).await;
        let deltas = events
            .iter()
            .filter(|event| event["type"] == "response.output_text.delta");
        answers.push(deltas.map(|event| text(event, "delta")).collect::<String>());
    }
    socket.0.close(None).await.unwrap();
    node.records(2).await.unwrap();
    let node = written(node).await;
    let shown = exchanges(&node, 2).await;
    for ((shown, prompt), answer) in shown
        .iter()
        .zip(["planted one", "planted two"])
        .zip(answers)
    {
        assert!(text(shown, "request_prompt").ends_with(prompt), "{shown:#}");
        assert!(!answer.is_empty());
        assert_eq!(text(shown, "response_completion"), answer);
        assert_eq!(shown["capture"], "kept");
    }
    node.stop().await.unwrap();
}
