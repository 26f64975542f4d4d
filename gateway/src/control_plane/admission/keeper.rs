//! `keyway admission attach` and `detach`: the programs kept by a process of their own, which has
//! CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and no secret.

use std::path::{Path, PathBuf};

use aya::programs::{TcAttachType, tc};
use gateway_common::program;
use serde::Serialize;
use tracing::{error, info};

use super::{
    foreign,
    hook::HookMode,
    interface::{self, Interface},
    kernel::{Kernel, Scope, loopback},
    pins::{self, Pins},
    problem::Problem,
    state::{self, KeeperState},
    status::{InterfaceStatus, Role},
};
use crate::config::{AdmissionHook, Config, Keeper as KeptBy};

/// Keeps every interface covered, and tells the node so. What it attached stays when it ends.
pub struct Keeper {
    kernel: Kernel,
    state_file: PathBuf,
    watches: bool,
    /// What the file says.
    told: Option<KeeperState>,
}

impl Keeper {
    /// Takes the pins' directory, and loads the programs. `watches`: it goes on looking.
    ///
    /// # Errors
    /// The reason and the remedy.
    pub fn start(config: &Config, watches: bool) -> Result<Self, Problem> {
        let admission = &config.admission;
        let directory = admission.pins.as_deref().ok_or_else(|| {
            Problem::new("admission.pins is \"\": nothing would outlive this command")
        })?;
        let group = match admission.keeper {
            KeptBy::Unit => Some(pins::group(&admission.group)?),
            KeptBy::Node => None,
        };
        let scope = scope(config)?;
        let pins = Pins::open(directory, group)?;
        Ok(Self {
            kernel: Kernel::load(scope, Some(pins))?,
            state_file: admission.state.clone(),
            watches,
            told: None,
        })
    }

    /// Covers what is there, and writes the state file when that changed something. Returns how each
    /// interface is covered.
    ///
    /// # Errors
    /// Why something is not covered, or the node cannot be told.
    pub fn look(&mut self) -> Result<Vec<InterfaceStatus>, Problem> {
        let outcome = interfaces().and_then(|interfaces| self.kernel.reconcile(&interfaces));
        let mut state = KeeperState::new(self.kernel.overlay_link(), self.watches);
        state.interfaces = self.kernel.covered();
        state.problem = outcome.as_ref().err().map(ToString::to_string);
        let before = self.told.as_ref();
        if before.map(|told| &told.problem) != Some(&state.problem) {
            match &outcome {
                Err(problem) => error!(%problem, "not everything is covered"),
                Ok(()) => info!(interfaces = state.interfaces.len(), "everything is covered"),
            }
        }
        if before != Some(&state) {
            state.write(&self.state_file)?;
            self.told = Some(state);
        }
        outcome.map(|()| self.kernel.covered())
    }
}

/// What an attach would do with an interface.
#[derive(Debug, Serialize)]
pub struct Planned {
    pub name: String,
    pub index: u32,
    pub role: Option<Role>,
    /// The hooks to be tried, in order.
    pub tries: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Looks at the interfaces, and at nothing else.
///
/// # Errors
/// When the overlay's device is one that cannot be covered, or the kernel does not list the interfaces.
pub fn plan(config: &Config) -> Result<Vec<Planned>, Problem> {
    let scope = scope(config)?;
    let interfaces = interfaces()?;
    let directory = config.admission.pins.as_deref();
    let ours = |index| directory.is_some_and(|directory| pins::has_xdp(directory, index));
    Ok((interfaces.iter())
        .map(|one| planned(one, &scope, ours))
        .collect())
}

/// Removes every pin, link and filter, and the state file. Needs no node. Returns the links that were
/// there.
///
/// # Errors
/// When a node or a unit keeps them, or the process may not.
pub fn detach(directory: Option<&Path>, state_file: Option<&Path>) -> Result<Vec<String>, Problem> {
    let links = directory.map_or_else(|| Ok(Vec::new()), pins::remove)?;
    for interface in interfaces()? {
        for side in [TcAttachType::Ingress, TcAttachType::Egress] {
            for program in [
                program::OUTER_TC,
                program::OVERLAY_INGRESS,
                program::OVERLAY_EGRESS,
            ] {
                // Where there are TCX links (Linux 6.6) there are none, and no queueing discipline for them.
                let _ = tc::qdisc_detach_program(&interface.name, side, program);
            }
        }
    }
    state_file.map_or(Ok(()), state::remove)?;
    Ok(links)
}

/// What of the configuration decides what is the endpoint's. A device that is there already must be one
/// that can be covered.
pub(super) fn scope(config: &Config) -> Result<Scope, Problem> {
    let interface = &config.overlay.interface;
    if (interfaces()?.iter()).any(|one| one.is_loopback && one.name == *interface) {
        return Err(loopback(interface));
    }
    let ports = std::iter::once(config.endpoint.port).chain(config.endpoint.plain_port);
    Ok(Scope {
        interface: interface.clone(),
        addresses: config.overlay.addresses.clone(),
        ports: ports.collect(),
        admission: config.admission.clone(),
    })
}

fn interfaces() -> Result<Vec<Interface>, Problem> {
    interface::list().map_err(|error| Problem::of("list the interfaces", &error))
}

fn planned(interface: &Interface, scope: &Scope, ours: impl Fn(u32) -> bool) -> Planned {
    let is_overlay = interface.name == scope.interface;
    let (role, tries, note) = match interface.link() {
        _ if interface.is_loopback => (None, vec![], Some("left alone".to_owned())),
        None => {
            let kind = interface.kind;
            let note = format!("its frames (hardware type {kind}) cannot be read");
            (Some(Role::Outer), vec![], Some(note))
        }
        Some(_) if is_overlay => {
            let no_address = interface.addresses.is_empty();
            let note =
                no_address.then(|| "nothing is attached before it has an address".to_owned());
            (Some(Role::Overlay), vec!["tc"], note)
        }
        Some(_) if !scope.admission.covers(&interface.name) => {
            let note = "left alone by admission.include and exclude";
            (None, vec![], Some(note.to_owned()))
        }
        Some(_) => {
            let foreign = interface.xdp.filter(|_| !ours(interface.index));
            let hooks = scope.admission.hooks.iter().map(|hook| match hook {
                AdmissionHook::Native => HookMode::Native,
                AdmissionHook::Generic => HookMode::Generic,
                AdmissionHook::Tc => HookMode::Tc,
            });
            let possible = hooks.filter(|hook| foreign.is_none() || *hook == HookMode::Tc);
            let tries = possible.map(HookMode::name).collect();
            (Some(Role::Outer), tries, foreign.map(foreign::found))
        }
    };
    Planned {
        name: interface.name.clone(),
        index: interface.index,
        role,
        tries,
        note,
    }
}
