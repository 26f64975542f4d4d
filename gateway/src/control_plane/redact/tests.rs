use super::*;

fn redacted(text: &str) -> String {
    Redactor::new().redact(text, 1 << 16)
}

#[test]
fn every_kind_is_found_and_nothing_else() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
    for (text, expected) in [
        ("nothing to see, really", "nothing to see, really"),
        // Cards: Luhn-valid, whole or in groups.
        ("4111111111111111", "[REDACTED:card]"),
        ("pay 4111 1111 1111 1111.", "pay [REDACTED:card]."),
        ("3782-822463-10005", "[REDACTED:card]"),
        ("4111111111111112", "4111111111111112"),
        ("4111 1111 1111 1111 43", "[REDACTED:card] 43"),
        ("7 4111 1111 1111 1111", "7 [REDACTED:card]"),
        (
            "4111111111111111 5555555555554444",
            "[REDACTED:card] [REDACTED:card]",
        ),
        ("41111111111111110000", "41111111111111110000"),
        ("at 1732382400000 ms", "at 1732382400000 ms"),
        // Keys and tokens.
        (jwt, "[REDACTED:jwt]"),
        (
            &format!("Authorization: Bearer {jwt}"),
            "Authorization: Bearer [REDACTED:jwt]",
        ),
        ("eyJhbGciOiJIUzI1NiJ9 alone", "eyJhbGciOiJIUzI1NiJ9 alone"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x",
            "[REDACTED:pem] x",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIE a@b.example",
            "[REDACTED:pem]",
        ),
        ("AKIAIOSFODNN7EXAMPLE", "[REDACTED:aws_key]"),
        ("AKIAIOSFODNN7EXAMPLES", "AKIAIOSFODNN7EXAMPLES"),
        ("bearer abcdefgh12345678", "bearer [REDACTED:api_key]"),
        (
            "token generation-is-explained",
            "token generation-is-explained",
        ),
        ("API_KEY=abcd-efgh", "API_KEY=[REDACTED:api_key]"),
        (
            r#"{"api-key": "s3cr3t-v4lue", "n": 1}"#,
            r#"{"api-key": "[REDACTED:api_key]", "n": 1}"#,
        ),
        (
            r#"{\"access_token\":\"s3cr3t-v4lue\"}"#,
            r#"{\"access_token\":\"[REDACTED:api_key]\"}"#,
        ),
        ("sk-live_0123456789abcdef", "[REDACTED:api_key]"),
        ("sk-learn-for-everybody-else", "sk-learn-for-everybody-else"),
        // People.
        (
            "write ada@example.com, please",
            "write [REDACTED:email], please",
        ),
        ("to=jürgen@müller.example", "to=[REDACTED:email]"),
        ("user@host", "user@host"),
        ("123-45-6789", "[REDACTED:ssn]"),
        ("123-456-789", "123-456-789"),
        ("+49 30 901820", "[REDACTED:phone]"),
        ("+14155552671", "[REDACTED:phone]"),
        ("call (415) 555-2671!", "call [REDACTED:phone]!"),
        ("415.555.2671", "[REDACTED:phone]"),
        ("1-415-555-2671", "[REDACTED:phone]"),
        ("4155552671", "[REDACTED:phone]"),
        ("41555526712", "41555526712"),
        ("2026-11-23 20:13", "2026-11-23 20:13"),
        ("from 100.64.0.7:443", "from [REDACTED:ipv4]:443"),
        // As arguments of tools have it: JSON inside a string.
        (
            r#"{"to":"x\n123-45-6789\tsk-ant-0123456789abcdef\n10.0.0.1"}"#,
            r#"{"to":"x\n[REDACTED:ssn]\t[REDACTED:api_key]\n[REDACTED:ipv4]"}"#,
        ),
        ("version 1.2.3", "version 1.2.3"),
        ("999.1.1.1", "999.1.1.1"),
        ("", ""),
    ] {
        assert_eq!(redacted(text), expected, "{text}");
    }
}

#[test]
fn kinds_that_overlap_are_replaced_together() {
    assert_eq!(
        redacted("password=ada@example.com,x"),
        "password=[REDACTED:api_key],x"
    );
    assert_eq!(redacted("415-555-2671@example.com"), "[REDACTED:email]");
    assert_eq!(
        redacted("token=12345678@example.com)"),
        "token=[REDACTED:api_key])"
    );
}

#[test]
fn the_cut_is_in_no_character_and_in_no_replacement() {
    let redactor = Redactor::new();
    let text = "né 123-45-6789 ada@example.com é+14155552671é";
    let whole = redactor.redact(text, 1 << 10);
    assert_eq!(
        whole,
        "né [REDACTED:ssn] [REDACTED:email] é[REDACTED:phone]é"
    );
    for max_bytes in 0..=text.len() + 40 {
        let kept = redactor.redact(text, max_bytes);
        assert!(kept.len() <= max_bytes, "{max_bytes}: {kept}");
        assert!(whole.starts_with(&kept), "{max_bytes}: {kept}");
        let opened = kept.matches("[REDACTED:").count();
        assert_eq!(opened, kept.matches(']').count(), "{max_bytes}: {kept}");
        assert_eq!(opened, kept.matches('[').count(), "{max_bytes}: {kept}");
    }
}

#[test]
fn what_the_cut_divides_is_still_recognized() {
    let text = format!("{}4111 1111 1111 1111 and more", "x".repeat(90));
    let kept = Redactor::new().redact(&text, 100);
    assert_eq!(kept, "x".repeat(90), "no room for the replacement");
    let kept = Redactor::new().redact(&text[80..], 25);
    assert_eq!(kept, "xxxxxxxxxx[REDACTED:card]");
}
