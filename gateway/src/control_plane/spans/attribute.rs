//! Attributes as OTLP has them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

/// A span's attributes.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// An empty text says nothing and is left out.
    pub(super) fn text(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.push(key, Value::StringValue(value));
        }
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.push(
            key,
            Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
        );
    }

    /// Zero stands for what is not there.
    pub(super) fn number_if_any(&mut self, key: &str, value: u64) {
        if value > 0 {
            self.number(key, value);
        }
    }

    pub(super) fn float(&mut self, key: &str, value: f64) {
        self.push(key, Value::DoubleValue(value));
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.push(key, Value::BoolValue(value));
    }

    pub(super) fn into_inner(self) -> Vec<KeyValue> {
        self.0
    }

    fn push(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            key_strindex: 0,
        });
    }
}
