use serde_json::json;

use super::*;
use crate::{
    dialect::BodyIdentity,
    handoff::{
        record::ServiceTier,
        snapshot::{NanoUsd, NanoUsdPerMillion, ToolPrice},
    },
};

const IDS: [&str; 17] = [
    "openai_api",
    "anthropic_api",
    "azure_openai_api",
    "bedrock_api",
    "vertex_ai_api",
    "gemini_api",
    "mistral_api",
    "kimi_api",
    "litellm_proxy",
    "portkey",
    "bifrost",
    "cloudflare_ai_gateway",
    "vercel_ai_gateway",
    "openrouter",
    "vllm",
    "ollama",
    "custom",
];

#[test]
fn the_compiled_in_files_are_sound() {
    let catalog = Catalog::parse(CATALOG_TOML, PRICES_TOML).unwrap();
    let ids: Vec<_> = catalog.entries().iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids, IDS);
    for entry in catalog.entries() {
        let first_party = entry.kind == Kind::Provider && entry.id != "bedrock_api";
        assert!(
            !first_party || entry.identity_injection.is_none(),
            "{}",
            entry.id
        );
        assert_eq!(
            entry.models.is_empty(),
            entry.kind != Kind::Provider,
            "{}",
            entry.id
        );
    }
    assert!(catalog.entry("openai_api").unwrap().prices().len() > 100);
}

#[test]
fn entries_serialise_to_the_api_shape() {
    let catalog = Catalog::built_in();
    let mut openai = serde_json::to_value(catalog.entry("openai_api").unwrap()).unwrap();
    let models = openai["models"].take();
    assert_eq!(
        openai,
        json!({
            "id": "openai_api", "name": "OpenAI API",
            "description": "GPT models: chat, Responses, embeddings",
            "default_host": "api.openai.com", "kind": "provider",
            "auth_header_template": "Bearer ${API_KEY}",
            "default_content_type": "application/json", "brand_color": "#10A37F",
            "models": null, "pricing_surfaces": ["openai"],
            "dialects": ["openai"],
            "key_help": "Make one at platform.openai.com/api-keys; it begins with sk-",
            "access_help": "Look at the key's permissions and at its project's limits on \
                platform.openai.com/settings",
        })
    );
    let sol = models
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["id"] == "gpt-5.4");
    assert_eq!(
        *sol.unwrap(),
        json!({
            "id": "gpt-5.4", "label": "GPT-5.4", "input_per_1k": 0.0025, "output_per_1k": 0.015,
            "cached_input_per_1k": 0.00025, "context_window": 1_050_000,
        })
    );
    let claude = serde_json::to_value(catalog.entry("anthropic_api").unwrap()).unwrap();
    let haiku = claude["models"].as_array().unwrap().last().unwrap();
    assert_eq!(
        *haiku,
        json!({
            "id": "claude-haiku-4-5", "label": "Claude Haiku 4.5",
            "input_per_1k": 0.001, "output_per_1k": 0.005,
            "cache_read_per_1k": 0.0001, "cache_creation_per_1k": 0.00125,
            "context_window": 200_000,
        })
    );
    let table = [
        (
            "litellm_proxy",
            json!({
                "header_pair": {"customizable": false, "end_user_id_header": "x-litellm-end-user-id",
                                "tags_header": "x-litellm-tags"},
                "body": {"user": true, "tags": true},
            }),
        ),
        (
            "portkey",
            json!({
                "json_metadata": {"customizable": false, "header": "x-portkey-metadata",
                                  "user_key": "_user", "groups_key": "groups"},
            }),
        ),
        (
            "openrouter",
            json!({
                "header_pair": {"customizable": false, "end_user_id_header": "", "tags_header": ""},
                "body": {"user": true, "tags": false},
            }),
        ),
    ];
    for (id, expected) in table {
        let entry = serde_json::to_value(catalog.entry(id).unwrap()).unwrap();
        assert_eq!(entry["identity_injection"], expected, "{id}");
    }
    let openrouter = serde_json::to_value(catalog.entry("openrouter").unwrap()).unwrap();
    assert_eq!(openrouter["default_host"], "openrouter.ai/api/v1");
    assert_eq!(
        openrouter["extra_headers"],
        json!([{"name": "HTTP-Referer"}, {"name": "X-OpenRouter-Title"}])
    );
}

#[test]
fn credentials_go_where_the_vendor_reads_them() {
    let table = [
        ("openai_api", "authorization", "Bearer "),
        ("anthropic_api", "x-api-key", ""),
        ("azure_openai_api", "api-key", ""),
        ("portkey", "x-portkey-api-key", ""),
        ("cloudflare_ai_gateway", "cf-aig-authorization", "Bearer "),
    ];
    let catalog = Catalog::built_in();
    for (id, name, prefix) in table {
        let auth = catalog.entry(id).unwrap().auth_header();
        assert_eq!((auth.name.as_str(), &*auth.prefix), (name, prefix), "{id}");
    }
}

#[test]
fn identity_formats_follow_the_entry_and_the_operator() {
    let catalog = Catalog::built_in();
    let format = |id: &str, user, groups| catalog.entry(id).unwrap().identity_format(user, groups);
    let name = |text| Some(HeaderName::from_static(text));
    let pair = |user, groups, body| Ok(Some(IdentityFormat::HeaderPair { user, groups, body }));
    let none = BodyIdentity::default();

    assert_eq!(format("openai_api", Some("x-user"), None), Ok(None));
    assert_eq!(
        format("litellm_proxy", Some("x-mine"), Some("")),
        pair(
            name("x-litellm-end-user-id"),
            name("x-litellm-tags"),
            BodyIdentity {
                user: true,
                tags: true
            }
        )
    );
    assert_eq!(
        format("bifrost", None, None),
        pair(
            name("x-bf-dim-netbird_user_id"),
            name("x-bf-dim-netbird_groups"),
            none
        )
    );
    assert_eq!(
        format("bifrost", Some("X-BF-LH-User"), Some("")),
        pair(name("x-bf-lh-user"), None, none)
    );
    assert_eq!(format("bifrost", Some(""), Some(" ")), Ok(None));
    assert_eq!(
        format("bifrost", Some("a b"), None),
        Err(InvalidIdentityName("a b".into()))
    );
    assert_eq!(
        format("cloudflare_ai_gateway", Some("who"), Some("")),
        Ok(Some(IdentityFormat::JsonHeader {
            bedrock: false,
            header: HeaderName::from_static("cf-aig-metadata"),
            user_key: Some("who".into()),
            groups_key: None,
            value_bytes_limit: 256,
        }))
    );
    assert_eq!(
        format("openrouter", None, None),
        Ok(Some(IdentityFormat::Body(BodyIdentity {
            user: true,
            tags: false
        })))
    );
}

#[test]
fn prices_are_the_vendors() {
    let catalog = Catalog::built_in();
    let dollars = |thousandths: u64| NanoUsdPerMillion(thousandths * 1_000_000);
    let price = |entry: &str, model: &str| catalog.entry(entry).unwrap().price(model).cloned();

    let sol = price("openai_api", "gpt-6-sol").unwrap();
    let rates = sol.standard.rates;
    assert_eq!(
        (rates.input, rates.output),
        (dollars(2_000), dollars(10_000))
    );
    assert_eq!(rates.cache_read, Some(dollars(200)));
    assert_eq!(rates.cache_write, Some(dollars(2_500)));
    assert_eq!(sol.long_context_above, 272_000);
    let long = sol.standard.long_context.unwrap();
    assert_eq!((long.input, long.output), (dollars(4_000), dollars(15_000)));
    assert_eq!(sol.regional_per_mille, Some(1_100));
    assert_eq!(
        sol.tools.web_search,
        Some(ToolPrice::PerCall(NanoUsd(10_000_000)))
    );
    let (_, flex) = sol
        .tiers
        .iter()
        .find(|(tier, _)| *tier == ServiceTier::Flex)
        .unwrap();
    assert_eq!(flex.rates.input, dollars(1_000));

    let haiku = price("anthropic_api", "claude-haiku-4-5-20251001").unwrap();
    assert_eq!(haiku.standard.rates.cache_write_long, Some(dollars(2_000)));
    assert_eq!(
        price("mistral_api", "mistral-medium-latest")
            .unwrap()
            .standard
            .rates
            .output,
        dollars(7_500)
    );
    assert!(price("openai_api", "gpt-4.1-nano").is_some());
    assert!(price("openai_api", "mistral-large-4").is_none());
    assert!(price("kimi_api", "kimi-k3[1m]").is_some());
    assert!(price("litellm_proxy", "gpt-6-sol").is_none());
}

#[test]
fn all_mistakes_are_reported_with_their_place() {
    let entry = |id: &str, more: &str| {
        format!(
            "[[entry]]\nid = {id:?}\nname = \"n\"\ndescription = \"d\"\nkind = \"custom\"\n\
             default_url = \"\"\nbrand_color = \"#000000\"\n\
             auth = {{ header = \"x\", value = \"${{API_KEY}}\" }}\ndialects = []\n{more}\n"
        )
    };
    let good = entry("a", "");
    assert!(Catalog::parse(&good, "").is_ok());
    let catalog = [
        good.clone(),
        good.clone(),
        entry("b", "colour = 1"),
        entry(
            "C",
            "surfaces = [\"openai\"]\nprices = [\"openai\"]\nmodels = [\"m\", \"m\", \"absent\"]",
        ),
        good.replace("\"a\"", "\"d\"")
            .replace("dialects = []", "dialects = [\"klingon\"]"),
        good.replace("\"a\"", "\"e\"").replace("#000000", "black"),
        good.replace("\"a\"", "\"f\"").replace("${API_KEY}", "key"),
        good.replace("\"a\"", "\"g\"")
            .replace("url = \"\"", "url = \"api.x\""),
        good.replace("id = \"a\"\n", ""),
        entry("h", "extra_headers = [\"a b\"]"),
    ]
    .concat();
    let prices = "date = \"x\"\n[latin]\n[openai]\nm = { label = \"M\", context = 1, input = \"1\", output = \"1\" }\n\
         n = { label = \"N\", context = 1, input = \"-1\", output = \"1\" }\n\
         o = { label = \"O\", context = 1, input = \"1\", output = \"1\", cache = \"1\" }\n\
         p = { label = \"P\", context = 1, input = \"1\", output = \"1\", long_context_above = 1, long_context = { input = \"1\", output = \"x\" } }\n";
    let error = Catalog::parse(&catalog, prices).unwrap_err();
    let places: Vec<_> = error.problems.iter().map(|p| p.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "openai.\"n\".input",
            "openai.\"o\"",
            "openai.\"p\".long_context.output",
            "entry a",
            "entry b",
            "entry C",
            "entry C",
            "entry C",
            "entry d",
            "entry e",
            "entry f",
            "entry g",
            "entry 9",
            "entry h",
        ]
    );
    assert!(
        error
            .to_string()
            .contains("entry d: unknown dialect \"klingon\"")
    );
    assert!(Catalog::parse("x = 1", "").is_err());
    assert!(Catalog::parse("[[entry]]", "").is_err());
    assert!(Catalog::parse("", "").is_err());
}

#[test]
fn a_file_of_the_operator_replaces_the_compiled_in_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PRICES_TOML.replace("\"0.68\"", "\"0.7\"")).unwrap();
    let live = LiveCatalog::load(None, Some(file.path())).unwrap();
    let catalog = live.current();
    let price = catalog
        .entry("mistral_api")
        .unwrap()
        .price("mistral-large-4");
    assert_eq!(
        price.unwrap().standard.rates.input,
        NanoUsdPerMillion(700_000_000)
    );
    let missing = LiveCatalog::load(Some(Path::new("/nonexistent/catalog.toml")), None);
    let missing = missing.unwrap_err().to_string();
    assert!(
        missing.starts_with("/nonexistent/catalog.toml: "),
        "{missing}"
    );
}

#[test]
fn mistakes_are_named_with_file_line_and_place() {
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let with = |catalog: &str, prices: &str| {
        let (catalog, prices) = (file(catalog), file(prices));
        let error = LiveCatalog::load(Some(catalog.path()), Some(prices.path())).unwrap_err();
        error
            .to_string()
            .replace(&catalog.path().display().to_string(), "C")
            .replace(&prices.path().display().to_string(), "P")
    };
    let error = with(
        &CATALOG_TOML.replacen("brand_color = \"#D97757\"", "brand_colour = \"#D97757\"", 1),
        &PRICES_TOML.replace("\"0.68\"", "\"cheap\""),
    );
    let line = |text: &str, found: &str| {
        let at = text.lines().position(|line| line.contains(found));
        at.unwrap() + 1
    };
    let model = line(PRICES_TOML, "\"mistral-large-4\"");
    // The entry begins a line before its id.
    let entry = line(CATALOG_TOML, "id = \"anthropic_api\"") - 1;
    let mut lines = error.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with(&format!("P:{model}: mistral.\"mistral-large-4\".input: ")),
        "{error}"
    );
    let second = format!("C:{entry}: entry anthropic_api: ");
    assert!(lines.any(|line| line.starts_with(&second)), "{error}");
    assert!(error.contains("brand_colour"), "{error}");
    let broken = with(CATALOG_TOML, "x = ");
    assert!(broken.contains("line 1"), "{broken}");
}
