//! One loaded copy of the kernel's programs, with maps of its own. All interfaces of one link layer
//! share it.

use std::error::Error;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues},
    programs::{SchedClassifier, TcAttachType, Xdp, XdpMode, tc},
    util::nr_cpus,
};
use gateway_common::{Config, Counters, INTERFACES_LOW, Link, global, map, program};

use super::{
    foreign,
    hook::{Hook, HookMode},
    interface::Interface,
    logs::DropLog,
    problem::{Problem, errno},
};
use crate::config::AdmissionHook;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../gateway-ebpf/object/keyway.bpf.o"
));

/// What is counted on interfaces without an entry of their own lands under this index.
pub(super) const UNLISTED: u32 = 0;

/// Why looking up by name cannot fail.
const NAMED: &str = "the committed object has the names of gateway-common, with their types";

pub(super) struct Programs {
    ebpf: Ebpf,
    /// The XDP program that this kernel takes.
    outer_xdp: &'static str,
}

/// What was attached to an outer interface.
pub(super) struct Attached {
    pub(super) mode: HookMode,
    pub(super) hooks: Vec<Hook>,
    /// Id of the XDP program that was in the way.
    pub(super) foreign: Option<u32>,
}

impl Attached {
    pub(super) fn nothing() -> Self {
        Self {
            mode: HookMode::None,
            hooks: Vec::new(),
            foreign: None,
        }
    }

    /// As the configuration wants it.
    pub(super) fn excluded() -> Self {
        Self {
            mode: HookMode::Excluded,
            ..Self::nothing()
        }
    }
}

impl Programs {
    /// Loads the programs with an empty configuration: attached, they would pass everything.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn load(link: Link) -> Result<Self, Problem> {
        let failed = |error: &(dyn Error + 'static)| Problem::of("load the kernel programs", error);
        let mut ebpf = EbpfLoader::new()
            .override_global(global::LINK, &(link as u8), true)
            .load(OBJECT)
            .map_err(|error| failed(&error))?;
        let mut outer_xdp = program::OUTER_XDP;
        if let Err(error) = xdp(&mut ebpf, program::OUTER_XDP).load() {
            // Kernels before 5.18 know no fragments.
            outer_xdp = program::OUTER_XDP_LINEAR;
            xdp(&mut ebpf, outer_xdp)
                .load()
                .map_err(|_| failed(&error))?;
        }
        for name in [
            program::OUTER_TC,
            program::OVERLAY_INGRESS,
            program::OVERLAY_EGRESS,
        ] {
            classifier(&mut ebpf, name)
                .load()
                .map_err(|error| failed(&error))?;
        }
        let mut programs = Self { ebpf, outer_xdp };
        programs.count(UNLISTED)?;
        Ok(programs)
    }

    /// Replaces the configuration whole. The last replacement must lie `CONFIG_GRACE` back.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub(super) fn configure(&mut self, config: Config) -> Result<(), Problem> {
        let written = (|| {
            let mut active: Array<_, u32> = self.map(map::ACTIVE).try_into()?;
            let next = 1 - active.get(&0, 0)?.min(1);
            let mut configs: Array<_, Config> = self.map(map::CONFIG).try_into()?;
            configs.set(next, config, 0)?;
            active = self.map(map::ACTIVE).try_into()?;
            active.set(0, next, 0)
        })();
        written.map_err(|error| Problem::of("write the kernel's configuration", &error))
    }

    /// Gives an interface counters of its own, at zero.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub(super) fn count(&mut self, index: u32) -> Result<(), Problem> {
        let cpus = nr_cpus().map_err(|(_, error)| Problem::of("count processors", &error))?;
        let inserted = PerCpuValues::try_from(vec![Counters::default(); cpus])
            .map_err(aya::maps::MapError::from)
            .and_then(|zeroed| match index {
                ..INTERFACES_LOW => self.low_interfaces().set(index, zeroed, 0),
                _ => self.interfaces().insert(index, zeroed, 0),
            });
        inserted.map_err(|error| Problem::of("make an interface's counters", &error))
    }

    /// An interface's counters over all CPUs; zero when it has none.
    pub(super) fn counters(&mut self, index: u32) -> Counters {
        let counted = match index {
            ..INTERFACES_LOW => self.low_interfaces().get(&index, 0),
            _ => self.interfaces().get(&index, 0),
        };
        let mut sum = Counters::default();
        if let Ok(values) = counted {
            values.iter().for_each(|counters| add(&mut sum, counters));
        }
        sum
    }

    /// Forgets an interface, and returns what it had counted.
    pub(super) fn forget(&mut self, index: u32) -> Counters {
        let last = self.counters(index);
        // There may be none: counting failed when it came. Those of a low index stay in their array until
        // another interface has it, which begins at zero.
        let _ = self.interfaces().remove(&index);
        last
    }

    /// The peers' map.
    pub(super) fn peers(&mut self) -> &mut Map {
        self.map(map::PEERS)
    }

    /// Puts a program in front of an interface, at the first of `hooks` that works. A foreign XDP program
    /// stays.
    ///
    /// # Errors
    /// When nothing works; the reason is that of the last hook.
    pub(super) fn attach_outer<'a>(
        &mut self,
        interface: &Interface,
        hooks: impl IntoIterator<Item = &'a AdmissionHook>,
    ) -> Result<Attached, Problem> {
        let mut foreign = None;
        let mut last = None;
        for hook in hooks {
            let (mode, attached) = match hook {
                AdmissionHook::Native => (
                    HookMode::Native,
                    self.attach_xdp(interface, XdpMode::Driver, &mut foreign),
                ),
                AdmissionHook::Generic => (
                    HookMode::Generic,
                    self.attach_xdp(interface, XdpMode::Skb, &mut foreign),
                ),
                AdmissionHook::Tc => (
                    HookMode::Tc,
                    self.attach_tc(&interface.name, program::OUTER_TC, TcAttachType::Ingress),
                ),
            };
            match attached {
                Ok(attached) => {
                    let hooks = vec![attached];
                    return Ok(Attached {
                        mode,
                        hooks,
                        foreign,
                    });
                }
                Err(problem) => last = Some(problem),
            }
        }
        Err(last.unwrap_or_else(|| Problem::new("no hook may be used")))
    }

    /// `foreign` is set when the place is taken.
    fn attach_xdp(
        &mut self,
        interface: &Interface,
        mode: XdpMode,
        foreign: &mut Option<u32>,
    ) -> Result<Hook, Problem> {
        // Native and generic exclude each other too.
        if let Some(program) = foreign.or(interface.xdp) {
            *foreign = Some(program);
            return Err(foreign::in_the_way(program));
        }
        let xdp = xdp(&mut self.ebpf, self.outer_xdp);
        let attached = xdp
            .attach_to_if_index(interface.index, mode)
            .and_then(|id| xdp.take_link(id));
        attached.map(Hook::Xdp).map_err(|error| {
            if matches!(errno(&error), Some(libc::EBUSY | libc::EEXIST)) {
                *foreign = Some(foreign::UNKNOWN);
            }
            Problem::of(&format!("attach XDP to {}", interface.name), &error)
        })
    }

    /// The programs' lines about drops, for a reader; once.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn log(&mut self) -> Result<DropLog, Problem> {
        DropLog::open(&mut self.ebpf)
    }

    /// Puts both TC programs on the overlay's device.
    ///
    /// # Errors
    /// When one cannot be attached; then neither is.
    pub(super) fn attach_overlay(&mut self, name: &str) -> Result<Vec<Hook>, Problem> {
        Ok(vec![
            self.attach_tc(name, program::OVERLAY_INGRESS, TcAttachType::Ingress)?,
            self.attach_tc(name, program::OVERLAY_EGRESS, TcAttachType::Egress)?,
        ])
    }

    fn attach_tc(
        &mut self,
        interface: &str,
        program: &str,
        side: TcAttachType,
    ) -> Result<Hook, Problem> {
        // Before TCX (Linux 6.6) TC programs hang on this queueing discipline; it may be there already.
        let _ = tc::qdisc_add_clsact(interface);
        let classifier = classifier(&mut self.ebpf, program);
        classifier
            .attach(interface, side)
            .and_then(|id| classifier.take_link(id))
            .map(Hook::Tc)
            .map_err(|error| Problem::of(&format!("attach to {interface}"), &error))
    }

    fn map(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).expect(NAMED)
    }

    fn low_interfaces(&mut self) -> PerCpuArray<&mut MapData, Counters> {
        self.map(map::INTERFACES_LOW).try_into().expect(NAMED)
    }

    fn interfaces(&mut self) -> PerCpuHashMap<&mut MapData, u32, Counters> {
        self.map(map::INTERFACES).try_into().expect(NAMED)
    }
}

/// Adds `more` to `sum`.
pub(super) fn add(sum: &mut Counters, more: &Counters) {
    for (sum, more) in sum.by_reason.iter_mut().zip(more.by_reason) {
        sum.packets += more.packets;
        sum.bytes += more.bytes;
    }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect(NAMED)
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect(NAMED)
}
