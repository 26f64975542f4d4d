//! Takes keys and personal data out of text before it is kept. Only what is stored passes here; what
//! agents and providers send each other does not.
//!
//! `redact/kind.rs` says what is looked for, `redact/card.rs` finds card numbers. Every kind goes over
//! the text once by itself, so the time grows with the text's length whatever is in it.

mod card;
mod kind;

use std::ops::Range;

use regex::{Match, Regex};

use kind::KINDS;

/// Read behind the cut: what begins before it is still recognized.
pub const LOOKAHEAD_BYTES: usize = 16 << 10;

/// The patterns, compiled. Made once.
#[derive(Debug)]
pub struct Redactor {
    /// One of each of [`KINDS`], in their order.
    patterns: Vec<Regex>,
}

/// A piece of text to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    range: Range<usize>,
    kind: &'static str,
}

impl Redactor {
    #[must_use]
    pub fn new() -> Self {
        let compile = |pattern| Regex::new(pattern).expect("a test compiles every pattern");
        Self {
            patterns: KINDS.iter().map(|kind| compile(kind.pattern)).collect(),
        }
    }

    /// The first `max_bytes` of `text`, with `[REDACTED:<kind>]` in place of what is not to be kept. Never
    /// longer than that, and cut in the middle of neither a character nor a replacement.
    #[must_use]
    pub fn redact(&self, text: &str, max_bytes: usize) -> String {
        let seen = max_bytes.saturating_add(LOOKAHEAD_BYTES);
        let seen = &text[..text.floor_char_boundary(seen)];
        let end = seen.floor_char_boundary(max_bytes);
        let mut kept = Kept {
            text: String::with_capacity(end),
            max_bytes,
        };
        let mut at = 0;
        for span in self.spans(seen) {
            if span.range.start >= end {
                break;
            }
            let fits = kept.plain(&seen[at..span.range.start]) && kept.replacement(span.kind);
            if !fits {
                return kept.text;
            }
            at = span.range.end;
        }
        if at < end {
            kept.plain(&seen[at..end]);
        }
        kept.text
    }

    /// What to replace, in order and apart from each other.
    fn spans(&self, text: &str) -> Vec<Span> {
        let mut found = Vec::new();
        for (kind, pattern) in KINDS.iter().zip(&self.patterns) {
            let take = |secret: Match<'_>| {
                if (kind.confirm)(secret.as_str()) {
                    found.push(Span {
                        range: secret.range(),
                        kind: kind.name,
                    });
                }
            };
            if pattern.captures_len() > 1 {
                let groups = pattern.captures_iter(text);
                groups.filter_map(|groups| groups.get(1)).for_each(take);
            } else {
                pattern.find_iter(text).for_each(take);
            }
        }
        card::find(text, |range| {
            found.push(Span {
                range,
                kind: card::NAME,
            });
        });
        // Stable: of two at one place, the kind that is listed first gives the name.
        found.sort_by_key(|span| span.range.start);
        found.dedup_by(|next, before| {
            let overlaps = next.range.start < before.range.end;
            if overlaps {
                before.range.end = before.range.end.max(next.range.end);
            }
            overlaps
        });
        found
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new()
    }
}

/// What has been kept, within its bound.
struct Kept {
    text: String,
    max_bytes: usize,
}

impl Kept {
    /// Appends as much as fits; `false` when that was not all.
    fn plain(&mut self, text: &str) -> bool {
        let fitting = text.floor_char_boundary(self.max_bytes - self.text.len());
        self.text.push_str(&text[..fitting]);
        fitting == text.len()
    }

    /// Appends the replacement if it fits whole.
    fn replacement(&mut self, kind: &str) -> bool {
        let replacement = format!("[REDACTED:{kind}]");
        let fits = self.text.len() + replacement.len() <= self.max_bytes;
        if fits {
            self.text.push_str(&replacement);
        }
        fits
    }
}

#[cfg(test)]
mod tests;
