//! Settings tried by the node before they are saved.

use serde_json::Value;
use zeroize::Zeroizing;

use super::model::WithKey;
use crate::cli::{Failure, client::Client, lookup::text};

const PATH: &str = "/providers/test";

/// The node's report on a provider as it is about to be saved; a stored one, named by its id, has its own
/// key where none is given.
pub(super) async fn report(
    body: &Value,
    key: Option<&Zeroizing<String>>,
    client: &Client,
) -> Result<Value, Failure> {
    client.post(PATH, &WithKey::new(body, key)).await
}

/// The report for somebody who is not asked.
pub(super) fn verdict(report: &Value) -> Result<(), Failure> {
    if report["ok"] == true {
        return Ok(());
    }
    let remedy = match text(report, "remedy") {
        "" => String::new(),
        remedy => format!("\n  {remedy}"),
    };
    Err(Failure::Failed(format!(
        "nothing was saved: {}{remedy}\n  (--no-test saves without trying)",
        text(report, "message")
    )))
}
