//! Filters, sorts, pages and sums over random records, against the same computed the plain way.

use std::collections::BTreeMap;

use super::*;
use crate::handoff::trace::Trace;

pub(super) const DAY_US: i64 = 86_400_000_000;
/// 2026-01-30, a Friday: the records cross a week and a month.
pub(super) const FIRST_US: i64 = 20_483 * DAY_US;
const DAYS: u64 = 12;

on_both!(
    every_filter_selects_what_it_says,
    every_sort_sorts,
    sessions_fold_by_user_and_session_id,
    sessions_sort_by_every_key,
    an_entry_has_the_original_names_and_exact_money,
    absurd_numbers_stay_integers,
    without_collection_only_sums_are_kept,
);

fn random_records(lcg: &mut Lcg, count: usize) -> Vec<ExchangeRecord<'static>> {
    (0..count)
        .map(|i| {
            let outcome = lcg.pick(&Outcome::ALL);
            let used = outcome != Outcome::Denied && lcg.below(5) > 0;
            let groups: [&[&str]; 4] = [&[], &["a"], &["b"], &["b", "a"]];
            ExchangeRecord {
                id: 1 + i as u128,
                started_at_us: FIRST_US + lcg.below(DAYS * DAY_US as u64) as i64,
                duration_us: lcg.below(5_000_000),
                principal_id: lcg.pick(&["u1", "u2", "u3"]),
                display_name: "Ada",
                group_ids: lcg.pick(&groups).to_vec(),
                path: lcg.pick(&["/v1/chat/completions", "/v1/messages", "/v1%x"]),
                outcome,
                reason: if outcome == Outcome::Denied {
                    "model_not_routable"
                } else {
                    ""
                },
                dialect: lcg.pick(&["openai", "anthropic"]),
                model: lcg.pick(&["m1", "m2", "m3"]),
                session_id: lcg.pick(&["", "s1", "s2"]),
                provider_id: lcg.pick(&["", "p1", "p2"]),
                status: lcg.pick(&[200, 403, 502]),
                usage: if used {
                    Usage {
                        input_tokens: 100 + lcg.below(10_000),
                        output_tokens: lcg.below(1000),
                        cache_read_input_tokens: lcg.below(50),
                        cache_creation_input_tokens: lcg.below(20),
                        cache_creation_long_input_tokens: lcg.below(20),
                        ..Usage::default()
                    }
                } else {
                    Usage::default()
                },
                cost: if used {
                    CostNanoUsd {
                        input: lcg.below(1_000_000_007),
                        cache_read: lcg.below(1000),
                        cache_creation: lcg.below(1000),
                        output: lcg.below(1_000_000_007),
                        other: lcg.below(1_000_000),
                    }
                } else {
                    CostNanoUsd::default()
                },
                unpriced: used && lcg.below(9) == 0,
                trace: Trace {
                    trace_id: lcg.pick(&[0, 1, 2]),
                    ..Trace::default()
                },
                ..sample()
            }
        })
        .collect()
}

fn random_filter(lcg: &mut Lcg) -> LogFilter {
    let some =
        |lcg: &mut Lcg, choices: &[&str]| (lcg.below(3) == 0).then(|| lcg.pick(choices).to_owned());
    let list = |lcg: &mut Lcg, choices: &[&str]| match lcg.below(4) {
        0 => vec![lcg.pick(choices).to_owned()],
        1 => choices.iter().map(|c| (*c).to_owned()).collect(),
        _ => vec![],
    };
    let hour = |lcg: &mut Lcg| FIRST_US + 3_600_000_000 * lcg.below(24 * DAYS) as i64;
    LogFilter {
        search: some(lcg, &["CHAT", "%", "nothing", "u1"]),
        user_id: some(lcg, &["u1", "u2"]),
        session_id: some(lcg, &["s1", "s2"]),
        trace_id: (lcg.below(6) == 0).then(|| format!("{:032x}", lcg.pick(&[1, 2]))),
        group_ids: list(lcg, &["a", "b"]),
        provider_ids: list(lcg, &["p1", "p2"]),
        models: list(lcg, &["m1", "m3", "m*"]),
        outcomes: match lcg.below(6) {
            0 => vec![Outcome::Answered, Outcome::Cut],
            _ => vec![],
        },
        decision: match lcg.below(6) {
            0 => Some(Decision::Allow),
            1 => Some(Decision::Deny),
            _ => None,
        },
        path_prefix: some(lcg, &["/v1/m", "/v1%", "/V1"]),
        from_us: (lcg.below(2) == 0).then(|| hour(lcg)),
        // The last microsecond of an hour, so that whole hours are meant.
        to_us: (lcg.below(2) == 0).then(|| hour(lcg) + 3_599_999_999),
    }
}

fn matches(filter: &LogFilter, r: &ExchangeRecord<'_>) -> bool {
    let any = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
    let search = |s: &String| {
        let id = format!("{:032x}", r.id);
        [&id, r.host, r.path, r.model, r.principal_id, r.display_name]
            .iter()
            .any(|text| text.to_lowercase().contains(&s.to_lowercase()))
    };
    filter.search.as_ref().is_none_or(search)
        && filter.user_id.as_ref().is_none_or(|u| u == r.principal_id)
        && filter.session_id.as_ref().is_none_or(|s| s == r.session_id)
        && filter
            .trace_id
            .as_ref()
            .is_none_or(|id| *id == r.trace.text())
        && (filter.group_ids.is_empty()
            || r.group_ids
                .iter()
                .any(|g| filter.group_ids.iter().any(|f| f == g)))
        && any(&filter.provider_ids, r.provider_id)
        && (filter.models.is_empty()
            || filter
                .models
                .iter()
                .any(|model| match model.strip_suffix('*') {
                    Some(prefix) => r.model.starts_with(prefix),
                    None => model == r.model,
                }))
        && (filter.outcomes.is_empty() || filter.outcomes.contains(&r.outcome))
        && filter
            .decision
            .is_none_or(|d| (d == Decision::Deny) == (r.outcome == Outcome::Denied))
        && filter
            .path_prefix
            .as_ref()
            .is_none_or(|p| r.path.starts_with(p))
        && filter.from_us.is_none_or(|from| r.started_at_us >= from)
        && filter.to_us.is_none_or(|to| r.started_at_us <= to)
}

fn plain_sums<'a>(records: impl Iterator<Item = &'a ExchangeRecord<'a>>) -> Sums {
    let mut s = Sums::default();
    for r in records {
        s.amounts.input_tokens += r.usage.input_tokens;
        s.amounts.output_tokens += r.usage.output_tokens;
        s.amounts.total_tokens += r.usage.input_tokens + r.usage.output_tokens;
        s.amounts.cached_input_tokens += r.usage.cache_read_input_tokens;
        s.amounts.cache_creation_tokens += r.usage.cache_creation_tokens();
        s.amounts.input_cost_usd.0 += r.cost.input as i64;
        s.amounts.cached_input_cost_usd.0 += r.cost.cache_read as i64;
        s.amounts.cache_creation_cost_usd.0 += r.cost.cache_creation as i64;
        s.amounts.output_cost_usd.0 += r.cost.output as i64;
        s.amounts.other_cost_usd.0 += r.cost.other as i64;
        s.amounts.cost_usd.0 += r.cost.total() as i64;
        s.amounts.cache_cost_usd.0 += (r.cost.cache_read + r.cost.cache_creation) as i64;
        s.request_count += 1;
        s.denied_count += u64::from(r.outcome == Outcome::Denied);
        s.failed_count += u64::from(!matches!(r.outcome, Outcome::Answered | Outcome::Denied));
        s.unpriced_count += u64::from(r.unpriced);
    }
    s
}

pub(super) fn filled(place: &Place, records: &[ExchangeRecord<'_>]) -> UsageLog {
    let (log, mut sender) = place.start();
    for chunk in records.chunks(100) {
        wait_for("room", || sender.has_room());
        chunk.iter().for_each(|record| sender.append(record));
        sender.flush();
    }
    drop(sender);
    wait_indexed(&log, records.len() as u64);
    log
}

fn every_filter_selects_what_it_says(place: &Place) {
    let mut lcg = Lcg::from_clock();
    let records = random_records(&mut lcg, 1500);
    let log = filled(place, &records);
    let reader = log.reader();
    for _ in 0..60 {
        let filter = random_filter(&mut lcg);
        let mut expected: Vec<&ExchangeRecord<'_>> =
            records.iter().filter(|r| matches(&filter, r)).collect();
        expected.sort_by_key(|r| (r.started_at_us, r.id));
        expected.reverse();
        let query = AccessLogQuery {
            filter: filter.clone(),
            page: 2,
            page_size: 20,
            sort: LogSort::Timestamp,
            order: SortOrder::Descending,
            cursor: None,
        };
        let page = reader.access_log(&query).unwrap();
        assert_eq!(page.total_records as usize, expected.len(), "{filter:?}");
        let ids: Vec<String> = page.data.iter().map(|e| e.id.clone()).collect();
        let expected_ids: Vec<String> = expected
            .iter()
            .skip(20)
            .take(20)
            .map(|r| format!("{:032x}", r.id))
            .collect();
        assert_eq!(ids, expected_ids, "{filter:?}");
        // The page before leads there in both ways, and an export goes the other way.
        let first = AccessLogQuery {
            page: 1,
            ..query.clone()
        };
        let first = reader.access_log(&first).unwrap();
        assert_eq!(first.next_cursor.is_some(), first.data.len() == 20);
        if let Some(last) = first.data.get(19) {
            let behind = AccessLogQuery {
                cursor: Some(last.cursor),
                ..query.clone()
            };
            assert_eq!(reader.access_log(&behind).unwrap().data, page.data);
        }
        let mut exported: Vec<AccessLogEntry> = Vec::new();
        loop {
            let cursor = exported.last().map(|last| last.cursor);
            let next = reader.in_order(&filter, cursor, 70).unwrap();
            if next.is_empty() {
                break;
            }
            exported.extend(next);
        }
        exported.reverse();
        let exported = exported.iter().map(|e| e.id.clone());
        assert!(exported.eq(expected.iter().map(|r| format!("{:032x}", r.id))));

        // The roll-ups name no model where nothing was used; sums of usage are not touched by that.
        let by_model = !filter.models.is_empty() && !filter.needs_rows();
        let comparable = |r: &&&ExchangeRecord<'_>| !by_model || !r.usage.is_zero();
        for granularity in [Granularity::Day, Granularity::Week, Granularity::Month] {
            let query = OverviewQuery {
                filter: filter.clone(),
                granularity,
            };
            let mut buckets: BTreeMap<String, Vec<&ExchangeRecord<'_>>> = BTreeMap::new();
            for r in expected.iter().filter(comparable) {
                let date = jiff::Timestamp::from_microsecond(r.started_at_us)
                    .unwrap()
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .date();
                let start = match granularity {
                    Granularity::Day => date,
                    Granularity::Week => date
                        .nth_weekday(-1, jiff::civil::Weekday::Monday)
                        .map(|monday| {
                            if date.weekday() == jiff::civil::Weekday::Monday {
                                date
                            } else {
                                monday
                            }
                        })
                        .unwrap(),
                    Granularity::Month => date.first_of_month(),
                };
                buckets.entry(start.to_string()).or_default().push(r);
            }
            let expected_buckets: Vec<UsageBucket> = buckets
                .into_iter()
                .map(|(period_start, records)| UsageBucket {
                    period_start,
                    sums: plain_sums(records.into_iter()),
                })
                .collect();
            assert_eq!(
                reader.overview(&query).unwrap(),
                expected_buckets,
                "{granularity:?} {filter:?}"
            );
        }
        for group in reader.totals(TotalBy::Group, &filter).unwrap() {
            let of_group = expected
                .iter()
                .filter(comparable)
                .filter(|r| r.group_ids.contains(&&*group.key))
                .copied();
            assert_eq!(group.sums, plain_sums(of_group), "{filter:?}");
        }
        let totals = reader.totals(TotalBy::User, &filter).unwrap();
        for total in &totals {
            let of_user = expected
                .iter()
                .filter(comparable)
                .filter(|r| r.principal_id == total.key)
                .copied();
            assert_eq!(total.sums, plain_sums(of_user), "{filter:?}");
            assert_eq!(total.display_name, "Ada");
        }
        let requests: u64 = totals.iter().map(|t| t.sums.request_count).sum();
        assert_eq!(
            requests as usize,
            expected.iter().filter(comparable).count()
        );
    }
}

fn every_sort_sorts(place: &Place) {
    let mut lcg = Lcg::from_clock();
    let records = random_records(&mut lcg, 90);
    let reader = filled(place, &records).reader();
    type Key = fn(&AccessLogEntry) -> String;
    let sorts: [(LogSort, Key); 9] = [
        (LogSort::Timestamp, |e| e.timestamp.clone()),
        (LogSort::Model, |e| e.model.clone()),
        (LogSort::Provider, |e| e.provider.clone()),
        (LogSort::StatusCode, |e| format!("{:05}", e.status_code)),
        (LogSort::Duration, |e| format!("{:09}", e.duration_ms)),
        (LogSort::CostUsd, |e| {
            format!("{:020}", e.amounts.cost_usd.0)
        }),
        (LogSort::TotalTokens, |e| {
            format!("{:020}", e.amounts.total_tokens)
        }),
        (LogSort::UserId, |e| e.user_id.clone()),
        (LogSort::Decision, |e| e.decision.to_owned()),
    ];
    for (sort, key) in sorts {
        for order in [SortOrder::Ascending, SortOrder::Descending] {
            let page = reader
                .access_log(&AccessLogQuery {
                    filter: LogFilter::default(),
                    page: 1,
                    page_size: 100,
                    sort,
                    order,
                    cursor: None,
                })
                .unwrap();
            let keys: Vec<String> = page.data.iter().map(key).collect();
            let mut sorted = keys.clone();
            sorted.sort();
            if order == SortOrder::Descending {
                sorted.reverse();
            }
            assert_eq!(keys, sorted, "{sort:?} {order:?}");
            assert_eq!(keys.len(), 90);
        }
    }
}

fn sessions_fold_by_user_and_session_id(place: &Place) {
    let mut lcg = Lcg::from_clock();
    let records = random_records(&mut lcg, 400);
    let reader = filled(place, &records).reader();
    let mut expected: BTreeMap<(String, String, u128), Vec<&ExchangeRecord<'_>>> = BTreeMap::new();
    for r in &records {
        let single = if r.session_id.is_empty() { r.id } else { 0 };
        expected
            .entry((r.principal_id.into(), r.session_id.into(), single))
            .or_default()
            .push(r);
    }
    let mut seen = 0;
    for (page, sort) in (1..).zip([SessionSort::RequestCount; 4]) {
        let found = reader
            .sessions(&SessionQuery {
                filter: LogFilter::default(),
                page,
                page_size: 50,
                sort,
                order: SortOrder::Descending,
                cursor: None,
            })
            .unwrap();
        assert_eq!(found.total_records as usize, expected.len());
        for session in found.data {
            let first = &session.entries[0];
            let single = if session.session_id.is_empty() {
                u128::from_str_radix(&first.id, 16).unwrap()
            } else {
                0
            };
            let key = (session.user_id.clone(), session.session_id.clone(), single);
            let of_session = &expected[&key];
            let sums = plain_sums(of_session.iter().copied());
            assert_eq!(session.request_count as usize, of_session.len());
            assert_eq!(session.entries.len(), of_session.len().min(200));
            assert_eq!(session.amounts.cost_usd, sums.amounts.cost_usd);
            assert_eq!(session.amounts.cache_cost_usd, sums.amounts.cache_cost_usd);
            assert_eq!(session.amounts.total_tokens, sums.amounts.total_tokens);
            assert_eq!(session.decision == "deny", sums.denied_count > 0);
            assert!(session.entries.is_sorted_by_key(|e| e.timestamp.clone()));
            let mut groups: Vec<&str> = of_session
                .iter()
                .flat_map(|r| r.group_ids.clone())
                .collect();
            groups.sort_unstable();
            groups.dedup();
            assert_eq!(session.group_ids, groups);
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len().min(200));
}

fn sessions_sort_by_every_key(place: &Place) {
    let records = random_records(&mut Lcg::from_clock(), 50);
    let reader = filled(place, &records).reader();
    for sort in [
        SessionSort::Timestamp,
        SessionSort::StartedAt,
        SessionSort::CostUsd,
        SessionSort::TotalTokens,
        SessionSort::Duration,
        SessionSort::RequestCount,
        SessionSort::StatusCode,
        SessionSort::UserId,
        SessionSort::Decision,
    ] {
        let page = reader
            .sessions(&SessionQuery {
                filter: LogFilter::default(),
                page: 1,
                page_size: 100,
                sort,
                order: SortOrder::Ascending,
                cursor: None,
            })
            .unwrap();
        if sort == SessionSort::CostUsd {
            assert!(page.data.is_sorted_by_key(|s| s.amounts.cost_usd));
        }
        assert_eq!(page.data.len() as u64, page.total_records);
    }
}

fn an_entry_has_the_original_names_and_exact_money(place: &Place) {
    let denied = ExchangeRecord {
        id: 2,
        outcome: Outcome::Denied,
        reason: "model_not_routable",
        time_to_first_token_us: 0,
        ..sample()
    };
    let log = filled(place, &[sample(), denied]);
    let (entries, _) = log.reader().follow(0, &LogFilter::default()).unwrap();
    let json = serde_json::to_string(&entries[0]).unwrap();
    for part in [
        r#""id":"019e7044887b00010200000000000001""#,
        r#""timestamp":"2026-05-28T20:26:40.123456Z""#,
        r#""status_code":200,"duration_ms":850,"user_id":"user-1""#,
        r#""source_ip":"100.90.0.7""#,
        r#""provider":"openai","model":"gpt-4o""#,
        r#""resolved_provider_id":"provider-1","selected_policy_id":"policy-1""#,
        r#""decision":"allow","deny_reason":"""#,
        r#""input_tokens":1200,"output_tokens":640,"total_tokens":1840"#,
        r#""cached_input_tokens":800,"cache_creation_tokens":150"#,
        r#""input_cost_usd":0.000625,"cached_input_cost_usd":0.001"#,
        r#""cache_creation_cost_usd":0.000375,"output_cost_usd":0.0064"#,
        r#""other_cost_usd":0.03,"cost_usd":0.0384,"cache_cost_usd":0.001375"#,
        r#""cost_source":"operator","service_tier":"priority","regional":true"#,
        r#""beyond_text":{"media":{"audio_input_tokens":9"#,
        r#""tool_calls":{"web_search":3,"maps":5,"file_search":2,"code_interpreter":1,"other":4}"#,
        r#""group_ids":["engineers","everyone"]"#,
        r#""outcome":"answered""#,
        r#""time_to_first_token_ms":210.0"#,
        r#""agent_id":"agent-2","parent_agent_id":"agent-1""#,
        r#""attempts":[{"target_id":7,"connect_us":1500,"status_code":200}]"#,
        r#""response_flags":[]"#,
        r#""output_tokens_per_second":1002.0,"upstream_connect_ms":1.5"#,
        r#""timeline":{"received_ms":0.02,"reserved_ms":0.031,"sent_ms":1.6,"first_byte_ms":180.0,"first_token_ms":211.6,"end_ms":850.321}"#,
    ] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
    assert_eq!(entries[1].decision, "deny");
    assert_eq!(entries[1].deny_reason, "llm_policy.model_not_routable");
    assert_eq!(entries[1].time_to_first_token_ms, None);
    assert_eq!(entries[1].response_flags, ["NR"]);
    // A line in a file says the same.
    let of_record = AccessLogEntry {
        sequence: Some(1),
        cursor: entries[0].cursor,
        ..AccessLogEntry::of(&sample())
    };
    assert_eq!(entries[0], of_record);

    let reader = log.reader();
    let last = reader.last_sequence().unwrap();
    assert_eq!(Some(last), entries[1].sequence);
    let later = reader.follow(entries[0].cursor.sequence, &LogFilter::default());
    assert_eq!(later.unwrap(), (entries[1..].to_vec(), last));
    let none = reader.follow(last, &LogFilter::default());
    assert_eq!(none.unwrap(), (vec![], last));
    let total = &reader
        .totals(TotalBy::Model, &LogFilter::default())
        .unwrap()[0];
    let json = serde_json::to_string(total).unwrap();
    assert!(
        json.contains(r#""key":"gpt-4o""#) && json.contains(r#""cost_usd":0.0768"#),
        "{json}"
    );
}

fn absurd_numbers_stay_integers(place: &Place) {
    let absurd = ExchangeRecord {
        usage: Usage {
            input_tokens: u64::MAX,
            output_tokens: u64::MAX,
            ..Usage::default()
        },
        cost: CostNanoUsd {
            input: u64::MAX,
            ..CostNanoUsd::default()
        },
        ..sample()
    };
    let log = filled(place, &vec![absurd; 100]);
    let totals = log
        .reader()
        .totals(TotalBy::Model, &LogFilter::default())
        .unwrap();
    assert_eq!(totals[0].sums.amounts.input_tokens, 100 * index::VALUE_MAX);
}

fn without_collection_only_sums_are_kept(place: &Place) {
    let (log, mut sender) = place.start();
    log.set_log_collection(false);
    sender.append(&sample());
    drop(sender);
    wait_indexed(&log, 1);
    assert_eq!(log.reader().last_sequence().unwrap(), 0);
    let totals = log
        .reader()
        .totals(TotalBy::Provider, &LogFilter::default())
        .unwrap();
    assert_eq!(totals[0].sums.request_count, 1);
}
