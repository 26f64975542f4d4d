mod decisions;
mod model;
mod oracle;
pub(crate) mod worlds;

use std::{sync::Arc, time::Duration};

use super::{
    route::{route, usable_models},
    *,
};
use crate::{
    dialect::{Dialect, DialectSet, ModelSource, Object, Operation, elsewhere::Elsewhere},
    handoff::snapshot::{
        Endpoint, Grants, Group, GroupIndex, Listed, Models, NanoUsdPerMillion, OwnBuckets, Peers,
        ProviderSlot, Rates, TierPrice, Timeouts, access::GroupBuckets,
    },
};

pub(crate) fn provider(id: &str, base_path: &str) -> Provider {
    let second = Duration::from_secs(1);
    Provider {
        id: id.into(),
        slot: ProviderSlot(1),
        name: id.into(),
        catalog_id: "custom".into(),
        dialects: DialectSet::ANY,
        base_path: base_path.into(),
        auth: None,
        extra_headers: Vec::new(),
        identity: None,
        asks_for_usage: true,
        reported_cost: None,
        is_regional: false,
        responses_websocket: false,
        models: Models::default(),
        targets: Vec::new(),
        learns_trace: false,
        no_target: Reason::ProviderUnresolved,
        grants: Grants::default(),
        caps: Box::default(),
        timeouts: Timeouts {
            connect: second,
            first_byte: second,
            idle: second,
            total: None,
        },
    }
}

pub(crate) fn policy(id: &str, groups: &[u32]) -> Policy {
    Policy {
        id: id.into(),
        name: id.into(),
        groups: groups.iter().copied().map(GroupIndex).collect(),
        ..Policy::default()
    }
}

/// As one policy grants it that stands first.
pub(crate) fn granted(groups: &[u32]) -> Grants {
    Grants::new([(0, &policy("p", groups))])
}

/// Group `n` has the id `g<n>` and the name `Group n`.
pub(crate) fn principal(groups: &[u32]) -> Principal {
    Principal {
        id: "u1".into(),
        display_name: "ada@example.com".into(),
        peer_id: "p1".into(),
        groups: groups.iter().copied().map(GroupIndex).collect(),
        buckets: OwnBuckets::new(),
        budget_rules: Box::default(),
        all_groups: (0..=groups.iter().copied().max().unwrap_or(0))
            .map(|n| Group {
                index: GroupIndex(n),
                id: format!("g{n}").into(),
                name: format!("Group {n}").into(),
            })
            .collect(),
        slot: 0,
    }
}

pub(crate) fn snapshot(providers: Vec<Provider>) -> Snapshot {
    Snapshot {
        revision: 1,
        endpoint: Endpoint::default(),
        peers: Peers::default(),
        providers: providers.into_iter().map(Arc::new).collect(),
        policies: vec![policy("p", &[])],
        budget_rules: Vec::new(),
        groups: Arc::default(),
        group_buckets: GroupBuckets::default(),
    }
}

fn at_price(price: Option<Price>) -> Listed {
    Listed { price, slot: None }
}

fn price_of(rate: u64) -> Price {
    let rates = Rates {
        input: NanoUsdPerMillion(rate),
        ..Rates::default()
    };
    Price {
        standard: TierPrice {
            rates,
            long_context: None,
        },
        ..Price::default()
    }
}

/// `(id, dialects, base path, listed models, groups)`.
type Row<'a> = (&'a str, &'a [Dialect], &'a str, &'a [&'a str], &'a [u32]);

fn from_rows(rows: &[Row<'_>]) -> Snapshot {
    let build = |&(id, dialects, base_path, models, groups): &Row<'_>| {
        let mut provider = provider(id, base_path);
        provider.dialects = DialectSet::of(dialects);
        let listed = models
            .iter()
            .map(|&id| (id.into(), at_price(Some(price_of(1)))));
        provider.models.listed = listed.collect();
        provider.grants = granted(groups);
        provider
    };
    snapshot(rows.iter().map(build).collect())
}

pub(crate) fn request(dialect: Dialect, operation: Operation) -> Classified<'static> {
    Classified {
        dialect,
        operation,
        model: ModelSource::Body,
        object: Object::None,
    }
}

const OPENAI: &[Dialect] = &[Dialect::OpenAi];
const ANTHROPIC: &[Dialect] = &[Dialect::Anthropic];

#[test]
fn the_order_of_choice() {
    use Reason::{ModelNotRoutable, NoAuthorisedProvider};
    let table: &[(&str, &[Row<'_>], Result<&str, Reason>)] = &[
        ("nothing is connected", &[], Err(ModelNotRoutable)),
        (
            "another model",
            &[("a", OPENAI, "", &["other"], &[1])],
            Err(ModelNotRoutable),
        ),
        (
            "another dialect",
            &[("a", ANTHROPIC, "", &[], &[1])],
            Err(ModelNotRoutable),
        ),
        (
            "another group",
            &[("a", OPENAI, "", &[], &[3])],
            Err(NoAuthorisedProvider),
        ),
        (
            "no policy at all",
            &[("a", OPENAI, "", &[], &[])],
            Err(NoAuthorisedProvider),
        ),
        (
            "an unauthorised provider of the dialect does not open another dialect's",
            &[
                ("a", OPENAI, "", &[], &[3]),
                ("b", ANTHROPIC, "", &[], &[1]),
            ],
            Err(NoAuthorisedProvider),
        ),
        (
            "custom servers fit any dialect",
            &[("a", &[], "", &[], &[1])],
            Ok("a"),
        ),
        (
            "the oldest of equals",
            &[("a", OPENAI, "", &[], &[1]), ("b", OPENAI, "", &[], &[1])],
            Ok("a"),
        ),
        (
            "an explicit list beats an older catch-all with a longer path",
            &[
                ("a", OPENAI, "/long", &[], &[1]),
                ("b", OPENAI, "", &["gpt-4o"], &[1]),
            ],
            Ok("b"),
        ),
        (
            "the longest path",
            &[
                ("a", OPENAI, "/v1", &[], &[1]),
                ("b", OPENAI, "/api/v1", &[], &[2]),
            ],
            Ok("b"),
        ),
        (
            "unauthorised ones are out before lists and paths count",
            &[
                ("a", OPENAI, "/long", &["gpt-4o"], &[3]),
                ("b", OPENAI, "", &[], &[2]),
            ],
            Ok("b"),
        ),
    ];
    let principal = principal(&[1, 2]);
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    for (title, rows, expected) in table {
        let snapshot = from_rows(rows);
        let found = route(&snapshot, &principal, &chat, Some("gpt-4o"), None);
        assert_eq!(found.map(|route| &*route.provider.id), *expected, "{title}");
    }
}

#[test]
fn dated_ids_follow_what_is_registered_without_a_date() {
    let snapshot = from_rows(&[("a", ANTHROPIC, "", &["claude-haiku-4-5"], &[1])]);
    let principal = principal(&[1]);
    let messages = request(Dialect::Anthropic, Operation::Messages);
    let found = |model| route(&snapshot, &principal, &messages, Some(model), None).err();
    assert_eq!(found("claude-haiku-4-5"), None);
    assert_eq!(found("claude-haiku-4-5-20251001"), None);
    assert_eq!(
        found("claude-haiku-4-5-2025"),
        Some(Reason::ModelNotRoutable)
    );
    assert_eq!(found("claude-haiku-4"), Some(Reason::ModelNotRoutable));
}

#[test]
fn requests_without_a_model() {
    let snapshot = from_rows(&[
        ("a", OPENAI, "", &["m"], &[3]),
        ("b", ANTHROPIC, "", &[], &[1]),
        ("c", OPENAI, "", &["m"], &[1]),
        ("d", OPENAI, "/long", &[], &[1]),
    ]);
    let (member, stranger) = (principal(&[1]), principal(&[]));
    let found = |principal: &Principal, operation| {
        let request = request(Dialect::OpenAi, operation);
        route(&snapshot, principal, &request, None, None).map(|route| route.provider.id.to_string())
    };
    assert_eq!(found(&member, Operation::Other), Ok("c".to_owned()));
    assert_eq!(
        found(&member, Operation::StoredResponse),
        Ok("c".to_owned())
    );
    assert_eq!(
        found(&member, Operation::Responses),
        Err(Reason::ModelMissing)
    );
    assert_eq!(
        found(&stranger, Operation::Other),
        Err(Reason::NoAuthorisedProvider)
    );
}

#[test]
fn an_object_is_asked_for_where_it_is_kept() {
    let mut snapshot = from_rows(&[
        ("a", OPENAI, "", &[], &[1]),
        ("b", OPENAI, "", &[], &[1]),
        ("c", OPENAI, "", &[], &[2]),
        ("d", ANTHROPIC, "", &[], &[1]),
    ]);
    for (slot, provider) in (1..).zip(&mut snapshot.providers) {
        Arc::get_mut(provider).unwrap().slot = ProviderSlot(slot);
    }
    let member = principal(&[1]);
    let stored = request(Dialect::OpenAi, Operation::StoredResponse);
    for (keeper, expected) in [
        (None, Ok("a")),
        (Some(1), Ok("a")),
        (Some(2), Ok("b")),
        // Another group's, another dialect's, and one that is gone.
        (Some(3), Err(Reason::NoAuthorisedProvider)),
        (Some(4), Err(Reason::NoAuthorisedProvider)),
        (Some(5), Err(Reason::NoAuthorisedProvider)),
    ] {
        let found = route(&snapshot, &member, &stored, None, keeper.map(ProviderSlot));
        assert_eq!(
            found.map(|route| &*route.provider.id),
            expected,
            "{keeper:?}"
        );
    }
    // A model decides before the object does.
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let found = route(&snapshot, &member, &chat, Some("m"), Some(ProviderSlot(2)));
    assert_eq!(found.map(|route| &*route.provider.id), Ok("a"));
}

#[test]
fn ids_of_bedrock_fit_the_less_exact_ones_that_are_listed() {
    let listed = [(
        "a",
        &[Dialect::Bedrock][..],
        "",
        &["anthropic.claude-haiku-4-5"][..],
        &[1][..],
    )];
    let snapshot = from_rows(&listed);
    let principal = principal(&[1]);
    let invoke = request(Dialect::Bedrock, Operation::Invoke);
    for (model, expected) in [
        ("anthropic.claude-haiku-4-5", true),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", true),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            true,
        ),
        ("anthropic.claude-haiku-5", false),
    ] {
        let found = route(&snapshot, &principal, &invoke, Some(model), None);
        assert_eq!(found.is_ok(), expected, "{model}");
    }
}

#[test]
fn a_catch_all_at_bedrock_takes_no_other_vendors_models() {
    let mut bedrock = provider("b", "");
    bedrock.catalog_id = "bedrock_api".into();
    bedrock.grants = granted(&[1]);
    let mut other = provider("o", "");
    other.grants = granted(&[1]);
    let snapshot = snapshot(vec![bedrock, other]);
    let principal = principal(&[1]);
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let files = request(Dialect::OpenAi, Operation::Other);
    let found = |request, model| {
        let found = route(&snapshot, &principal, request, model, None).unwrap();
        found.provider.id.to_string()
    };
    assert_eq!(found(&chat, Some("openai.gpt-oss-120b-1:0")), "b");
    assert_eq!(found(&chat, Some("gpt-5.5")), "o");
    assert_eq!(found(&files, None), "o");
}

#[test]
fn a_geography_is_paid_for_unless_its_price_has_it() {
    let mut own = provider("b", "");
    own.grants = granted(&[1]);
    own.models.defaults = Arc::new(foldhash::HashMap::from_iter([
        ("amazon.nova-lite-v1:0".into(), price_of(10)),
        ("us.amazon.nova-lite-v1:0".into(), price_of(11)),
    ]));
    let snapshot = snapshot(vec![own]);
    let principal = principal(&[1]);
    let converse = request(Dialect::Bedrock, Operation::Converse);
    for (model, price, pays) in [
        ("amazon.nova-lite-v1:0", 10, false),
        ("global.amazon.nova-lite-v1:0", 10, false),
        ("us.amazon.nova-lite-v1:0", 11, false),
        ("eu.amazon.nova-lite-v1:0", 10, true),
    ] {
        let route = route(&snapshot, &principal, &converse, Some(model), None).unwrap();
        assert_eq!(route.price, Some(&price_of(price)), "{model}");
        assert_eq!(route.pays_for_region(model), pays, "{model}");
    }
}

#[test]
fn prices_come_from_the_operator_then_the_catalog() {
    let mut own = provider("a", "");
    own.grants = granted(&[1]);
    own.models.defaults = Arc::new(foldhash::HashMap::from_iter([
        ("gpt-4o".into(), price_of(10)),
        ("o3".into(), price_of(20)),
    ]));
    let principal = principal(&[1]);
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let found = |snapshot: &Snapshot, model| {
        let route = route(snapshot, &principal, &chat, Some(model), None).unwrap();
        route.price.map(|price| price.standard.rates.input.0)
    };
    let catch_all = snapshot(vec![own]);
    assert_eq!(found(&catch_all, "gpt-4o"), Some(10));
    assert_eq!(found(&catch_all, "gpt-4o-2024-08-06"), Some(10));
    assert_eq!(found(&catch_all, "mystery"), None);

    let mut own = Arc::into_inner(catch_all.providers.into_iter().next().unwrap()).unwrap();
    own.models.listed = foldhash::HashMap::from_iter([
        (
            "gpt-4o".into(),
            at_price(Some(Price {
                is_own: true,
                ..price_of(0)
            })),
        ),
        ("o3".into(), at_price(None)),
        ("mystery".into(), at_price(None)),
    ]);
    let listed = snapshot(vec![own]);
    assert_eq!(found(&listed, "gpt-4o"), Some(0));
    assert_eq!(found(&listed, "gpt-4o-2024-08-06"), Some(0));
    assert_eq!(found(&listed, "o3"), Some(20));
    assert_eq!(found(&listed, "mystery"), None);
}

#[test]
fn the_first_policy_pays_that_lets_the_request_through_and_all_groups_are_told() {
    let policies = [
        policy("other", &[7]),
        Policy {
            models: Some([Pattern::new("gpt-*")].into()),
            ..policy("models", &[2])
        },
        Policy {
            paths: [Pattern::new("/v1/chat/*")].into(),
            ..policy("chat", &[2, 12])
        },
        policy("all", &[1, 2]),
    ];
    let mut own = provider("a", "");
    own.grants = Grants::new(policies.iter().enumerate());
    let mut snapshot = snapshot(vec![own]);
    snapshot.policies = policies.into();
    let principal = principal(&[1, 2, 5, 12]);
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let payers = |path: &str, model: &str| {
        let ask = Ask {
            path,
            model: Some(model),
            keeper: None,
        };
        let first = permit(&snapshot, &principal, &chat, ask).unwrap();
        std::iter::successors(Some(first), |permit| permit.next(ask))
            .map(|permit| (permit.policy().id.to_string(), permit.group().0))
            .collect::<Vec<_>>()
    };
    let expected = |ids: &[(&str, u32)]| {
        let ids = ids.iter().map(|(id, place)| ((*id).to_owned(), *place));
        ids.collect::<Vec<_>>()
    };
    let (models, chats, all) = (("models", 2), ("chat", 2), ("all", 1));
    let completions = "/v1/chat/completions";
    assert_eq!(
        payers(completions, "GPT-4o"),
        expected(&[models, chats, all])
    );
    assert_eq!(payers(completions, "o3"), expected(&[chats, all]));
    assert_eq!(payers("/v1/responses", "o3"), expected(&[all]));

    let route = route(&snapshot, &principal, &chat, Some("m"), None).unwrap();
    let told: Vec<_> = route.authorising_groups().map(|group| &*group.id).collect();
    assert_eq!(told, ["g1", "g2", "g12"]);
}

#[test]
fn a_gate_that_no_policy_opens_says_what_it_was() {
    let policies = [
        Policy {
            models: Some([Pattern::new("gpt-4o")].into()),
            ..policy("models", &[1])
        },
        Policy {
            paths: [Pattern::new("/v1/responses")].into(),
            ..policy("paths", &[2])
        },
    ];
    let mut own = provider("a", "");
    own.grants = Grants::new(policies.iter().enumerate());
    let mut snapshot = snapshot(vec![own]);
    snapshot.policies = policies.into();
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let refusal = |groups: &[u32], model| {
        let ask = Ask {
            path: "/v1/chat/completions",
            model,
            keeper: None,
        };
        permit(&snapshot, &principal(groups), &chat, ask).map(drop)
    };
    assert_eq!(refusal(&[1], Some("gpt-4o-2024-08-06")), Ok(()));
    assert_eq!(refusal(&[1], Some("o3")), Err(Reason::ModelBlocked));
    assert_eq!(refusal(&[2], Some("o3")), Err(Reason::PathBlocked));
    assert_eq!(refusal(&[1, 2], Some("o3")), Err(Reason::ModelBlocked));
    assert_eq!(refusal(&[3], Some("o3")), Err(Reason::NoAuthorisedProvider));
}

#[test]
fn listings_show_what_the_caller_may_use() {
    let mut catch_all = provider("b", "");
    catch_all.grants = granted(&[1]);
    catch_all.models.defaults =
        Arc::new(foldhash::HashMap::from_iter([("o3".into(), price_of(1))]));
    let mut snapshot = from_rows(&[
        ("a", OPENAI, "", &["gpt-4o", "zeta"], &[1]),
        ("x", OPENAI, "", &["hidden"], &[2]),
        ("y", ANTHROPIC, "", &["claude"], &[1]),
        ("c", OPENAI, "", &["gpt-4o"], &[1]),
    ]);
    snapshot.providers.push(Arc::new(catch_all));
    let principal = principal(&[1]);
    let found: Vec<_> = usable_models(&snapshot, &principal, Dialect::OpenAi)
        .into_iter()
        .map(|(id, provider)| (id, &*provider.id))
        .collect();
    assert_eq!(found, [("gpt-4o", "a"), ("o3", "b"), ("zeta", "a")]);
}
