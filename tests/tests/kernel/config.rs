//! Changes while the programs run.

use gateway_common::{Config, Link, Network, Verdict, program};
use gateway_tests::frame::{Frame, SYN};

use crate::{assert_counted, both, ip};

#[test]
fn without_a_configuration_everything_passes() {
    let (mut kernel, mut reference) = both(Link::Ethernet);
    kernel.configure(Config::default()).unwrap();
    reference.config = Config::default();
    let frame = Frame::new("203.0.113.9:1", "100.64.0.1:443").bytes();
    for program in [program::OUTER_XDP, program::OVERLAY_INGRESS] {
        reference.run(program, &frame, 0);
        let ran = kernel.run(program, &frame, 1).unwrap();
        assert_eq!(ran.verdict, Verdict::Pass);
    }
    assert_counted(&mut kernel, &reference);
}

#[test]
fn the_endpoint_moves() {
    let (mut kernel, _) = both(Link::Ethernet);
    let old = Frame::new("100.64.0.7:1", "100.64.0.1:443").bytes();
    let new = Frame::new("100.64.0.7:1", "100.64.9.9:443").bytes();
    let networks = [Network::new(ip("100.64.0.0"), 16).unwrap()];
    let config = Config::new(&[ip("100.64.9.9")], &[443], &networks).unwrap();
    kernel.configure(config).unwrap();
    for (frame, verdict) in [(&old, Verdict::Pass), (&new, Verdict::Drop)] {
        let ran = kernel.run(program::OUTER_XDP, frame, 1).unwrap();
        assert_eq!(ran.verdict, verdict);
    }
}

/// A peer's next packet after its removal is dropped; when it returns, its counters begin anew.
#[test]
fn a_peer_goes_and_returns() {
    let (mut kernel, _) = both(Link::Ip);
    let peer = ip("100.64.0.7");
    let frame = Frame::new("100.64.0.7:1", "100.64.0.1:443");
    let frame = frame.link(Link::Ip).flags(SYN).bytes();
    let run = |kernel: &gateway_tests::kernel::Kernel| {
        kernel
            .run(program::OVERLAY_INGRESS, &frame, 1)
            .unwrap()
            .verdict
    };
    assert_eq!(run(&kernel), Verdict::Pass);
    kernel.remove_peer(peer).unwrap();
    assert_eq!(run(&kernel), Verdict::Drop);
    kernel.add_peer(peer).unwrap();
    assert_eq!(kernel.flows(peer).unwrap().ingress.packets, 0);
    assert_eq!(run(&kernel), Verdict::Pass);
    assert_eq!(kernel.flows(peer).unwrap().ingress.connections, 1);
}

/// With logging on the verdicts are the same; how much is logged is bounded, which the ring's content shows
/// in the node's own tests.
#[test]
fn logging_changes_no_verdict() {
    let (mut kernel, mut reference) = both(Link::Ethernet);
    kernel.configure(reference.config.with_log(5)).unwrap();
    let frame = Frame::new("203.0.113.9:1", "100.64.0.1:443").bytes();
    for _ in 0..20 {
        for program in [
            program::OUTER_XDP,
            program::OUTER_TC,
            program::OVERLAY_INGRESS,
        ] {
            reference.run(program, &frame, 0);
            let ran = kernel.run(program, &frame, 1).unwrap();
            assert_eq!(ran.verdict, Verdict::Drop);
        }
    }
    assert_counted(&mut kernel, &reference);
}
