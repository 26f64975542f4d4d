//! Fields behind a body, over HTTP/1.1 on both sides.

use super::*;

/// A chunked request for `path`, with fields behind its body.
fn chunked(path: &str, fields: &str, body: &str, trailers: &str) -> String {
    let (first, second) = body.split_at(body.len() / 2);
    format!(
        "POST {path} HTTP/1.1\r\nHost: ep.test\r\nTransfer-Encoding: chunked\r\n\
         Trailer: x-sum\r\n{fields}\r\n\
         {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n{trailers}\r\n",
        first.len(),
        second.len()
    )
}

fn answer_with_trailers(stream: &mut TcpStream, _request: String) {
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-done\r\n\r\n\
              2\r\n{}\r\n0\r\nX-Done: yes\r\nset-cookie: a=b\r\ncontent-length: 9\r\n\r\n",
        )
        .unwrap();
}

const TRAILERS: &str = "X-Sum: 7\r\nAuthorization: Bearer t\r\nTransfer-Encoding: gzip\r\n";

#[test]
fn request_trailers_reach_the_provider_without_what_they_may_not_say() {
    // One body is held and scanned, the other streams.
    for path in ["/v1/chat/completions", "/v1/files"] {
        both_drivers(|driver| {
            let (seen, requests) = mpsc::channel();
            let upstream = provider(move |stream, request| {
                seen.send(request.clone()).unwrap();
                answer_json(stream, request);
            });
            let node = start(driver, upstream, |_| {});
            let mut client = node.connect();
            // Twice: the connections on both sides go on behind the trailers.
            for _ in 0..2 {
                let request = chunked(path, "", r#"{"model":"m"}"#, TRAILERS);
                client.write_all(request.as_bytes()).unwrap();
                let answer = read_message(&mut client).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                let request = requests.recv().unwrap();
                assert!(request.ends_with("\r\n0\r\nX-Sum: 7\r\n\r\n"), "{request}");
                assert!(request.contains("\r\nTrailer: x-sum\r\n"), "{request}");
                assert!(!request.contains("Bearer t"), "{request}");
                assert!(!request.contains("content-length"), "{request}");
            }
            drop(client);
            node.stop(|records| {
                assert_eq!(records.len(), 2);
                assert!(records.iter().all(|r| r.outcome == Outcome::Answered));
            });
        });
    }
}

#[test]
fn a_held_body_keeps_its_length_when_no_trailer_may_pass() {
    both_drivers(|driver| {
        let (seen, requests) = mpsc::channel();
        let upstream = provider(move |stream, request| {
            seen.send(request.clone()).unwrap();
            answer_json(stream, request);
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        let body = r#"{"model":"m"}"#;
        let request = chunked("/v1/chat/completions", "", body, "Cookie: a=b\r\n");
        client.write_all(request.as_bytes()).unwrap();
        read_message(&mut client).unwrap();
        let request = requests.recv().unwrap();
        assert!(request.contains("\r\ncontent-length: 13\r\n"), "{request}");
        assert!(request.ends_with(body), "{request}");
        assert!(!request.contains("Trailer"), "{request}");
        drop(client);
        node.stop(|records| assert_eq!(records.len(), 1));
    });
}

#[test]
fn response_trailers_reach_agents_that_asked_for_them() {
    both_drivers(|driver| {
        let (seen, requests) = mpsc::channel();
        let upstream = provider(move |stream, request| {
            seen.send(request.clone()).unwrap();
            answer_with_trailers(stream, request);
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        for (te, wanted) in [("", false), ("TE: trailers\r\n", true), ("", false)] {
            let request =
                chat(r#"{"model":"m"}"#).replacen("\r\n\r\n", &format!("\r\n{te}\r\n"), 1);
            client.write_all(request.as_bytes()).unwrap();
            let answer = read_message(&mut client).unwrap();
            let end = match wanted {
                true => "\r\n2\r\n{}\r\n0\r\nX-Done: yes\r\n\r\n",
                false => "\r\n2\r\n{}\r\n0\r\n\r\n",
            };
            assert!(answer.ends_with(end), "{te}: {answer}");
            assert_eq!(answer.contains("Trailer: x-done"), wanted, "{answer}");
            let request = requests.recv().unwrap();
            let asked = request.contains("\r\nte: trailers\r\nconnection: te\r\n");
            assert_eq!(asked, wanted, "{request}");
        }
        drop(client);
        node.stop(|records| assert_eq!(records.len(), 3));
    });
}

#[test]
fn trailers_that_are_none_are_refused_on_either_side() {
    both_drivers(|driver| {
        let many = "x: y\r\n".repeat(100);
        let long = format!("x: {}\r\n", "y".repeat(9000));
        let upstream = provider(|stream, _| {
            let end = "0\r\nno field\r\n\r\n";
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n{end}"
            )
            .unwrap();
        });
        let node = start(driver, upstream, |_| {});
        for bad in ["no field\r\n", ": y\r\n", "x : y\r\n", &many, &long] {
            let mut client = node.connect();
            let request = chunked("/v1/chat/completions", "", r#"{"model":"m"}"#, bad);
            client.write_all(request.as_bytes()).unwrap();
            let answer = read_message(&mut client).unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer}");
        }
        let mut client = node.connect();
        let request = chat(r#"{"model":"m"}"#);
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        node.stop(|records| {
            let (cut, refused) = records.split_last().unwrap();
            assert!(refused.iter().all(|r| r.reason == "malformed_request"));
            assert_eq!(
                (cut.outcome, cut.reason),
                (Outcome::Cut, "provider_protocol")
            );
        });
    });
}
