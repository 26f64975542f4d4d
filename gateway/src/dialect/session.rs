//! The session an exchange belongs to, and the agent in it, as agents tell it in headers: for grouping the
//! log, never for authorisation.

use crate::handoff::record::SESSION_BYTES_LIMIT;

/// By precedence. `session_id` is Codex's.
const HEADERS: [&str; 4] = [
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
];

/// The first usable session id among `headers` (name and value, names in any case). Values that are
/// empty, longer than [`SESSION_BYTES_LIMIT`] or not visible ASCII are passed over.
pub fn session_id<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for (name, value) in headers {
        let Some(rank) = HEADERS
            .iter()
            .position(|header| name.eq_ignore_ascii_case(header.as_bytes()))
        else {
            continue;
        };
        if best.is_none_or(|(held, _)| rank < held)
            && let Some(value) = usable(value)
        {
            best = Some((rank, value));
        }
    }
    best.map(|(_, value)| value)
}

/// Which of a session's agents asks, as Claude Code tells it of agents that another one started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentIds<'a> {
    pub agent: &'a str,
    /// The one that started it.
    pub parent: &'a str,
}

impl<'a> AgentIds<'a> {
    /// Empty where nothing usable is told; see [`session_id`].
    pub fn of(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut ids = Self::default();
        for (name, value) in headers {
            let id = match name.len() {
                22 if name.eq_ignore_ascii_case(b"x-claude-code-agent-id") => &mut ids.agent,
                29 if name.eq_ignore_ascii_case(b"x-claude-code-parent-agent-id") => {
                    &mut ids.parent
                }
                _ => continue,
            };
            *id = usable(value).unwrap_or_default();
        }
        ids
    }
}

fn usable(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let fits = !value.is_empty() && value.len() <= SESSION_BYTES_LIMIT;
    (fits && value.iter().all(u8::is_ascii_graphic))
        .then(|| std::str::from_utf8(value).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_header_wins() {
        let long = "x".repeat(SESSION_BYTES_LIMIT + 1);
        type Headers<'a> = &'a [(&'a str, &'a str)];
        let table: [(Headers<'_>, Option<&str>); 8] = [
            (&[("session_id", "a")], Some("a")),
            (&[], None),
            (&[("session", "a")], None),
            (&[("X-Session-Id", "a")], Some("a")),
            (&[("x-session-id", "a"), ("session-id", "b")], Some("b")),
            (
                &[("x-claude-code-session-id", ""), ("x-session-id", " a ")],
                Some("a"),
            ),
            (&[("session-id", &long)], None),
            (&[("session-id", "a b")], None),
        ];
        for (headers, expected) in table {
            let pairs = headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            assert_eq!(session_id(pairs), expected, "{headers:?}");
        }
    }

    #[test]
    fn agents_and_who_started_them() {
        let headers: [(&[u8], &[u8]); 3] = [
            (b"X-Claude-Code-Agent-Id", b"a-2"),
            (b"x-claude-code-parent-agent-id", b"a-1"),
            (b"x-claude-code-session-id", b"s"),
        ];
        let ids = AgentIds::of(headers.into_iter());
        assert_eq!((ids.agent, ids.parent), ("a-2", "a-1"));
        let spaced: [(&[u8], &[u8]); 1] = [(b"x-claude-code-agent-id", b"a b")];
        assert_eq!(AgentIds::of(spaced.into_iter()), AgentIds::default());
    }
}
