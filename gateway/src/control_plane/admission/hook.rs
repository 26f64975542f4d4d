//! A program attached to an interface.

use std::{fs, io, path::PathBuf};

use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::{FdLink, LinkError, LinkOrder, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    xdp::XdpLink,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{pins::Pins, problem::errno};

/// Priority and handle of our filters where there are no TCX links: they cannot be pinned, so this is how
/// the next process finds them. The number is arbitrary.
const FILTER_PRIORITY: u16 = 19_287;
const FILTER_HANDLE: TcHandle = TcHandle::new(0, 1);

/// Detaches when dropped, unless it is pinned.
pub(super) enum Hook {
    #[expect(dead_code, reason = "held for what dropping it does")]
    Xdp(XdpLink),
    #[expect(dead_code, reason = "held for what dropping it does")]
    Tc(SchedClassifierLink),
    Pinned(PathBuf),
    /// A filter stays by itself.
    Filter {
        interface: String,
        side: TcAttachType,
        program: &'static str,
    },
}

/// How an interface is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookMode {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's network stack.
    Generic,
    Tc,
    /// Not at all, because the configuration says so.
    Excluded,
    /// Not at all.
    None,
}

impl HookMode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
            Self::Excluded => "excluded",
            Self::None => "none",
        }
    }
}

/// Where on an interface a program hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Native,
    Generic,
    /// TC ingress of an outer interface.
    Tc,
    OverlayIngress,
    OverlayEgress,
}

impl Slot {
    /// Of its pin.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
            Self::OverlayIngress => "in",
            Self::OverlayEgress => "out",
        }
    }

    fn xdp_mode(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
            // Not XDP's.
            Self::Tc | Self::OverlayIngress | Self::OverlayEgress => XdpMode::Default,
        }
    }

    fn side(self) -> TcAttachType {
        match self {
            Self::Native | Self::Generic | Self::Tc | Self::OverlayIngress => TcAttachType::Ingress,
            Self::OverlayEgress => TcAttachType::Egress,
        }
    }
}

impl Hook {
    /// Where it is pinned.
    pub(super) fn pin(&self) -> Option<&PathBuf> {
        match self {
            Self::Pinned(path) => Some(path),
            Self::Xdp(_) | Self::Tc(_) | Self::Filter { .. } => None,
        }
    }

    /// Detaches it. The interface may be gone, and the program with it.
    pub(super) fn release(self) {
        match self {
            Self::Xdp(_) | Self::Tc(_) => {}
            Self::Pinned(path) => {
                let _ = fs::remove_file(path);
            }
            Self::Filter {
                interface,
                side,
                program,
            } => {
                let _ = tc::qdisc_detach_program(&interface, side, program);
            }
        }
    }
}

/// Attaches XDP where nothing is attached, and pins it.
///
/// # Errors
/// `EBUSY` when something is.
pub(super) fn attach_xdp(
    xdp: &mut Xdp,
    index: u32,
    slot: Slot,
    pins: Option<&Pins>,
) -> Result<Hook, HookError> {
    let link = xdp
        .attach_to_if_index(index, slot.xdp_mode())
        .and_then(|id| xdp.take_link(id))?;
    match pins {
        None => Ok(Hook::Xdp(link)),
        // Kernels without links for XDP (before 5.9) are too old for the programs.
        Some(pins) => pin(FdLink::try_from(link)?, pins.link(index, slot)),
    }
}

/// Puts `xdp` in the place of the program that a pinned link holds; no packet passes in between.
///
/// # Errors
/// When there is no such link, or its interface is gone.
pub(super) fn replace_xdp(
    xdp: &mut Xdp,
    index: u32,
    slot: Slot,
    pins: &Pins,
) -> Result<Hook, HookError> {
    let path = pins.link(index, slot);
    let link = XdpLink::try_from(FdLink::from(PinnedLink::from_pin(&path)?))?;
    let id = xdp.attach_to_link(link)?;
    // The pin keeps it.
    drop(xdp.take_link(id)?);
    Ok(Hook::Pinned(path))
}

/// Puts `classifier` on an interface, in the place of its forerunner when there is one: by a TCX link, or
/// by a filter on kernels without (before Linux 6.6).
///
/// # Errors
/// When the kernel refuses both.
pub(super) fn attach_tc(
    classifier: &mut SchedClassifier,
    program: &'static str,
    (interface, index): (&str, u32),
    slot: Slot,
    pins: Option<&Pins>,
) -> Result<Hook, HookError> {
    if let Some(pins) = pins
        && let Ok(hook) = replace_tcx(classifier, index, slot, pins)
    {
        return Ok(hook);
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let attached = classifier
        .attach_with_options(interface, slot.side(), order)
        .and_then(|id| classifier.take_link(id));
    match (attached, pins) {
        (Ok(link), None) => Ok(Hook::Tc(link)),
        (Ok(link), Some(pins)) => pin(FdLink::try_from(link)?, pins.link(index, slot)),
        // Kernels that know no such kind of link.
        (Err(error), _) if errno(&error) == Some(libc::EINVAL) => {
            attach_filter(classifier, program, interface, slot, pins.is_some())
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn replace_tcx(
    classifier: &mut SchedClassifier,
    index: u32,
    slot: Slot,
    pins: &Pins,
) -> Result<Hook, HookError> {
    let path = pins.link(index, slot);
    let link = SchedClassifierLink::try_from(FdLink::from(PinnedLink::from_pin(&path)?))?;
    let id = classifier.attach_to_link(link)?;
    drop(classifier.take_link(id)?);
    Ok(Hook::Pinned(path))
}

/// As [`attach_tc`], where there are no links. A filter that `stays` takes its forerunner's place.
pub(super) fn attach_filter(
    classifier: &mut SchedClassifier,
    program: &'static str,
    interface: &str,
    slot: Slot,
    stays: bool,
) -> Result<Hook, HookError> {
    // Filters hang on this queueing discipline; it may be there already.
    let _ = tc::qdisc_add_clsact(interface);
    let side = slot.side();
    if !stays {
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let id = classifier.attach_with_options(interface, side, options)?;
        return Ok(Hook::Tc(classifier.take_link(id)?));
    }
    let before =
        SchedClassifierLink::attached(interface, side, FILTER_PRIORITY, FILTER_HANDLE, None)?;
    let id = match classifier.attach_to_link(before) {
        Ok(id) => id,
        // There was none.
        Err(_) => {
            let options = NlOptions {
                priority: FILTER_PRIORITY,
                handle: FILTER_HANDLE,
                classid: None,
            };
            classifier.attach_with_options(interface, side, TcAttachOptions::Netlink(options))?
        }
    };
    // Dropped, it would detach.
    std::mem::forget(classifier.take_link(id)?);
    Ok(Hook::Filter {
        interface: interface.to_owned(),
        side,
        program,
    })
}

/// A pin that is there belongs to an interface that had the same index.
fn pin(link: FdLink, path: PathBuf) -> Result<Hook, HookError> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    link.pin(&path)?;
    Ok(Hook::Pinned(path))
}

/// Why a program is not attached.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Pin(#[from] aya::pin::PinError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
