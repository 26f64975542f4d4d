#![allow(clippy::unwrap_used)]

mod peers;
mod traced;

use std::{
    collections::BTreeMap, net::SocketAddr, num::NonZeroU64, sync::LazyLock, time::Duration,
};

use http::{HeaderName, HeaderValue};

use super::*;
use crate::{
    control_plane::{
        catalog::rate,
        resolve::{AddressRefused, Answer},
        resource::{
            CredentialDoc, GroupDoc, LimitsDoc, ModelDoc, PeerDoc, PolicyDoc, ProviderDoc,
            ProviderRateLimitDoc,
        },
        store::Entry,
    },
    dialect::{BodyIdentity, IdentityFormat},
    handoff::{
        record::ServiceTier,
        snapshot::{NanoUsdPerMillion, Provider, Rates},
    },
    secret::Secret,
};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    first_byte: Duration::from_secs(300),
    idle: Duration::from_secs(120),
    total: None,
};

/// Peers of the store, and no others.
const IDENTITY: Identity = Identity {
    uses_static: true,
    netbird: None,
    wireguard: None,
};

struct TestUnseal;

impl Unseal for TestUnseal {
    fn unseal(&self, credential: &CredentialDoc) -> Result<Secret, String> {
        if credential.sealed == "damaged" {
            return Err("it was sealed under another master key".to_owned());
        }
        Ok(Secret::new(credential.sealed.clone().into_bytes()))
    }
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn provider(id: &str, url: &str) -> ProviderDoc {
    ProviderDoc {
        id: id.to_owned(),
        provider_id: "openai_api".to_owned(),
        name: id.to_uppercase(),
        upstream_url: url.to_owned(),
        models: Vec::new(),
        extra_values: BTreeMap::new(),
        identity_header_user_id: None,
        identity_header_groups: None,
        enabled: true,
        skip_tls_verification: false,
        metadata_disabled: false,
        ca_pem: None,
        allow_private_addresses: false,
        rate_limit: ProviderRateLimitDoc::default(),
        created_at: at(1),
        updated_at: at(1),
    }
}

fn credential(id: &str, provider: &str, sealed: &str, second: i64) -> CredentialDoc {
    CredentialDoc {
        id: id.to_owned(),
        provider_id: provider.to_owned(),
        sealed: sealed.to_owned(),
        fingerprint: String::new(),
        created_at: at(second),
    }
}

fn policy(id: &str, groups: &[&str], providers: &[&str]) -> PolicyDoc {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    PolicyDoc {
        id: id.to_owned(),
        name: id.to_owned(),
        description: String::new(),
        enabled: true,
        source_groups: owned(groups),
        destination_provider_ids: owned(providers),
        guardrail_ids: Vec::new(),
        limits: LimitsDoc::default(),
        allowed_paths: Vec::new(),
        created_at: at(1),
        updated_at: at(1),
    }
}

fn peer(id: &str, address: &str, groups: &[&str]) -> PeerDoc {
    PeerDoc {
        id: id.to_owned(),
        name: format!("{id}-name"),
        addresses: vec![address.parse().unwrap()],
        public_key: None,
        user_id: None,
        user_email: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        blocked: false,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn documents() -> Documents {
    Documents {
        providers: vec![provider("one", "https://api.example.com/v1/")],
        credentials: vec![credential("k1", "one", "sk-first", 1)],
        policies: vec![policy("p1", &["g-dev", "g-ops"], &["one"])],
        peers: vec![
            peer("peer-a", "100.64.0.1", &["g-dev"]),
            peer("peer-b", "100.64.0.2", &["g-ops", "g-all"]),
        ],
        groups: vec![GroupDoc {
            id: "g-dev".to_owned(),
            name: "Developers".to_owned(),
        }],
        ..Documents::default()
    }
}

fn answers(addresses: &[&str]) -> Answers {
    let answer = Answer {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        confirmed: None,
        failure: None,
    };
    Answers::from([("api.example.com".to_owned(), answer)])
}

fn compile(compiler: &mut Compiler, documents: &Documents, answers: &Answers) -> Compiled {
    compiler.compile(
        documents,
        &Ledger::default(),
        surroundings(answers, &IDENTITY),
    )
}

fn surroundings<'a>(answers: &'a Answers, identity: &'a Identity) -> Surroundings<'a> {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::built_in);
    static MINTED: LazyLock<Minted> = LazyLock::new(Minted::default);
    Surroundings {
        catalog: &CATALOG,
        unseal: &TestUnseal,
        answers,
        minted: &MINTED,
        identity,
        endpoint: Endpoint::default(),
        timeouts: TIMEOUTS,
        traced: &[],
    }
}

fn compile_once(documents: &Documents) -> Compiled {
    compile(
        &mut Compiler::default(),
        documents,
        &answers(&["203.0.113.1", "203.0.113.2"]),
    )
}

fn target_ids(provider: &Provider) -> Vec<u64> {
    provider.targets.iter().map(|target| target.id.0).collect()
}

#[test]
fn a_provider_with_everything() {
    let compiled = compile_once(&documents());
    let [provider] = compiled.snapshot.providers.as_slice() else {
        panic!("one provider");
    };
    assert_eq!(&*provider.base_path, "/v1");
    assert_eq!(provider.slot, ProviderSlot(1));
    assert_eq!(provider.timeouts, TIMEOUTS);
    let addresses: Vec<_> = provider
        .targets
        .iter()
        .map(|target| target.address)
        .collect();
    let expected = |last| SocketAddr::from(([203, 0, 113, last], 443));
    assert_eq!(addresses, [expected(1), expected(2)]);
    let target = &provider.targets[0];
    assert_eq!(&*target.authority, "api.example.com");
    assert_eq!(
        target.credential.as_ref().unwrap().secret.expose(),
        b"sk-first"
    );
    let tls = target.tls.as_ref().unwrap();
    assert_eq!(
        tls.config.alpn_protocols,
        [b"h2".to_vec(), b"http/1.1".to_vec()]
    );
    assert_eq!(tls.server_name.to_str(), "api.example.com");

    let peer = |address: &str| &compiled.snapshot.peers[&address.parse::<IpAddr>().unwrap()];
    let developer = peer("100.64.0.1").named_groups().next().unwrap();
    assert_eq!((&*developer.id, &*developer.name), ("g-dev", "Developers"));
    assert!(provider.grants.reaches(developer.index));
    let [policy] = compiled.snapshot.policies.as_slice() else {
        panic!("one policy");
    };
    assert!(policy.groups.contains(&developer.index));
    assert!(policy.groups.is_sorted());
    // "g-all" has no document: its name is its id.
    let all = peer("100.64.0.2").named_groups().next().unwrap();
    assert_eq!(&*all.name, "g-all");
    assert_eq!(
        compiled.hosts,
        BTreeSet::from(["api.example.com".to_owned()])
    );
}

#[test]
fn slots_and_target_ids_stay_while_nothing_they_stand_for_changes() {
    let mut compiler = Compiler::default();
    let two = answers(&["203.0.113.1", "203.0.113.2"]);
    let mut documents = documents();
    let first = compile(&mut compiler, &documents, &two).snapshot;
    let ids = target_ids(&first.providers[0]);

    // An older provider comes before it; names and prices change.
    let mut older = provider("two", "http://192.0.2.7:8080");
    older.created_at = at(0);
    older.provider_id = "custom".to_owned();
    documents.providers.push(older);
    documents.providers[0].name = "Renamed".to_owned();
    let second = compile(&mut compiler, &documents, &two).snapshot;
    assert_eq!(&*second.providers[0].id, "two");
    assert_eq!(second.providers[0].slot, ProviderSlot(2));
    assert_eq!(second.providers[1].slot, ProviderSlot(1));
    assert_eq!(target_ids(&second.providers[1]), ids);
    assert!(second.revision > first.revision);
    let slot = |snapshot: &Snapshot| snapshot.peers[&IpAddr::from([100, 64, 0, 1])].slot;
    assert_eq!(slot(&first), slot(&second));

    // One address goes: the other target stays.
    let third = compile(&mut compiler, &documents, &answers(&["203.0.113.2"])).snapshot;
    assert_eq!(target_ids(&third.providers[1]), ids[1..]);

    // Another key, then a way of trusting: other targets.
    documents.credentials[0].sealed = "sk-second".to_owned();
    let fourth = compile(&mut compiler, &documents, &two).snapshot;
    let rotated = target_ids(&fourth.providers[1]);
    assert!(rotated.iter().all(|id| !ids.contains(id)));
    documents.providers[0].upstream_url = "http://api.example.com/v1".to_owned();
    let fifth = compile(&mut compiler, &documents, &two).snapshot;
    assert!(
        target_ids(&fifth.providers[1])
            .iter()
            .all(|id| !rotated.contains(id))
    );
}

#[test]
fn a_removed_key_is_not_kept() {
    let mut compiler = Compiler::default();
    let mut documents = documents();
    let two = answers(&["203.0.113.1"]);
    let snapshot = compile(&mut compiler, &documents, &two).snapshot;
    let credential = snapshot.providers[0].targets[0].credential.clone().unwrap();
    drop(snapshot);
    assert!(
        Arc::strong_count(&credential) > 1,
        "the compiler remembers it"
    );

    documents.providers[0].enabled = false;
    compile(&mut compiler, &documents, &two);
    assert_eq!(Arc::strong_count(&credential), 1);
}

#[test]
fn keys_are_tried_newest_first_and_a_damaged_one_is_passed_over() {
    let mut documents = documents();
    documents
        .credentials
        .push(credential("k2", "one", "sk-newer", 5));
    documents
        .credentials
        .push(credential("k3", "one", "damaged", 9));
    let compiled = compile_once(&documents);
    let keys: Vec<_> = compiled.snapshot.providers[0]
        .targets
        .iter()
        .map(|target| target.credential.as_ref().unwrap().secret.expose().to_vec())
        .collect();
    assert_eq!(
        keys,
        [&b"sk-newer"[..], b"sk-newer", b"sk-first", b"sk-first"]
    );
    assert_eq!(compiled.providers[0].warnings.len(), 1);

    documents.credentials.drain(..2);
    let compiled = compile_once(&documents);
    assert!(compiled.snapshot.providers.is_empty());
    assert!(matches!(
        compiled.providers[0].state,
        ProviderState::Skipped(Problem::Credential { .. })
    ));
}

#[test]
fn a_bad_provider_is_skipped_with_its_reason_and_the_others_go_on() {
    type Edit = fn(&mut ProviderDoc);
    let cases: [(Edit, Problem); 8] = [
        (
            |doc| doc.provider_id = "nothing".to_owned(),
            Problem::UnknownKind("nothing".to_owned()),
        ),
        (
            |doc| doc.upstream_url = "gopher://example.com".to_owned(),
            Problem::UpstreamUrl("it must begin with https:// or http://"),
        ),
        (
            |doc| doc.skip_tls_verification = true,
            Problem::VerificationSkipped,
        ),
        (
            |doc| doc.ca_pem = Some("no certificate".to_owned()),
            Problem::CaBundle("it holds no certificate".to_owned()),
        ),
        (
            |doc| drop(doc.extra_values.insert("host".to_owned(), "x".to_owned())),
            Problem::ExtraHeader("host".to_owned()),
        ),
        (
            |doc| drop(doc.extra_values.insert("x-a".to_owned(), "a\nb".to_owned())),
            Problem::ExtraHeader("x-a".to_owned()),
        ),
        (
            |doc| {
                doc.models.push(ModelDoc {
                    id: "m".to_owned(),
                    base_model: None,
                    input_per_1k: serde_json::Number::from_f64(-1.0),
                    output_per_1k: None,
                    cached_input_per_1k: None,
                    cache_read_per_1k: None,
                    cache_creation_per_1k: None,
                    context: None,
                });
            },
            Problem::Price {
                model: "m".to_owned(),
                reason: rate::RateError::Malformed.to_string(),
            },
        ),
        (|doc| doc.id = "keyless".to_owned(), Problem::NoCredential),
    ];
    for (edit, problem) in cases {
        let mut documents = documents();
        let mut bad = provider("bad", "https://api.example.com");
        documents
            .credentials
            .push(credential("kb", "bad", "sk-bad", 1));
        edit(&mut bad);
        documents.providers.push(bad);
        let compiled = compile_once(&documents);
        assert_eq!(compiled.snapshot.providers.len(), 1, "{problem}");
        let states: Vec<_> = compiled
            .providers
            .iter()
            .map(|status| &status.state)
            .collect();
        assert!(
            states.contains(&&ProviderState::Skipped(problem.clone())),
            "{problem}: {states:?}"
        );
    }
}

#[test]
fn private_addresses_need_the_providers_permission() {
    let mut documents = documents();
    let inside = answers(&["10.0.0.5", "203.0.113.9"]);
    let compiled = compile(&mut Compiler::default(), &documents, &inside);
    assert_eq!(compiled.snapshot.providers[0].targets.len(), 1);
    assert_eq!(compiled.providers[0].warnings.len(), 1);

    let metadata = answers(&["169.254.169.254"]);
    documents.providers[0].allow_private_addresses = true;
    let compiled = compile(&mut Compiler::default(), &documents, &metadata);
    assert!(compiled.snapshot.providers[0].targets.is_empty());
    assert_eq!(
        compiled.providers[0].state,
        ProviderState::Unreachable(Problem::AddressRefused {
            address: [169, 254, 169, 254].into(),
            reason: AddressRefused::LinkLocal,
        })
    );
    let compiled = compile(&mut Compiler::default(), &documents, &inside);
    assert_eq!(compiled.snapshot.providers[0].targets.len(), 2);
}

#[test]
fn an_unresolved_provider_is_there_without_targets() {
    let compiled = compile(&mut Compiler::default(), &documents(), &Answers::new());
    assert!(compiled.snapshot.providers[0].targets.is_empty());
    assert_eq!(
        compiled.providers[0].state,
        ProviderState::Unreachable(Problem::Unresolved)
    );
}

#[test]
fn operator_prices_replace_list_prices_rate_by_rate() {
    let rate = |dollars: f64| serde_json::Number::from_f64(dollars);
    let model = |id: &str| ModelDoc {
        id: id.to_owned(),
        base_model: None,
        input_per_1k: None,
        output_per_1k: None,
        cached_input_per_1k: None,
        cache_read_per_1k: None,
        cache_creation_per_1k: None,
        context: None,
    };
    let mut documents = documents();
    let mut priced = model("gpt-5.4-nano");
    priced.input_per_1k = rate(0.003);
    priced.cached_input_per_1k = rate(0.0);
    let mut free = model("free");
    free.input_per_1k = rate(0.0);
    free.context = NonZeroU64::new(32_000);
    let mut half_told = model("half-told");
    half_told.cached_input_per_1k = rate(0.001);
    documents.providers[0].models = vec![priced, free, half_told, model("unknown")];
    let compiled = compile_once(&documents);
    let models = &compiled.snapshot.providers[0].models;
    let rates = |model: &str| {
        models.listed[model]
            .price
            .as_ref()
            .map(|price| price.standard.rates)
    };
    assert_eq!(
        rates("gpt-5.4-nano"),
        Some(Rates {
            input: NanoUsdPerMillion(3_000_000_000),
            output: NanoUsdPerMillion(1_250_000_000),
            ..Rates::default()
        })
    );
    let nano = models.listed["gpt-5.4-nano"].price.as_ref().unwrap();
    assert!(nano.is_own);
    // Whatever the class of service and the region.
    assert!(
        nano.tiers
            .iter()
            .any(|(tier, price)| *tier == ServiceTier::Flex && *price == nano.standard)
    );
    assert_eq!(nano.regional_per_mille, Some(1000));
    assert_eq!(rates("free"), Some(Rates::default()));
    let context = |model: &str| {
        models.listed[model]
            .price
            .as_ref()
            .and_then(|price| price.context)
    };
    assert_eq!(context("gpt-5.4-nano"), Some(272_000), "the catalog's");
    assert_eq!(context("free"), Some(32_000));
    assert_eq!(models.listed["half-told"].price, None);
    assert_eq!(models.listed["unknown"].price, None);
}

#[test]
fn identity_headers_follow_the_operators_choice() {
    let mut documents = documents();
    let doc = &mut documents.providers[0];
    doc.provider_id = "bifrost".to_owned();
    doc.identity_header_user_id = Some("x-bf-lh-user".to_owned());
    doc.identity_header_groups = Some(String::new());
    doc.extra_values
        .insert("x-title".to_owned(), "Keyway".to_owned());
    let compiled = compile_once(&documents);
    let provider = &compiled.snapshot.providers[0];
    assert_eq!(
        provider.identity,
        Some(IdentityFormat::HeaderPair {
            user: Some(HeaderName::from_static("x-bf-lh-user")),
            groups: None,
            body: BodyIdentity::default(),
        })
    );
    assert_eq!(
        provider.extra_headers,
        [(
            HeaderName::from_static("x-title"),
            HeaderValue::from_static("Keyway")
        )]
    );

    documents.providers[0].metadata_disabled = true;
    assert_eq!(
        compile_once(&documents).snapshot.providers[0].identity,
        None
    );
}

#[test]
fn disabled_policies_and_policies_without_groups_grant_nothing() {
    let mut documents = documents();
    documents.policies[0].enabled = false;
    documents.policies.push(policy("p2", &[], &["one"]));
    let snapshot = compile_once(&documents).snapshot;
    let mut peers = snapshot.peers.principals();
    assert!(peers.all(|peer| !snapshot.providers[0].grants.reach(peer)));
    assert_eq!(snapshot.policies.len(), 1);
}

#[test]
fn entries_that_are_no_documents_are_reported_by_key() {
    let entry = |key: &str, value: &str| Entry {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
        create_revision: 1,
        mod_revision: 1,
    };
    let good = serde_json::to_string(&peer("peer-a", "100.64.0.1", &[])).unwrap();
    let rule = |field: &str, value: &str| {
        format!(
            r#"{{"id": "a", "name": "A", "enabled": true, "{field}": {value},
                "created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z"}}"#
        )
    };
    let documents = Documents::from_entries(&[
        entry("peers/a", &good),
        entry("peers/b", "{"),
        entry("providers/x", "{\"id\": 3}"),
        entry("guardrails/a", &rule("checks", "{}")),
        entry("guardrails/b", &rule("checks", r#"{"other": {}}"#)),
        entry("budgets/a", &rule("limits", "{}")),
        entry("budgets/b", &rule("limits", r#"{"other": {}}"#)),
        entry("tokens/t", "not looked at"),
    ]);
    assert_eq!(documents.peers.len(), 1);
    assert_eq!(documents.guardrails.len(), 1);
    assert_eq!(documents.budgets.len(), 1);
    let keys: Vec<_> = documents
        .damaged
        .iter()
        .map(|skipped| skipped.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["peers/b", "providers/x", "guardrails/b", "budgets/b"]
    );
}

#[test]
fn the_endpoint_is_known_by_its_name_and_its_addresses() {
    let settings = SettingsDoc {
        endpoint: "Brave-Otter.keyway.internal".to_owned(),
        dedicated: false,
        enable_log_collection: true,
        enable_prompt_collection: false,
        redact_pii: false,
        access_log_retention_days: 0,
        prompt_retention_days: 0,
        created_at: at(1),
        updated_at: at(1),
    };
    let addresses = ["100.64.0.9".parse().unwrap(), "fd00::9".parse().unwrap()];
    let names = endpoint_names(Some(&settings), &addresses);
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    assert_eq!(
        names,
        ["brave-otter.keyway.internal", "100.64.0.9", "fd00::9"]
    );
}
