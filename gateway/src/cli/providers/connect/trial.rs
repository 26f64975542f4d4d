//! Trying what is about to be saved. At a terminal a failure is a question: mend it, save anyway, or stop.

use serde_json::json;

use super::form::Form;
use crate::cli::{Failure, client::Client, lookup::text, prompt::Ask, providers::trial};

/// Returns when the provider works, or when somebody wants to have it as it is.
pub(super) async fn pass(
    form: &mut Form,
    ask: &mut Option<&mut dyn Ask>,
    client: &Client,
) -> Result<(), Failure> {
    loop {
        let report = trial::report(&form.body, form.key.as_ref(), client).await?;
        let Some(ask) = ask else {
            return trial::verdict(&report);
        };
        if report["ok"] == true {
            let took = &report["duration_ms"];
            ask.say(&format!("✓ {} ({took} ms)", text(&report, "message")));
            return Ok(());
        }
        ask.say(&format!("✗ {}", text(&report, "message")));
        match text(&report, "remedy") {
            "" => {}
            remedy => ask.say(&format!("  {remedy}")),
        }
        if mend(form, *ask, text(&report, "problem"))? == Next::Save {
            return Ok(());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    TryAgain,
    Save,
}

#[derive(Debug, Clone, Copy)]
enum Fix {
    Key,
    Url,
    AllowPrivate,
    Ca,
    Again,
    Save,
    Stop,
}

impl Fix {
    fn label(self) -> &'static str {
        match self {
            Self::Key => "Give another key",
            Self::Url => "Change the URL",
            Self::AllowPrivate => "Allow loopback and private addresses for it",
            Self::Ca => "Give the CA certificate to trust (PEM file)",
            Self::Again => "Try again",
            Self::Save => "Save it as it is",
            Self::Stop => "Stop",
        }
    }
}

fn mend(form: &mut Form, ask: &mut dyn Ask, problem: &str) -> Result<Next, Failure> {
    let fixes: &[Fix] = match problem {
        "bad_key" | "no_access" | "no_model" | "no_credit" => {
            &[Fix::Key, Fix::Url, Fix::Again, Fix::Save, Fix::Stop]
        }
        "address_refused" => &[Fix::AllowPrivate, Fix::Url, Fix::Save, Fix::Stop],
        "tls_untrusted" => &[Fix::Ca, Fix::Url, Fix::Save, Fix::Stop],
        _ => &[Fix::Url, Fix::Key, Fix::Again, Fix::Save, Fix::Stop],
    };
    let labels: Vec<String> = fixes.iter().map(|fix| fix.label().to_owned()).collect();
    match fixes[ask.choose("What now?", "", &labels)?] {
        Fix::Key => form.key = form.ask_key(ask)?,
        Fix::Url => form.ask_url(ask)?,
        Fix::AllowPrivate => form.body["allow_private_addresses"] = json!(true),
        Fix::Ca => {
            let path = ask.text("Path of the CA certificate", "", "")?;
            match std::fs::read_to_string(&path) {
                Ok(pem) => form.body["ca_pem"] = json!(pem),
                Err(error) => ask.say(&format!("  {path}: {error}")),
            }
        }
        Fix::Again => {}
        Fix::Save => return Ok(Next::Save),
        Fix::Stop => return Err(Failure::Failed("stopped; nothing was saved".to_owned())),
    }
    Ok(Next::TryAgain)
}
