//! Downstream connections: what they speak, and why those in HTTP/2 ended.

/// What a downstream connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Not known yet: the TLS handshake is under way.
    Handshake,
    Http1,
    Http2,
    WebSocket,
}

impl Protocol {
    pub const ALL: [Self; 4] = [Self::Handshake, Self::Http1, Self::Http2, Self::WebSocket];

    pub fn code(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::WebSocket => "websocket",
        }
    }
}

/// Why an HTTP/2 connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H2End {
    /// The agent closed it.
    Agent,
    /// Nothing was asked for too long.
    Idle,
    Draining,
    /// The peer was removed, or the node stops.
    Ended,
    /// Too many control frames.
    ControlFlood,
    /// Too many resets, CONTINUATION or empty frames (RFC 9113: ENHANCE_YOUR_CALM).
    EnhanceYourCalm,
    /// Any other violation of RFC 9113.
    ProtocolError,
    /// The socket broke.
    Io,
}

impl H2End {
    pub const ALL: [Self; 8] = [
        Self::Agent,
        Self::Idle,
        Self::Draining,
        Self::Ended,
        Self::ControlFlood,
        Self::EnhanceYourCalm,
        Self::ProtocolError,
        Self::Io,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Idle => "idle",
            Self::Draining => "draining",
            Self::Ended => "ended",
            Self::ControlFlood => "control_flood",
            Self::EnhanceYourCalm => "enhance_your_calm",
            Self::ProtocolError => "protocol_error",
            Self::Io => "io",
        }
    }
}
