//! The queries behind pages and commands, each asked a few times.

use super::*;

/// The first answer may come from the disk, the best does not.
const TIMES: usize = 3;

/// Asks the index at `path` everything, and prints how long it took.
pub(super) fn ask(path: std::path::PathBuf) {
    let (_commits, live) = Live::new();
    let reader = UsageReader::new(ReadPool::new(Database::Sqlite(path)), live);
    let now = jiff::Timestamp::now();
    let ago = |days: i64| (now - SignedDuration::from_hours(24 * days)).to_string();
    let world = World::new();
    let (user, model) = (&world.users[42], &world.models[7]);
    let (group, provider) = (&world.groups[3], &world.providers[2]);

    println!("| query | first | best of {TIMES} | CPU | RSS | |\n|---|---|---|---|---|---|");
    for (name, parameters) in [
        ("access log, page 1", String::new()),
        ("page 1000", "page=1000".to_owned()),
        ("page 100,000", "page=100000".to_owned()),
        ("of a user", format!("user_id={user}")),
        ("of a model", format!("model={model}")),
        (
            "of models by prefix",
            "model=claude-sonnet-4-5-2025-1*".to_owned(),
        ),
        ("of a group", format!("group_id={group}")),
        (
            "of a provider and a model",
            format!("provider_id={provider}&model={model}"),
        ),
        ("denied", "decision=deny".to_owned()),
        ("provider errors", "outcome=provider_error".to_owned()),
        ("of a day", format!("start_date={}", ago(1))),
        ("path prefix", "path=/v1/chat".to_owned()),
        ("search, found", "search=person.42@".to_owned()),
        ("search, not found", "search=nothing+like+it".to_owned()),
        (
            "search in a week",
            format!("search=nothing&start_date={}", ago(7)),
        ),
        ("by cost", "sort_by=cost_usd".to_owned()),
        (
            "by duration, of a user",
            format!("sort_by=duration&user_id={user}"),
        ),
    ] {
        let query = AccessLogQuery::from_pairs(&pairs(&parameters)).unwrap();
        measure(name, || reader.access_log(&query));
    }
    let query_of = |parameters: &str| AccessLogQuery::from_pairs(&pairs(parameters)).unwrap();
    let query = query_of("");
    let id = parse_record_id(&reader.access_log(&query).unwrap().data[7].id).unwrap();
    measure("one exchange by id", || reader.exchange(id));
    let last = reader.last_sequence().unwrap();
    let none = LogFilter::default();
    measure("live feed, 20 new", || reader.follow(last - 20, &none));
    for (name, parameters) in [
        ("sessions, page 1", String::new()),
        ("sessions of a user", format!("user_id={user}")),
        ("sessions by cost", "sort_by=cost_usd".to_owned()),
    ] {
        let query = SessionQuery::from_pairs(&pairs(&parameters)).unwrap();
        measure(name, || reader.sessions(&query));
    }
    let year = format!("start_date={}", ago(365));
    for (name, parameters) in [
        ("overview of a year by day", year.clone()),
        ("by month", format!("{year}&granularity=month")),
        (
            "by week, of a user",
            format!("{year}&granularity=week&user_id={user}"),
        ),
        ("of a model", format!("{year}&model={model}")),
        ("of a group", format!("{year}&group_id={group}")),
        (
            "of a user and a model",
            format!("{year}&user_id={user}&model={model}"),
        ),
        (
            "of a user and a provider",
            format!("{year}&user_id={user}&provider_id={provider}"),
        ),
        (
            "of a user and a group",
            format!("{year}&user_id={user}&group_id={group}"),
        ),
        (
            "of a provider and a model",
            format!("{year}&provider_id={provider}&model={model}"),
        ),
        (
            "of a provider and a group",
            format!("{year}&provider_id={provider}&group_id={group}"),
        ),
        (
            "of a model and a group",
            format!("{year}&model={model}&group_id={group}"),
        ),
        (
            "of a model and everyone",
            format!("{year}&model={model}&group_id=everyone"),
        ),
        (
            "of a provider, a model and a group",
            format!("{year}&provider_id={provider}&model={model}&group_id={group}"),
        ),
    ] {
        let query = OverviewQuery::from_pairs(&pairs(&parameters), now).unwrap();
        measure(name, || reader.overview(&query));
    }
    // From rows, of which there are enough, or too many.
    let session = reader.access_log(&query_of("")).unwrap().data[0]
        .session_id
        .clone();
    for (name, parameters) in [
        (
            "by day, of a session",
            format!("{year}&session_id={session}"),
        ),
        ("by day, denied", format!("{year}&decision=deny")),
        (
            "by day, of a path in a week",
            format!("start_date={}&path=/v1/chat", ago(7)),
        ),
        (
            "by day, searched in a week",
            format!("start_date={}&search=person.42@", ago(7)),
        ),
    ] {
        let query = OverviewQuery::from_pairs(&pairs(&parameters), now).unwrap();
        measure(name, || reader.overview(&query));
    }
    let by_path = format!("{year}&path=/v1/chat");
    let query = OverviewQuery::from_pairs(&pairs(&by_path), now).unwrap();
    measure("by day, of a path", || reader.overview(&query));
    for (of, parameters) in [
        ("", year.clone()),
        (" of a user", format!("{year}&user_id={user}")),
        (" of a model", format!("{year}&model={model}")),
        (" of a provider", format!("{year}&provider_id={provider}")),
        (" of a group", format!("{year}&group_id={group}")),
    ] {
        let query = OverviewQuery::from_pairs(&pairs(&parameters), now).unwrap();
        for by in [
            TotalBy::Provider,
            TotalBy::Model,
            TotalBy::User,
            TotalBy::Group,
        ] {
            measure(&format!("totals of a year by {by:?}{of}"), || {
                reader.totals(by, &query.filter)
            });
        }
    }
    let day = LogFilter {
        from_us: Some((now - SignedDuration::from_hours(24 * 7)).as_microsecond()),
        ..LogFilter::default()
    };
    measure("export of a week as CSV", || {
        let (mut cursor, mut bytes) = (None, 0);
        loop {
            let entries = reader.in_order(&day, cursor, 1000).unwrap();
            let Some(last) = entries.last() else {
                return Ok(bytes);
            };
            cursor = Some(last.cursor);
            bytes += ExportFormat::Csv.render(&entries).len();
        }
    });
}

fn pairs(parameters: &str) -> Vec<(String, String)> {
    parameters
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What takes too long on a cold disk, or is too much, is refused, and says so.
fn measure<T>(name: &str, mut query: impl FnMut() -> Result<T, UsageError>) {
    let cpu = thread_cpu();
    let mut refused = 0;
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let begun = Instant::now();
            if let Err(error) = query() {
                assert!(error.too_much().is_some(), "{name}: {error}");
                refused += 1;
            }
            begun.elapsed()
        })
        .collect();
    let first = took[0];
    took.sort_unstable();
    println!(
        "| {name} | {:.1} ms | {:.1} ms | {:.1} ms | {} MiB | {} |",
        first.as_secs_f64() * 1e3,
        took[0].as_secs_f64() * 1e3,
        (thread_cpu() - cpu).as_secs_f64() * 1e3 / TIMES as f64,
        memory("VmRSS"),
        match refused {
            0 => String::new(),
            times => format!("refused {times} times"),
        }
    );
}
