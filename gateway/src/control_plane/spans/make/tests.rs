use std::{collections::BTreeMap, sync::Arc};

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::{
    handoff::{
        record::{Usage, tests::sample},
        snapshot::{Target, TargetId},
        trace::Trace,
    },
    policy::tests::{provider, snapshot},
};

const START_NS: u64 = 1_780_000_000_123_456_000;

/// A provider as the sample's, whose target is the sample's.
fn served_by(authority: &str) -> Snapshot {
    let mut provider = provider("provider-1", "");
    provider.name = "Production".into();
    provider.targets = vec![Arc::new(Target {
        id: TargetId(7),
        address: ([127, 0, 0, 1], 443).into(),
        authority: authority.into(),
        credential: None,
        tls: None,
    })];
    snapshot(vec![provider])
}

fn made(record: &ExchangeRecord<'_>) -> Vec<Span> {
    SpanMaker { identity: false }.spans(record, &served_by("api.example:8443"))
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => panic!("{value:?}"),
    };
    span.attributes
        .iter()
        .map(|pair| {
            let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
            (&*pair.key, text(value.unwrap()))
        })
        .collect()
}

#[track_caller]
fn assert_all(span: &Span, table: &str) {
    let expected: BTreeMap<&str, String> = table
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(key, value)| (key, value.to_owned()))
        .collect();
    assert_eq!(attributes(span), expected);
}

#[test]
fn an_exchange_and_its_attempt() {
    let record = sample();
    let spans = made(&record);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    for span in &spans {
        assert_eq!(span.trace_id, record.trace.trace_id.to_be_bytes());
        assert_eq!(span.name, "chat gpt-4o");
        assert_eq!(span.status, None);
    }
    assert_eq!(server.kind(), SpanKind::Server);
    assert_eq!(server.span_id, record.trace.span_id.to_be_bytes());
    assert_eq!(
        server.parent_span_id,
        record.trace.parent_span_id.to_be_bytes()
    );
    assert_eq!(server.flags, 0x301);
    assert_eq!(
        (server.start_time_unix_nano, server.end_time_unix_nano),
        (START_NS, START_NS + 850_321_000)
    );
    assert_all(
        server,
        "http.request.method POST
        url.path /v1/chat/completions
        server.address brave-otter.keyway.test
        network.protocol.name http
        network.protocol.version 1.1
        http.response.status_code 200
        http.request.body.size 4096
        http.response.body.size 65536
        gen_ai.operation.name chat
        gen_ai.provider.name openai
        gen_ai.request.model gpt-4o
        gen_ai.request.stream true
        keyway.provider.id provider-1
        keyway.provider.name Production
        keyway.policy.id policy-1
        keyway.request.id req_019e7044887b00010200000000000001
        keyway.outcome answered
        keyway.cost.source operator
        keyway.cost.usd 0.0384
        keyway.overhead.duration 0.000031",
    );
    assert_eq!(client.kind(), SpanKind::Client);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(client.flags, 0x101);
    assert_eq!(
        (client.start_time_unix_nano, client.end_time_unix_nano),
        (START_NS + 40_000, START_NS + 850_321_000)
    );
    assert_all(
        client,
        "http.request.method POST
        server.address api.example
        server.port 8443
        http.response.status_code 200
        keyway.connect.duration 0.0015
        gen_ai.operation.name chat
        gen_ai.provider.name openai
        gen_ai.request.model gpt-4o
        gen_ai.request.stream true
        gen_ai.response.time_to_first_chunk 0.21
        gen_ai.response.model gpt-4o-2024-08-06
        gen_ai.usage.input_tokens 1200
        gen_ai.usage.output_tokens 640
        gen_ai.usage.cache_read.input_tokens 800
        gen_ai.usage.cache_creation.input_tokens 150
        gen_ai.usage.reasoning.output_tokens 64
        keyway.provider.id provider-1
        keyway.provider.name Production",
    );
}

#[test]
fn whose_request_it_was_is_told_on_request() {
    let record = sample();
    let of = |identity| {
        let spans = SpanMaker { identity }.spans(&record, &served_by("api.example"));
        let attributes = spans.iter().map(|span| attributes(span).into_iter());
        let all: Vec<_> = attributes
            .flatten()
            .map(|(key, _)| key.to_owned())
            .collect();
        all
    };
    for key in [
        "enduser.id",
        "user.name",
        "client.address",
        "keyway.peer.id",
        "gen_ai.conversation.id",
    ] {
        assert!(!of(false).iter().any(|found| found == key), "{key}");
        assert!(of(true).iter().any(|found| found == key), "{key}");
    }
}

#[test]
fn attempts_follow_each_other() {
    let attempt = |begun_us, status| Attempt {
        target_id: 7,
        begun_us,
        connect_us: 0,
        status,
    };
    let record = ExchangeRecord {
        attempts: vec![attempt(50, 0), attempt(400, 503), attempt(900, 200)],
        ..sample()
    };
    let spans = made(&record);
    let found: Vec<_> = spans[1..]
        .iter()
        .map(|span| {
            let attributes = attributes(span);
            (
                (span.start_time_unix_nano - START_NS) / 1000,
                (span.end_time_unix_nano - START_NS) / 1000,
                attributes.get("error.type").cloned(),
                attributes.get("http.request.resend_count").cloned(),
                attributes.contains_key("gen_ai.usage.input_tokens"),
            )
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            (50, 400, text("_OTHER"), None, false),
            (400, 900, text("503"), text("1"), false),
            (900, 850_321, None, text("2"), true),
        ]
    );
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(spans[1].status.as_ref().unwrap().code(), StatusCode::Error);
}

#[test]
fn what_failed_says_why() {
    let denied = ExchangeRecord {
        outcome: Outcome::Denied,
        reason: "no_authorised_provider",
        status: 403,
        attempts: vec![],
        usage: Usage::default(),
        ..sample()
    };
    let unreadable = ExchangeRecord {
        outcome: Outcome::ClientError,
        reason: "malformed_request",
        status: 400,
        operation: "",
        model: "",
        ..denied.clone()
    };
    let cut = ExchangeRecord {
        outcome: Outcome::Cut,
        reason: "provider_cut",
        ..sample()
    };
    let refused = ExchangeRecord {
        status: 529,
        ..sample()
    };
    for (record, name, failed, error) in [
        (&denied, "chat gpt-4o", false, "no_authorised_provider"),
        (&unreadable, "POST", false, "malformed_request"),
        (&cut, "chat gpt-4o", true, "provider_cut"),
        (&refused, "chat gpt-4o", true, "529"),
    ] {
        let server = &made(record)[0];
        assert_eq!(server.name, name);
        assert_eq!(server.status.is_some(), failed, "{error}");
        assert_eq!(attributes(server)["error.type"], error);
    }
    assert_eq!(attributes(&made(&cut)[1])["error.type"], "provider_cut");
}

#[test]
fn what_is_not_sampled_makes_no_span() {
    let sampled = sample();
    for (trace, count) in [
        (Trace::default(), 0),
        (
            Trace {
                sampled: false,
                ..sampled.trace
            },
            0,
        ),
        (
            Trace {
                parent_span_id: 0,
                ..sampled.trace
            },
            2,
        ),
    ] {
        let spans = made(&ExchangeRecord { trace, ..sample() });
        assert_eq!(spans.len(), count);
        if let Some(server) = spans.first() {
            assert_eq!((server.parent_span_id.len(), server.flags), (0, 0x101));
        }
    }
}

#[test]
fn a_target_that_is_gone_is_left_out() {
    let record = sample();
    for (authority, host, port) in [
        ("api.example", "api.example", None),
        ("[fd00::1]", "[fd00::1]", None),
        ("[fd00::1]:8000", "[fd00::1]", Some("8000")),
    ] {
        let spans = SpanMaker { identity: false }.spans(&record, &served_by(authority));
        let attributes = attributes(&spans[1]);
        assert_eq!(attributes["server.address"], host);
        assert_eq!(attributes.get("server.port").map(String::as_str), port);
    }
    let spans = SpanMaker { identity: false }.spans(&record, &snapshot(vec![]));
    assert!(!attributes(&spans[1]).contains_key("server.address"));
    assert!(!attributes(&spans[0]).contains_key("keyway.provider.name"));
}
