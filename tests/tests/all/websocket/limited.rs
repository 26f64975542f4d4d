//! Limits on responses over a WebSocket.

use gateway_tests::standin::Transport;

use super::*;

#[tokio::test]
async fn a_response_beyond_its_bound_is_ended_where_a_hard_limit_is() {
    const WORDS: u64 = 100_000;
    for transport in [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2] {
        let (standin, node) = openai(transport).await;
        let limit = ["--user-tokens", "2000/365d", "--mode", "hard"];
        crate::limits::limit(&node, &limit).await;
        let alice = node.alice().await.unwrap();
        let mut socket = Socket::open(&alice, RESPONSES).await;
        let mut event = create(&format!("[[events={WORDS}]]"));
        event["max_output_tokens"] = json!(100);
        socket.send(event.clone()).await;
        let events = socket.until(&["response.completed", "error"]).await;
        let last = events.last().unwrap();
        assert_eq!(last["error"]["code"], "llm_policy.limit_passed", "{last}");
        assert_eq!(last["error"]["type"], "rate_limit_error");
        let row = node.only_record().await.unwrap();
        assert_eq!(text(&row, "outcome"), "cut", "{row:#}");
        assert_eq!(text(&row, "reason"), "limit_passed");
        assert!(standin.stats().words_sent < WORDS);
        // The socket stays, and the limit is used up.
        socket.send(event).await;
        let refused = socket.next().await;
        assert_eq!(refused["error"]["code"], "llm_policy.token_cap_exceeded");
        node.stop().await.unwrap();
    }
}
