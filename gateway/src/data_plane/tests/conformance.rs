//! What RFC 9110, 9112 and 9113 ask of one that stands between two sides.

use bytes::Bytes;

use super::*;

const BODY: &str = r#"{"model":"m"}"#;

/// A provider that answers every request with these bytes.
fn answers(bytes: impl Into<String>) -> SocketAddr {
    let bytes = bytes.into();
    provider(move |stream, _| stream.write_all(bytes.as_bytes()).unwrap())
}

fn exchange(client: &mut TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).unwrap();
    read_message(client).unwrap()
}

#[test]
fn informational_responses_stay_with_the_node() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for (before, status) in [
        (interim.to_owned(), "200"),
        (interim.repeat(4), "502"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(), "502"),
    ] {
        both_drivers(|driver| {
            let node = start(driver, answers(format!("{before}{last}")), |_| {});
            let answer = exchange(&mut node.connect(), &chat(BODY));
            assert_eq!(&answer[9..12], status, "{answer}");
            assert!(!answer.contains("link"), "{answer}");
            node.stop(|records| assert_eq!(records.len(), 1));
        });
    }
}

#[test]
fn responses_without_a_body_are_followed_by_the_next() {
    // A length beside them tells of the body that a GET would have brought.
    for (status, length) in [
        ("204 No Content", ""),
        ("304 Not Modified", "content-length: 9\r\n"),
    ] {
        both_drivers(|driver| {
            let head = format!("HTTP/1.1 {status}\r\n{length}\r\n");
            let node = start(driver, answers(head), |_| {});
            let mut client = node.connect();
            for _ in 0..3 {
                let answer = exchange(&mut client, &chat(BODY));
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                    "{answer}"
                );
                assert!(!answer.contains("content-length"), "{answer}");
                assert!(!answer.contains("transfer-encoding"), "{answer}");
            }
            drop(client);
            node.stop(|records| assert_eq!(records.len(), 3));
        });
    }
}

#[test]
fn what_the_connection_names_goes_no_further() {
    both_drivers(|driver| {
        let upstream = answers(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n\
             Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
        );
        let node = start(driver, upstream, |_| {});
        let answer = exchange(&mut node.connect(), &chat(BODY)).to_lowercase();
        assert!(answer.contains("\r\nx-end: 2\r\n"), "{answer}");
        for gone in ["x-hop", "keep-alive", "\r\nconnection"] {
            assert!(!answer.contains(gone), "{gone}: {answer}");
        }
        node.stop(|records| assert_eq!(records.len(), 1));
    });
}

#[test]
fn each_side_closes_for_itself() {
    both_drivers(|driver| {
        // The provider wants a new connection for every request; the agent's goes on.
        let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        let upstream = provider(move |stream, _| {
            stream.write_all(closing.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        for _ in 0..3 {
            let answer = exchange(&mut client, &chat(BODY));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(!answer.contains("connection"), "{answer}");
        }
        // Now the agent wants to go.
        let last = chat(BODY).replacen("\r\n\r\n", "\r\nConnection: Close\r\n\r\n", 1);
        let answer = exchange(&mut client, &last);
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        node.stop(|records| {
            assert_eq!(records.len(), 4);
            assert!(
                records
                    .iter()
                    .all(|r| r.attempts.len() == 1 && r.attempts[0].connect_us > 0)
            );
            for record in records {
                let marks = record.marks;
                let steps = [
                    1,
                    marks.received_us,
                    marks.reserved_us,
                    marks.sent_us,
                    marks.first_byte_us,
                    record.duration_us,
                ];
                assert!(steps.is_sorted(), "{steps:?}");
            }
        });
    });
}

#[test]
fn http_1_0_is_answered_in_kind() {
    both_drivers(|driver| {
        let upstream =
            answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        let request = chat(BODY).replacen("HTTP/1.1\r\n", "HTTP/1.0\r\nTE: trailers\r\n", 1);
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(
            answer.ends_with("\r\nconnection: close\r\n\r\nok"),
            "{answer}"
        );
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        node.stop(|records| assert_eq!(records[0].http_version, 10));
    });
}

#[test]
fn an_absolute_target_is_read_as_its_parts() {
    both_drivers(|driver| {
        let (seen, requests) = mpsc::channel();
        let upstream = provider(move |stream, request| {
            seen.send(request.clone()).unwrap();
            answer_json(stream, request);
        });
        let node = start(driver, upstream, |_| {});
        for (authority, status) in [
            ("ep.test", "200"),
            ("other.test", "421"),
            ("u@ep.test", "421"),
        ] {
            let target = format!("POST http://{authority}/v1/");
            let request = chat(BODY).replacen("POST /v1/", &target, 1);
            let answer = exchange(&mut node.connect(), &request);
            assert_eq!(&answer[9..12], status, "{authority}: {answer}");
        }
        let request = requests.recv().unwrap();
        assert!(
            request.starts_with("POST /v1/chat/completions HTTP/1.1\r\nhost: provider.test\r\n")
        );
        node.stop(|records| assert_eq!(records.len(), 3));
    });
}

/// Opens HTTP/2 without TLS, and runs `test` on it.
fn http2<T>(node: &Node, test: impl AsyncFnOnce(h2::client::SendRequest<Bytes>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let io = tokio::net::TcpStream::connect(node.address).await.unwrap();
        let (client, connection) = h2::client::handshake(io).await.unwrap();
        tokio::spawn(connection);
        test(client.ready().await.unwrap()).await
    })
}

fn http2_chat(fields: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::post("http://ep.test/v1/chat/completions");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

#[test]
fn a_stated_length_that_is_wrong_resets_its_stream_only() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |_| {});
        http2(&node, async |mut client| {
            for length in ["5", "500"] {
                let request = http2_chat(&[("content-length", length)]);
                let (response, mut body) = client.send_request(request, false).unwrap();
                body.send_data(Bytes::from(BODY), true).unwrap();
                let error = response.await.unwrap_err();
                assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR), "{length}");
                assert!(error.is_reset(), "{length}: {error}");
            }
            let request = http2_chat(&[("content-length", "13")]);
            let (response, mut body) = client.send_request(request, false).unwrap();
            body.send_data(Bytes::from(BODY), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        });
        node.stop(|records| {
            assert_eq!(
                records
                    .iter()
                    .filter(|r| r.outcome == Outcome::Answered)
                    .count(),
                1
            );
        });
    });
}

#[test]
fn a_head_over_the_limit_is_told_so() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |config| {
            config.workers.head_bytes_limit = 8 * 1024;
        });
        http2(&node, async |mut client| {
            let long = "x".repeat(9000);
            let (response, _) = client
                .send_request(http2_chat(&[("x-long", &long)]), true)
                .unwrap();
            assert_eq!(response.await.unwrap().status(), 431);
            let (response, mut body) = client.send_request(http2_chat(&[]), false).unwrap();
            body.send_data(Bytes::from(BODY), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        });
        node.stop(|_| {});
    });
}

#[test]
fn a_stream_under_way_outlives_goaway() {
    both_drivers(|driver| {
        let (go_on, wait) = mpsc::channel();
        let wait = std::sync::Mutex::new(wait);
        let upstream = provider(move |stream, _| {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
            stream.write_all(head).unwrap();
            stream.write_all(b"on").unwrap();
            wait.lock().unwrap().recv().unwrap();
            stream.write_all(b"ly").unwrap();
        });
        let node = start(driver, upstream, |_| {});
        let commands = node.commands.clone();
        http2(&node, async |mut client| {
            let (response, mut body) = client.send_request(http2_chat(&[]), false).unwrap();
            body.send_data(Bytes::from(BODY), true).unwrap();
            let mut answer = response.await.unwrap().into_body();
            assert_eq!(answer.data().await.unwrap().unwrap(), "on");
            let deadline = Instant::now() + Duration::from_secs(5);
            commands.send(WorkerCommand::Drain { deadline }).unwrap();
            // GOAWAY has come when no new stream can be opened.
            let refused = loop {
                match client.ready().await {
                    Ok(ready) => client = ready,
                    Err(error) => break error,
                }
                tokio::task::yield_now().await;
            };
            assert!(refused.is_go_away(), "{refused}");
            go_on.send(()).unwrap();
            assert_eq!(answer.data().await.unwrap().unwrap(), "ly");
            assert!(answer.data().await.is_none());
        });
        node.stop(|records| assert_eq!(records[0].outcome, Outcome::Answered));
    });
}
