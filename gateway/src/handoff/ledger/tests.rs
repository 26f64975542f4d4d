use std::thread;

use super::*;

const DAY: u32 = 86_400;
const NOON: u64 = 43_200;

#[test]
fn a_cap_is_never_passed_and_a_settled_rest_comes_back() {
    let bucket = Bucket::volatile(Unit::Tokens, DAY);
    let first = bucket.spend(NOON, 60, 100).unwrap();
    assert_eq!(bucket.spend(NOON, 41, 100), Err(Refusal::Cap { left: 40 }));
    assert_eq!(
        bucket.spend(NOON, u64::MAX, 100),
        Err(Refusal::Cap { left: 40 })
    );
    let second = bucket.spend(NOON, 40, 100).unwrap();
    bucket.settle(first, 60, 10);
    assert_eq!(bucket.spent(NOON), 50);
    bucket.settle(second, 40, 0);
    assert_eq!(bucket.spent(NOON), 10);
    // More than was foreseen counts too.
    let third = bucket.spend(NOON, 1, 100).unwrap();
    bucket.settle(third, 1, 200);
    assert_eq!(bucket.spend(NOON, 1, 100), Err(Refusal::Cap { left: 0 }));
}

#[test]
fn windows_are_aligned_with_the_epoch_and_keep_apart() {
    let bucket = Bucket::volatile(Unit::NanoUsd, 60);
    assert_eq!((bucket.window_at(119), bucket.seconds_left(119)), (1, 1));
    let old = bucket.spend(119, 100, 100).unwrap();
    let new = bucket.spend(120, 70, 100).unwrap();
    assert_eq!((old, new), (1, 2));
    assert_eq!(bucket.spent(120), 70);
    // What began in the old window gives nothing back to the new one.
    bucket.settle(old, 100, 0);
    assert_eq!(bucket.spent(120), 70);
    // A clock that was set back does not begin the old window again.
    assert_eq!(bucket.spend(60, 31, 100), Err(Refusal::Cap { left: 30 }));
    assert_eq!(bucket.spent(60), 70);
}

#[test]
fn what_was_used_already_counts_past_every_limit() {
    let bucket = Bucket::durable(Unit::Tokens, 60, "b", Words::default());
    let window = bucket.enter(119);
    bucket.settle(window, 0, 70);
    assert_eq!((bucket.spent(119), bucket.ungranted()), (70, Some(70)));
    assert_eq!(bucket.enter(60), window);
    assert_eq!(bucket.enter(0), window, "as for whoever spends");
    assert_eq!(bucket.spend(60, 1, 70), Err(Refusal::Cap { left: 0 }));
    assert_eq!(bucket.enter(120), window + 1);
    assert_eq!(bucket.spent(120), 0);
}

#[test]
fn nothing_is_spent_that_is_not_granted() {
    let bucket = Bucket::durable(Unit::Tokens, DAY, "b", Words::default());
    let wanted = Grant {
        window: 0,
        amount: 10,
    };
    assert_eq!(bucket.spend(NOON, 10, 100), Err(Refusal::Grant(wanted)));
    assert!(bucket.ask(10));
    assert!(!bucket.ask(30), "one messenger is enough");
    assert_eq!((bucket.take_asked(), bucket.take_asked()), (30, 0));
    bucket.grant(Grant {
        window: 0,
        amount: 30,
    });
    assert_eq!(bucket.spend(NOON, 10, 100), Ok(0));
    assert!(matches!(
        bucket.spend(NOON, 21, 100),
        Err(Refusal::Grant(_))
    ));
    // A grant holds for its window.
    let tomorrow = NOON + u64::from(DAY);
    assert!(matches!(
        bucket.spend(tomorrow, 1, 100),
        Err(Refusal::Grant(_))
    ));
}

#[test]
fn what_was_granted_counts_as_spent_after_a_crash() {
    let bucket = Bucket::durable(Unit::Tokens, DAY, "b", Words::default());
    bucket.recover(Grant {
        window: 0,
        amount: 90,
    });
    assert_eq!(bucket.spent(NOON), 90);
    assert_eq!(bucket.spend(NOON, 11, 100), Err(Refusal::Cap { left: 10 }));
    assert_eq!(bucket.spent(NOON + u64::from(DAY)), 0);
}

#[test]
fn in_flight_has_no_windows() {
    let bucket = Bucket::volatile(Unit::InFlight, 0);
    let window = bucket.spend(NOON, 1, 1).unwrap();
    assert!(bucket.spend(NOON + 1_000_000, 1, 1).is_err());
    bucket.settle(window, 1, 0);
    assert!(bucket.spend(NOON + 1_000_000, 1, 1).is_ok());
}

// loom and shuttle have no word of 128 bits. Every change of a bucket is one compare-and-swap of one word, so what can
// interleave are whole changes: their order is what `policy/tests/model.rs` tries at random, and that none is lost, on
// the machine's own words, is what threads try here.

#[test]
fn threads_together_lose_nothing_when_windows_change_and_grants_come() {
    const CAP: u64 = 500;
    const THREADS: u64 = 3;
    const WINDOWS: u64 = 40;
    const ROUNDS: u64 = 500;
    let bucket = Bucket::durable(Unit::Tokens, 60, "b", Words::default());
    let clock = AtomicU64::new(0);
    // Of each window: what was settled into it.
    let spend = &|seed: u64| {
        let mut kept = vec![0; WINDOWS as usize + 1];
        loop {
            let now = clock.fetch_add(1, Relaxed) * 60 / (THREADS * ROUNDS);
            if now >= WINDOWS * 60 {
                return kept;
            }
            let amount = (seed + now) % 7 + 1;
            match bucket.spend(now, amount, CAP) {
                Ok(window) => {
                    assert!(bucket.spent(window * 60) <= CAP);
                    let used = (now + seed) % 11 % (amount + 1) / 2;
                    bucket.settle(window, amount, used);
                    kept[window as usize] += used;
                }
                Err(Refusal::Grant(Grant { window, amount })) => {
                    let amount = amount + 50;
                    bucket.grant(Grant { window, amount });
                }
                Err(Refusal::Cap { .. }) => {}
            }
        }
    };
    let kept: Vec<Vec<u64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| scope.spawn(move || spend(seed)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    let sums: Vec<u64> = (0..=WINDOWS as usize)
        .map(|window| kept.iter().map(|kept| kept[window]).sum())
        .collect();
    assert!(sums.iter().all(|sum| *sum <= CAP), "{sums:?}");
    let last = bucket.window(0);
    assert_eq!(bucket.spent(0), sums[last as usize]);
    assert_eq!(last, WINDOWS - 1);
}

#[test]
fn threads_together_never_pass_the_cap() {
    const CAP: u64 = 1000;
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 20_000;
    let bucket = Bucket::volatile(Unit::Tokens, 60);
    let spent: Vec<u64> = (0..THREADS)
        .map(|seed| {
            let bucket = bucket.clone();
            thread::spawn(move || {
                let mut kept = 0;
                for round in 0..ROUNDS {
                    let amount = (seed + round) % 7 + 1;
                    let Ok(window) = bucket.spend(59, amount, CAP) else {
                        continue;
                    };
                    assert!(bucket.spent(59) <= CAP);
                    let used = if round % 50 == 0 { amount.min(1) } else { 0 };
                    bucket.settle(window, amount, used);
                    kept += used;
                }
                kept
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(bucket.spent(59), spent.iter().sum::<u64>());
}
