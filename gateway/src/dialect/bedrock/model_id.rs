//! A model has many ids at Bedrock: with a version or without, behind the prefix of an inference profile,
//! inside an ARN. What is listed or priced under one of them holds for the more exact ones.

/// Prefixes of inference profiles that stay within a geography, and cost more than `global.` and bare
/// ids.
const REGIONAL_PREFIXES: [&str; 7] = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov."];
const GLOBAL_PREFIX: &str = "global.";

/// Resources whose name is a model id. Others (`application-inference-profile/…`, `provisioned-model/…`)
/// say nothing about the model.
const NAMED_RESOURCES: [&str; 2] = ["foundation-model/", "inference-profile/"];

/// Vendors are named in letters, but for this one.
const VENDOR_WITH_DIGITS: &str = "ai21";

/// The ids under which a model may be listed or priced, the most exact one first: as given, without the
/// ARN around it, without version and date, and the same without the prefix of a profile. For ids that are
/// not Bedrock's, the one given alone.
pub fn known_ids(id: &str) -> impl Iterator<Item = &str> {
    let full = if is_model_id(id) { unwrapped(id) } else { None };
    let (bare, _) = full.map_or((id, false), split_region);
    [
        Some(id),
        full.filter(|full| *full != id),
        full.and_then(unversioned),
        full.map(|_| bare).filter(|bare| Some(*bare) != full),
        full.and_then(|_| unversioned(bare))
            .filter(|_| Some(bare) != full),
    ]
    .into_iter()
    .flatten()
}

/// The id that a list price without regions has, and whether the request pays for a region on top.
pub fn price_key(id: &str) -> (&str, bool) {
    match unwrapped(id) {
        Some(full) => split_region(full),
        None => (id, false),
    }
}

/// `[prefix.]vendor.model`, or an ARN of Bedrock's.
pub fn is_model_id(id: &str) -> bool {
    let Some(full) = unwrapped(id) else {
        return id.starts_with("arn:");
    };
    let (bare, _) = split_region(full);
    bare.split_once('.').is_some_and(|(vendor, model)| {
        let is_vendor = vendor.bytes().all(|byte| byte.is_ascii_lowercase());
        !vendor.is_empty() && !model.is_empty() && (is_vendor || vendor == VENDOR_WITH_DIGITS)
    })
}

/// Who made the model, and what it is called; `None` where the id does not say.
pub fn maker(id: &str) -> Option<(&str, &str)> {
    split_region(unwrapped(id)?).0.split_once('.')
}

/// Without the ARN around it; `None` for an ARN that names no model.
fn unwrapped(id: &str) -> Option<&str> {
    if !id.starts_with("arn:") {
        return Some(id);
    }
    // arn:partition:service:region:account:resource
    let resource = id.splitn(6, ':').nth(5)?;
    NAMED_RESOURCES
        .iter()
        .find_map(|kind| resource.strip_prefix(kind))
}

/// Without the prefix of an inference profile, and whether that is one of a geography.
fn split_region(id: &str) -> (&str, bool) {
    let regional = REGIONAL_PREFIXES
        .iter()
        .find_map(|prefix| id.strip_prefix(prefix));
    match regional {
        Some(bare) => (bare, true),
        None => (id.strip_prefix(GLOBAL_PREFIX).unwrap_or(id), false),
    }
}

/// Without `-v1:0`, `-v1` or `-1:0`, and a date in front of it.
fn unversioned(id: &str) -> Option<&str> {
    let (model, version) = id.rsplit_once('-')?;
    let (is_lettered, number) = match version.strip_prefix('v') {
        Some(number) => (true, number),
        None => (false, version),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = match number.split_once(':') {
        Some((major, minor)) => is_number(major) && is_number(minor),
        // `claude-opus-4-6` ends in a number that is no version of an id.
        None => is_lettered && is_number(number),
    };
    if !is_version {
        return None;
    }
    match model.rsplit_once('-') {
        Some((undated, date)) if date.len() == "YYYYMMDD".len() && is_number(date) => Some(undated),
        Some(_) | None => Some(model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_exact_ids_follow() {
        let table: [(&str, &[&str]); 9] = [
            ("gpt-5.5", &[]),
            ("global.claude", &[]),
            ("anthropic.claude-sonnet-5", &[]),
            (
                "us.anthropic.claude-opus-4-6",
                &["anthropic.claude-opus-4-6"],
            ),
            (
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                &[
                    "us.anthropic.claude-haiku-4-5",
                    "anthropic.claude-haiku-4-5-20251001-v1:0",
                    "anthropic.claude-haiku-4-5",
                ],
            ),
            ("openai.gpt-oss-120b-1:0", &["openai.gpt-oss-120b"]),
            (
                "global.amazon.nova-pro-v1",
                &[
                    "global.amazon.nova-pro",
                    "amazon.nova-pro-v1",
                    "amazon.nova-pro",
                ],
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0",
                &[
                    "eu.amazon.nova-lite-v1:0",
                    "eu.amazon.nova-lite",
                    "amazon.nova-lite-v1:0",
                    "amazon.nova-lite",
                ],
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2",
                &[],
            ),
        ];
        for (id, less_exact) in table {
            let known: Vec<_> = known_ids(id).collect();
            assert_eq!(known, [&[id], less_exact].concat(), "{id}");
        }
    }

    #[test]
    fn a_geography_is_paid_for() {
        for (id, expected) in [
            ("us.amazon.nova-lite-v1:0", ("amazon.nova-lite-v1:0", true)),
            ("us-gov.anthropic.claude-x", ("anthropic.claude-x", true)),
            ("global.openai.gpt-6", ("openai.gpt-6", false)),
            ("openai.gpt-6", ("openai.gpt-6", false)),
            (
                "arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0",
                ("amazon.titan-embed-text-v2:0", false),
            ),
        ] {
            assert_eq!(price_key(id), expected, "{id}");
        }
    }

    #[test]
    fn ids_of_other_vendors_are_not_taken_for_bedrocks() {
        for (id, expected) in [
            ("anthropic.claude-sonnet-5", true),
            ("ai21.jamba-1-5-large-v1:0", true),
            ("us.deepseek.r1-v1:0", true),
            ("arn:aws:bedrock:us-east-1:1:provisioned-model/x", true),
            ("gpt-5.5", false),
            ("llama3.2:1b", false),
            ("claude-sonnet-5", false),
            ("us.", false),
            (".x", false),
            ("", false),
        ] {
            assert_eq!(is_model_id(id), expected, "{id}");
        }
    }
}
