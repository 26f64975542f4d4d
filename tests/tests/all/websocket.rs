//! OpenAI's WebSockets through the node: a well-kept library on both sides, and bytes by hand where it is about
//! the protocol.

mod captured;
mod realtime;
mod responses;
mod wire;

use futures_util::{SinkExt as _, StreamExt as _};
use gateway_tests::agent::{Agent, PATIENCE, Version};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        handshake::client::Response,
        http::{HeaderName, HeaderValue},
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use super::*;

const RESPONSES: &str = "/v1/responses";
const MODEL: &str = "gpt-4o-mini";

/// An agent's WebSocket.
struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    async fn open(agent: &Agent, path: &str) -> Self {
        let headers = [
            ("authorization", "Bearer -"),
            ("openai-beta", "responses_websockets=2026-02-06"),
            ("originator", "codex_cli_rs"),
            ("session_id", "019ab"),
        ];
        let (socket, answer) = Self::try_open(agent, path, &headers).await.unwrap();
        assert_eq!(answer.status(), 101);
        socket
    }

    /// `Err` holds what was answered in place of a WebSocket.
    async fn try_open(
        agent: &Agent,
        path: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<(Self, Response), Box<Error>> {
        let tls = agent.tls(Version::Http1).await.unwrap();
        let mut request = format!("wss://{}{path}", agent.authority())
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            request
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        let config = WebSocketConfig::default().max_frame_size(None);
        let opening = client_async_with_config(request, tls, Some(config));
        let (socket, answer) = timeout(PATIENCE, opening).await.unwrap()?;
        Ok((Self(socket), answer))
    }

    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    async fn create(&mut self, prompt: &str) {
        self.send(create(prompt)).await;
    }

    /// The next event; pings are answered on the way.
    async fn next(&mut self) -> Value {
        let message = self.message().await;
        assert!(message.is_text(), "no event: {message:?}");
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    async fn message(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.0.next())
                .await
                .expect("nothing comes");
            let message = message.expect("the socket is closed").unwrap();
            if !message.is_ping() && !message.is_pong() {
                return message;
            }
        }
    }

    /// Events up to and including the first of these types.
    async fn until(&mut self, types: &[&str]) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let kind = event["type"].as_str().unwrap().to_owned();
            events.push(event);
            if types.contains(&kind.as_str()) {
                return events;
            }
        }
    }

    /// One response to its end.
    async fn response(&mut self) -> Value {
        let events = self.until(&["response.completed", "error"]).await;
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed", "{last}");
        last["response"].clone()
    }

    /// Waits for a close frame and answers it.
    async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame;
            }
        }
    }

    async fn closed_with(&mut self) -> u16 {
        self.closed().await.map_or(1005, |frame| frame.code.into())
    }
}

/// What an agent hears of one response of this model, or in place of a socket.
pub(crate) async fn response(
    agent: &Agent,
    headers: &[(&'static str, &'static str)],
    model: &str,
    prompt: &str,
) -> String {
    let event = json!({"type": "response.create", "model": model, "input": prompt});
    heard(
        agent,
        RESPONSES,
        &headers[..1],
        &[event],
        &["response.completed", "error"],
    )
    .await
}

/// The same in a session.
pub(crate) async fn realtime(
    agent: &Agent,
    headers: &[(&'static str, &'static str)],
    model: &str,
    prompt: &str,
) -> String {
    let item = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]});
    let events = [
        json!({"type": "conversation.item.create", "item": item}),
        json!({"type": "response.create"}),
    ];
    let path = format!("/v1/realtime?model={model}");
    heard(agent, &path, headers, &events, &["response.done", "error"]).await
}

async fn heard(
    agent: &Agent,
    path: &str,
    headers: &[(&'static str, &'static str)],
    events: &[Value],
    last: &[&str],
) -> String {
    let (mut socket, answer) = match Socket::try_open(agent, path, headers).await {
        Ok(opened) => opened,
        // Its body as text, so that it can be searched.
        Err(error) => {
            return if let Error::Http(answer) = &*error {
                let body = answer.body().clone().unwrap_or_default();
                format!("{:?} {}", answer.headers(), String::from_utf8_lossy(&body))
            } else {
                format!("{error:?}")
            };
        }
    };
    let mut heard = format!("{answer:?}");
    for event in events {
        socket.send(event.clone()).await;
    }
    loop {
        let message = socket.message().await;
        heard += &format!("{message:?}");
        let event: Value =
            serde_json::from_str(message.to_text().unwrap_or("")).unwrap_or_default();
        let is_last = event["type"]
            .as_str()
            .is_some_and(|kind| last.contains(&kind));
        if message.is_close() || is_last {
            return heard;
        }
    }
}

fn create(prompt: &str) -> Value {
    json!({"type": "response.create", "model": MODEL, "input": prompt})
}

/// As JSON, what was answered in place of a WebSocket.
#[track_caller]
fn refused<T>(opened: Result<T, Box<Error>>) -> (u16, Value) {
    match opened.map(drop).map_err(|error| *error) {
        Err(Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            (
                answer.status().as_u16(),
                serde_json::from_slice(&body).unwrap_or_default(),
            )
        }
        other => panic!("no HTTP answer: {other:?}"),
    }
}
