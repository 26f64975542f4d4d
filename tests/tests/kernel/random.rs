//! Random packets: good ones with random properties, and then with random bytes and lengths.

use gateway_common::Link;
use gateway_tests::{
    frame::{Frame, TCP},
    kernel::PROGRAMS,
};

use crate::{assert_counted, both};

const FRAMES: u32 = 8_000;
/// Reading the counters costs more than a run.
const FRAMES_PER_READ: u32 = 500;
/// Variable that repeats a run.
const SEED_VARIABLE: &str = "KEYWAY_TEST_SEED";

#[test]
fn on_ethernet() {
    check(Link::Ethernet);
}

#[test]
fn without_a_link_header() {
    check(Link::Ip);
}

fn check(link: Link) {
    let seed = std::env::var(SEED_VARIABLE).ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_nanos() as u64
    });
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Random(seed | 1);
    let (mut kernel, mut reference) = both(link);
    for number in 1..=FRAMES {
        let frame = frame(&mut random, link);
        let program = PROGRAMS[random.below(PROGRAMS.len())];
        if !kernel.takes(program, &frame) {
            continue;
        }
        let expected = reference.run(program, &frame, 0);
        let ran = kernel.run(program, &frame, 1).unwrap();
        assert_eq!(ran.verdict, expected.verdict(), "{program} {frame:02x?}");
        if number % FRAMES_PER_READ == 0 {
            assert_counted(&mut kernel, &reference);
        }
    }
    // The generator must not be so wild that nothing is ever judged.
    for reason in gateway_common::Reason::ALL {
        let counted = reference.counters.by_reason[reason.index()].packets;
        assert!(counted > 0, "{reason:?} never came up");
    }
}

fn frame(random: &mut Random, link: Link) -> Vec<u8> {
    const V4: &[&str] = &[
        "100.64.0.1",
        "100.64.0.7",
        "100.64.0.8",
        "192.0.2.7",
        "203.0.113.9",
    ];
    const V6: &[&str] = &["[fd00::1]", "[fd00::7]", "[fd00::8]", "[2001:db8::9]"];
    const PORTS: &[&str] = &["443", "8080", "22", "40000"];
    const KINDS: &[u8] = &[0, 43, 44, 51, 60, 135, 139, 253];
    let hosts = *random.pick(&[V4, V6]);
    let mut side = || format!("{}:{}", random.pick(hosts), random.pick(PORTS));
    let (source, mut destination) = (side(), side());
    if random.one_in(2) {
        destination = format!("{}:443", hosts[0]);
    }
    let mut frame = Frame::new(&source, &destination)
        .link(link)
        .flags(random.next() as u8)
        .payload(random.below(64));
    if random.one_in(4) {
        frame = frame.protocol(*random.pick(&[TCP, 17, 1, 58, 50, 59, 200]));
    }
    if random.one_in(3) {
        frame = frame.options(random.below(11) * 4);
        let count = random.below(8);
        let headers: Vec<_> = (0..count)
            .map(|_| (*random.pick(KINDS), random.below(4) as u8))
            .collect();
        frame = frame.extensions(&headers);
    }
    if random.one_in(4) {
        frame = frame.fragment(random.below(4) as u16, random.one_in(2));
    }
    if random.one_in(3) {
        let tags: Vec<u16> = (0..random.below(4))
            .map(|_| *random.pick(&[0x8100, 0x88a8, 0x9100]))
            .collect();
        frame = frame.tags(&tags);
    }
    let mut bytes = frame.bytes();
    if random.one_in(3) {
        for _ in 0..=random.below(3) {
            let place = random.below(bytes.len());
            bytes[place] = random.next() as u8;
        }
    }
    if random.one_in(4) {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    bytes
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
