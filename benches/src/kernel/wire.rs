//! Two machines and a cable: network namespaces and a veth pair. One sends the same frame as fast as it can;
//! what the other spends on each is read from the thread that the kernel receives on.

use std::{
    fs,
    net::UdpSocket,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::namespace::{Namespace, ip};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::bpf::Program;
use crate::placement::{self, Placement};

/// The receiver's end of the cable.
pub(super) const DEVICE: &str = "kwb1";
const FAR_DEVICE: &str = "kwb0";
/// What the frames of `gateway_tests::frame` are sent to and from.
const ADDRESS: &str = "02:00:00:00:00:01";
const FAR_ADDRESS: &str = "02:00:00:00:00:02";
/// The receiver's core, and the sender's.
const CORES: [usize; 2] = [0, 1];
/// Frames per system call of the sender.
const BATCH: u32 = 1 << 14;
const START_TIME_MAX: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_millis(50);
/// For what is under way when the sender stops.
const SETTLE: Duration = Duration::from_millis(20);
const WINDOW: Duration = Duration::from_millis(250);
/// As small as the kernel makes it: it is never read.
const SOCKET_BUFFER: i32 = 1;

/// Both machines, joined.
pub(super) struct Wire {
    near: Namespace,
    far: Namespace,
    redirect: Program,
}

/// What one window of load cost the receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// CPU time of the receiving thread.
    pub(super) ns_per_packet: f64,
    pub(super) packets_per_second: f64,
    /// The share of them that came as far as TCP or UDP.
    pub(super) reached: f64,
}

impl Wire {
    pub(super) fn new() -> Result<Self> {
        let (near, far) = (Namespace::new()?, Namespace::new()?);
        near.run(|| {
            ip(&format!(
                "link add {DEVICE} address {ADDRESS} type veth peer name {FAR_DEVICE} address {FAR_ADDRESS} netns {}",
                far.path()
            ))?;
            for address in ["192.0.2.1/24", "100.64.0.1/32"] {
                ip(&format!("address add {address} dev {DEVICE}"))?;
            }
            ip(&format!("link set {DEVICE} up"))?;
            ip(&format!(
                "neighbour add 192.0.2.2 lladdr {FAR_ADDRESS} dev {DEVICE}"
            ))
        })?;
        let index = far.run(|| {
            ip(&format!("link set {FAR_DEVICE} up"))?;
            Ok(nix::net::if_::if_nametoindex(FAR_DEVICE)?)
        })?;
        let redirect = Program::redirect(index)?;
        Ok(Self {
            near,
            far,
            redirect,
        })
    }

    /// Runs `work` on the receiver's machine, with `/sys` as it is there and a file system for programs.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.near.run(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
            mount(
                Some("bpf"),
                "/sys/fs/bpf",
                Some("bpf"),
                MsFlags::empty(),
                none,
            )?;
            work()
        })
    }

    /// Sends `frame` for a while, and measures. Call it within [`Wire::run`].
    pub(super) fn load(&self, receiver: &Receiver, frame: &[u8]) -> Result<Cost> {
        let stop = AtomicBool::new(false);
        let first = receiver.look()?;
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                self.far.run(|| {
                    Placement {
                        core: CORES[1],
                        realtime: true,
                    }
                    .enter()?;
                    while !stop.load(Ordering::Relaxed) {
                        self.redirect.run_live(frame, BATCH)?;
                    }
                    Ok(())
                })
            });
            let started = receiver.wait_for_packets(&first);
            thread::sleep(WARM_UP);
            let before = receiver.look();
            thread::sleep(WINDOW);
            let after = receiver.look();
            stop.store(true, Ordering::Relaxed);
            sender
                .join()
                .map_err(|_| anyhow::anyhow!("the sender panicked"))??;
            started?;
            thread::sleep(SETTLE);
            let (before, after, last) = (before?, after?, receiver.look()?);
            let packets = (after.packets - before.packets) as f64;
            ensure!(packets > 0.0, "no packet came");
            Ok(Cost {
                ns_per_packet: (after.cpu_ns - before.cpu_ns) as f64 / packets,
                packets_per_second: packets / (after.at - before.at).as_secs_f64(),
                reached: (last.reached - first.reached) as f64
                    / (last.packets - first.packets) as f64,
            })
        })
    }
}

/// The thread that the kernel receives on, for this device alone, and a socket that takes what passes until
/// it is full.
pub(super) struct Receiver {
    thread: i32,
    _socket: UdpSocket,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    cpu_ns: u64,
    packets: u64,
    reached: u64,
}

impl Receiver {
    /// Makes the device receive as a network card does (NAPI), on a thread of its own. Call it within
    /// [`Wire::run`].
    pub(super) fn new() -> Result<Self> {
        let output = Command::new("ethtool")
            .args(["-K", DEVICE, "gro", "on"])
            .output()
            .context("run ethtool (Debian: ethtool)")?;
        ensure!(output.status.success(), "ethtool: {output:?}");
        fs::write(format!("/sys/class/net/{DEVICE}/threaded"), "1")
            .context("receive on a thread (Linux 5.12 and later)")?;
        let thread = receiving_thread()?;
        placement::move_thread(thread, CORES[0])?;
        let socket = UdpSocket::bind("192.0.2.1:9")?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER as usize)?;
        Ok(Self {
            thread,
            _socket: socket,
        })
    }

    fn wait_for_packets(&self, first: &Look) -> Result<()> {
        let deadline = first.at + START_TIME_MAX;
        while self.look()?.packets < first.packets + u64::from(BATCH) {
            ensure!(Instant::now() < deadline, "no packets came");
            thread::sleep(SETTLE);
        }
        Ok(())
    }

    fn look(&self) -> Result<Look> {
        let read = |path: String| fs::read_to_string(&path).context(path);
        let cpu = read(format!("/proc/{}/schedstat", self.thread))?;
        let packets = read(format!("/sys/class/net/{DEVICE}/statistics/rx_packets"))?;
        Ok(Look {
            at: Instant::now(),
            cpu_ns: (cpu.split(' ').next()).unwrap_or_default().parse()?,
            packets: packets.trim().parse()?,
            reached: reached(&read("/proc/thread-self/net/snmp".to_owned())?)
                .context("the counters of TCP and UDP")?,
        })
    }
}

fn receiving_thread() -> Result<i32> {
    let name = format!("napi/{DEVICE}-");
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.starts_with(&name) {
            return Ok(entry.file_name().to_string_lossy().parse()?);
        }
    }
    anyhow::bail!("the kernel started no thread {name}")
}

/// Segments and datagrams that came as far as their protocol: the sums of `/proc/net/snmp`.
fn reached(snmp: &str) -> Option<u64> {
    let sum = |protocol: &str, wanted: &[&str]| {
        let mut lines = snmp.lines().filter(|line| line.starts_with(protocol));
        let (names, values) = (lines.next()?, lines.next()?);
        let counted = names.split(' ').zip(values.split(' '));
        Some(
            counted
                .filter(|(name, _)| wanted.contains(name))
                .filter_map(|(_, value)| value.parse::<u64>().ok())
                .sum::<u64>(),
        )
    };
    Some(sum("Tcp:", &["InSegs"])? + sum("Udp:", &["InDatagrams", "NoPorts", "InErrors"])?)
}

/// Fills in the checksums of an IPv4 frame without options: a host looks at them.
pub(super) fn with_checksums(mut frame: Vec<u8>) -> Vec<u8> {
    const IP: usize = 14;
    const TRANSPORT: usize = IP + 20;
    let sum = checksum(&frame[IP..TRANSPORT], 0);
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    let protocol = frame[IP + 9];
    if protocol == gateway_tests::frame::TCP {
        let length = (frame.len() - TRANSPORT) as u32;
        let mut pseudo = u32::from(protocol) + length;
        for pair in frame[IP + 12..TRANSPORT].chunks_exact(2) {
            pseudo += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        let sum = checksum(&frame[TRANSPORT..], pseudo);
        frame[TRANSPORT + 16..TRANSPORT + 18].copy_from_slice(&sum.to_be_bytes());
    } else {
        // UDP: its length; no checksum is a checksum of zero.
        let length = (frame.len() - TRANSPORT) as u16;
        frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&length.to_be_bytes());
    }
    frame
}

/// RFC 1071.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfcs() {
        // RFC 1071, section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes, 0), !0xddf2);
        let frame = gateway_tests::frame::Frame::new("192.0.2.2:1", "100.64.0.1:443").bytes();
        let frame = with_checksums(frame);
        assert_eq!(
            checksum(&frame[14..34], 0),
            0,
            "sums to nothing with itself"
        );
    }

    #[test]
    fn what_reached_its_protocol_is_summed() {
        let snmp = "Ip: A B\nIp: 1 2\nTcp: InSegs OutSegs\nTcp: 5 6\n\
                    Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 1 2 3 4 5\n\
                    UdpLite: InDatagrams\nUdpLite: 9\n";
        assert_eq!(reached(snmp), Some(11));
    }
}
