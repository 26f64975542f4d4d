//! What is to be connected, field by field: from the arguments, the catalog's defaults, and whoever sits at
//! the terminal. Without a terminal everything that is missing is said at once.

use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Arguments, key, url};
use crate::{
    cli::{
        Failure, catalog,
        client::Client,
        lookup::{items, text},
        prompt::Ask,
        secret_input::Need,
    },
    control_plane::catalog::KeyKind,
};

/// A provider before it is saved.
pub(super) struct Form {
    pub(super) entry: Value,
    /// As the API takes it, without the key.
    pub(super) body: Value,
    pub(super) key: Option<Zeroizing<String>>,
    /// Every field is gone through with somebody at the terminal.
    pub(super) walks: bool,
}

/// The catalog's entry, chosen from all when none is named.
pub(super) async fn entry(
    arguments: &Arguments,
    ask: &mut Option<&mut dyn Ask>,
    client: &Client,
) -> Result<Value, Failure> {
    if let Some(id) = &arguments.catalog_id {
        return catalog::entry(client, id).await;
    }
    let entries = client.get("/catalog/providers").await?;
    let Some(ask) = ask else {
        let ids: Vec<&str> = items(&entries).iter().map(|one| text(one, "id")).collect();
        return Err(Failure::Usage(format!(
            "name what to connect, one of: {}",
            ids.join(", ")
        )));
    };
    let mut entries: Vec<&Value> = items(&entries).iter().collect();
    entries.sort_by_key(|entry| kind(entry).0);
    let width = entries.iter().map(|entry| text(entry, "name").len()).max();
    let width = width.unwrap_or(0);
    let options: Vec<String> = entries
        .iter()
        .map(|entry| {
            let (name, told) = (text(entry, "name"), text(entry, "description"));
            format!("{:11}  {name:width$}  {told}", kind(entry).1)
        })
        .collect();
    let chosen = ask.choose("What to connect?", "type to filter", &options)?;
    Ok(entries[chosen].clone())
}

/// Order and name of the group that an entry stands in.
fn kind(entry: &Value) -> (u8, &'static str) {
    match text(entry, "kind") {
        "provider" => (0, "AI provider"),
        "gateway" => (1, "AI gateway"),
        _ => (2, "Your own"),
    }
}

impl Form {
    pub(super) fn fill(
        arguments: &Arguments,
        entry: Value,
        ask: &mut Option<&mut dyn Ask>,
    ) -> Result<Self, Failure> {
        let mut body = json!({
            "provider_id": entry["id"],
            "name": arguments.name.as_deref().unwrap_or_else(|| text(&entry, "name")),
            "upstream_url": catalog::url_template(&entry),
            "enabled": !arguments.disabled,
        });
        arguments.options.apply(&mut body)?;
        let url = url::fill_all(text(&body, "upstream_url"), &arguments.parts)?;
        body["upstream_url"] = json!(url);
        let mut form = Self {
            entry,
            body,
            key: None,
            walks: false,
        };
        let missing = form.missing(arguments);
        let is_given = missing.is_empty()
            && arguments.catalog_id.is_some()
            && (form.needs_key() || arguments.options.url.is_some() || arguments.key.is_given());
        match ask {
            Some(ask) if !is_given => {
                form.walks = true;
                form.walk(arguments, *ask)?;
            }
            Some(_) | None if missing.is_empty() => {
                let need = if form.needs_key() {
                    Need::Required
                } else {
                    Need::Optional
                };
                form.key = arguments.key.read("Key", need)?;
            }
            Some(_) | None => return Err(form.refusal(&missing)),
        }
        Ok(form)
    }

    /// Servers of the operator's may take none.
    fn needs_key(&self) -> bool {
        self.entry["kind"] != "custom"
    }

    fn url(&self) -> &str {
        text(&self.body, "upstream_url")
    }

    /// What has to be said and is not: how to say it, and what it is.
    fn missing(&self, arguments: &Arguments) -> Vec<(String, String)> {
        let mut missing = Vec::new();
        let help = |field| text(&self.entry, field).to_owned();
        if self.url().is_empty() {
            missing.push(("--url URL".to_owned(), help("url_help")));
        }
        for part in url::open_parts(self.url()) {
            missing.push((format!("--part {part}=…"), self.url().to_owned()));
        }
        if self.needs_key() && !arguments.key.is_given() {
            missing.push((
                "--key-file FILE, or --key-stdin".to_owned(),
                help("key_help"),
            ));
        }
        missing
    }

    fn refusal(&self, missing: &[(String, String)]) -> Failure {
        let width = missing.iter().map(|(how, _)| how.chars().count()).max();
        let width = width.unwrap_or(0);
        let lines: Vec<String> = missing
            .iter()
            .map(|(how, what)| format!("\n  {how:width$}  {what}").trim_end().to_owned())
            .collect();
        Failure::Usage(format!(
            "to connect {} without a terminal to ask on, give also:{}",
            text(&self.entry, "id"),
            lines.concat()
        ))
    }

    fn walk(&mut self, arguments: &Arguments, ask: &mut dyn Ask) -> Result<(), Failure> {
        if arguments.options.url.is_none() {
            self.ask_url(ask)?;
        }
        self.key = if arguments.key.is_given() {
            arguments.key.read("Key", Need::Required)?
        } else {
            self.ask_key(ask)?
        };
        for header in items(&self.entry["extra_headers"]) {
            let name = text(header, "name");
            let given = &self.body["extra_values"][name.to_ascii_lowercase()];
            if given.is_null() {
                let value = ask.text(&format!("Header {name}"), "empty for none", "")?;
                if !value.is_empty() {
                    self.body["extra_values"][name] = json!(value);
                }
            }
        }
        if arguments.name.is_none() {
            let name = ask.text("Display name", "", text(&self.entry, "name"))?;
            self.body["name"] = json!(name);
        }
        Ok(())
    }

    /// A location of Google's, the parts one by one, or a URL without parts as a whole.
    pub(super) fn ask_url(&mut self, ask: &mut dyn Ask) -> Result<(), Failure> {
        let help = text(&self.entry, "url_help");
        let url = match self.key_kind() {
            KeyKind::GoogleServiceAccount => url::ask_location(self.url(), ask)?,
            KeyKind::Text | KeyKind::Aws if url::open_parts(self.url()).is_empty() => {
                url::ask_whole(self.url(), help, ask)?
            }
            KeyKind::Text | KeyKind::Aws => url::ask_parts(self.url(), help, ask)?,
        };
        self.body["upstream_url"] = json!(url);
        Ok(())
    }

    pub(super) fn ask_key(&self, ask: &mut dyn Ask) -> Result<Option<Zeroizing<String>>, Failure> {
        let help = text(&self.entry, "key_help");
        loop {
            let key = key::ask(self.key_kind(), help, self.url(), ask)?;
            if !key.is_empty() {
                return Ok(Some(key));
            }
            if !self.needs_key() {
                return Ok(None);
            }
            ask.say("  It takes no request without a key.");
        }
    }

    fn key_kind(&self) -> KeyKind {
        KeyKind::deserialize(&self.entry["key_kind"]).unwrap_or_default()
    }

    /// How the upstream is told who calls, where it can be told.
    pub(super) fn ask_identity(
        &mut self,
        arguments: &Arguments,
        ask: &mut Option<&mut dyn Ask>,
    ) -> Result<(), Failure> {
        let identity = &self.entry["identity_injection"];
        let (Some(ask), true) = (ask, identity.is_object()) else {
            return Ok(());
        };
        if arguments.options.no_metadata.is_none() {
            let question = format!(
                "Tell {} who calls, with every request?",
                text(&self.entry, "name")
            );
            let tells = ask.confirm(&question, true)?;
            self.body["metadata_disabled"] = json!(!tells);
        }
        if self.body["metadata_disabled"] == true {
            return Ok(());
        }
        self.ask_identity_names(*ask)
    }

    /// Under which names it is told, where they can be chosen.
    fn ask_identity_names(&mut self, ask: &mut dyn Ask) -> Result<(), Failure> {
        let identity = &self.entry["identity_injection"];
        let names = [
            (
                "identity_header_user_id",
                ["end_user_id_header", "user_key"],
                "the caller",
            ),
            (
                "identity_header_groups",
                ["tags_header", "groups_key"],
                "the caller's groups",
            ),
        ];
        let forms = [&identity["header_pair"], &identity["json_metadata"]];
        let Some(form) = forms.iter().find(|form| form["customizable"] == true) else {
            return Ok(());
        };
        for (field, keys, what) in names {
            if self.body[field].is_string() {
                continue;
            }
            let default = keys
                .iter()
                .map(|key| text(form, key))
                .find(|name| !name.is_empty());
            let default = default.unwrap_or_default();
            let name = ask.text(&format!("Name of the field for {what}"), "", default)?;
            if name != default {
                self.body[field] = json!(name);
            }
        }
        Ok(())
    }

    /// The last question before it is saved.
    pub(super) fn confirm(&self, ask: &mut Option<&mut dyn Ask>) -> Result<(), Failure> {
        let Some(ask) = ask else { return Ok(()) };
        let models = match items(&self.body["models"]).len() {
            0 => "any".to_owned(),
            count => count.to_string(),
        };
        for (name, value) in [
            ("provider", text(&self.entry, "name")),
            ("name", text(&self.body, "name")),
            ("upstream", self.url()),
            ("models", &models),
        ] {
            ask.say(&format!("  {name:8}  {value}"));
        }
        if ask.confirm("Save it?", true)? {
            Ok(())
        } else {
            Err(Failure::Failed("stopped; nothing was saved".to_owned()))
        }
    }
}
