//! How full the limits of a policy or budget rule are.

use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    limits::{self, Window},
    lookup::{items, minute, query, text},
    output::{Column, Output, dollars, grouped},
};

/// Letters of a bar.
const BAR: usize = 10;

/// Rows of the limits that fit the pairs.
pub(super) async fn fetch(client: &Client, filter: &[(&str, &str)]) -> Result<Value, Failure> {
    client.get(&format!("/limits{}", query(filter))).await
}

/// Everything that counts into the limits of `document`, for people.
pub(super) fn table(document: &Value, used: &Value, output: &mut Output) -> Result<(), Failure> {
    if limits::summary(document).is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = items(&used["limits"])
        .iter()
        .filter_map(|row| Some((row, cap_of(row, text(document, "id"))?)))
        .map(|(row, cap)| {
            let counts_for = &row["counts_for"];
            let unit = text(row, "unit");
            vec![
                format!("{} {}", text(counts_for, "kind"), text(counts_for, "name")),
                limit(unit, &row["window_seconds"]),
                amount(unit, spent(row)),
                amount(unit, cap_amount(cap)),
                bar(part(row, cap)),
                minute(row, "resets_at"),
            ]
        })
        .collect();
    output.note("")?;
    if rows.is_empty() {
        return output.note("Nothing is spent of its limits.");
    }
    let columns = [
        Column::Left("COUNTS FOR"),
        Column::Left("LIMIT"),
        Column::Right("SPENT"),
        Column::Right("CAP"),
        Column::Left("USED"),
        Column::Left("RESETS (UTC)"),
    ];
    output.table_for_people(&columns, rows)?;
    match used["left_out"].as_u64().unwrap_or(0) {
        0 => Ok(()),
        more => output.note(format!("and {} less full", grouped(more))),
    }
}

/// Writes `used_percent` into each document of a listing: that of its fullest limit.
pub(super) fn add_fullest(documents: &mut Value, used: &Value) {
    for document in documents.as_array_mut().into_iter().flatten() {
        let id = text(document, "id").to_owned();
        let rows = items(&used["limits"]).iter();
        let parts = rows.filter_map(|row| Some(part(row, cap_of(row, &id)?)));
        document["used_percent"] = json!((parts.fold(0.0, f64::max) * 1000.0).round() / 10.0);
    }
}

/// `42%`; empty where nothing is known.
pub(super) fn percent(percent: Option<f64>) -> String {
    percent.map_or(String::new(), |percent| format!("{percent:.0}%"))
}

/// An amount of a unit, as people write it.
pub(super) fn amount(unit: &str, amount: &Value) -> String {
    match unit {
        // JSON writes very small ones as 1e-9.
        "usd" if amount.to_string().contains('e') => {
            format!("${}", dollars(amount.as_f64().unwrap_or(0.0)))
        }
        "usd" => limits::dollars(amount),
        _ => grouped(amount.as_u64().unwrap_or(0)),
    }
}

/// `tokens per 1d`.
pub(super) fn limit(unit: &str, window_seconds: &Value) -> String {
    match (unit, window_seconds.as_u64().unwrap_or(0)) {
        ("in_flight", _) => "requests at once".to_owned(),
        ("usd", window) => format!("dollars per {}", Window(window)),
        (unit, window) => format!("{unit} per {}", Window(window)),
    }
}

/// What a policy, rule or provider sets at a row.
fn cap_of<'a>(row: &'a Value, id: &str) -> Option<&'a Value> {
    items(&row["caps"]).iter().find(|cap| text(cap, "id") == id)
}

fn spent(row: &Value) -> &Value {
    row.get("spent_usd").unwrap_or_else(|| &row["spent"])
}

fn cap_amount(cap: &Value) -> &Value {
    cap.get("cap_usd").unwrap_or_else(|| &cap["cap"])
}

fn part(row: &Value, cap: &Value) -> f64 {
    let (spent, most) = (spent(row).as_f64(), cap_amount(cap).as_f64());
    match (spent, most) {
        (Some(spent), Some(most)) if most > 0.0 => spent / most,
        (Some(_) | None, _) => 0.0,
    }
}

/// `[####------]  42%`.
fn bar(part: f64) -> String {
    let full = ((part * BAR as f64).ceil() as usize).min(BAR);
    let bar = "#".repeat(full) + &"-".repeat(BAR - full);
    format!("[{bar}] {:>4}", percent(Some(part * 100.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_empty_only_when_nothing_is_spent() {
        for (part, expected) in [
            (0.0, "[----------]   0%"),
            (0.004, "[#---------]   0%"),
            (0.42, "[#####-----]  42%"),
            (1.0, "[##########] 100%"),
            (1.5, "[##########] 150%"),
        ] {
            assert_eq!(bar(part), expected);
        }
    }

    #[test]
    fn amounts_are_written_as_people_do() {
        for (unit, value, expected) in [
            ("usd", json!(50), "$50"),
            ("usd", json!(0.5), "$0.50"),
            ("usd", json!(0.000_000_012), "$0.000000012"),
            ("tokens", json!(1_234_567), "1 234 567"),
        ] {
            assert_eq!(amount(unit, &value), expected);
        }
    }
}
