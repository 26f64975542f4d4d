//! Browsers that log in, and what each role may do.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, header},
};
use serde_json::json;

use super::*;
use crate::control_plane::api::{route::Verb, routes};

const LOCAL: &str = "127.0.0.1:8081";

fn tcp() -> Option<Connection> {
    Some(Connection::Tcp {
        local: LOCAL.parse().unwrap(),
        peer: "127.0.0.1:40000".parse().unwrap(),
    })
}

fn socket() -> Option<Connection> {
    let uid = nix::unistd::geteuid().as_raw();
    Some(Connection::Unix { uid })
}

impl Api {
    /// As a browser does it from a page of ours.
    async fn browse(&self, method: Method, path: &str, cookie: &str, body: Value) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", LOCAL),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
            ("cookie", cookie),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        self.fetch(method, path, headers, body).await
    }

    async fn fetch(&self, method: Method, path: &str, headers: HeaderMap, body: Value) -> Answer {
        let body = match body.is_null() {
            true => Body::empty(),
            false => Body::from(body.to_string()),
        };
        let uri = format!("{BASE}{path}");
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(body)
            .unwrap();
        *request.headers_mut() = headers;
        self.send(request).await
    }

    /// A token with a role, made over the socket; the connection is TCP afterwards.
    async fn token(&mut self, role: &str) -> String {
        self.connection = socket();
        let made = self
            .post("/tokens", json!({"name": role, "role": role}))
            .await
            .ok();
        assert_eq!(made["role"], role);
        self.connection = tcp();
        made["token"].as_str().unwrap().to_owned()
    }

    async fn as_token(&self, method: Method, path: &str, token: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static(LOCAL));
        let token = format!("Bearer {token}");
        headers.insert(header::AUTHORIZATION, token.parse().unwrap());
        self.fetch(method, path, headers, Value::Null).await
    }
}

/// Name and value, as it is sent back.
fn cookie(answer: &Answer) -> String {
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(set.contains(attribute), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_code_opens_one_session_which_acts_and_ends() {
    let mut api = Api::new().await;
    api.post("/session/codes", json!({})).await.refused(412, "");
    api.sessions.reachable_at(LOCAL.parse().unwrap());
    let made = api
        .post("/session/codes", json!({"role": "admin"}))
        .await
        .ok();
    let code = made["code"].as_str().unwrap().to_owned();
    assert_eq!(
        made["url"].as_str().unwrap(),
        format!("http://{LOCAL}/login#code={code}")
    );
    assert!(api.get("/session").await.ok()["via"] == "socket");

    api.connection = tcp();
    api.browse(Method::GET, "/session", "", Value::Null)
        .await
        .refused(401, "");
    let login = json!({"code": code});
    let answer = api
        .browse(Method::POST, "/session", "", login.clone())
        .await;
    let begun = answer.ok();
    assert_eq!(
        (&begun["role"], &begun["via"]),
        (&json!("admin"), &json!("cookie"))
    );
    let cookie = cookie(&answer);
    assert!(
        !answer.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Secure")
    );
    api.browse(Method::POST, "/session", "", login)
        .await
        .refused(401, "");
    let shown = api
        .browse(Method::GET, "/session", &cookie, Value::Null)
        .await
        .ok();
    assert_eq!(shown, begun);
    api.browse(Method::POST, "/providers", &cookie, openai())
        .await
        .ok();
    // A session makes no codes, of whatever role.
    api.browse(Method::POST, "/session/codes", &cookie, json!({}))
        .await
        .refused(403, "");

    let ended = api
        .browse(Method::DELETE, "/session", &cookie, Value::Null)
        .await;
    ended.ok();
    assert!(
        ended.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    api.browse(Method::GET, "/status", &cookie, Value::Null)
        .await
        .refused(401, "");
    assert!(!api.logged().contains(&code));
    let secret = cookie.split_once('=').unwrap().1;
    assert!(!api.logged().contains(secret));
    let kept = api.store.values();
    assert!(kept.iter().all(|value| !value.contains(secret)));
}

#[tokio::test]
async fn a_session_by_token_has_its_role_and_ends_with_it() {
    let mut api = Api::new().await;
    let token = api.token("auditor").await;
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static(LOCAL));
    headers.insert("origin", HeaderValue::from_static("https://127.0.0.1:8081"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let login = json!({"token": token});
    let answer = api.fetch(Method::POST, "/session", headers, login).await;
    assert_eq!(answer.ok()["role"], "auditor");
    // The browser came by TLS, whoever ends it.
    assert!(
        answer.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .ends_with("; Secure")
    );
    let cookie = cookie(&answer);
    api.browse(Method::GET, "/providers", &cookie, Value::Null)
        .await
        .ok();
    api.browse(Method::POST, "/providers", &cookie, openai())
        .await
        .refused(403, "");
    api.connection = socket();
    let tokens = api.get("/tokens").await.ok();
    let id = tokens[0]["id"].as_str().unwrap();
    api.delete(&format!("/tokens/{id}")).await.ok();
    api.connection = tcp();
    api.browse(Method::GET, "/providers", &cookie, Value::Null)
        .await
        .refused(401, "");
}

#[tokio::test]
async fn a_change_by_cookie_has_to_come_from_a_page_of_ours() {
    let mut api = Api::new().await;
    let token = api.token("owner").await;
    let answer = api
        .browse(Method::POST, "/session", "", json!({"token": token}))
        .await;
    let cookie = cookie(&answer);
    let own = "http://127.0.0.1:8081";
    for (site, origin, content_type, status) in [
        ("same-origin", "", "application/json", 200),
        ("", own, "application/json", 200),
        ("none", "", "application/json", 403),
        ("same-site", own, "application/json", 403),
        ("cross-site", "http://evil.example", "application/json", 403),
        ("", "http://evil.example", "application/json", 403),
        ("", "", "application/json", 403),
        ("same-origin", "", "text/plain", 415),
        ("same-origin", "", "", 415),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", LOCAL),
            ("cookie", &cookie),
            ("sec-fetch-site", site),
            ("origin", origin),
            ("content-type", content_type),
        ] {
            if !value.is_empty() {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let answer = api
            .fetch(
                Method::POST,
                "/peers",
                headers,
                json!({"name": "p", "addresses": ["100.64.0.9"]}),
            )
            .await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{site} {origin} {content_type}: {}",
            answer.text
        );
        if status == 200 {
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            api.browse(
                Method::DELETE,
                &format!("/peers/{id}"),
                &cookie,
                Value::Null,
            )
            .await
            .ok();
        }
    }
}

#[tokio::test]
async fn failed_logins_are_bounded_and_logged() {
    let mut api = Api::new().await;
    let token = api.token("admin").await;
    for _ in 0..10 {
        api.browse(Method::POST, "/session", "", json!({"token": MARKER}))
            .await
            .refused(401, "");
    }
    let answer = api
        .browse(Method::POST, "/session", "", json!({"token": token}))
        .await;
    answer.refused(429, "");
    let seconds: u64 = answer.headers[header::RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=61).contains(&seconds));
    // Another address is not kept out, and neither is who holds a token.
    api.as_token(Method::GET, "/status", &token).await.ok();
    api.connection = Some(Connection::Tcp {
        local: LOCAL.parse().unwrap(),
        peer: "127.0.0.2:40000".parse().unwrap(),
    });
    api.browse(Method::POST, "/session", "", json!({"token": token}))
        .await
        .ok();
    let logged = api.logged();
    assert!(logged.contains("failed login") && !logged.contains(MARKER));
}

#[tokio::test]
async fn each_role_reaches_its_routes_and_no_more() {
    let mut api = Api::new().await;
    // Least to most: what lets one in lets all after it in.
    let levels: [(&str, &[&str]); 4] = [
        ("metrics", &["/session", "/status", "/health", "/admission"]),
        (
            "auditor",
            &[
                "/providers",
                "/policies",
                "/guardrails",
                "/budget-rules",
                "/settings",
                "/peers",
                "/groups",
                "/access-logs",
                "/access-log-sessions",
                "/usage/overview",
                "/consumption",
                "/limits",
                "/admission/peers",
                "/audit",
                "/audit/verify",
                "/me/setup",
                "/catalog/providers",
                "/catalog/prices",
            ],
        ),
        ("admin", &[]),
        ("owner", &["/tokens", "/store/export"]),
    ];
    for (place, (role, _)) in levels.iter().enumerate() {
        let token = api.token(role).await;
        for (level, (_, paths)) in levels.iter().enumerate() {
            for path in *paths {
                let answer = api.as_token(Method::GET, path, &token).await;
                let wanted = if level <= place { 200 } else { 403 };
                assert_eq!(
                    answer.status.as_u16(),
                    wanted,
                    "{role} {path}: {}",
                    answer.text
                );
            }
        }
        for route in routes::all().into_iter().flat_map(|(_, routes)| routes) {
            let Some(path) = route.path.strip_prefix("/agent-network") else {
                continue;
            };
            let owns = [
                "/tokens",
                "/keys/rotate-master",
                "/session/codes",
                "/tokens/{id}",
            ];
            let least = match route.method {
                Verb::Get => continue,
                Verb::Post | Verb::Put | Verb::Delete if path == "/session" => continue,
                Verb::Post if path == "/policies/explain" => 1,
                Verb::Post | Verb::Put | Verb::Delete if owns.contains(&path) => 3,
                Verb::Post | Verb::Put | Verb::Delete => 2,
            };
            // Where the role reaches the handler, that has something to say about it.
            let method = route.method.name().to_uppercase().parse().unwrap();
            if place < least {
                api.as_token(method, path, &token).await.refused(403, "");
            }
        }
    }
}

#[tokio::test]
async fn texts_are_for_those_who_administer() {
    let mut api = Api::new().await;
    let list = api.get("/access-logs").await.ok();
    let path = format!("/access-logs/{}", list["data"][0]["id"].as_str().unwrap());
    for (role, shown) in [("auditor", false), ("admin", true)] {
        let token = api.token(role).await;
        let entry = api.as_token(Method::GET, &path, &token).await.ok();
        assert_eq!(entry.get("request_prompt").is_some(), shown, "{role}");
    }
}

#[tokio::test]
async fn without_credentials_there_are_only_the_dashboards_files() {
    let mut api = Api::new().await;
    api.connection = tcp();
    for (path, status) in [
        ("/api/openapi.json", 401),
        ("/api/docs", 401),
        ("/api/docs/swagger-ui.css", 401),
        ("/api/agent-network/nothing", 401),
        ("/api/nothing", 401),
    ] {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, LOCAL)
            .body(Body::empty())
            .unwrap();
        api.send(request).await.refused(status, "");
    }
    let foreign = Request::builder()
        .uri("/")
        .header(header::HOST, "evil.example")
        .body(Body::empty())
        .unwrap();
    api.send(foreign).await.refused(403, "");
}

#[tokio::test]
async fn the_document_and_its_page_are_served_from_here() {
    let api = Api::new().await;
    for (path, content_type, part) in [
        (
            "/api/openapi.json",
            "application/json",
            "\"openapi\": \"3.1.0\"",
        ),
        (
            "/api/docs",
            "text/html; charset=utf-8",
            "swagger-ui-bundle.js",
        ),
        ("/api/docs/start.js", "text/javascript", "/api/openapi.json"),
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = api.send(request).await;
        assert!(answer.ok_text().contains(part), "{path}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], content_type);
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        let is_page = path != "/api/openapi.json";
        assert!(
            !(is_page && answer.text.contains("https://")),
            "{path} refers elsewhere"
        );
    }
    for file in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "favicon-32x32.png",
    ] {
        let found = utoipa_swagger_ui::serve(file, Arc::new("/x".into()));
        assert!(found.unwrap().is_some(), "{file}");
    }
}
