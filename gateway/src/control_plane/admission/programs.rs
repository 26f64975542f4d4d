//! One loaded copy of the kernel's programs, with maps of its own. All interfaces of one link layer
//! share it.

use std::{error::Error, fs, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData},
    programs::{SchedClassifier, Xdp},
};
use gateway_common::{Address, Config, Link, PeerFlows, global, map, program};

use super::{
    bpf,
    counts::Counts,
    foreign,
    hook::{self, Hook, HookMode, Slot},
    interface::Interface,
    layout,
    logs::DropLog,
    pins::Pins,
    problem::{Problem, errno},
};
use crate::config::AdmissionHook;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../gateway-ebpf/object/keyway.bpf.o"
));

/// Why looking up by name cannot fail.
pub(super) const NAMED: &str =
    "the committed object has the names of gateway-common, with their types";

pub(super) struct Programs {
    ebpf: Ebpf,
    counts: Counts,
    /// The XDP program that this kernel takes.
    outer_xdp: &'static str,
}

/// What was attached to an interface.
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
    /// Loads the programs on the maps that are pinned, else on new ones. Attached with an empty
    /// configuration they would pass everything.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn load(link: Link, pins: Option<&Pins>) -> Result<Self, Problem> {
        let failed = |error: &(dyn Error + 'static)| Problem::of("load the kernel programs", error);
        let set = pins.map(|pins| pins.set(link)).transpose()?;
        let kind = link as u8;
        let mut loader = EbpfLoader::new();
        loader.override_global(global::LINK, &kind, true);
        if let Some(set) = &set {
            remove_misfits(set)?;
            for name in [
                map::CONFIG,
                map::ACTIVE,
                map::PEERS,
                map::INTERFACES_LOW,
                map::INTERFACES,
            ] {
                loader.map_pin_path(name, set.join(name));
            }
        }
        let mut ebpf = loader.load(OBJECT).map_err(|error| failed(&error))?;
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
        let counts = Counts::take(&mut ebpf, set.as_deref())?;
        let mut programs = Self {
            ebpf,
            counts,
            outer_xdp,
        };
        if let Some(pins) = pins {
            for older in pins.older_sets(link) {
                programs.take_peers(&older.join(map::PEERS))?;
            }
            pins.share(link)?;
        }
        Ok(programs)
    }

    /// What the programs go by now.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub(super) fn config(&mut self) -> Result<Config, Problem> {
        let read = (|| {
            let active: Array<_, u32> = self.map(map::ACTIVE).try_into()?;
            let slot = active.get(&0, 0)?.min(1);
            let configs: Array<_, Config> = self.map(map::CONFIG).try_into()?;
            configs.get(&slot, 0)
        })();
        read.map_err(|error| Problem::of("read the kernel's configuration", &error))
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

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// The peers' map.
    pub(super) fn peers(&mut self) -> &mut Map {
        self.map(map::PEERS)
    }

    /// Puts a program in front of an interface: in the place of the one that is pinned there, else at the
    /// first of `hooks` that works. A foreign XDP program stays.
    ///
    /// # Errors
    /// When nothing works; the reason is that of the last hook.
    pub(super) fn attach_outer(
        &mut self,
        interface: &Interface,
        hooks: &[AdmissionHook],
        pins: Option<&Pins>,
    ) -> Result<Attached, Problem> {
        let mut present = interface.xdp;
        if let Some(pins) = pins {
            for (hook, slot, mode) in [
                (AdmissionHook::Native, Slot::Native, HookMode::Native),
                (AdmissionHook::Generic, Slot::Generic, HookMode::Generic),
            ] {
                let xdp = xdp(&mut self.ebpf, self.outer_xdp);
                if hooks.contains(&hook)
                    && let Ok(replaced) = hook::replace_xdp(xdp, interface.index, slot, pins)
                {
                    return Ok(Attached {
                        mode,
                        hooks: vec![replaced],
                        foreign: None,
                    });
                }
                // What cannot be replaced, or may not be used any more, was ours, and would be in the way.
                if fs::remove_file(pins.link(interface.index, slot)).is_ok() {
                    present = None;
                }
            }
        }
        let interface = &Interface {
            xdp: present,
            ..interface.clone()
        };
        let mut foreign = None;
        let mut last = None;
        for hook in hooks {
            let (mode, attached) = match hook {
                AdmissionHook::Native => (
                    HookMode::Native,
                    self.attach_xdp(interface, Slot::Native, pins, &mut foreign),
                ),
                AdmissionHook::Generic => (
                    HookMode::Generic,
                    self.attach_xdp(interface, Slot::Generic, pins, &mut foreign),
                ),
                AdmissionHook::Tc => (
                    HookMode::Tc,
                    self.attach_tc(interface, program::OUTER_TC, Slot::Tc, pins),
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
        slot: Slot,
        pins: Option<&Pins>,
        foreign: &mut Option<u32>,
    ) -> Result<Hook, Problem> {
        // Native and generic exclude each other too.
        if let Some(program) = foreign.or(interface.xdp) {
            *foreign = Some(program);
            return Err(foreign::in_the_way(program));
        }
        let xdp = xdp(&mut self.ebpf, self.outer_xdp);
        hook::attach_xdp(xdp, interface.index, slot, pins).map_err(|error| {
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
    /// When one cannot be attached; then neither is, unless it was before.
    pub(super) fn attach_overlay(
        &mut self,
        interface: &Interface,
        pins: Option<&Pins>,
    ) -> Result<Attached, Problem> {
        let sides = [
            (program::OVERLAY_INGRESS, Slot::OverlayIngress),
            (program::OVERLAY_EGRESS, Slot::OverlayEgress),
        ];
        let hooks = (sides.into_iter())
            .map(|(program, slot)| self.attach_tc(interface, program, slot, pins))
            .collect::<Result<_, _>>()?;
        Ok(Attached {
            mode: HookMode::Tc,
            hooks,
            foreign: None,
        })
    }

    fn attach_tc(
        &mut self,
        interface: &Interface,
        program: &'static str,
        slot: Slot,
        pins: Option<&Pins>,
    ) -> Result<Hook, Problem> {
        let classifier = classifier(&mut self.ebpf, program);
        let device = (interface.name.as_str(), interface.index);
        hook::attach_tc(classifier, program, device, slot, pins)
            .map_err(|error| Problem::of(&format!("attach to {}", interface.name), &error))
    }

    /// Makes the addresses of another version's map known too; only its keys are read. The programs go
    /// from the one map to the other without a moment in which a peer is a stranger.
    fn take_peers(&mut self, older: &Path) -> Result<(), Problem> {
        // What cannot be read, or has other keys, is of no use.
        let Ok(older) = MapData::from_pin(older) else {
            return Ok(());
        };
        let fits = |info: aya::maps::MapInfo| info.key_size() as usize == size_of::<Address>();
        if !older.info().is_ok_and(fits) {
            return Ok(());
        }
        let mut peers: HashMap<_, Address, PeerFlows> = self.peers().try_into().expect(NAMED);
        let mut key = None;
        while let Ok(Some(address)) = bpf::next_address(older.fd(), key.as_ref()) {
            if peers.get(&address, 0).is_err() {
                (peers.insert(address, PeerFlows::default(), 0))
                    .map_err(|error| Problem::of("take over the kernel's peers", &error))?;
            }
            key = Some(address);
        }
        Ok(())
    }

    fn map(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).expect(NAMED)
    }
}

/// What is pinned and is not what its name says would not load, or would be read wrongly.
fn remove_misfits(set: &Path) -> Result<(), Problem> {
    for map in &layout::MAPS {
        let path = set.join(map.name);
        if path.exists() && !map.fits(&path) {
            fs::remove_file(&path).map_err(|error| Problem::of_file("remove", &path, &error))?;
        }
    }
    Ok(())
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod tests {
    use std::{process::Command, thread};

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn said(line: &str) -> String {
        let mut words = line.split(' ');
        let output = Command::new(words.next().unwrap())
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn without_links_a_filter_takes_its_forerunners_place() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: TC filters, needs root for BPF and a network namespace");
            return;
        }
        // A thread of its own, as it leaves the host's network.
        let work = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            said("ip link add kw0 type veth peer name kw1");
            let shown = || said("tc filter show dev kw0 ingress");
            let mut ids = Vec::new();
            let mut hooks = Vec::new();
            for _ in 0..2 {
                let mut programs = Programs::load(Link::Ethernet, None).unwrap();
                let classifier = classifier(&mut programs.ebpf, program::OUTER_TC);
                let name = program::OUTER_TC;
                let hook = hook::attach_filter(classifier, name, "kw0", Slot::Tc, true);
                hooks.push(hook.unwrap());
                ids.push(classifier.info().unwrap().id());
                // The programs are dropped, and what they attached stays.
            }
            let filters = shown();
            assert_eq!(filters.matches("direct-action").count(), 1, "{filters}");
            assert!(filters.contains(&format!("id {}", ids[1])), "{filters}");
            hooks.pop().unwrap().release();
            assert!(!shown().contains("direct-action"));
        });
        work.join().unwrap();
    }
}
