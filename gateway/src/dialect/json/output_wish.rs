//! What a body says about the output it wants.

use std::ops::Range;

use super::{ObjectSpan, Shape};
use crate::dialect::output::{BoundKey, OutputKeys};

/// Every bound that a body gives, by whichever dialect's key; who reads it decides which of them count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputWish {
    /// At the place of the key.
    given: [Given; BoundKey::ALL.len()],
    /// The objects that keys stand in.
    objects: [Option<ObjectSpan>; BoundKey::ALL.len()],
    /// The largest of `n`, `best_of`, `candidateCount`.
    answers: Option<u64>,
    answers_are_odd: bool,
}

/// How a bound is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Given {
    #[default]
    Absent,
    /// Null, at this place: the same as absent.
    Null(Range<usize>),
    Tokens(u64),
    /// No whole number: a provider may take it for anything.
    Odd,
}

impl OutputWish {
    /// Tokens of all answers together; `None` when there is no bound that can be relied on.
    pub fn most(&self, keys: OutputKeys) -> Option<u64> {
        let mut most = None;
        for key in keys.read() {
            match self.given[key as usize] {
                Given::Absent | Given::Null(_) => {}
                Given::Odd => return None,
                Given::Tokens(0) if !keys.takes_zero => return None,
                Given::Tokens(tokens) => most = most.max(Some(tokens)),
            }
        }
        let most = most.filter(|_| !self.answers_are_odd)?;
        Some(most.saturating_mul(self.answers()))
    }

    /// How many answers it wants.
    pub fn answers(&self) -> u64 {
        self.answers.unwrap_or(1).max(1)
    }

    /// It has no bound, nothing in it would contradict one, and there is a place for it.
    pub fn may_be_bounded(&self, keys: OutputKeys) -> bool {
        let is_free = keys.read().all(|key| match self.given[key as usize] {
            Given::Absent | Given::Null(_) => true,
            Given::Tokens(_) | Given::Odd => false,
        });
        let has_place = match self.object(keys.written).map(|object| object.shape) {
            None | Some(Shape::Object | Shape::EmptyObject | Shape::Null) => true,
            Some(Shape::Other) => false,
        };
        is_free && has_place && !self.answers_are_odd
    }

    /// Where the bound is null.
    pub(super) fn null(&self, key: BoundKey) -> Option<&Range<usize>> {
        match &self.given[key as usize] {
            Given::Null(range) => Some(range),
            Given::Absent | Given::Tokens(_) | Given::Odd => None,
        }
    }

    pub(super) fn object(&self, key: BoundKey) -> Option<&ObjectSpan> {
        self.objects[key as usize].as_ref()
    }

    pub(super) fn add(&mut self, key: BoundKey, given: Given) {
        let known = &mut self.given[key as usize];
        if *known != Given::Odd {
            *known = given;
        }
    }

    pub(super) fn add_object(&mut self, key: BoundKey, object: ObjectSpan) {
        self.objects[key as usize] = Some(object);
    }

    /// `None`: no whole number.
    pub(super) fn add_answers(&mut self, count: Option<u64>) {
        match count {
            Some(_) => self.answers = self.answers.max(count),
            None => self.answers_are_odd = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::{
        json::{BodyScanner, ScannedBody, output_bound_splice, pieces},
        output::OutputBound,
    };

    fn scan(body: &str) -> ScannedBody {
        let mut scanner = BodyScanner::default();
        scanner.feed(body.as_bytes()).unwrap();
        scanner.finish().unwrap()
    }

    fn keys(written: BoundKey) -> OutputKeys {
        OutputKeys {
            written,
            other: (written == BoundKey::MaxCompletionTokens).then_some(BoundKey::MaxTokens),
            takes_zero: false,
        }
    }

    /// With a bound of 7.
    fn bounded(body: &str, key: BoundKey) -> String {
        let bound = OutputBound { key, tokens: 7 };
        let splice = output_bound_splice(&scan(body), bound).unwrap();
        let edited = pieces(&[body.as_bytes()], &[splice])
            .collect::<Vec<_>>()
            .concat();
        String::from_utf8(edited).unwrap()
    }

    #[test]
    fn what_the_vendor_reads_is_what_counts() {
        use BoundKey::*;
        for (key, body, most, may_be_bounded) in [
            (MaxTokens, r#"{"model":"m"}"#, None, true),
            (MaxTokens, r#"{"max_tokens":10,"n":3}"#, Some(30), false),
            (MaxTokens, r#"{"max_tokens":null,"best_of":2}"#, None, true),
            // Keys of other dialects bound nothing.
            (
                MaxTokens,
                r#"{"max_output_tokens":5,"options":{"num_predict":5}}"#,
                None,
                true,
            ),
            (Predict, r#"{"max_tokens":5}"#, None, true),
            (
                Gemini,
                r#"{"max_tokens":5,"maxOutputTokens":5}"#,
                None,
                true,
            ),
            (MaxCompletionTokens, r#"{"max_tokens":10}"#, Some(10), false),
            (
                MaxCompletionTokens,
                r#"{"max_tokens":10,"max_completion_tokens":30}"#,
                Some(30),
                false,
            ),
            (
                MaxCompletionTokens,
                r#"{"max_tokens":"1","max_completion_tokens":3}"#,
                None,
                false,
            ),
            // Vendors take these for other numbers, or for none.
            (MaxTokens, r#"{"max_tokens":"10"}"#, None, false),
            (MaxTokens, r#"{"max_tokens":-1}"#, None, false),
            (MaxTokens, r#"{"max_tokens":1.0}"#, None, false),
            (MaxTokens, r#"{"max_tokens":1e2}"#, None, false),
            (MaxTokens, r#"{"max_tokens":0}"#, None, false),
            (MaxTokens, r#"{"max_tokens":[7]}"#, None, false),
            (MaxTokens, r#"{"max_tokens":true}"#, None, false),
            (
                MaxTokens,
                r#"{"max_tokens":18446744073709551616}"#,
                None,
                false,
            ),
            (MaxTokens, r#"{"max_tokens":10,"n":[]}"#, None, false),
            (MaxTokens, r#"{"n":"2"}"#, None, false),
            (MaxGenLen, r#"{"max_gen_len":9}"#, Some(9), false),
            (
                Converse,
                r#"{"inferenceConfig":{"maxTokens":5}}"#,
                Some(5),
                false,
            ),
            (
                Converse,
                r#"{"inferenceConfig":{"maxTokens":5,"max_new_tokens":9}}"#,
                None,
                false,
            ),
            (
                Converse,
                r#"{"inferenceConfig":{"max_new_tokens":9,"maxTokens":5}}"#,
                None,
                false,
            ),
            (
                Converse,
                r#"{"inferenceConfig":[{"maxTokens":5}]}"#,
                None,
                false,
            ),
            (Converse, r#"{"inferenceConfig":"x"}"#, None, false),
            (
                Gemini,
                r#"{"generationConfig":{"maxOutputTokens":5,"candidateCount":2}}"#,
                Some(10),
                false,
            ),
            (
                Gemini,
                r#"{"generation_config":{"max_output_tokens":5}}"#,
                Some(5),
                false,
            ),
            (
                Gemini,
                r#"{"generationConfig":{"candidateCount":3}}"#,
                None,
                true,
            ),
            (
                Gemini,
                r#"{"generationConfig":{"maxOutputTokens":"5"}}"#,
                None,
                false,
            ),
            (Predict, r#"{"options":{"num_predict":5}}"#, Some(5), false),
            (Predict, r#"{"options":{"num_predict":-2}}"#, None, false),
            (Predict, r#"{"options":{"num_predict":0}}"#, None, false),
            (
                Titan,
                r#"{"textGenerationConfig":{"maxTokenCount":5}}"#,
                Some(5),
                false,
            ),
            (Titan, r#"{"textGenerationConfig":null}"#, None, true),
        ] {
            let output = scan(body).output;
            let found = (output.most(keys(key)), output.may_be_bounded(keys(key)));
            assert_eq!(found, (most, may_be_bounded), "{body}");
        }
        let prewarming = OutputKeys {
            takes_zero: true,
            ..keys(MaxTokens)
        };
        assert_eq!(scan(r#"{"max_tokens":0}"#).output.most(prewarming), Some(0));
    }

    #[test]
    fn a_bound_stands_once_however_it_is_written() {
        for body in [
            r#"{"max_tokens":1,"max_tokens":9}"#,
            r#"{"max_tokens":1,"max_\u0074okens":9}"#,
            r#"{"max_tokens":1,"MAX_TOKENS":9}"#,
            r#"{"generationConfig":{},"generation_config":{"maxOutputTokens":9}}"#,
            r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#,
            r#"{"inferenceConfig":{"maxTokens":5},"inferenceConfig":{}}"#,
            r#"{"options":{"num_predict":5,"NUM_PREDICT":9}}"#,
            r#"{"textGenerationConfig":{"maxTokenCount":1,"maxTokenCount":2}}"#,
        ] {
            let mut scanner = BodyScanner::default();
            let fed = scanner.feed(body.as_bytes());
            assert!(fed.and_then(|()| scanner.finish()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_bound_is_written_where_its_vendor_reads_it() {
        use BoundKey::*;
        for (key, body, expected) in [
            (
                MaxTokens,
                r#"{"model":"m"}"#,
                r#"{"max_tokens":7,"model":"m"}"#,
            ),
            (
                MaxTokens,
                r#"{"max_tokens": null,"model":"m"}"#,
                r#"{"max_tokens": 7,"model":"m"}"#,
            ),
            (
                MaxCompletionTokens,
                r#"{"a":1}"#,
                r#"{"max_completion_tokens":7,"a":1}"#,
            ),
            (
                MaxOutputTokens,
                r#"{"a":1}"#,
                r#"{"max_output_tokens":7,"a":1}"#,
            ),
            (MaxGenLen, r#"{"a":1}"#, r#"{"max_gen_len":7,"a":1}"#),
            (
                Converse,
                r#"{"a":1}"#,
                r#"{"inferenceConfig":{"maxTokens":7},"a":1}"#,
            ),
            (
                Converse,
                r#"{"inferenceConfig": { "topP": 1 },"a":1}"#,
                r#"{"inferenceConfig": {"maxTokens":7, "topP": 1 },"a":1}"#,
            ),
            (
                Converse,
                r#"{"inferenceConfig":{"maxTokens":null}}"#,
                r#"{"inferenceConfig":{"maxTokens":7}}"#,
            ),
            (
                Gemini,
                r#"{"generationConfig":{ },"a":1}"#,
                r#"{"generationConfig":{"maxOutputTokens":7},"a":1}"#,
            ),
            (
                Gemini,
                r#"{"a":1,"generation_config":null}"#,
                r#"{"a":1,"generation_config":{"maxOutputTokens":7}}"#,
            ),
            (
                Gemini,
                r#"{"generation_config":{"max_output_tokens":null}}"#,
                r#"{"generation_config":{"max_output_tokens":7}}"#,
            ),
            (
                Predict,
                r#"{"model":"m","options":{"num_ctx":1}}"#,
                r#"{"model":"m","options":{"num_predict":7,"num_ctx":1}}"#,
            ),
            (
                Titan,
                r#"{"inputText":"x"}"#,
                r#"{"textGenerationConfig":{"maxTokenCount":7},"inputText":"x"}"#,
            ),
        ] {
            assert!(scan(body).output.may_be_bounded(keys(key)), "{body}");
            assert_eq!(bounded(body, key), expected);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                members(inner).prop_map(Value::from),
            ]
        })
    }

    fn members(
        value: impl Strategy<Value = Value>,
    ) -> impl Strategy<Value = serde_json::Map<String, Value>> {
        const KNOWN: &[&str] = &[
            "max_tokens",
            "max_gen_len",
            "maxTokens",
            "maxOutputTokens",
            "num_predict",
            "inferenceConfig",
            "generationConfig",
            "options",
            "n",
            "messages",
        ];
        let known = prop::sample::select(KNOWN).prop_map(str::to_owned);
        let key = prop_oneof![known, "[a-z\"]{1,4}"];
        prop::collection::vec((key, value), 1..5).prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_spliced_body_is_the_old_one_with_a_bound(
            body in members(value()),
            key in prop::sample::select(&BoundKey::ALL[..]),
            is_pretty in any::<bool>(),
        ) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&body).unwrap(),
                false => serde_json::to_string(&body).unwrap(),
            };
            let output = scan(&text).output;
            prop_assume!(output.may_be_bounded(keys(key)));
            prop_assert_eq!(output.most(keys(key)), None);
            let edited = bounded(&text, key);
            let mut expected = Value::from(body);
            let place = match key.object() {
                None => &mut expected,
                Some(object) => &mut expected[object],
            };
            place[key.name()] = json!(7);
            prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), expected);
            // What is read of it next is the bound.
            prop_assert_eq!(scan(&edited).output.most(keys(key)), Some(7 * output.answers()));
        }
    }
}
