//! Directives inside a prompt, so that a client in any language scripts the provider:
//! `Hello [[events=20 ms=5 cut=10]]`.

use std::time::Duration;

use serde_json::Value;

/// How one answer goes. Counts are in streamed words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// `events=N`: words of the answer, and its output tokens.
    pub(super) events: u64,
    /// `ms=N`: pause before each word.
    pub(super) pace: Duration,
    /// `cut=N`: break off after N words.
    pub(super) cut: Option<u64>,
    /// `exception=N`: after N words, an event stream's own error.
    pub(super) exception: Option<u64>,
    /// `bad_crc=N`: the checksum of the message after N words is wrong.
    pub(super) bad_crc: Option<u64>,
    /// `stall=N`: go silent after N words until the client leaves.
    pub(super) stall: Option<u64>,
    /// `status=N`: answer with this error.
    pub(super) status: Option<u16>,
    /// `retry_after=N`: seconds, sent with `status`.
    pub(super) retry_after: Option<u64>,
    /// `slow_head=N`: milliseconds before the head.
    pub(super) slow_head: Duration,
    /// `gate`: nothing is answered until the test says so.
    pub(super) gate: bool,
    /// `bytes=N`: each word is padded to this many bytes.
    pub(super) word_bytes: usize,
    /// `letters`: with letters, and not with dots.
    pub(super) letters: bool,
    /// `cached=N`, `written=N`, `written_long=N`: input tokens beside the prompt's words.
    pub(super) cached: u64,
    pub(super) written: u64,
    pub(super) written_long: u64,
    /// `reasoning=N`: how many of the output tokens are called reasoning.
    pub(super) reasoning: u64,
    /// `echo`: an error repeats the credential it came with, in its body and in a header.
    pub(super) echo: bool,
    /// `gzip`: the body is compressed, whatever was asked for.
    pub(super) gzip: bool,
    /// `close`: the body ends with the connection (HTTP/1.1).
    pub(super) close: bool,
    /// `interim`: a 103 comes first.
    pub(super) interim: bool,
    /// `trailers`: fields follow a streamed answer.
    pub(super) trailers: bool,
    /// `code=N`: a WebSocket closes with this code after the answer.
    pub(super) code: Option<u16>,
    /// `steered`: a WebSocket's response ends early, and another follows it unasked.
    pub(super) steered: bool,
    /// `left=N`: both vendors' fields say that so many tokens and requests are left.
    pub(super) left: Option<String>,
    /// `polls=N`: a job in the background is done when it is asked for the N-th time.
    pub(super) polls: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            events: 8,
            pace: Duration::ZERO,
            cut: None,
            exception: None,
            bad_crc: None,
            stall: None,
            status: None,
            retry_after: None,
            slow_head: Duration::ZERO,
            gate: false,
            word_bytes: 0,
            cached: 0,
            written: 0,
            written_long: 0,
            reasoning: 0,
            echo: false,
            letters: false,
            gzip: false,
            close: false,
            interim: false,
            trailers: false,
            code: None,
            steered: false,
            left: None,
            polls: 2,
        }
    }
}

impl Script {
    /// Reads every `[[…]]` in a request body; unknown words are left alone.
    pub(super) fn of(body: &Value) -> Self {
        let mut script = Self::default();
        each_text(body, &mut |text| {
            let mut rest = text;
            while let Some((_, after)) = rest.split_once("[[") {
                let Some((directives, after)) = after.split_once("]]") else {
                    return;
                };
                for directive in directives.split_whitespace() {
                    script.apply(directive);
                }
                rest = after;
            }
        });
        script
    }

    fn apply(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, "0"));
        let Ok(number) = value.parse::<u64>() else {
            return;
        };
        match name {
            "events" => self.events = number,
            "ms" => self.pace = Duration::from_millis(number),
            "exception" => self.exception = Some(number),
            "bad_crc" => self.bad_crc = Some(number),
            "cut" => self.cut = Some(number),
            "stall" => self.stall = Some(number),
            "status" => self.status = u16::try_from(number).ok(),
            "retry_after" => self.retry_after = Some(number),
            "slow_head" => self.slow_head = Duration::from_millis(number),
            "gate" => self.gate = true,
            "bytes" => self.word_bytes = usize::try_from(number).unwrap_or(0),
            "cached" => self.cached = number,
            "written" => self.written = number,
            "written_long" => self.written_long = number,
            "reasoning" => self.reasoning = number,
            "echo" => self.echo = true,
            "letters" => self.letters = true,
            "gzip" => self.gzip = true,
            "close" => self.close = true,
            "interim" => self.interim = true,
            "trailers" => self.trailers = true,
            "code" => self.code = u16::try_from(number).ok(),
            "steered" => self.steered = true,
            "left" => self.left = Some(value.to_owned()),
            "polls" => self.polls = number,
            _ => {}
        }
    }
}

/// Input tokens of a request: the words of its prompt, directives not counted.
pub(super) fn prompt_words(body: &Value) -> u64 {
    let mut words = 0;
    each_text(body, &mut |text| {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("[[") {
            words += before.split_whitespace().count();
            rest = after.split_once("]]").map_or("", |(_, after)| after);
        }
        words += rest.split_whitespace().count();
    });
    words as u64
}

/// Every text of the prompt: `messages[].content`, `input`, `prompt`, `system`, `instructions`, Gemini's
/// `contents[].parts`, plain or as a list of parts.
fn each_text(body: &Value, visit: &mut impl FnMut(&str)) {
    for field in [
        "messages",
        "input",
        "prompt",
        "system",
        "instructions",
        "contents",
        "content",
        "requests",
    ] {
        if let Some(value) = body.get(field) {
            texts(value, visit);
        }
    }
}

fn texts(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(parts) => parts.iter().for_each(|part| texts(part, visit)),
        Value::Object(part) => {
            for field in ["content", "parts", "text"] {
                if let Some(value) = part.get(field) {
                    texts(value, visit);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn directives_are_read_and_not_counted() {
        let body = json!({"messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "say hello [[events=3 ms=5 gzip cut=2]] now"}]},
        ]});
        let script = Script::of(&body);
        assert_eq!((script.events, script.cut, script.gzip), (3, Some(2), true));
        assert_eq!(script.pace, Duration::from_millis(5));
        assert_eq!(prompt_words(&body), 5);
    }
}
