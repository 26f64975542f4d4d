//! The stand-in itself, without a node: a test double that is wrong would hide what is wrong.

use std::net::Ipv4Addr;

use gateway_tests::agent::{Agent, PATIENCE, Version};
use http::Method;
use http_body_util::BodyExt as _;

use super::*;

const AUTHORIZATION: (&str, &str) = ("authorization", "Bearer sk-standin-4f1d9c27b6aa");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn standin(transport: Transport) -> (StandIn, Agent) {
    let standin = StandIn::start(Options::new(Vendor::OpenAi, transport, KEY))
        .await
        .unwrap();
    let agent = Agent {
        source: Some(Ipv4Addr::LOCALHOST.into()),
        endpoint: standin.address(),
        host: "localhost".to_owned(),
        ca_pem: standin.ca_pem().unwrap().to_owned(),
        machine: None,
    };
    (standin, agent)
}

const PAIRS: [(Transport, Version); 2] = [
    (Transport::TlsHttp1, Version::Http1),
    (Transport::TlsHttp2, Version::Http2),
];

#[tokio::test]
async fn it_streams_words_and_reports_their_number() {
    for (transport, version) in PAIRS {
        let (standin, agent) = standin(transport).await;
        let mut session = agent.session(version).await.unwrap();
        for stream in [false, true] {
            let body = chat("two words [[events=5 cached=3]]", stream);
            let reply = session.post(CHAT, &body, &[AUTHORIZATION]).await.unwrap();
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        let sums = standin.stats().total();
        assert_eq!((sums.input_tokens, sums.output_tokens), (10, 10));
        assert_eq!(sums.cache_read_input_tokens, 6);
    }
}

#[tokio::test]
async fn it_refuses_a_wrong_credential() {
    for (transport, version) in PAIRS {
        let (standin, agent) = standin(transport).await;
        let reply = agent.post(version, CHAT, &chat("hi", false)).await.unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.error_code().as_str()),
            (401, "missing_api_key")
        );
        assert_eq!(standin.stats().refused.len(), 1);
    }
}

#[tokio::test]
async fn it_breaks_off_and_notices_who_leaves() {
    for (transport, version) in PAIRS {
        let (standin, agent) = standin(transport).await;
        let mut session = agent.session(version).await.unwrap();
        let begin = |prompt| bytes::Bytes::from(chat(prompt, true).to_string());
        let headers = [AUTHORIZATION, JSON];
        let cut = begin("[[events=9 cut=4]]");
        let response = session
            .begin(Method::POST, CHAT, &headers, cut)
            .await
            .unwrap();
        assert!(response.into_body().collect().await.is_err());
        assert_eq!(standin.stats().cut, 1);

        let mut session = agent.session(version).await.unwrap();
        let long = begin("[[events=60000 ms=10]]");
        let mut response = session
            .begin(Method::POST, CHAT, &headers, long)
            .await
            .unwrap();
        response.frame().await.unwrap().unwrap();
        drop(response);
        drop(session);
        standin
            .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn it_frames_answers_in_odd_ways() {
    for (transport, version) in PAIRS {
        let (_standin, agent) = standin(transport).await;
        for prompt in ["[[interim]]", "[[gzip]]", "[[close]]", "[[slow_head=10]]"] {
            for stream in [false, true] {
                let mut session = agent.session(version).await.unwrap();
                let reply = session
                    .post(CHAT, &chat(prompt, stream), &[AUTHORIZATION])
                    .await
                    .unwrap();
                assert_eq!(reply.status, 200, "{prompt} {version:?}");
                assert!(!reply.body.is_empty(), "{prompt} {version:?}");
            }
        }
    }
}
