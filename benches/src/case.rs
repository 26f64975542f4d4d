//! What is measured, and what has to come out.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::driver::{Body, Pace, Protocol};

/// One table of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    #[value(name = "h1")]
    Http1,
    #[value(name = "tls")]
    Tls,
    #[value(name = "h2")]
    Http2,
    #[value(name = "sse")]
    Events,
    #[value(name = "64k-first")]
    LargeModelFirst,
    #[value(name = "64k-last")]
    LargeModelLast,
    #[value(name = "idle-h1")]
    IdleHttp1,
    #[value(name = "idle-h2")]
    IdleHttp2,
    #[value(name = "idle-ws")]
    IdleWebSocket,
}

/// What Keyway must reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// nginx's CPU time ÷ Keyway's, at least.
    Ratio(f64),
    /// RSS per idle connection, at most.
    IdleKib(f64),
}

/// The load of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As fast as answers come.
    Closed {
        tls: bool,
        protocol: Protocol,
        connections: usize,
        body: Body,
    },
    /// Plain HTTP/1.1 with one paced stream per connection.
    Events { streams: usize },
    /// TLS connections that had one answer each.
    Idle { protocol: Protocol, body: Body },
}

/// Between two events of a stream.
const EVENT_INTERVAL: Duration = Duration::from_millis(20);

/// Clients offer HTTP/2 with this many connections and streams on each.
const HTTP2_CONNECTIONS: usize = 4;
const HTTP2_STREAMS: usize = 32;

impl Case {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, 64 connections, 1 KiB bodies",
            Self::Tls => "HTTP/1.1 over TLS 1.3, 64 connections, 1 KiB bodies",
            Self::Http2 => "HTTP/2 over TLS 1.3, 4 connections × 32 streams, 1 KiB bodies",
            Self::Events => "SSE, paced streams, plain HTTP/1.1; per event",
            Self::LargeModelFirst => {
                "64 KiB JSON bodies, `model` first, HTTP/1.1 over TLS 1.3, 32 connections"
            }
            Self::LargeModelLast => {
                "64 KiB JSON bodies, `model` last, HTTP/1.1 over TLS 1.3, 32 connections"
            }
            Self::IdleHttp1 => "Idle TLS connections, HTTP/1.1",
            Self::IdleHttp2 => "Idle TLS connections, HTTP/2",
            Self::IdleWebSocket => {
                "Idle WebSocket sessions, TLS to the agent, with a plain one each to the provider"
            }
        }
    }

    pub(crate) fn target(self) -> Option<Target> {
        match self {
            Self::Http1 => Some(Target::Ratio(1.3)),
            Self::Tls => Some(Target::Ratio(1.25)),
            Self::Http2 | Self::LargeModelFirst | Self::LargeModelLast => Some(Target::Ratio(1.2)),
            Self::Events => Some(Target::Ratio(1.05)),
            Self::IdleHttp1 => Some(Target::IdleKib(16.0)),
            Self::IdleHttp2 => None,
            // Two connections.
            Self::IdleWebSocket => Some(Target::IdleKib(32.0)),
        }
    }

    pub(crate) fn shape(self, streams: usize) -> Shape {
        let closed = |tls, connections, body| Shape::Closed {
            tls,
            protocol: Protocol::Http1,
            connections,
            body,
        };
        let http2 = Protocol::Http2 {
            streams: HTTP2_STREAMS,
        };
        match self {
            Self::Http1 => closed(false, 64, Body::Small),
            Self::Tls => closed(true, 64, Body::Small),
            Self::Http2 => Shape::Closed {
                tls: true,
                protocol: http2,
                connections: HTTP2_CONNECTIONS,
                body: Body::Small,
            },
            Self::Events => Shape::Events { streams },
            Self::LargeModelFirst => closed(true, 32, Body::LargeModelFirst),
            Self::LargeModelLast => closed(true, 32, Body::LargeModelLast),
            Self::IdleHttp1 => Shape::Idle {
                protocol: Protocol::Http1,
                body: Body::Small,
            },
            Self::IdleHttp2 => Shape::Idle {
                protocol: http2,
                body: Body::Small,
            },
            Self::IdleWebSocket => Shape::Idle {
                protocol: Protocol::Http1,
                body: Body::WebSocket,
            },
        }
    }
}

impl Shape {
    pub(crate) fn needs_tls(self) -> bool {
        match self {
            Self::Closed { tls, .. } => tls,
            Self::Events { .. } => false,
            Self::Idle { .. } => true,
        }
    }

    pub(crate) fn needs_websockets(self) -> bool {
        match self {
            Self::Closed { .. } | Self::Events { .. } => false,
            Self::Idle { body, .. } => body == Body::WebSocket,
        }
    }
}

/// A stream that lasts about `window`.
pub(crate) fn pace(window: Duration) -> Pace {
    let events = (window.as_millis() / EVENT_INTERVAL.as_millis()).max(1);
    Pace {
        events: events as u32,
        interval: EVENT_INTERVAL,
    }
}
