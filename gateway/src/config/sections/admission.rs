//! `[admission]`: the kernel program in front of the endpoint.

use std::path::PathBuf;

use super::super::{
    AdmissionConfig, AdmissionHook, AdmissionMode, Keeper, reader::Reader, value::Pins,
};

const SECTION: &str = "admission";

/// More lines of dropped packets per second and processor than this would only hurt.
const LOG_DROPS_MAX: usize = 1000;

pub(super) fn read(reader: &mut Reader<'_>) -> AdmissionConfig {
    AdmissionConfig {
        mode: reader.get(
            SECTION,
            "mode",
            AdmissionMode::Preferred,
            "The kernel program in front: \"required\" (no start without it), \"preferred\" or \"off\".",
        ),
        networks: reader.get(
            SECTION,
            "networks",
            Vec::new(),
            "Networks that peers' addresses lie in, such as \"100.64.0.0/10\"; empty means those of the device.",
        ),
        include: reader.get(
            SECTION,
            "include",
            Vec::new(),
            "Other interfaces to cover, such as \"eth*\" (`*` any characters, `?` one); empty means all.\nThe overlay's device always is covered, the loopback device never.",
        ),
        exclude: reader.get(
            SECTION,
            "exclude",
            Vec::new(),
            "Other interfaces to leave alone, although `include` has them.",
        ),
        hooks: reader.get(
            SECTION,
            "hooks",
            vec![
                AdmissionHook::Native,
                AdmissionHook::Generic,
                AdmissionHook::Tc,
            ],
            "What may be used there, the first that works: XDP in the driver (\"native\"; attaching may reset a\ncard's link), XDP in the kernel's stack (\"generic\"), traffic control (\"tc\").",
        ),
        log_drops: reader.get_in(
            SECTION,
            "log_drops",
            0,
            0..=LOG_DROPS_MAX,
            "Dropped packets to log, per second and processor; 0 is none.",
        ) as u32,
        pins: reader
            .get(
                SECTION,
                "pins",
                Pins(Some(PathBuf::from("/sys/fs/bpf/keyway"))),
                "Directory in a bpffs that keeps the kernel program in front while no node runs; \"\": it ends with the node.",
            )
            .0,
        keeper: reader.get(
            SECTION,
            "keeper",
            Keeper::Node,
            "Who attaches it: \"node\", with capabilities, or \"unit\" (keyway-admission.service), so that the node needs none.",
        ),
        group: reader.get(
            SECTION,
            "group",
            "keyway".to_owned(),
            "The node's group, which may open what the unit pins.",
        ),
        state: reader.get(
            SECTION,
            "state",
            PathBuf::from("/run/keyway-admission/state.json"),
            "Where the unit tells the node what it covers.",
        ),
    }
}
