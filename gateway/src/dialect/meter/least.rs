//! The least that an answer under way has used, for whoever has to end it when that is too much.

use serde_json::value::RawValue;

/// No token has more letters and digits, in bytes: the longest one of OpenAI's vocabularies has 128 (r50k and p50k; in
/// cl100k 41, in o200k 51).
const TOKEN_BYTES_MAX: u64 = 128;

/// No token of a Realtime answer's sound is longer, as base64. OpenAI counts one per 50 ms ("Managing costs" of its
/// Realtime guides), at most 2400 bytes (24 kHz, 16 bits); a session may have it played at a quarter of its speed, after
/// it was counted. A fifth leaves room for escapes.
const SOUND_BASE64_BYTES_MAX: u64 = 5 * 2400 * 4 / 3;

/// The least number of tokens that the text so far can be.
///
/// Tokenizers part text before they look for tokens, and a letter or digit after a blank always begins a new part: so
/// say the patterns of OpenAI's o200k and cl100k and of those made after them, and SentencePiece splits at blanks. So
/// there is a token for each word at least, in however many events the words come, and for a word that is longer than
/// a token can be, one for as many bytes as that has: what is written without blanks, or encoded. Not counted is what
/// may be billed by something else than its length: thoughts where a vendor sends summaries of them (which are another
/// model's work, and may be longer), pictures, sound whose length nobody states in tokens, and the text of completions,
/// which may repeat the prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Least {
    tokens: u64,
    /// Letters and digits that the latest of them may still have.
    room: u64,
    sound_bytes: u64,
    /// See [`tells_thoughts`].
    tells_thoughts: bool,
    /// The newest part of the answer (a choice, a block), and the one whose text came last.
    newest: Option<u64>,
    latest: Option<u64>,
    /// A letter would begin a word.
    after_blank: bool,
    has_more: bool,
}

enum Kind {
    Blank,
    Letter { bytes: usize },
    Other,
}

/// Whether a provider shows what its models think as they think it. Only who runs them by itself is known to.
pub fn tells_thoughts(catalog_id: &str) -> bool {
    matches!(catalog_id, "vllm" | "ollama")
}

impl Least {
    pub(super) fn new(tells_thoughts: bool) -> Self {
        Self {
            tells_thoughts,
            ..Self::default()
        }
    }

    /// Reads the next text of a part of the answer: a JSON string as it stands in the event. What is no string is
    /// passed over.
    pub(super) fn read(&mut self, part: u64, json: Option<&RawValue>) {
        let text = json.and_then(|json| json.get().strip_prefix('"')?.strip_suffix('"'));
        if let Some(text) = text {
            self.read_text(part, text);
        }
    }

    /// Reads the next thought.
    pub(super) fn read_thought(&mut self, part: u64, json: Option<&RawValue>) {
        match self.tells_thoughts {
            true => self.read(part, json),
            false => self.has_more |= json.is_some(),
        }
    }

    /// Reads what a function is called with: a JSON object, in which the model wrote each name and value.
    pub(super) fn read_arguments(&mut self, part: u64, json: Option<&RawValue>) {
        let object = json.filter(|json| json.get().starts_with('{'));
        if let Some(object) = object {
            self.read_text(part, object.get());
        }
    }

    fn read_text(&mut self, part: u64, text: &str) {
        self.enter(part);
        let mut chars = text.chars();
        while let Some(kind) = next_kind(&mut chars) {
            match kind {
                Kind::Blank => self.after_blank = true,
                Kind::Letter { bytes } => {
                    let bytes = bytes as u64;
                    if std::mem::take(&mut self.after_blank) {
                        self.tokens += 1;
                        self.room = TOKEN_BYTES_MAX;
                    } else if self.room < bytes {
                        // A letter's bytes may be in two of them.
                        self.tokens += 1;
                        self.room += TOKEN_BYTES_MAX;
                    }
                    self.room -= bytes;
                }
                Kind::Other => self.after_blank = false,
            }
        }
        self.has_more |= !text.is_empty();
    }

    /// Where parts take turns, one that goes on may do so inside a word.
    fn enter(&mut self, part: u64) {
        if self.latest != Some(part) {
            self.after_blank = self.newest.is_none_or(|newest| part > newest);
            self.newest = self.newest.max(Some(part));
            self.latest = Some(part);
            // Of a word that goes on, nobody remembers how long it is.
            self.room = TOKEN_BYTES_MAX;
        }
    }

    /// Notes the next sound of an answer over Realtime: base64, in a JSON string.
    pub(super) fn hear(&mut self, json: Option<&RawValue>) {
        let quoted = json.map_or(0, |json| json.get().len() as u64);
        // Without the quotes.
        self.sound_bytes += quoted.saturating_sub(2);
        self.has_more = true;
    }

    /// More of the answer came, whose tokens nobody can count.
    pub(super) fn more(&mut self) {
        self.has_more = true;
    }

    /// The provider told its count. After the last one nothing comes.
    pub(super) fn reported(&mut self) {
        self.has_more = false;
    }

    /// Something came since the last count, so that there may be more to come.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens + self.sound_bytes / SOUND_BASE64_BYTES_MAX
    }
}

fn next_kind(chars: &mut std::str::Chars<'_>) -> Option<Kind> {
    let char = match chars.next()? {
        '\\' => match chars.next()? {
            'n' | 't' | 'r' => ' ',
            'u' => {
                let digits = chars.as_str().get(..4)?;
                chars.nth(3);
                let code = u32::from_str_radix(digits, 16).ok()?;
                // Half of a pair stands for none.
                char::from_u32(code).unwrap_or('\0')
            }
            _ => '\0',
        },
        char => char,
    };
    Some(match char {
        char if char.is_whitespace() => Kind::Blank,
        char if char.is_alphanumeric() => Kind::Letter {
            bytes: char.len_utf8(),
        },
        _ => Kind::Other,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(texts: &[(u64, &str)]) -> Least {
        let mut least = Least::default();
        for (part, text) in texts {
            let json = serde_json::to_string(text).unwrap();
            let json: &RawValue = serde_json::from_str(&json).unwrap();
            least.read(*part, Some(json));
        }
        least
    }

    #[test]
    fn there_is_a_token_for_each_word_at_least() {
        let han = "中".repeat(128);
        let blanks = " ".repeat(10_000);
        let rules = "-".repeat(10_000);
        let encoded = "aGk+".repeat(100);
        for (texts, tokens) in [
            (&[""][..], 0),
            (&["Hello"], 1),
            (&["Hel", "lo wor", "ld"], 2),
            (&["one ", "two ", "three"], 3),
            (&[" one", "\n\ntwo", "\t3"], 3),
            // No word, however many tokens: they may be one.
            (&["//\n//\n", " -- ", "}\n}\n"], 0),
            (&[" (one", " \"two\" -three"], 0),
            (&[&*blanks, &*rules], 0),
            // 384 bytes.
            (&[&*han], 3),
            // Beside words, too; what hangs on a word may be one token with it.
            (&["look: ", &*han, " and on"], 6),
            (&["(", &*encoded], 2),
            (&["a (", &*encoded, ") b"], 4),
        ] {
            let texts: Vec<_> = texts.iter().map(|text| (0, *text)).collect();
            assert_eq!(read(&texts).tokens(), tokens, "{texts:?}");
        }
        let mut escaped = Least::default();
        for json in [r#""\u00e4 \u4e2d\ud83d\ude00 \\n \u00""#, "7", "null"] {
            escaped.read(0, serde_json::from_str(json).ok());
        }
        // Cut escapes are no JSON, so that was nothing.
        assert_eq!(escaped.tokens(), 0);
        let whole = r#""\u00e4 \u4e2d\ud83d\ude00 \\n a""#;
        escaped.read(0, serde_json::from_str(whole).ok());
        assert_eq!(escaped.tokens(), 3);
    }

    #[test]
    fn parts_that_take_turns_break_no_word_in_two() {
        let turns = [(0, "He "), (1, "Wor "), (0, "llo "), (1, "ld")];
        assert_eq!(read(&turns).tokens(), 2);
        let blocks = [(0, "one"), (1, "two"), (1, " three"), (2, "four")];
        assert_eq!(read(&blocks).tokens(), 4);
    }

    #[test]
    fn a_long_word_that_is_interrupted_may_be_no_longer() {
        let long = "x".repeat(100);
        let turns = [(0, &*long), (1, "y"), (0, &*long), (1, "z"), (0, &*long)];
        assert_eq!(read(&turns).tokens(), 2);
        let turns = [(0, &*long), (0, &*long), (0, &*long)];
        assert_eq!(read(&turns).tokens(), 3);
    }

    #[test]
    fn thoughts_count_where_they_are_told() {
        let json = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        let thought = json(r#""one two""#);
        for (catalog_id, tokens) in [("vllm", 2), ("ollama", 2), ("openrouter", 0), ("custom", 0)] {
            let mut least = Least::new(tells_thoughts(catalog_id));
            least.read_thought(0, Some(&thought));
            assert_eq!(
                (least.tokens(), least.has_more()),
                (tokens, true),
                "{catalog_id}"
            );
        }
        let mut least = Least::default();
        // In one word a value that is not quoted.
        let arguments = [
            r#"{"city":"New York City","days":3}"#,
            r#"{"days": 3, "x": null}"#,
        ];
        for arguments in arguments {
            least.read_arguments(0, Some(&json(arguments)));
        }
        least.read_arguments(0, Some(&json("\"no object\"")));
        assert_eq!(least.tokens(), 2 + 2);
    }

    #[test]
    fn after_the_last_count_nothing_comes() {
        let mut least = read(&[(0, "a")]);
        assert!(least.has_more());
        least.reported();
        assert!(!least.has_more());
        least.more();
        assert!(least.has_more());
    }
}
