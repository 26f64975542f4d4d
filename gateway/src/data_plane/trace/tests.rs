//! The cases of W3C's own test suite (<https://github.com/w3c/trace-context/blob/main/test/test.py>).

use super::*;
use crate::config::Ratio;

const TRACE: u128 = 0x1234_5678_9012_3456_7890_1234_5678_9012;
const SPAN: u64 = 0x1234_5678_9012_3456;

fn fields(pairs: &[(&'static str, &str)]) -> Fields {
    let pair = |(name, value): &(&'static str, &str)| {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, http::HeaderValue::from_str(value).unwrap())
    };
    Fields::H2(pairs.iter().map(pair).collect())
}

fn parsed(value: &str) -> Option<Parent> {
    parent_of(&fields(&[("traceparent", value)]))
}

#[test]
fn a_valid_parent_is_read() {
    for (value, sampled) in [
        (
            "00-12345678901234567890123456789012-1234567890123456-01",
            true,
        ),
        (
            "00-12345678901234567890123456789012-1234567890123456-00",
            false,
        ),
        // Other flags are not known to this version.
        (
            "00-12345678901234567890123456789012-1234567890123456-fe",
            false,
        ),
        (
            "00-12345678901234567890123456789012-1234567890123456-ff",
            true,
        ),
        (
            " \t00-12345678901234567890123456789012-1234567890123456-01\t ",
            true,
        ),
        (
            "cc-12345678901234567890123456789012-1234567890123456-01",
            true,
        ),
        (
            "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            true,
        ),
        (
            "01-12345678901234567890123456789012-1234567890123456-00-",
            false,
        ),
    ] {
        let parent = Parent {
            trace_id: TRACE,
            span_id: SPAN,
            sampled,
        };
        assert_eq!(parsed(value), Some(parent), "{value:?}");
    }
}

#[test]
fn an_invalid_parent_is_none() {
    let table = "
        00-12345678901234567890123456789012-1234567890123456-01.
        00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like
        cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like
        ff-12345678901234567890123456789012-1234567890123456-01
        .0-12345678901234567890123456789012-1234567890123456-01
        0.-12345678901234567890123456789012-1234567890123456-01
        000-12345678901234567890123456789012-1234567890123456-01
        0000-12345678901234567890123456789012-1234567890123456-01
        0-12345678901234567890123456789012-1234567890123456-01
        00-00000000000000000000000000000000-1234567890123456-01
        00-.2345678901234567890123456789012-1234567890123456-01
        00-1234567890123456789012345678901.-1234567890123456-01
        00-123456789012345678901234567890123-1234567890123456-01
        00-1234567890123456789012345678901-1234567890123456-01
        00-12345678901234567890123456789012-0000000000000000-01
        00-12345678901234567890123456789012-.234567890123456-01
        00-12345678901234567890123456789012-123456789012345.-01
        00-12345678901234567890123456789012-12345678901234567-01
        00-12345678901234567890123456789012-123456789012345-01
        00-12345678901234567890123456789012-1234567890123456-.0
        00-12345678901234567890123456789012-1234567890123456-0.
        00-12345678901234567890123456789012-1234567890123456-001
        00-12345678901234567890123456789012-1234567890123456-1
        00-1234567890123456789012345678901A-1234567890123456-01
        00-12345678901234567890123456789012-123456789012345F-01
        00-12345678901234567890123456789012-1234567890123456-0A
        00_12345678901234567890123456789012-1234567890123456-01
        00-12345678901234567890123456789012_1234567890123456-01
        00-12345678901234567890123456789012-1234567890123456_01
        00
    ";
    for value in table.lines().map(str::trim) {
        assert_eq!(parsed(value), None, "{value:?}");
    }
    let endless = format!(
        "cc-12345678901234567890123456789012-1234567890123456-01-{}",
        "x".repeat(512)
    );
    assert_eq!(parsed(&endless), None);
    let valid = "00-12345678901234567890123456789012-1234567890123456-01";
    let twice = [("traceparent", valid), ("traceparent", valid)];
    assert_eq!(parent_of(&fields(&twice)), None);
    for other in ["trace-parent", "trace.parent", "x-traceparent"] {
        assert_eq!(parent_of(&fields(&[(other, valid)])), None, "{other}");
    }
}

#[test]
fn a_state_passes_whole_or_not_at_all() {
    let many = |count: usize| {
        let members: Vec<_> = (1..=count).map(|i| format!("bar{i:02}={i:02}")).collect();
        members.join(",")
    };
    let key = |count| format!("foo=1,{}=1", "z".repeat(count));
    let tenant = |tenant, system| format!("foo=1,{}@{}=1", "t".repeat(tenant), "v".repeat(system));
    let value = |count| format!("foo={}", "v".repeat(count));
    let ok = |value: &str| state::is_valid([value.as_bytes()].into_iter());
    for value in [
        "foo=1",
        "foo=1,bar=2",
        "foo=1,",
        "",
        ",,",
        "foo=1,foo=1",
        "foo=1 \t , \t bar=2, \t baz=3",
        "foo=1\t \t,\t \tbar=2,\t \tbaz=3",
        " foo=1",
        "foo=1 ",
        "0123@a-_*/=1",
        "abcdefghijklmnopqrstuvwxyz0123456789_-*/= !\"#$%&'()*+-./:;<>?@[\\]^_`{|}~",
        &many(32),
        &key(256),
        &tenant(241, 14),
        &value(256),
    ] {
        assert!(ok(value), "{value:?}");
    }
    for value in [
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "foo@=1,bar=2",
        "@foo=1,bar=2",
        "foo@@bar=1,bar=2",
        "foo@bar@baz=1,bar=2",
        "1foo=1",
        "foo@1bar=1",
        "foo=bar=baz",
        "foo=,bar=3",
        "foo",
        "=1",
        "foo=\u{e9}",
        "foo=a\tb",
        &many(33),
        &key(257),
        &tenant(242, 14),
        &tenant(241, 15),
        &value(257),
    ] {
        assert!(!ok(value), "{value:?}");
    }
    // Over several fields, and all limits hold for them together.
    let is_valid = |fields: &[&str]| state::is_valid(fields.iter().map(|field| field.as_bytes()));
    assert!(is_valid(&["foo=1", ""]));
    assert!(is_valid(&["foo=1,", "bar=2", "rojo=1,congo=2,baz=3"]));
    assert!(!is_valid(&["foo=1", "BAR=2"]));
    assert!(!is_valid(&[&many(20), &many(13)]));
    assert!(!is_valid(&[
        &value(256),
        &value(256),
        &value(256),
        &value(256)
    ]));
}

fn head(pairs: &[(&'static str, &str)]) -> RequestHead {
    RequestHead {
        method: http::Method::POST,
        target: "/v1/chat/completions".to_owned(),
        target_authority: None,
        version: crate::data_plane::message::Version::Http2,
        fields: fields(pairs),
        framing: crate::data_plane::message::Framing::None,
        keep_alive: true,
        expects_continue: false,
        takes_trailers: false,
    }
}

fn config(accept: bool, on: bool, sample_ratio: f64) -> TracingConfig {
    TracingConfig {
        accept,
        propagate: if on { vec!["*".into()] } else { Vec::new() },
        sample_ratio: Ratio::new(sample_ratio).unwrap(),
        ..TracingConfig::default()
    }
}

const SAMPLED_PARENT: (&str, &str) = (
    "traceparent",
    "00-12345678901234567890123456789012-1234567890123456-01",
);

#[test]
fn a_trace_is_the_agents_or_begins_here_or_is_none() {
    let parented = head(&[SAMPLED_PARENT]);
    for (accept, on, ratio, head, expected) in [
        // Trace, parent and sampling.
        (true, false, 0.0, &parented, Some((true, true))),
        (true, true, 0.0, &parented, Some((true, true))),
        (false, false, 1.0, &parented, None),
        (false, true, 1.0, &parented, Some((false, true))),
        (false, true, 0.0, &parented, Some((false, false))),
        (true, false, 1.0, &head(&[]), None),
        (true, true, 1.0, &head(&[]), Some((false, true))),
        (
            true,
            true,
            0.0,
            &head(&[("traceparent", "00-1-2-01")]),
            Some((false, false)),
        ),
    ] {
        let trace = of(&config(accept, on, ratio), Some(head));
        let Some((is_agents, sampled)) = expected else {
            assert_eq!(trace, Trace::default());
            continue;
        };
        assert_eq!(trace.sampled, sampled);
        assert_ne!(trace.span_id, 0);
        assert_eq!(trace.trace_id == TRACE, is_agents);
        assert_eq!(trace.parent_span_id, if is_agents { SPAN } else { 0 });
    }
    assert!(of(&config(true, false, 1.0), None).is_none());
    assert!(!of(&config(true, true, 1.0), None).is_none());
}

#[test]
fn the_ratio_is_kept() {
    let config = config(true, true, 0.25);
    let sampled = (0..4000).filter(|_| of(&config, None).sampled).count();
    // Ten standard deviations around 1000.
    assert!((726..1274).contains(&sampled), "{sampled}");
}

#[test]
fn a_provider_is_told_of_the_attempts_span() {
    let pairs = [SAMPLED_PARENT, ("tracestate", "foo=1,bar=2")];
    let trace = of(&config(true, true, 1.0), Some(&head(&pairs)));
    let told = Told::new(&trace, 0, &fields(&pairs)).unwrap();
    let expected = format!(
        "00-12345678901234567890123456789012-{:016x}-01",
        trace.attempt_span_id(0)
    );
    assert_eq!(told.parent.as_bytes(), expected.as_bytes());
    assert!(told.with_state);
    // What begins here has no state, and neither has what cannot be read.
    let own = of(&config(false, true, 1.0), Some(&head(&pairs)));
    assert!(!Told::new(&own, 0, &fields(&pairs)).unwrap().with_state);
    let broken = [SAMPLED_PARENT, ("tracestate", "FOO=1")];
    assert!(!Told::new(&trace, 1, &fields(&broken)).unwrap().with_state);
    assert!(Told::new(&Trace::default(), 0, &fields(&pairs)).is_none());
}
