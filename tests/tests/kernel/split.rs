//! Packets whose headers do not all lie in the first buffer.

use gateway_common::{Link, Reason, program};
use gateway_tests::frame::Frame;

use crate::{assert_counted, both};

/// Six headers of 2 KiB: whatever a first buffer holds, the port is behind it.
#[test]
fn a_port_behind_the_first_buffer_is_found() {
    let (mut kernel, mut reference) = both(Link::Ethernet);
    for (destination, expected) in [
        ("[fd00::1]:443", Reason::NotOverlay),
        ("[fd00::1]:22", Reason::Other),
    ] {
        let frame = Frame::new("[2001:db8::9]:1", destination)
            .extensions(&[(60, 255); 6])
            .bytes();
        assert_eq!(reference.run(program::OUTER_XDP, &frame, 0), expected);
        let ran = kernel.run(program::OUTER_XDP, &frame, 1).unwrap();
        assert_eq!(ran.verdict, expected.verdict());
    }
    assert_counted(&mut kernel, &reference);
}
