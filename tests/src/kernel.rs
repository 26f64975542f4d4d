//! The kernel's programs, loaded but not attached: fed with frames by `BPF_PROG_TEST_RUN`, read out by
//! their maps.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "aya's enum has thirty types of programs, the object has two"
)]

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::{
        Program, TcAttachType, TestRun as _, TestRunOptions, TestRunResult, Xdp, XdpMode,
        tc::SchedClassifierLink, xdp::XdpLink,
    },
};
use gateway_common::{Address, Config, Counters, Link, PeerFlows, Verdict, global, map, program};

/// Another object than the committed one, for `cargo xtask ebpf --check`.
const OBJECT_VARIABLE: &str = "KEYWAY_BPF_OBJECT";
/// Where packets come from in a test run unless it is said otherwise: the loopback device.
const INTERFACE: u32 = 1;
/// `struct __sk_buff` up to the field behind the last one that is set.
const SKB_LEN: usize = 184;
const SKB_GSO_SIZE: usize = 176;
const ETHERNET_LEN: usize = 14;
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// A loaded copy of all programs with maps of its own.
pub struct Kernel {
    ebpf: Ebpf,
}

/// What one run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    pub verdict: Verdict,
    /// Per packet, averaged by the kernel.
    pub duration: Duration,
}

impl Kernel {
    /// # Errors
    /// When the verifier refuses a program, or privileges are missing.
    pub fn load(link: Link) -> Result<Self> {
        let object = std::env::var_os(OBJECT_VARIABLE).map_or_else(
            || {
                PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                    .join("../gateway-ebpf/object/keyway.bpf.o")
            },
            PathBuf::from,
        );
        let mut ebpf = EbpfLoader::new()
            .override_global(global::LINK, &(link as u8), true)
            .load_file(&object)
            .with_context(|| format!("load {} (root is needed)", object.display()))?;
        for (name, program) in ebpf.programs_mut() {
            match program {
                Program::Xdp(xdp) => xdp.load(),
                Program::SchedClassifier(classifier) => classifier.load(),
                _ => bail!("{name} is of no known type"),
            }
            .with_context(|| format!("load {name}"))?;
        }
        Ok(Self { ebpf })
    }

    /// Puts an unconfigured XDP program, which passes everything, on an interface of the calling thread's
    /// namespace, as a stranger would. It goes with this value.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take_xdp(&mut self, interface: &str) -> Result<()> {
        let program = self.ebpf.program_mut(program::OUTER_XDP);
        let xdp: &mut Xdp = program.context("a program of this name")?.try_into()?;
        xdp.attach(interface, XdpMode::Driver)?;
        Ok(())
    }

    /// Replaces the configuration as the node does.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn configure(&mut self, config: Config) -> Result<()> {
        let mut active: Array<_, u32> = self.map(map::ACTIVE)?.try_into()?;
        let next = 1 - active.get(&0, 0)?;
        let mut configs: Array<_, Config> = self.map(map::CONFIG)?.try_into()?;
        configs.set(next, config, 0)?;
        active = self.map(map::ACTIVE)?.try_into()?;
        Ok(active.set(0, next, 0)?)
    }

    /// Makes an address a peer's.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn add_peer(&mut self, address: IpAddr) -> Result<()> {
        let key = Address::from(address);
        Ok(self.peers()?.insert(key, PeerFlows::default(), 0)?)
    }

    /// # Errors
    /// When it was none.
    pub fn remove_peer(&mut self, address: IpAddr) -> Result<()> {
        Ok(self.peers()?.remove(&Address::from(address))?)
    }

    /// # Errors
    /// When it is no peer.
    pub fn flows(&mut self, address: IpAddr) -> Result<PeerFlows> {
        Ok(self.peers()?.get(&Address::from(address), 0)?)
    }

    /// The interface's counters over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&mut self) -> Result<Counters> {
        let mut sum = Counters::default();
        let interfaces: PerCpuArray<_, Counters> = self.map(map::INTERFACES_LOW)?.try_into()?;
        for counters in interfaces.get(&INTERFACE, 0)?.iter() {
            for (sum, counter) in sum.by_reason.iter_mut().zip(counters.by_reason) {
                sum.packets += counter.packets;
                sum.bytes += counter.bytes;
            }
        }
        Ok(sum)
    }

    /// Whether the kernel's test run takes the frame for this program: it gives TC no Ethernet frame that
    /// ends within its IP header.
    pub fn takes(&self, name: &str, frame: &[u8]) -> bool {
        let is_tc = matches!(self.ebpf.program(name), Some(Program::SchedClassifier(_)));
        let header = match frame {
            [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, ..] => 20,
            [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, ..] => 40,
            _ => 0,
        };
        frame.len() >= ETHERNET_LEN + if is_tc { header } else { 0 }
    }

    /// Runs a program on a frame, `repeat` times.
    ///
    /// # Errors
    /// When the kernel does not, or the program gives none of its verdicts.
    pub fn run(&self, name: &str, frame: &[u8], repeat: u32) -> Result<Ran> {
        self.run_in(name, frame, repeat, None)
    }

    /// The same with a merged packet, of segments with so much payload. TC only.
    ///
    /// # Errors
    /// As [`Kernel::run`].
    pub fn run_merged(&self, name: &str, frame: &[u8], segment: u32) -> Result<Ran> {
        let mut context = [0; SKB_LEN];
        context[SKB_GSO_SIZE..SKB_GSO_SIZE + 4].copy_from_slice(&segment.to_ne_bytes());
        self.run_in(name, frame, 1, Some(&context))
    }

    fn run_in(&self, name: &str, frame: &[u8], repeat: u32, ctx_in: Option<&[u8]>) -> Result<Ran> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in,
            repeat,
            ..TestRunOptions::default()
        };
        let program = self.ebpf.program(name).context("a program of this name")?;
        let (result, is_xdp) = match program {
            Program::Xdp(xdp) => (xdp.test_run(options), true),
            Program::SchedClassifier(classifier) => (classifier.test_run(options), false),
            _ => bail!("{name} is of no known type"),
        };
        let TestRunResult {
            return_value,
            duration,
            ..
        } = result.with_context(|| format!("run {name}"))?;
        let verdict = match (is_xdp, return_value) {
            (true, XDP_PASS) | (false, TC_ACT_UNSPEC) => Verdict::Pass,
            (true, XDP_DROP) | (false, TC_ACT_SHOT) => Verdict::Drop,
            (_, other) => bail!("{name} returned {other}"),
        };
        Ok(Ran { verdict, duration })
    }

    /// Puts a program on an interface of the calling thread's namespace: XDP in its driver, TC at its
    /// ingress.
    ///
    /// # Errors
    /// When the kernel does not.
    pub fn attach(&mut self, name: &str, interface: &str) -> Result<Attachment> {
        let program = self
            .ebpf
            .program_mut(name)
            .context("a program of this name")?;
        let attached = match program {
            Program::Xdp(xdp) => {
                let id = xdp.attach(interface, XdpMode::Driver)?;
                Attached::Xdp(xdp.take_link(id)?)
            }
            Program::SchedClassifier(classifier) => {
                let id = classifier.attach(interface, TcAttachType::Ingress)?;
                Attached::Tc(classifier.take_link(id)?)
            }
            _ => bail!("{name} is of no known type"),
        };
        Ok(Attachment(attached))
    }

    /// Instructions that the verifier looked at.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn verified_instructions(&self, name: &str) -> Result<u32> {
        let program = self.ebpf.program(name).context("a program of this name")?;
        let info = match program {
            Program::Xdp(xdp) => xdp.info(),
            Program::SchedClassifier(classifier) => classifier.info(),
            _ => bail!("{name} is of no known type"),
        }?;
        info.verified_instruction_count()
            .context("the kernel does not count")
    }

    fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.ebpf.map_mut(name).with_context(|| name.to_owned())
    }

    fn peers(&mut self) -> Result<HashMap<&mut MapData, Address, PeerFlows>> {
        Ok(self.map(map::PEERS)?.try_into()?)
    }
}

/// A program's place on an interface; dropped, it is gone.
pub struct Attachment(#[expect(dead_code, reason = "held until it is dropped")] Attached);

#[expect(dead_code, reason = "held until they are dropped")]
enum Attached {
    Xdp(XdpLink),
    Tc(SchedClassifierLink),
}

/// All programs by name.
pub const PROGRAMS: [&str; 5] = [
    program::OUTER_XDP,
    program::OUTER_XDP_LINEAR,
    program::OUTER_TC,
    program::OVERLAY_INGRESS,
    program::OVERLAY_EGRESS,
];
