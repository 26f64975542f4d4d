//! A whole worker on real sockets, with both drivers, between a blocking client and a scripted provider.

mod conformance;
mod date;
mod h2c;
mod trailers;

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::worker::{self, WorkerStart};
use crate::{
    config::{Config, Driver},
    dialect::DialectSet,
    handoff::{
        batch::Batch,
        capture::capture_queue,
        command::WorkerCommand,
        counters::WorkerCounters,
        publish::SnapshotPublisher,
        queue::{RecordReceiver, record_queue},
        reason::Reason,
        record::{ExchangeRecord, Outcome},
        snapshot::*,
    },
    secret::Secret,
};

const KEY: &str = "sk-planted-0123456789";

/// A running worker whose only provider is at `upstream`.
struct Node {
    address: SocketAddr,
    commands: mpsc::Sender<WorkerCommand>,
    thread: Option<JoinHandle<()>>,
    records: RecordReceiver,
    _publisher: SnapshotPublisher,
}

fn start(driver: Driver, upstream: SocketAddr, change: impl FnOnce(&mut Config)) -> Node {
    let text = "[overlay]\ninterface = \"lo\"\n[admission]\nmode = \"off\"\n";
    let mut config = Config::parse("test.toml".as_ref(), text, []).unwrap();
    config.workers.driver = driver;
    config.workers.pin = false;
    change(&mut config);
    let config = Arc::new(config);
    let publisher = SnapshotPublisher::new(snapshot(&config, upstream));
    let (mut senders, records) = record_queue(1, 64, Duration::from_millis(1));
    let (mut captures, _) = capture_queue(1);
    let (commands, received) = mpsc::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = worker::start(WorkerStart {
        index: 0,
        node: 7,
        config,
        snapshots: publisher.reader(),
        counters: Arc::new(WorkerCounters::default()),
        records: senders.pop().unwrap(),
        captures: captures.pop().unwrap(),
        objects: Arc::default(),
        grants: Arc::default(),
        commands: received,
    })
    .unwrap()
    .thread;
    commands
        .send(WorkerCommand::OpenListener {
            id: 1,
            socket: listener,
            tls: false,
        })
        .unwrap();
    Node {
        address,
        commands,
        thread: Some(thread),
        records,
        _publisher: publisher,
    }
}

fn snapshot(config: &Config, upstream: SocketAddr) -> Snapshot {
    let group = Group {
        index: GroupIndex(0),
        id: "g1".into(),
        name: "agents".into(),
    };
    let principal = Principal {
        id: "peer-1".into(),
        display_name: "agent-1".into(),
        peer_id: "peer-1".into(),
        groups: [GroupIndex(0)].into_iter().collect(),
        buckets: OwnBuckets::new(),
        budget_rules: Box::default(),
        all_groups: [group].into(),
        slot: 1,
    };
    let price = Price {
        standard: TierPrice {
            rates: Rates {
                input: NanoUsdPerMillion(1_000_000_000),
                output: NanoUsdPerMillion(2_000_000_000),
                ..Rates::default()
            },
            long_context: None,
        },
        ..Price::default()
    };
    let listed = Listed {
        price: Some(price),
        slot: None,
    };
    let policy = Policy {
        id: "policy-1".into(),
        name: "all".into(),
        groups: [GroupIndex(0)].into(),
        ..Policy::default()
    };
    let timeouts = &config.timeouts;
    let provider = Provider {
        id: "provider-1".into(),
        slot: ProviderSlot(1),
        name: "scripted".into(),
        catalog_id: "custom".into(),
        dialects: DialectSet::ANY,
        base_path: "".into(),
        auth: Some(AuthHeader {
            name: http::header::AUTHORIZATION,
            prefix: "Bearer ".into(),
        }),
        extra_headers: Vec::new(),
        identity: None,
        asks_for_usage: true,
        reported_cost: None,
        is_regional: false,
        responses_websocket: false,
        models: Models {
            listed: foldhash::HashMap::from_iter([("m".into(), listed)]),
            defaults: Arc::default(),
        },
        targets: vec![Arc::new(Target {
            id: TargetId(1),
            address: upstream,
            authority: "provider.test".into(),
            credential: Some(Arc::new(Credential {
                secret: Secret::new(KEY.into()),
                signer: None,
                minted: None,
            })),
            tls: None,
        })],
        learns_trace: false,
        no_target: Reason::ProviderUnresolved,
        grants: Grants::new([(0, &policy)]),
        caps: Box::default(),
        timeouts: Timeouts {
            connect: timeouts.connect,
            first_byte: timeouts.first_byte,
            idle: timeouts.idle,
            total: None,
        },
    };
    Snapshot {
        group_buckets: access::GroupBuckets::default(),
        revision: 1,
        endpoint: Endpoint {
            names: vec!["ep.test".into()],
            tls: None,
        },
        peers: [(IpAddr::V4(Ipv4Addr::LOCALHOST), principal)]
            .into_iter()
            .collect(),
        providers: vec![Arc::new(provider)],
        policies: vec![policy],
        budget_rules: Vec::new(),
        groups: Arc::default(),
    }
}

impl Node {
    fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(5);
        // The worker opens its listener at a tick; until then the kernel queues the connection.
        let stream = loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
    }

    /// Drains, and returns what was recorded.
    fn stop(mut self, check: impl Fn(&[ExchangeRecord<'_>])) {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.commands
            .send(WorkerCommand::Drain { deadline })
            .unwrap();
        self.thread.take().unwrap().join().unwrap();
        let mut batches = Vec::new();
        self.records.take(usize::MAX, &mut batches);
        let bytes: Vec<&[u8]> = batches.iter().map(|batch| &batch.bytes[..]).collect();
        let mut records: Vec<ExchangeRecord<'_>> = Vec::new();
        for batch in bytes {
            records.extend(Batch::open(batch).unwrap().records().unwrap());
        }
        check(&records);
    }
}

/// A provider that serves each connection by `script`, which gets the request read so far.
fn provider(script: impl Fn(&mut TcpStream, String) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, mut stream) = (Arc::clone(&script), stream.unwrap());
            std::thread::spawn(move || {
                while let Some(request) = read_message(&mut stream) {
                    script(&mut stream, request);
                }
            });
        }
    });
    address
}

/// Reads one message with a Content-Length or in chunks, as they are; `None` at the end.
fn read_message(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes.clone())
        .unwrap()
        .to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        let body = bytes.len() - 2;
        while !(bytes.ends_with(b"\r\n\r\n")
            && memchr::memmem::find(&bytes[body..], b"\r\n0\r\n").is_some())
        {
            stream.read_exact(&mut byte).ok()?;
            bytes.push(byte[0]);
        }
        return Some(String::from_utf8(bytes).unwrap());
    }
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(String::from_utf8(bytes).unwrap())
}

fn chat(body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: ep.test\r\nAuthorization: Bearer agents-own\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const USAGE: &str = r#""usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#;

fn answer_json(stream: &mut TcpStream, _request: String) {
    let body = format!(r#"{{"id":"x","choices":[],{USAGE}}}"#);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
}

fn both_drivers(test: impl Fn(Driver)) {
    test(Driver::Epoll);
    test(Driver::IoUring);
}

#[test]
fn a_request_gets_the_providers_key_and_leaves_a_record() {
    both_drivers(|driver| {
        let (seen, requests) = mpsc::channel();
        let upstream = provider(move |stream, request| {
            seen.send(request.clone()).unwrap();
            answer_json(stream, request);
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        for _ in 0..3 {
            client
                .write_all(chat(r#"{"model":"m"}"#).as_bytes())
                .unwrap();
            let answer = read_message(&mut client).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with(&format!("{USAGE}}}")), "{answer}");
            let request = requests.recv().unwrap();
            assert!(
                request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
                "{request}"
            );
            assert!(
                request.contains(&format!("authorization: Bearer {KEY}\r\n")),
                "{request}"
            );
            assert!(!request.contains("agents-own"), "{request}");
        }
        drop(client);
        node.stop(|records| {
            assert_eq!(records.len(), 3);
            for record in records {
                assert_eq!((record.outcome, record.status), (Outcome::Answered, 200));
                assert_eq!((record.model, record.provider_id), ("m", "provider-1"));
                assert_eq!(
                    (record.usage.input_tokens, record.usage.output_tokens),
                    (10, 5)
                );
                assert_eq!(record.cost.total(), 10 * 1000 + 5 * 2000);
                assert_eq!(record.attempts.len(), 1);
            }
        });
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    both_drivers(|driver| {
        let upstream = provider(|stream, request| {
            let n = request
                .split("\"n\":")
                .nth(1)
                .unwrap()
                .trim_end_matches('}')
                .to_owned();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{n}",
                n.len()
            )
            .unwrap();
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        let all: String = (0..20)
            .map(|n| chat(&format!(r#"{{"model":"m","n":{n}}}"#)))
            .collect();
        client.write_all(all.as_bytes()).unwrap();
        for n in 0..20 {
            let answer = read_message(&mut client).unwrap();
            assert!(answer.ends_with(&format!("\r\n\r\n{n}")), "{n}: {answer}");
        }
        drop(client);
        node.stop(|records| assert_eq!(records.len(), 20));
    });
}

#[test]
fn a_cut_stream_is_no_clean_end() {
    both_drivers(|driver| {
        let upstream = provider(|stream, _| {
            let event = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n",
                event.len()
            )
            .unwrap();
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        client
            .write_all(chat(r#"{"model":"m","stream":true}"#).as_bytes())
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"hi\""), "{answer}");
        assert!(answer.contains("keyway.provider_cut"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        node.stop(|records| {
            assert_eq!(records.len(), 1);
            assert_eq!(
                (records[0].outcome, records[0].reason),
                (Outcome::Cut, "provider_cut")
            );
        });
    });
}

#[test]
fn an_agent_that_leaves_frees_the_provider_at_once() {
    both_drivers(|driver| {
        let (freed, when) = mpsc::channel();
        let upstream = provider(move |stream, _| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
                .unwrap();
            // Blocks until the node closes.
            assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
            freed.send(()).unwrap();
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        client
            .write_all(chat(r#"{"model":"m"}"#).as_bytes())
            .unwrap();
        let mut first = [0; 8];
        client.read_exact(&mut first).unwrap();
        drop(client);
        when.recv_timeout(Duration::from_secs(2))
            .expect("the provider is let go");
        node.stop(|records| {
            assert_eq!(
                (records[0].outcome, records[0].reason),
                (Outcome::Cancelled, "client_gone")
            );
        });
    });
}

#[test]
fn a_stale_pooled_connection_is_tried_again() {
    both_drivers(|driver| {
        let upstream = provider(|stream, request| {
            answer_json(stream, request);
            // Says nothing about it and closes: the next request meets a dead connection.
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        for _ in 0..5 {
            client
                .write_all(chat(r#"{"model":"m"}"#).as_bytes())
                .unwrap();
            let answer = read_message(&mut client).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        drop(client);
        node.stop(|records| assert_eq!(records.len(), 5));
    });
}

#[test]
fn bad_requests_are_answered_and_recorded() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |config| {
            config.workers.body_bytes_limit = 64 * 1024;
        });
        let host = "Host: ep.test\r\n";
        let large = chat(&format!(r#"{{"model":"m","x":"{}"}}"#, "y".repeat(70_000)));
        let cases = [
            (
                "bare LF",
                format!("GET / HTTP/1.1\n{host}\r\n"),
                400,
                "malformed_request",
            ),
            (
                "wrong host",
                "GET /v1/models HTTP/1.1\r\nHost: other\r\n\r\n".into(),
                421,
                "authority_refused",
            ),
            (
                "two hosts",
                format!("GET /v1/models HTTP/1.1\r\n{host}{host}\r\n"),
                421,
                "authority_refused",
            ),
            (
                "unknown path",
                format!("GET /admin HTTP/1.1\r\n{host}\r\n"),
                404,
                "unknown_path",
            ),
            (
                "method",
                format!("DELETE /v1/chat/completions HTTP/1.1\r\n{host}\r\n"),
                405,
                "method_not_allowed",
            ),
            ("no JSON", chat("hello"), 400, "malformed_json"),
            ("no model", chat("{}"), 400, "model_missing"),
            (
                "two models",
                chat(r#"{"model":"m","model":"n"}"#),
                400,
                "duplicate_key",
            ),
            (
                "other model",
                chat(r#"{"model":"n"}"#),
                403,
                "model_not_routable",
            ),
            ("large", large, 413, "body_too_large"),
        ];
        for (what, request, status, code) in &cases {
            let mut client = node.connect();
            client.write_all(request.as_bytes()).unwrap();
            let answer = read_message(&mut client).unwrap_or_else(|| panic!("{what}: no answer"));
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{what}: {answer}"
            );
            assert!(answer.contains(code), "{what}: {answer}");
        }
        node.stop(|records| {
            let reasons: Vec<&str> = records.iter().map(|record| record.reason).collect();
            let expected: Vec<&str> = cases.iter().map(|case| case.3).collect();
            assert_eq!(reasons, expected);
        });
    });
}

#[test]
fn a_slow_reader_holds_the_provider_back() {
    both_drivers(|driver| {
        let (sent, progress) = mpsc::channel();
        let upstream = provider(move |stream, _| {
            let piece = vec![b'x'; 64 * 1024];
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n")
                .unwrap();
            for _ in 0..4096 {
                if stream.write_all(&piece).is_err() {
                    return;
                }
                sent.send(()).unwrap();
            }
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        client
            .write_all(chat(r#"{"model":"m"}"#).as_bytes())
            .unwrap();
        // Reads nothing: the provider comes to a stop once all buffers are full.
        let mut pieces = 0;
        while progress.recv_timeout(Duration::from_millis(500)).is_ok() {
            pieces += 1;
        }
        assert!(
            pieces < 512,
            "{} KiB were taken from the provider",
            pieces * 64
        );
        drop(client);
        node.stop(|records| assert_eq!(records[0].outcome, Outcome::Cancelled));
    });
}
