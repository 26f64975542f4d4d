//! Query parameters: decoded pairs of name and value in, typed and bounded values out.

use jiff::Timestamp;

/// Values of one repeatable parameter.
pub(super) const VALUES_MAX: usize = 100;
pub(super) const VALUE_BYTES_MAX: usize = 512;

/// A query parameter that cannot be used; the text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct QueryError {
    pub parameter: String,
    pub problem: String,
}

pub(super) fn error(parameter: &str, problem: impl Into<String>) -> QueryError {
    QueryError {
        parameter: parameter.to_owned(),
        problem: problem.into(),
    }
}

/// The last value wins; an empty one is as good as none.
pub(super) fn one(pairs: &[(String, String)], name: &str) -> Result<Option<String>, QueryError> {
    Ok(many_unbounded(pairs, name)?.pop())
}

pub(super) fn many(pairs: &[(String, String)], name: &str) -> Result<Vec<String>, QueryError> {
    let values = many_unbounded(pairs, name)?;
    if values.len() > VALUES_MAX {
        return Err(error(name, format!("more than {VALUES_MAX} values")));
    }
    Ok(values)
}

fn many_unbounded(pairs: &[(String, String)], name: &str) -> Result<Vec<String>, QueryError> {
    let values: Vec<String> = pairs
        .iter()
        .filter(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.clone())
        .collect();
    if values.iter().any(|value| value.len() > VALUE_BYTES_MAX) {
        return Err(error(name, format!("longer than {VALUE_BYTES_MAX} bytes")));
    }
    Ok(values)
}

pub(super) fn choice<T: Copy>(
    pairs: &[(String, String)],
    name: &str,
    choices: &[(&str, T)],
) -> Result<Option<T>, QueryError> {
    let Some(value) = one(pairs, name)? else {
        return Ok(None);
    };
    match choices.iter().find(|(code, _)| *code == value) {
        Some((_, choice)) => Ok(Some(*choice)),
        None => {
            let codes: Vec<&str> = choices.iter().map(|(code, _)| *code).collect();
            Err(error(name, format!("must be one of {}", codes.join(", "))))
        }
    }
}

pub(super) fn instant(pairs: &[(String, String)], name: &str) -> Result<Option<i64>, QueryError> {
    let Some(value) = one(pairs, name)? else {
        return Ok(None);
    };
    match value.parse::<Timestamp>() {
        Ok(instant) => Ok(Some(instant.as_microsecond())),
        Err(_) => Err(error(name, "must be a time in RFC 3339 format")),
    }
}
