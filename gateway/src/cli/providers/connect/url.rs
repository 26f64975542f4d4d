//! Upstream URLs with `<parts>` that only the operator knows: a region, a resource, an account.

use http::Uri;

use crate::{
    cli::{Failure, prompt::Ask},
    dialect::google::host,
};

pub(super) fn ask_whole(url: &str, help: &str, ask: &mut dyn Ask) -> Result<String, Failure> {
    loop {
        let answer = ask.text("Upstream URL", help, url)?;
        if is_whole(&answer) {
            return Ok(answer);
        }
        ask.say("  A URL begins with https:// or http://, and has no <parts> left.");
    }
}

/// One by one.
pub(super) fn ask_parts(url: &str, help: &str, ask: &mut dyn Ask) -> Result<String, Failure> {
    let mut filled = url.to_owned();
    for part in open_parts(url) {
        ask.say(&format!("  {filled}"));
        let value = loop {
            let answer = ask.text(&format!("<{part}>"), help, "")?;
            if is_value(&answer) {
                break answer;
            }
            ask.say("  Letters, digits, '-', '_' and '.' only.");
        };
        filled = fill(&filled, part, &value);
    }
    Ok(filled)
}

/// The location of Vertex AI that is to be asked, or another URL.
pub(super) fn ask_location(url: &str, ask: &mut dyn Ask) -> Result<String, Failure> {
    let help = "global, us, eu or a region such as europe-west4; a URL for another host";
    let uri = url.parse::<Uri>().ok();
    let asked_now = uri.as_ref().and_then(|uri| host::location(uri.host()?));
    loop {
        let answer = ask.text("Location", help, asked_now.unwrap_or(url))?;
        if is_whole(&answer) {
            return Ok(answer);
        }
        if is_value(&answer) && !answer.contains('.') {
            return Ok(format!("https://{}", host::of_location(&answer)));
        }
        ask.say("  That is neither a location nor a URL.");
    }
}

fn is_whole(url: &str) -> bool {
    url.contains("://") && open_parts(url).is_empty()
}

/// `NAME=VALUE`.
pub(super) fn part_argument(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && is_value(value) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err("a part is NAME=VALUE, such as region=us-east-1".to_owned()),
    }
}

/// The names of the parts that are still open, in their order.
pub(super) fn open_parts(url: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = url;
    while let Some((_, behind)) = rest.split_once('<') {
        let Some((name, behind)) = behind.split_once('>') else {
            break;
        };
        if !parts.contains(&name) {
            parts.push(name);
        }
        rest = behind;
    }
    parts
}

/// Fills in parts that were given by name.
pub(super) fn fill_all(url: &str, parts: &[(String, String)]) -> Result<String, Failure> {
    parts.iter().try_fold(url.to_owned(), |url, (name, value)| {
        if open_parts(&url).contains(&name.as_str()) {
            Ok(fill(&url, name, value))
        } else {
            let problem = format!("the URL has no part <{name}>: {url}");
            Err(Failure::Usage(problem))
        }
    })
}

fn fill(url: &str, name: &str, value: &str) -> String {
    url.replace(&format!("<{name}>"), value)
}

/// What can be a label of a host name or a segment of a path.
pub(super) fn is_value(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_and_filled() {
        let url = "https://gateway.ai.cloudflare.com/v1/<account_id>/<gateway_id>/openai";
        assert_eq!(open_parts(url), ["account_id", "gateway_id"]);
        let url = fill(url, "account_id", "a1");
        assert_eq!(open_parts(&url), ["gateway_id"]);
        assert_eq!(
            fill(&url, "gateway_id", "g"),
            "https://gateway.ai.cloudflare.com/v1/a1/g/openai"
        );
        assert!(open_parts("https://api.openai.com").is_empty());
        assert!(open_parts("https://<broken").is_empty());
    }

    #[test]
    fn a_part_is_no_piece_of_another_url() {
        assert!(part_argument("region=us-east-1").is_ok());
        for text in [
            "region",
            "=x",
            "region=",
            "region=a/b",
            "region=x.com@evil",
            "r=<x>",
        ] {
            assert!(part_argument(text).is_err(), "{text}");
        }
    }
}
