use super::*;
use crate::secret::Secret;

fn order(credential: &str, account: &str) -> Order {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    Order {
        credential_id: credential.to_owned(),
        provider_id: "p".to_owned(),
        provider_name: "Vertex".to_owned(),
        account: Secret::copy_of(account.as_bytes()),
        allow_loopback: false,
        google: Arc::new(config),
        provider: None,
    }
}

fn granted(asked_at: Instant, seconds: u64) -> Result<Granted, MintError> {
    Ok(Granted {
        token: Secret::copy_of(b"ya29.token"),
        project: "project".to_owned(),
        asked_at,
        lifetime: Duration::from_secs(seconds),
    })
}

fn no_connection() -> MintError {
    MintError::NoAddress
}

/// The number of the one mint that is due.
fn one_due(table: &mut Table, now: Instant) -> u64 {
    let due = table.due(now, 9);
    assert_eq!(due.len(), 1);
    due[0].0
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_token_is_minted_again_ahead_of_its_end() {
    let start = Instant::now();
    for (chance, refresh) in [(0.0, 2520), (0.5, 2700), (0.999_999, 2880)] {
        let mut table = Table::default();
        assert!(table.want(vec![order("c", "a")], start));
        let turn = one_due(&mut table, start);
        assert!(table.due(start, 9).is_empty(), "one mint at a time");
        let now = start + seconds(1);
        assert!(table.finished(turn, granted(start, 3600), now, chance));
        let due = table.next_due(true).unwrap();
        let expected = start + seconds(refresh);
        assert!(due <= expected && due + seconds(1) > expected, "{due:?}");
        assert_eq!(table.next_due(false), Some(start + seconds(3600)));
        // The old token serves until the new one is there.
        let turn = one_due(&mut table, due);
        let first = table.minted().tokens["c"].token.clone().unwrap().serial;
        assert!(table.finished(turn, granted(due, 3600), due, chance));
        let second = table.minted().tokens["c"].token.clone().unwrap().serial;
        assert_ne!(first, second);
        assert_eq!(table.minted().providers["p"].minted, 2);
    }
}

#[test]
fn failures_wait_longer_each_time_and_the_token_serves_on_until_its_end() {
    let start = Instant::now();
    let mut table = Table::default();
    table.want(vec![order("c", "a")], start);
    let turn = one_due(&mut table, start);
    table.finished(turn, granted(start, 100), start, 0.0);
    let mut now = start + seconds(70);
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let turn = one_due(&mut table, now);
        table.finished(turn, Err(no_connection()), now, 0.0);
        table.expire(now);
        let state = &table.minted().tokens["c"];
        assert_eq!(state.token.is_some(), now < start + seconds(100));
        assert!(state.failure.is_some());
        assert!(
            table
                .due(now + seconds(wait) - Duration::from_millis(1), 9)
                .is_empty()
        );
        now += seconds(wait);
    }
    let turn = one_due(&mut table, now);
    table.finished(turn, granted(now, 100), now, 0.0);
    let minted = table.minted();
    assert!(minted.tokens["c"].token.is_some() && minted.tokens["c"].failure.is_none());
    let mints = &minted.providers["p"];
    assert_eq!((mints.minted, mints.refused, mints.failed), (2, 0, 8));
}

#[test]
fn a_key_that_is_wrong_is_not_tried_again() {
    let now = Instant::now();
    let mut table = Table::default();
    table.want(vec![order("c", "a")], now);
    let turn = one_due(&mut table, now);
    let error = super::super::AccountError::OtherType.into();
    table.finished(turn, Err(error), now, 0.0);
    assert_eq!(table.next_due(true), None);
    // Another one is.
    assert!(table.want(vec![order("c", "b")], now));
    one_due(&mut table, now);
}

#[test]
fn what_is_not_wanted_is_dropped_at_once() {
    let now = Instant::now();
    let mut table = Table::default();
    table.want(vec![order("c", "a"), order("d", "a")], now);
    let turns: Vec<u64> = table
        .due(now, 9)
        .into_iter()
        .map(|(turn, _)| turn)
        .collect();
    table.finished(turns[0], granted(now, 100), now, 0.0);
    assert!(!table.want(vec![order("c", "a"), order("d", "a")], now));
    assert!(table.want(vec![order("c", "a")], now));
    assert!(
        !table.finished(turns[1], granted(now, 100), now, 0.0),
        "it was called off"
    );
    assert_eq!(table.minted().tokens.len(), 1);
    assert!(table.want(Vec::new(), now));
    let minted = table.minted();
    assert!(minted.tokens.is_empty() && minted.providers.is_empty());
    assert_eq!(table.next_due(true), None);
}

#[test]
fn only_so_many_mints_begin_at_once() {
    let now = Instant::now();
    let mut table = Table::default();
    table.want((0..5).map(|n| order(&n.to_string(), "a")).collect(), now);
    assert_eq!(table.due(now, 3).len(), 3);
    assert_eq!(table.due(now, 3).len(), 2);
}

#[test]
fn a_refused_token_is_minted_anew_at_once_and_not_again_and_again() {
    let (mut table, start) = (Table::default(), Instant::now());
    table.want(vec![order("c", "a")], start);
    let turn = one_due(&mut table, start);
    table.finished(turn, granted(start, 3600), start, 0.5);
    let refuse = |table: &Table| {
        let minted = table.minted();
        minted.tokens["c"]
            .token
            .as_ref()
            .unwrap()
            .credential
            .refused();
    };
    assert!(table.force_refused(start).is_empty());
    refuse(&table);
    assert_eq!(table.force_refused(start).len(), 1);
    let turn = one_due(&mut table, start);
    // As long as the answer is awaited, nothing more is due.
    assert!(table.force_refused(start + FORCED_MINT_INTERVAL).is_empty());
    table.finished(turn, granted(start, 3600), start, 0.5);
    assert!(table.force_refused(start + FORCED_MINT_INTERVAL).is_empty());

    refuse(&table);
    let soon = start + FORCED_MINT_INTERVAL - seconds(1);
    assert!(table.force_refused(soon).is_empty());
    let later = start + FORCED_MINT_INTERVAL;
    assert_eq!(table.force_refused(later).len(), 1);
    let turn = one_due(&mut table, later);
    table.finished(turn, Err(no_connection()), later, 0.0);
    // A failure has its own pace.
    assert!(table.force_refused(later + FORCED_MINT_INTERVAL).is_empty());
}
