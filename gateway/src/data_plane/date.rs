//! The `Date` of answers (RFC 9110 section 6.6.1). A worker formats it once a second, at its tick.

use std::{
    cell::Cell,
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use httpdate::HttpDate;

/// Bytes of `Sun, 06 Nov 1994 08:49:37 GMT`.
const LENGTH: usize = 29;
/// The last second of the year 9999: the format has no more digits.
const SECONDS_MAX: u64 = 253_402_300_799;

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Current {
    /// Since 1970.
    seconds: u64,
    text: [u8; LENGTH],
}

/// The time of the worker's last tick, as the field's value.
pub fn http_date() -> [u8; LENGTH] {
    CURRENT
        .get()
        .unwrap_or_else(|| update(SystemTime::now()))
        .text
}

/// Called at each of the worker's ticks.
pub fn tick(now: SystemTime) {
    update(now);
}

fn update(now: SystemTime) -> Current {
    // A clock that stands before 1970 says 1970.
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = seconds.min(SECONDS_MAX);
    if let Some(current) = CURRENT.get().filter(|current| current.seconds == seconds) {
        return current;
    }
    let mut text = [0; LENGTH];
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
    write!(&mut text[..], "{date}").expect("years of four digits have this length");
    let current = Current { seconds, text };
    CURRENT.set(Some(current));
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_last_tick() {
        let cases = [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (SECONDS_MAX + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, text) in cases {
            for part in [0, 999_999_999] {
                tick(UNIX_EPOCH + Duration::new(seconds, part));
                assert_eq!(http_date(), text.as_bytes(), "{text}");
            }
        }
        tick(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(http_date(), *b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn a_thread_without_ticks_has_the_time_too() {
        let text = String::from_utf8(http_date().to_vec()).unwrap();
        let date = httpdate::parse_http_date(&text).unwrap();
        assert!(date.elapsed().unwrap() < Duration::from_secs(60), "{text}");
    }
}
