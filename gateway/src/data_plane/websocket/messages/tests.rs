//! The groups 1 to 7 of the Autobahn test suite as a table, each case in three ways of cutting its bytes, and
//! from both sides. `tests/python/test_autobahn.py` runs the suite itself.

use super::*;

const LIMIT: usize = 1 << 20;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame: its first byte, and its payload.
type Frame = (u8, Vec<u8>);

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first and the following frames of a message in fragments, and its last.
const FIRST: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

fn frame(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    (first, payload.as_ref().to_vec())
}

fn close(code: u16, reason: &[u8]) -> Frame {
    frame(CLOSE, [&code.to_be_bytes()[..], reason].concat())
}

/// What is answered to `sent` by a side that sends each message back and closes as it is told to.
fn answered(role: Role, sent: &[Frame], piece: usize) -> Vec<Frame> {
    let other = match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    };
    let bytes: Vec<u8> = sent
        .iter()
        .flat_map(|frame| written(other, frame))
        .collect();
    let mut messages = Messages::new(Buffer::default(), role, LIMIT);
    let mut is_open = true;
    for piece in bytes.chunks(piece) {
        messages.inbox.extend(piece);
        while is_open {
            match messages.step() {
                Ok(Some(Event::Message { is_text })) => {
                    let message = messages.data().to_vec();
                    messages.consume();
                    messages.push(is_text, &message);
                }
                Ok(Some(Event::Closed(code))) => {
                    messages.push_close(code);
                    is_open = false;
                }
                Err(Violation(code)) => {
                    assert_eq!(messages.step(), Err(Violation(code)), "asked again");
                    messages.push_close(Some(code));
                    is_open = false;
                }
                Ok(None) => break,
            }
        }
    }
    read(&mut messages.out, role)
}

fn written(role: Role, (first, payload): &Frame) -> Vec<u8> {
    let mask = (role == Role::Client).then_some(MASK);
    let (mut header, length) = frame::header(Opcode::Text, payload.len(), mask);
    header[0] = *first;
    let mut bytes = header[..length].to_vec();
    bytes.extend_from_slice(payload);
    if let Some(mask) = mask {
        frame::apply_mask(&mut bytes[length..], mask);
    }
    bytes
}

fn read(out: &mut Buffer, role: Role) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(header) = frame::parse(out.data()).expect("right frames") {
        assert_eq!(header.mask.is_some(), role == Role::Client);
        let first = out.data()[0];
        out.consume(header.header_bytes);
        let length = header.payload_bytes as usize;
        let mut payload = out.data()[..length].to_vec();
        if let Some(mask) = header.mask {
            frame::apply_mask(&mut payload, mask);
        }
        frames.push((first, payload));
        out.consume(length);
    }
    frames
}

/// A case of the suite: its number, what is sent, and what comes back before the connection is closed with the
/// code, which stays open without one.
type Case<'c> = (&'c str, Vec<Frame>, Vec<Frame>, Option<u16>);

fn check(cases: Vec<Case<'_>>) {
    for (name, sent, echoed, code) in cases {
        let mut expected = echoed;
        expected.extend(code.map(|code| close(code, b"")));
        let all: usize = sent.iter().map(|(_, payload)| payload.len() + 14).sum();
        for role in [Role::Server, Role::Client] {
            for piece in [all, 997, 1] {
                let found = answered(role, &sent, piece);
                assert!(
                    found == expected,
                    "case {name}, {role:?}, pieces of {piece}"
                );
            }
        }
    }
}

#[test]
fn group_1_framing() {
    let mut cases = Vec::new();
    for first in [TEXT, BINARY] {
        for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
            let message = frame(first, vec![b'*'; length]);
            cases.push(("1", vec![message.clone()], vec![message], None));
        }
    }
    check(cases);
}

#[test]
fn group_2_pings() {
    let bytes = [0xff, 0xfe, 0xfd, 0x00];
    let longest = [0xfe; 125];
    let ten: Vec<Frame> = (0..10)
        .map(|n| frame(PING, format!("payload-{n}")))
        .collect();
    let pongs = ten
        .iter()
        .map(|(_, payload)| frame(PONG, payload))
        .collect();
    let answer = |payload: &[u8]| (vec![frame(PING, payload)], vec![frame(PONG, payload)]);
    let mut cases = vec![("2.10", ten, pongs, None)];
    for (name, payload) in [
        ("2.1", &b""[..]),
        ("2.2", b"Hi"),
        ("2.3", &bytes),
        ("2.4", &longest),
    ] {
        let (sent, pong) = answer(payload);
        cases.push((name, sent, pong, None));
    }
    let pong = frame(PONG, "unasked");
    cases.extend([
        ("2.5", vec![frame(PING, [0xfe; 126])], vec![], Some(1002)),
        ("2.7", vec![frame(PONG, "")], vec![], None),
        (
            "2.9",
            vec![pong, frame(PING, "Hi")],
            vec![frame(PONG, "Hi")],
            None,
        ),
    ]);
    check(cases);
}

#[test]
fn groups_3_and_4_reserved_bits_and_opcodes() {
    let hello = frame(TEXT, "Hello");
    let mut cases = Vec::new();
    for first in [
        TEXT | 0x10,
        TEXT | 0x20,
        BINARY | 0x50,
        PING | 0x60,
        CLOSE | 0x70,
    ] {
        let sent = vec![hello.clone(), frame(first, "x"), frame(PING, "")];
        cases.push(("3", sent, vec![hello.clone()], Some(1002)));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in ["", "reserved"] {
            let sent = vec![
                hello.clone(),
                frame(0x80 | opcode, payload),
                frame(PING, ""),
            ];
            cases.push(("4", sent, vec![hello.clone()], Some(1002)));
        }
    }
    check(cases);
}

#[test]
fn group_5_fragments() {
    let [one, two] = ["fragment1", "fragment2"];
    let whole = || vec![frame(TEXT, "fragment1fragment2")];
    let (ping, pong) = (frame(PING, "p"), frame(PONG, "p"));
    let broken = |sent: Vec<Frame>, echoed| (sent, echoed, Some(1002));
    let mut cases = Vec::new();
    for (name, (sent, echoed, code)) in [
        (
            "5.1",
            broken(vec![frame(0x09, one), frame(LAST, two)], vec![]),
        ),
        (
            "5.2",
            broken(vec![frame(0x0a, one), frame(LAST, two)], vec![]),
        ),
        (
            "5.3",
            (vec![frame(FIRST, one), frame(LAST, two)], whole(), None),
        ),
        (
            "5.6",
            (
                vec![frame(FIRST, one), ping.clone(), frame(LAST, two)],
                [vec![pong.clone()], whole()].concat(),
                None,
            ),
        ),
        (
            "5.9",
            broken(vec![frame(LAST, "x"), frame(TEXT, "y")], vec![]),
        ),
        (
            "5.12",
            broken(vec![frame(MORE, "x"), frame(TEXT, "y")], vec![]),
        ),
        (
            "5.15",
            broken(
                vec![
                    frame(FIRST, one),
                    frame(LAST, two),
                    frame(MORE, "x"),
                    frame(TEXT, "y"),
                ],
                whole(),
            ),
        ),
        (
            "5.18",
            broken(vec![frame(FIRST, one), frame(TEXT, two)], vec![]),
        ),
        (
            "5.19",
            (
                vec![
                    frame(FIRST, "fra"),
                    frame(MORE, "gment1"),
                    ping.clone(),
                    frame(MORE, "frag"),
                    frame(MORE, ""),
                    ping,
                    frame(LAST, "ment2"),
                ],
                [vec![pong; 2], whole()].concat(),
                None,
            ),
        ),
    ] {
        cases.push((name, sent, echoed, code));
    }
    check(cases);
}

#[test]
fn group_6_text() {
    let mut cases = vec![
        (
            "6.1.2",
            vec![frame(FIRST, ""), frame(MORE, ""), frame(LAST, "")],
            vec![frame(TEXT, "")],
            None,
        ),
        (
            "6.1.3",
            vec![frame(FIRST, ""), frame(MORE, "a"), frame(LAST, "")],
            vec![frame(TEXT, "a")],
            None,
        ),
    ];
    let valid: [&[u8]; 8] = [
        "Hello-µ@ßöäüàá-UTF-8!!".as_bytes(),
        "κόσμε".as_bytes(),
        b"\x00",
        b"\x7f",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xf4\x8f\xbf\xbf",
        // Noncharacters and the replacement character are characters here.
        b"\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd",
    ];
    let invalid: [&[u8]; 14] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xce",
        b"\xe1\xbd",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\x80",
        b"\xbf\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc0\x80",
        b"\xed\xad\xbf\xed\xbf\xbf",
    ];
    let octets = |text: &[u8]| -> Vec<Frame> {
        let frames = text.iter().map(|byte| frame(MORE, [*byte]));
        [frame(FIRST, "")]
            .into_iter()
            .chain(frames)
            .chain([frame(LAST, "")])
            .collect()
    };
    for text in valid {
        cases.push((
            "6.5",
            vec![frame(TEXT, text)],
            vec![frame(TEXT, text)],
            None,
        ));
        cases.push(("6.2.3", octets(text), vec![frame(TEXT, text)], None));
    }
    for text in invalid {
        cases.push(("6.3.1", vec![frame(TEXT, text)], vec![], Some(1007)));
        cases.push(("6.3.2", octets(text), vec![], Some(1007)));
        cases.push((
            "no text",
            vec![frame(BINARY, text)],
            vec![frame(BINARY, text)],
            None,
        ));
    }
    check(cases);
}

#[test]
fn group_7_close() {
    let hello = frame(TEXT, "Hello");
    let normal = close(1000, b"");
    let long = frame(TEXT, vec![b'B'; 256 * 1024]);
    let after = |sent: Vec<Frame>| [vec![normal.clone()], sent].concat();
    let mut cases = vec![
        (
            "7.1.1",
            vec![hello.clone(), normal.clone()],
            vec![hello.clone()],
            Some(1000),
        ),
        ("7.1.2", after(vec![normal.clone()]), vec![], Some(1000)),
        ("7.1.3", after(vec![frame(PING, "")]), vec![], Some(1000)),
        ("7.1.4", after(vec![hello.clone()]), vec![], Some(1000)),
        (
            "7.1.5",
            vec![frame(FIRST, "a"), normal.clone(), frame(LAST, "b")],
            vec![],
            Some(1000),
        ),
        (
            "7.1.6",
            vec![long.clone(), normal.clone(), frame(PING, "")],
            vec![long],
            Some(1000),
        ),
        (
            "7.3.1",
            vec![frame(CLOSE, "")],
            vec![frame(CLOSE, "")],
            None,
        ),
        ("7.3.2", vec![frame(CLOSE, "a")], vec![], Some(1002)),
        (
            "7.3.4",
            vec![close(1000, b"Hello World!")],
            vec![],
            Some(1000),
        ),
        ("7.3.5", vec![close(1000, &[b'*'; 123])], vec![], Some(1000)),
        ("7.3.6", vec![close(1000, &[b'*'; 124])], vec![], Some(1002)),
        (
            "7.5.1",
            vec![close(1000, b"\xce\xba\xed\xa0\x80")],
            vec![],
            Some(1007),
        ),
    ];
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        cases.push(("7.7", vec![close(code, b"")], vec![], Some(code)));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        cases.push(("7.9", vec![close(code, b"")], vec![], Some(1002)));
    }
    check(cases);
}

#[test]
fn a_side_that_masks_wrongly_is_refused() {
    for role in [Role::Server, Role::Client] {
        let mut messages = Messages::new(Buffer::default(), role, LIMIT);
        messages
            .inbox
            .extend(&written(role, &frame(TEXT, "as the other side")));
        assert_eq!(messages.step(), Err(Violation(CloseCode::PROTOCOL_ERROR)));
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_has_come() {
    let limited = || Messages::new(Buffer::default(), Role::Client, 100);
    let mut messages = limited();
    messages.inbox.extend(&[TEXT, 101]);
    assert_eq!(messages.step(), Err(Violation(CloseCode::TOO_BIG)));
    let mut messages = limited();
    messages
        .inbox
        .extend(&written(Role::Server, &frame(FIRST, [b'a'; 60])));
    assert_eq!(messages.step(), Ok(None));
    // A control frame between the fragments is no part of the message.
    messages
        .inbox
        .extend(&written(Role::Server, &frame(PING, [b'a'; 60])));
    assert_eq!(messages.step(), Ok(None));
    messages.inbox.extend(&[LAST, 41]);
    assert_eq!(messages.step(), Err(Violation(CloseCode::TOO_BIG)));
}

/// A long message leaves in the memory in which it came, a short one does not keep a buffer.
#[test]
fn messages_pass_on_to_another_socket() {
    for length in [0, 10, LONG_BYTES - 1, LONG_BYTES, 200_000] {
        for is_in_pieces in [false, true] {
            let mut from = Messages::new(Buffer::default(), Role::Server, LIMIT);
            let mut to = Messages::new(Buffer::default(), Role::Client, LIMIT);
            let payload = vec![b'x'; length];
            let (head, tail) = payload.split_at(length / 2);
            let frames = match is_in_pieces {
                false => vec![frame(TEXT, &payload)],
                true => vec![frame(FIRST, head), frame(LAST, tail)],
            };
            for frame in &frames {
                from.inbox.extend(&written(Role::Client, frame));
            }
            from.inbox
                .extend(&written(Role::Client, &frame(TEXT, "next")));
            assert_eq!(from.step(), Ok(Some(Event::Message { is_text: true })));
            let place = from.data().as_ptr();
            from.pass_to(&mut to, true);
            let is_in_place = (to.out.data().as_ptr_range()).contains(&place);
            assert_eq!(is_in_place, length >= LONG_BYTES && !is_in_pieces);
            assert!(read(&mut to.out, Role::Client) == [frame(TEXT, &payload)]);
            assert_eq!(from.step(), Ok(Some(Event::Message { is_text: true })));
            assert_eq!(&*from.take(), b"next");
            assert_eq!((from.received(), to.queued()), (0, 0));
        }
    }
}
