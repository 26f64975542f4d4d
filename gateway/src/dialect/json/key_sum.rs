//! Adds up the numbers of one key, wherever it stands in a JSON object, while the object passes.

use super::{
    key::KeyText,
    lexer::{Lexer, Scan, Visitor},
};

/// Most bytes of a number that is added.
const NUMBER_BYTES_LIMIT: usize = 24;

/// See the module.
#[derive(Debug)]
pub struct KeySum {
    lexer: Lexer,
    numbers: Numbers,
    failed: bool,
}

impl KeySum {
    pub fn new(key: &'static str) -> Self {
        Self {
            lexer: Lexer::default(),
            numbers: Numbers {
                key,
                text: KeyText::default(),
                expects: false,
                number: Vec::new(),
                sum: None,
            },
            failed: false,
        }
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, segment: &[u8]) {
        self.failed = self.failed || self.lexer.feed(segment, &mut self.numbers).is_err();
    }

    /// `None` when there was no such number.
    pub fn sum(&self) -> Option<u64> {
        self.numbers.sum
    }
}

#[derive(Debug)]
struct Numbers {
    key: &'static str,
    text: KeyText,
    /// The next value is the key's.
    expects: bool,
    number: Vec<u8>,
    sum: Option<u64>,
}

impl Visitor for Numbers {
    fn string_begin(&mut self, _: usize, is_key: bool, _: usize) -> Scan<bool> {
        self.expects = false;
        self.text.clear();
        Ok(is_key)
    }

    fn string_end(&mut self, _: usize, is_key: bool, _: usize) -> Scan<()> {
        let found = |key: &[u8]| key == self.key.as_bytes();
        self.expects = is_key && self.text.decoded().is_some_and(|key| found(&key));
        Ok(())
    }

    fn container_begin(&mut self, _: usize, _: bool, _: usize) -> Scan<()> {
        self.expects = false;
        Ok(())
    }

    fn container_end(&mut self, _: usize, _: usize) -> Scan<()> {
        Ok(())
    }

    fn scalar_begin(&mut self, _: usize, _: usize) -> Scan<bool> {
        self.number.clear();
        Ok(self.expects)
    }

    fn scalar_end(&mut self, _: usize, _: usize) -> Scan<()> {
        if std::mem::take(&mut self.expects)
            && let Ok(number) = serde_json::from_slice::<f64>(&self.number)
        {
            // `as` saturates, and takes what is below zero for zero.
            let sum = self.sum.unwrap_or(0).saturating_add(number as u64);
            self.sum = Some(sum);
        }
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) -> Scan<()> {
        if self.expects {
            let room = NUMBER_BYTES_LIMIT.saturating_sub(self.number.len());
            self.number
                .extend_from_slice(&piece[..piece.len().min(room)]);
        } else {
            self.text.push(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_wherever_they_stand() {
        for (json, expected) in [
            (
                r#"{"p":[{"s":{"token_count":4}},{"s":{"token_count": 6.0, "x":9}}]}"#,
                Some(10),
            ),
            (
                r#"{"token_count":"4","token_counts":3,"x":"token_count"}"#,
                None,
            ),
            (r#"{"token_count":[4],"y":{"token_count":null}}"#, None),
            (r#"{"token_count":-4}"#, Some(0)),
            ("no", None),
        ] {
            for size in [1, 3, json.len()] {
                let mut sum = KeySum::new("token_count");
                for piece in json.as_bytes().chunks(size) {
                    sum.feed(piece);
                }
                assert_eq!(sum.sum(), expected, "{json}");
            }
        }
    }
}
