use std::sync::Arc;

use super::*;
use crate::{
    dialect::{BodyIdentity, Dialect, IdentityFormat, Operation},
    handoff::snapshot::{Provider, TargetId},
    policy::{
        Ask, permit,
        tests::{granted, principal, provider, request, snapshot},
    },
    secret::Secret,
};

const HEADERS: &[RawHeader<'static>] = &[
    (b"Host", b"brave-otter.ai.example"),
    (b"Authorization", b"Bearer -"),
    (b"User-Agent", b"sdk/1"),
    (b"Connection", b"keep-alive, x-hop"),
    (b"X-Hop", b"1"),
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"999"),
    (b"X-Litellm-Tags", b"spoofed"),
    (b"Accept-Encoding", b"br"),
    (b"Anthropic-Beta", b"a"),
    (b"Anthropic-Beta", b"b"),
];

pub(super) fn target(secret: Option<&str>) -> Target {
    Target {
        id: TargetId(1),
        address: ([127, 0, 0, 1], 443).into(),
        authority: "api.example:8443".into(),
        credential: secret.map(|secret| {
            Arc::new(Credential {
                secret: Secret::new(secret.into()),
                signer: None,
                minted: None,
            })
        }),
        tls: None,
    }
}

pub(super) fn gateway() -> Provider {
    let mut provider = provider("p", "");
    provider.auth = Some(AuthHeader {
        name: header::AUTHORIZATION,
        prefix: "Bearer ".into(),
    });
    provider.extra_headers = vec![(
        HeaderName::from_static("x-portkey-config"),
        HeaderValue::from_static("pc-1"),
    )];
    provider.identity = Some(IdentityFormat::HeaderPair {
        user: Some(HeaderName::from_static("x-litellm-end-user-id")),
        groups: Some(HeaderName::from_static("x-litellm-tags")),
        body: BodyIdentity::default(),
    });
    provider
}

/// Runs `test` with a request to `provider`.
pub(super) fn with_request<T>(
    mut provider: Provider,
    target: &Target,
    method: Method,
    body: BodyFraming,
    test: impl FnOnce(&UpstreamRequest<'_>) -> T,
) -> T {
    provider.grants = granted(&[1]);
    let snapshot = snapshot(vec![provider]);
    let caller = principal(&[1]);
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let ask = Ask {
        path: "/v1/chat/completions",
        model: Some("m"),
        keeper: None,
    };
    let permit = permit(&snapshot, &caller, &chat, ask).unwrap();
    test(&UpstreamRequest {
        method: &method,
        path: b"/v1/chat/completions?beta=true",
        permit: &permit,
        target,
        body,
        identity_in_body: false,
        takes_trailers: false,
        signature: None,
        trace: None,
    })
}

pub(super) fn headers() -> impl Iterator<Item = RawHeader<'static>> + Clone {
    HEADERS.iter().copied()
}

#[test]
fn the_whole_http1_head() {
    let target = target(Some("sk-key"));
    let mut out = b"before".to_vec();
    let range = with_request(
        gateway(),
        &target,
        Method::POST,
        BodyFraming::Length(12),
        |r| write_h1(r, headers(), &mut out).unwrap(),
    );
    let expected = "beforePOST /v1/chat/completions?beta=true HTTP/1.1\r\n\
        host: api.example:8443\r\n\
        User-Agent: sdk/1\r\n\
        Content-Type: application/json\r\n\
        Anthropic-Beta: a\r\n\
        Anthropic-Beta: b\r\n\
        accept-encoding: identity\r\n\
        x-litellm-end-user-id: ada@example.com\r\n\
        x-litellm-tags: Group 1\r\n\
        x-portkey-config: pc-1\r\n\
        content-length: 12\r\n\
        authorization: Bearer sk-key\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
    assert_eq!(&out[range], b"sk-key");
}

#[test]
fn framing_follows_the_body() {
    let table = [
        (
            Method::POST,
            BodyFraming::Open,
            "transfer-encoding: chunked\r\n",
        ),
        (Method::POST, BodyFraming::Empty, "content-length: 0\r\n"),
        (
            Method::POST,
            BodyFraming::Length(0),
            "content-length: 0\r\n",
        ),
        (Method::GET, BodyFraming::Empty, ""),
    ];
    for (method, body, expected) in table {
        let mut out = Vec::new();
        let range = with_request(provider("p", ""), &target(None), method, body, |r| {
            write_h1(r, [].into_iter(), &mut out).unwrap()
        });
        let text = String::from_utf8(out).unwrap();
        let tail = text.split_once("accept-encoding: identity\r\n").unwrap().1;
        assert_eq!(tail, format!("{expected}\r\n"));
        assert!(range.is_empty());
    }
}

#[test]
fn http2_says_the_same() {
    let target = target(Some("sk-key"));
    let head = with_request(
        gateway(),
        &target,
        Method::POST,
        BodyFraming::Length(12),
        |r| build_h2(r, headers()).unwrap(),
    );
    assert_eq!(head.method(), Method::POST);
    assert_eq!(head.version(), http::Version::HTTP_2);
    assert_eq!(
        head.uri().to_string(),
        "http://api.example:8443/v1/chat/completions?beta=true"
    );
    let mut found: Vec<_> = head
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "accept-encoding: identity",
            "anthropic-beta: a",
            "anthropic-beta: b",
            "authorization: XXXXXXXXXXXXX",
            "content-length: 12",
            "content-type: application/json",
            "user-agent: sdk/1",
            "x-litellm-end-user-id: ada@example.com",
            "x-litellm-tags: Group 1",
            "x-portkey-config: pc-1",
        ]
    );
    let (last, value) = head.headers().iter().last().unwrap();
    assert_eq!(last, header::AUTHORIZATION, "where `LateKey` looks for it");
    assert!(value.is_sensitive());
    assert!(!format!("{head:?}").contains("sk-key"));
}

#[test]
fn only_a_head_of_more_than_one_frame_carries_the_key_through_h2() {
    let target = target(Some("sk-key"));
    for (bytes, expected) in [(2000, "XXXXXXXXXXXXX"), (5000, "Bearer sk-key")] {
        let long = vec![b'x'; bytes];
        with_request(gateway(), &target, Method::POST, BodyFraming::Empty, |r| {
            let head = build_h2(r, [(&b"x-long"[..], &long[..])].into_iter()).unwrap();
            assert_eq!(head.headers()[header::AUTHORIZATION], expected);
        });
    }
}

#[test]
fn split_heads_are_refused() {
    let table: [(&[u8], &[u8]); 5] = [
        (b"x", b"a\r\nb"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"x y", b"a"),
        (b":path", b"/"),
    ];
    for header in table {
        with_request(
            gateway(),
            &target(None),
            Method::POST,
            BodyFraming::Empty,
            |r| {
                let found = write_h1(r, [header].into_iter(), &mut Vec::new());
                assert_eq!(found, Err(Reason::MalformedRequest), "{header:?}");
                let found = build_h2(r, [header].into_iter()).err();
                assert_eq!(found, Some(Reason::MalformedRequest), "{header:?}");
            },
        );
    }
    for path in [&b""[..], b"*", b"/a b", b"/a\r\nx: y", b"/\xe9"] {
        with_request(
            gateway(),
            &target(None),
            Method::POST,
            BodyFraming::Empty,
            |r| {
                let request = UpstreamRequest { path, ..*r };
                let found = write_h1(&request, [].into_iter(), &mut Vec::new());
                assert_eq!(found, Err(Reason::MalformedRequest), "{path:?}");
                let found = build_h2(&request, [].into_iter()).err();
                assert_eq!(found, Some(Reason::MalformedRequest), "{path:?}");
            },
        );
    }
    let target = target(Some("sk\r\nx: y"));
    with_request(gateway(), &target, Method::POST, BodyFraming::Empty, |r| {
        let found = write_h1(r, [].into_iter(), &mut Vec::new());
        assert_eq!(found, Err(Reason::ConnectFailed));
        assert_eq!(
            build_h2(r, [].into_iter()).err(),
            Some(Reason::ConnectFailed)
        );
    });
}

#[test]
fn the_end_of_the_head_fits_beside_the_credential() {
    let auth = gateway().auth.unwrap();
    let credential = target(Some("sk-key")).credential.unwrap();
    for spare in 0..100 {
        let mut out = Vec::with_capacity(spare);
        write_credential(&auth, &credential, &mut out).unwrap();
        let before = out.as_ptr();
        assert!(out.capacity() - out.len() >= b"\r\n".len(), "spare {spare}");
        out.extend_from_slice(b"\r\n");
        assert_eq!(out.as_ptr(), before, "spare {spare}");
    }
}
