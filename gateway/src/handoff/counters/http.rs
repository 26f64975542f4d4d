//! Requests by the labels of OpenTelemetry's HTTP conventions: method, scheme, status. Each is one of a fixed set,
//! whatever agents and providers send.

use std::sync::OnceLock;

use http::Method;

use super::{Gauge, Histogram};

/// The conventions' bounds in microseconds, and beyond them what long answers take.
pub const HTTP_BOUNDS_US: [u64; 19] = [
    5_000,
    10_000,
    25_000,
    50_000,
    75_000,
    100_000,
    250_000,
    500_000,
    750_000,
    1_000_000,
    2_500_000,
    5_000_000,
    7_500_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

/// The last one stands for all others.
pub const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "_OTHER",
];
pub const SCHEMES: [&str; 2] = ["http", "https"];
/// Statuses that are told apart, ascending; 0 stands for an answer that was never begun. Behind them is one place
/// for all others.
pub const STATUSES: [u16; 37] = [
    0, 101, 200, 201, 202, 204, 206, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 408,
    409, 410, 411, 413, 415, 417, 421, 422, 424, 426, 429, 431, 500, 501, 502, 503, 504, 529,
];
/// See [`STATUSES`].
pub const STATUS_PLACES: usize = STATUSES.len() + 1;

/// Where a request of a method over a scheme is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSlot(u8);

impl RequestSlot {
    pub fn new(method: &Method, tls: bool) -> Self {
        let other = METHODS.len() - 1;
        let known = METHODS[..other].iter();
        let place = known
            .copied()
            .position(|known| known == method.as_str())
            .unwrap_or(other);
        Self((place * SCHEMES.len() + usize::from(tls)) as u8)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..(METHODS.len() * SCHEMES.len()) as u8).map(Self)
    }

    pub fn method(self) -> &'static str {
        METHODS[usize::from(self.0) / SCHEMES.len()]
    }

    pub fn scheme(self) -> &'static str {
        SCHEMES[usize::from(self.0) % SCHEMES.len()]
    }
}

/// Requests of one worker.
#[derive(Debug)]
pub struct HttpCounters {
    active: [Gauge; METHODS.len() * SCHEMES.len()],
    /// By request, then by status. Most combinations never come.
    durations: Box<[OnceLock<Box<Histogram<{ HTTP_BOUNDS_US.len() }>>>]>,
}

impl Default for HttpCounters {
    fn default() -> Self {
        let places = METHODS.len() * SCHEMES.len() * STATUS_PLACES;
        Self {
            active: std::array::from_fn(|_| Gauge::default()),
            durations: (0..places).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl HttpCounters {
    pub fn begin(&self, request: RequestSlot) {
        self.active[usize::from(request.0)].add(1);
    }

    pub fn end(&self, request: RequestSlot) {
        self.active[usize::from(request.0)].add(-1);
    }

    pub fn observe(&self, request: RequestSlot, status: u16, duration_us: u64) {
        let place = STATUSES.binary_search(&status).unwrap_or(STATUSES.len());
        self.durations[usize::from(request.0) * STATUS_PLACES + place]
            .get_or_init(|| Box::new(Histogram::new(&HTTP_BOUNDS_US)))
            .observe(duration_us);
    }

    pub fn active(&self, request: RequestSlot) -> u64 {
        self.active[usize::from(request.0)].get()
    }

    /// What was observed, with the place of its status.
    pub fn durations(
        &self,
        request: RequestSlot,
    ) -> impl Iterator<Item = (usize, &Histogram<{ HTTP_BOUNDS_US.len() }>)> {
        let first = usize::from(request.0) * STATUS_PLACES;
        let places = self.durations[first..first + STATUS_PLACES].iter();
        let seen = places.enumerate();
        seen.filter_map(|(place, histogram)| Some((place, &**histogram.get()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_has_a_place() {
        let odd = Method::from_bytes(b"BREW").expect("a token");
        for (method, tls, expected) in [
            (Method::GET, false, ("GET", "http")),
            (Method::CONNECT, true, ("CONNECT", "https")),
            (odd, true, ("_OTHER", "https")),
        ] {
            let slot = RequestSlot::new(&method, tls);
            assert_eq!((slot.method(), slot.scheme()), expected);
        }
        assert!(STATUSES.is_sorted());
        let counters = HttpCounters::default();
        let slot = RequestSlot::new(&Method::POST, true);
        for status in [0, 200, 529, 530, 999] {
            counters.observe(slot, status, 7);
        }
        let places: Vec<_> = counters.durations(slot).map(|(place, _)| place).collect();
        assert_eq!(places, [0, 2, STATUSES.len() - 1, STATUSES.len()]);
        let elsewhere = RequestSlot::new(&Method::GET, true);
        assert_eq!(counters.durations(elsewhere).count(), 0);
    }
}
