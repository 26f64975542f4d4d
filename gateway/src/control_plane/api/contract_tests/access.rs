//! Who gets in, and with what.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::json;

use super::*;

#[tokio::test]
async fn tcp_needs_a_token_that_holds() {
    let mut api = Api::new().await;
    let created = api
        .post("/tokens", json!({"name": "ci", "expires_in_days": 1}))
        .await
        .ok();
    let token = created["token"].as_str().unwrap().to_owned();
    assert!(!api.get("/tokens").await.text.contains(&token));
    assert!(
        api.store
            .values()
            .iter()
            .all(|value| !value.contains(&token))
    );

    let own = nix::unistd::geteuid().as_raw();
    let tcp = Connection::Tcp {
        local: "127.0.0.1:8443".parse().unwrap(),
        peer: "127.0.0.1:40000".parse().unwrap(),
    };
    let header = |text: String| Some(text);
    for (connection, authorization, host, status) in [
        (Some(Connection::Unix { uid: 0 }), None, "", 200),
        (Some(Connection::Unix { uid: own }), None, "", 200),
        (Some(Connection::Unix { uid: own + 12345 }), None, "", 403),
        (None, None, "localhost", 401),
        (Some(tcp), None, "localhost", 401),
        (
            Some(tcp),
            header(format!("Token {token}")),
            "localhost:8443",
            200,
        ),
        (
            Some(tcp),
            header(format!("Bearer {token}")),
            "127.0.0.1:8443",
            200,
        ),
        (
            Some(tcp),
            header(format!("Basic {token}")),
            "localhost",
            401,
        ),
        (
            Some(tcp),
            header(format!("Token {token}x")),
            "localhost",
            401,
        ),
        (Some(tcp), header("Token ".to_owned()), "localhost", 401),
        (
            Some(tcp),
            header(format!("Token {token}")),
            "evil.example",
            403,
        ),
        (Some(tcp), header(format!("Token {token}")), "", 403),
    ] {
        api.connection = connection;
        let mut request = Request::builder().uri(format!("{BASE}/status"));
        if let Some(authorization) = &authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !host.is_empty() {
            request = request.header(header::HOST, host);
        }
        let answer = api.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{connection:?} {host}: {}",
            answer.text
        );
    }

    api.connection = Some(Connection::Unix { uid: own });
    let id = created["id"].as_str().unwrap();
    api.delete(&format!("/tokens/{id}")).await.ok();
    api.connection = Some(tcp);
    let revoked = Request::builder()
        .uri(format!("{BASE}/status"))
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Token {token}"))
        .body(Body::empty())
        .unwrap();
    api.send(revoked).await.refused(401, "");
}

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let api = Api::new().await;
    let form = Request::builder()
        .method(Method::POST)
        .uri(format!("{BASE}/providers"))
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::from(openai().to_string()))
        .unwrap();
    api.send(form).await.refused(415, "");
    let large = with(
        openai(),
        "name",
        json!("x".repeat(crate::control_plane::api::BODY_BYTES_LIMIT)),
    );
    api.post("/providers", large).await.refused(413, "");
    api.get("/nothing").await.refused(404, "");
    api.call(Method::PATCH, "/providers", None)
        .await
        .refused(405, "");
}
