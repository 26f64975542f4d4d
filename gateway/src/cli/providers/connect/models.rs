//! The models that a provider is to serve: those that were named, those that its vendor lists, or any.

use serde_json::{Value, json};

use super::{Arguments, form::Form};
use crate::cli::{Failure, client::Client, lookup::items, prompt::Ask, providers::discovery};

pub(super) async fn choose(
    arguments: &Arguments,
    form: &mut Form,
    ask: &mut Option<&mut dyn Ask>,
    client: &Client,
) -> Result<(), Failure> {
    if arguments.discover {
        let listed = discovery::listed(&form.body, form.key.as_ref(), client).await?;
        let models = items(&listed["models"]);
        discovery::add(&mut form.body, models.iter());
        return Ok(());
    }
    let Some(ask) = ask else { return Ok(()) };
    if !form.walks || !items(&form.body["models"]).is_empty() {
        return Ok(());
    }
    let models = offered(form, *ask, client).await?;
    ask_models(form, *ask, &models)
}

/// What the vendor lists, else what the catalog knows.
async fn offered(form: &Form, ask: &mut dyn Ask, client: &Client) -> Result<Vec<Value>, Failure> {
    if let Some(reason) = form.entry["unlisted"].as_str() {
        ask.say(&format!("  {reason}."));
        return Ok(from_catalog(&form.entry));
    }
    match discovery::listed(&form.body, form.key.as_ref(), client).await {
        Ok(listed) => Ok(items(&listed["models"]).to_vec()),
        Err(Failure::Failed(reason)) => {
            ask.say(&format!("  Its models cannot be listed: {reason}"));
            Ok(from_catalog(&form.entry))
        }
        Err(failure @ (Failure::Usage(_) | Failure::Unreachable(_) | Failure::ReaderGone)) => {
            Err(failure)
        }
    }
}

fn from_catalog(entry: &Value) -> Vec<Value> {
    let known = |model: &Value| {
        let mut model = model.clone();
        model["pricing_known"] = json!(true);
        model["pricing_source"] = json!("catalog");
        model
    };
    items(&entry["models"]).iter().map(known).collect()
}

/// Ways to say which.
#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    Some,
    Any,
    Named,
}

fn ask_models(form: &mut Form, ask: &mut dyn Ask, models: &[Value]) -> Result<(), Failure> {
    let choices: &[Choice] = if models.is_empty() {
        &[Choice::Any, Choice::Named]
    } else {
        &[Choice::All, Choice::Some, Choice::Any, Choice::Named]
    };
    let priced = models.iter().filter(|model| is_priced(model)).count();
    let labels: Vec<String> = choices
        .iter()
        .map(|choice| match choice {
            Choice::All => format!("All {}, {priced} of them with a known price", models.len()),
            Choice::Some => "Some of them".to_owned(),
            Choice::Any => "Any model that it takes, without a list".to_owned(),
            Choice::Named => "Others, by name".to_owned(),
        })
        .collect();
    match choices[ask.choose("Which models is it to serve?", "", &labels)?] {
        Choice::All => discovery::add(&mut form.body, models.iter()),
        Choice::Some => {
            let rows = discovery::rows(models);
            let picked = ask.pick("Which ones? (dollars per 1000 tokens in / out)", &rows)?;
            discovery::add(&mut form.body, picked.iter().map(|at| &models[*at]));
        }
        Choice::Any => {}
        Choice::Named => {
            let names = ask.text("Their names, with spaces between", "", "")?;
            let named = names.split_whitespace().map(|id| json!({"id": id}));
            discovery::add(&mut form.body, named.collect::<Vec<_>>().iter());
        }
    }
    Ok(())
}

fn is_priced(model: &Value) -> bool {
    model["pricing_known"] == true
}
