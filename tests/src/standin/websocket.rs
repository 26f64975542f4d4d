//! OpenAI's WebSockets: `/v1/responses`, where several responses may run side by side, and `/v1/realtime`.
//! The protocol is tungstenite's, which is as strict as RFC 6455 asks: unmasked frames, extensions and text
//! that is no UTF-8 end the connection.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::Mutex as AsyncMutex,
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::{
    Seen, Shared, Vendor, check, openai,
    reply::{self, Plan},
};

/// What a response's events go out on; each is one message.
type Out<S> = Arc<AsyncMutex<SplitSink<WebSocketStream<S>, Message>>>;

/// Serves a connection that asks to be switched.
pub(super) async fn serve(
    seen: Seen,
    mut io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    early: BytesMut,
    shared: Arc<Shared>,
) -> Result<()> {
    let refusal = check::judge(&seen, &shared.options, None);
    shared.stats.request(seen.clone(), refusal.as_ref());
    let path = if let Vendor::Gateway(gateway) = shared.options.vendor {
        gateway.routed_path(&seen)
    } else {
        seen.path().to_owned()
    };
    let known = matches!(path.as_str(), "/v1/responses" | "/v1/realtime");
    let refused = match &refusal {
        Some(refusal) if refusal.status == 401 => Some((401, reply::echo(&seen).into_bytes())),
        Some(refusal) => Some((refusal.status, refusal.body(shared.options.vendor))),
        None if seen.query().contains("refuse=") => Some((429, b"{}".to_vec())),
        None if !known => Some((404, b"{}".to_vec())),
        None => None,
    };
    if let Some((status, body)) = refused {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        io.write_all(head.as_bytes()).await?;
        io.write_all(&body).await?;
        return Ok(io.shutdown().await?);
    }
    let key = seen.header("sec-websocket-key").context("a key")?;
    if seen.header("sec-websocket-version") != Some("13") {
        bail!("another version of the protocol");
    }
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        derive_accept_key(key.as_bytes())
    );
    if let Some(protocol) = seen.header("sec-websocket-protocol") {
        head += &format!("Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    head += "\r\n";
    io.write_all(head.as_bytes()).await?;
    io.flush().await?;
    let socket = WebSocketStream::from_partially_read(io, early.to_vec(), Role::Server, None).await;
    let ended = match path.as_str() {
        "/v1/responses" => responses(&seen, socket, &shared).await,
        _ => realtime(&seen, socket, &shared).await,
    };
    match ended {
        Ok(()) => {}
        Err(End::Scripted) => shared.stats.cut(),
        Err(End::Gone) => shared.stats.cancelled(),
        Err(End::Refused(what)) => shared.stats.wire_error(what),
    }
    Ok(())
}

/// Why a socket ended in the middle of something.
enum End {
    Scripted,
    Gone,
    Refused(String),
}

/// What the responses of one socket share.
struct Lanes {
    /// Conversations with a response under way.
    busy: Mutex<HashSet<Option<String>>>,
    /// Responses that may be continued: those made here, as with `store: false`.
    made: Mutex<HashSet<String>>,
}

async fn responses<S>(
    seen: &Seen,
    socket: WebSocketStream<S>,
    shared: &Arc<Shared>,
) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sink, mut stream) = socket.split();
    let out: Out<S> = Arc::new(AsyncMutex::new(sink));
    let lanes = Arc::new(Lanes {
        busy: Mutex::default(),
        made: Mutex::default(),
    });
    let mut running = JoinSet::new();
    loop {
        let message = tokio::select! {
            message = stream.next() => message,
            Some(ended) = running.join_next() => match ended {
                Ok(ended) => {
                    ended?;
                    continue;
                }
                Err(_) => return Err(End::Gone),
            },
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => return Err(End::Refused("a binary event".to_owned())),
            Some(Ok(Message::Close(_))) | Some(Err(_)) | None if running.is_empty() => {
                return Ok(());
            }
            Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return Err(End::Gone),
        };
        let Ok(event) = serde_json::from_str::<Value>(&text) else {
            return Err(End::Refused(format!("no JSON: {text}")));
        };
        let mut seen = seen.clone();
        seen.body = Bytes::copy_from_slice(text.as_bytes());
        shared.stats.request(seen.clone(), None);
        if event["type"] != "response.create" {
            continue;
        }
        let lane = event["stream_id"].as_str().map(str::to_owned);
        if !locked(&lanes.busy).insert(lane.clone()) {
            return Err(End::Refused(format!("two responses at once in {lane:?}")));
        }
        let (out, lanes, shared) = (Arc::clone(&out), Arc::clone(&lanes), Arc::clone(shared));
        running.spawn(async move {
            let answer = Answer {
                seen,
                lane: lane.clone(),
                out,
                shared,
            };
            let ended = answer.run(&event, &lanes).await;
            locked(&lanes.busy).remove(&lane);
            ended
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Answer<S> {
    seen: Seen,
    lane: Option<String>,
    out: Out<S>,
    shared: Arc<Shared>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Answer<S> {
    async fn run(&self, event: &Value, lanes: &Lanes) -> Result<(), End> {
        let plan = Plan::of(event, self.shared.options.persona);
        // Codex says `"stream": true`, which changes nothing.
        let refused = [("stream", json!(true)), ("background", Value::Null)];
        if let Some((field, _)) = refused
            .iter()
            .find(|(field, harmless)| event.get(field).is_some_and(|value| value != harmless))
        {
            return self.error(400, "unknown_parameter", field).await;
        }
        if let Some(previous) = event["previous_response_id"].as_str()
            && !locked(&lanes.made).contains(previous)
        {
            return self
                .error(400, "previous_response_not_found", previous)
                .await;
        }
        if let Some(status) = plan.script.status {
            return match plan.script.echo {
                true => self.error(status, "echo", &reply::echo(&self.seen)).await,
                false => {
                    self.error(status, "scripted", "an error as asked for")
                        .await
                }
            };
        }
        self.response(&plan, lanes).await?;
        if plan.script.steered {
            let next = json!({"model": plan.model, "input": "steered on [[events=2]]"});
            let plan = Plan::of(&next, self.shared.options.persona);
            self.response(&plan, lanes).await?;
        }
        if let Some(code) = plan.script.code {
            let frame = CloseFrame {
                code: CloseCode::from(code),
                reason: "as asked for".into(),
            };
            let mut out = self.out.lock().await;
            let _ = out.send(Message::Close(Some(frame))).await;
        }
        Ok(())
    }

    async fn response(&self, plan: &Plan, lanes: &Lanes) -> Result<(), End> {
        let id = self.shared.kept.id("resp_");
        let in_progress = openai::response(&id, plan, "in_progress");
        tokio::time::sleep(plan.script.slow_head).await;
        self.send(json!({"type": "response.created", "response": in_progress}))
            .await?;
        let item = json!({"id": "msg_standin", "type": "message", "role": "assistant",
            "status": "in_progress", "content": []});
        self.send(json!({"type": "response.output_item.added", "output_index": 0, "item": item}))
            .await?;
        for (number, text) in (0..).zip(&plan.words) {
            if plan.script.cut == Some(number) {
                return Err(End::Scripted);
            }
            if plan.script.stall == Some(number) {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(plan.script.pace).await;
            let delta = json!({"type": "response.output_text.delta", "item_id": "msg_standin", "output_index": 0,
                "content_index": 0, "delta": format!("{text} "), "logprobs": []});
            let bytes = self.send(delta).await?;
            self.shared.stats.sent(1, bytes);
        }
        let item = openai::message(plan);
        self.send(json!({"type": "response.output_item.done", "output_index": 0, "item": item}))
            .await?;
        locked(&lanes.made).insert(id.clone());
        let mut done = openai::response(&id, plan, "completed");
        let kind = match plan.script.steered {
            true => {
                done["status"] = json!("incomplete");
                done["incomplete_details"] = json!({"reason": "steered"});
                "response.incomplete"
            }
            false => "response.completed",
        };
        self.shared.kept.put(&done);
        self.shared.stats.usage(&plan.model, plan.sums);
        self.send(json!({"type": kind, "response": done})).await?;
        self.shared.stats.answered();
        Ok(())
    }

    async fn error(&self, status: u16, code: &str, message: &str) -> Result<(), End> {
        let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": null});
        self.send(json!({"type": "error", "status": status, "error": error}))
            .await?;
        Ok(())
    }

    async fn send(&self, mut event: Value) -> Result<usize, End> {
        event["sequence_number"] = json!(0);
        if let Some(lane) = &self.lane {
            event["stream_id"] = json!(lane);
        }
        let text = event.to_string();
        let bytes = text.len();
        let mut out = self.out.lock().await;
        out.send(Message::text(text)).await.map_err(|_| End::Gone)?;
        Ok(bytes)
    }
}

/// Text in, text out; `[[…]]` in the text of an item scripts the response that is asked for next.
async fn realtime<S>(
    seen: &Seen,
    mut socket: WebSocketStream<S>,
    shared: &Arc<Shared>,
) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let model = (seen.query().split('&'))
        .find_map(|pair| {
            let deployment = || pair.strip_prefix("deployment=");
            pair.strip_prefix("model=").or_else(deployment)
        })
        .unwrap_or_default()
        .to_owned();
    let session = json!({"id": "sess_standin", "object": "realtime.session", "type": "realtime", "model": model});
    send(
        &mut socket,
        json!({"type": "session.created", "session": session}),
    )
    .await?;
    let mut prompt = Value::String(String::new());
    loop {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => return Err(End::Refused("a binary event".to_owned())),
            Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return Ok(()),
        };
        let Ok(event) = serde_json::from_str::<Value>(&text) else {
            return Err(End::Refused(format!("no JSON: {text}")));
        };
        let mut seen = seen.clone();
        seen.body = Bytes::copy_from_slice(text.as_bytes());
        shared.stats.request(seen.clone(), None);
        match event["type"].as_str() {
            Some("conversation.item.create") => {
                prompt = event["item"]["content"].clone();
                send(
                    &mut socket,
                    json!({"type": "conversation.item.added", "item": event["item"]}),
                )
                .await?;
            }
            Some("session.update") => {
                let mut session = session.clone();
                session["audio"] = event["session"]["audio"].clone();
                send(
                    &mut socket,
                    json!({"type": "session.updated", "session": session}),
                )
                .await?;
            }
            Some("input_audio_buffer.commit") => {
                let usage = json!({"type": "tokens", "input_tokens": 20, "output_tokens": 4, "total_tokens": 24,
                    "input_token_details": {"audio_tokens": 20, "text_tokens": 0}});
                send(&mut socket, json!({"type": "conversation.item.input_audio_transcription.completed",
                    "item_id": "item_1", "content_index": 0, "transcript": "hello", "usage": usage})).await?;
            }
            Some("response.create") => {
                let body = json!({"model": model, "input": prompt});
                let plan = Plan::of(&body, shared.options.persona);
                if plan.script.status == Some(401) {
                    // Without a status, as this API has it.
                    let error = json!({"type": "invalid_request_error", "code": "invalid_api_key",
                        "message": reply::echo(&seen), "param": null});
                    send(&mut socket, json!({"type": "error", "error": error})).await?;
                    continue;
                }
                speak(&mut socket, &plan, shared).await?;
                if let Some(code) = plan.script.code {
                    let frame = CloseFrame {
                        code: CloseCode::from(code),
                        reason: "as asked for".into(),
                    };
                    let _ = socket.close(Some(frame)).await;
                }
            }
            _ => {}
        }
    }
}

async fn speak<S>(socket: &mut WebSocketStream<S>, plan: &Plan, shared: &Shared) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let id = shared.kept.id("resp_");
    let response =
        json!({"object": "realtime.response", "id": id, "status": "in_progress", "output": []});
    send(
        socket,
        json!({"type": "response.created", "response": response}),
    )
    .await?;
    for (number, text) in (0..).zip(&plan.words) {
        if plan.script.cut == Some(number) {
            return Err(End::Scripted);
        }
        if plan.script.stall == Some(number) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(plan.script.pace).await;
        let delta = json!({"type": "response.output_text.delta", "response_id": id, "item_id": "item_2",
            "output_index": 0, "content_index": 0, "delta": format!("{text} ")});
        send(socket, delta).await?;
        shared.stats.sent(1, text.len());
    }
    let mut done = response.clone();
    done["status"] = json!("completed");
    done["usage"] = json!({
        "total_tokens": plan.sums.input_tokens + plan.sums.output_tokens,
        "input_tokens": plan.sums.input_tokens,
        "output_tokens": plan.sums.output_tokens,
        "input_token_details": {
            "text_tokens": plan.sums.input_tokens, "audio_tokens": 0, "cached_tokens": plan.script.cached,
        },
        "output_token_details": {"text_tokens": plan.sums.output_tokens, "audio_tokens": 0},
    });
    shared.stats.usage(&plan.model, plan.sums);
    send(socket, json!({"type": "response.done", "response": done})).await?;
    shared.stats.answered();
    Ok(())
}

async fn send<S>(socket: &mut WebSocketStream<S>, mut event: Value) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    event["event_id"] = json!("event_standin");
    let sent = socket.send(Message::text(event.to_string())).await;
    sent.map_err(|_| End::Gone)
}
