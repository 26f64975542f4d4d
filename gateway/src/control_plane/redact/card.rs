//! Numbers of payment cards: 13 to 19 digits, by themselves or in groups, whose last digit is right
//! (ISO/IEC 7812-1, annex B: the Luhn formula).

use std::ops::Range;

pub(super) const NAME: &str = "card";
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// Networks' first digits; 1 begins a time in milliseconds.
const FIRST_DIGITS: Range<u8> = 2..7;

/// Calls `found` with the place of every card number, in order and apart from each other.
pub(super) fn find(text: &str, mut found: impl FnMut(Range<usize>)) {
    let groups = groups(text.as_bytes());
    let mut first = 0;
    while first < groups.len() {
        match longest(text.as_bytes(), &groups[first..]) {
            Some(count) => {
                found(groups[first].start..groups[first + count - 1].end);
                first += count;
            }
            None => first += 1,
        }
    }
}

/// All runs of digits.
fn groups(text: &[u8]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in (0..text.len()).filter(|at| text[*at].is_ascii_digit()) {
        match groups.last_mut() {
            Some(group) if group.end == at => group.end += 1,
            Some(_) | None => groups.push(at..at + 1),
        }
    }
    groups
}

/// How many of the groups, from the first on, are a card number at the most.
fn longest(text: &[u8], groups: &[Range<usize>]) -> Option<usize> {
    let mut digits = Vec::with_capacity(DIGITS_MAX);
    let mut longest = None;
    let mut end = None;
    for (i, group) in groups.iter().enumerate() {
        if end.is_some_and(|end| !is_joined(text, end, group.start))
            || digits.len() + group.len() > DIGITS_MAX
        {
            break;
        }
        digits.extend(text[group.clone()].iter().map(|digit| digit - b'0'));
        end = Some(group.end);
        if digits.len() >= DIGITS_MIN && FIRST_DIGITS.contains(&digits[0]) && is_luhn(&digits) {
            longest = Some(i + 1);
        }
    }
    longest
}

/// One space or hyphen stands between.
fn is_joined(text: &[u8], end: usize, start: usize) -> bool {
    start == end + 1 && matches!(text[end], b' ' | b'-')
}

fn is_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| match (i % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10)
}
