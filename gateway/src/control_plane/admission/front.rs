//! Who keeps the programs that are in front of this node.

use std::net::IpAddr;

use gateway_common::PeerFlows;

use super::{
    interface::Interface, kernel::Kernel, peers::Flows, problem::Problem, status::InterfaceStatus,
    unit::Unit,
};

/// The same questions to either keeper.
pub(super) enum Front {
    /// This process.
    Node(Box<Kernel>),
    Unit(Box<Unit>),
}

impl Front {
    /// # Errors
    /// Why some interface is not covered.
    pub(super) fn reconcile(&mut self, interfaces: &[Interface]) -> Result<(), Problem> {
        match self {
            Self::Node(kernel) => kernel.reconcile(interfaces),
            Self::Unit(unit) => unit.reconcile(interfaces),
        }
    }

    /// What is wrong although everything is covered.
    pub(super) fn note(&self) -> Option<Problem> {
        match self {
            Self::Node(_) => None,
            Self::Unit(unit) => unit.note(),
        }
    }

    /// # Errors
    /// When the kernel's map cannot be changed.
    pub(super) fn set_peers(&mut self, wanted: Vec<IpAddr>) -> Result<(), Problem> {
        match self {
            Self::Node(kernel) => kernel.set_peers(wanted),
            Self::Unit(unit) => unit.set_peers(wanted),
        }
    }

    /// # Errors
    /// When the kernel's map cannot be read.
    pub(super) fn flows(&mut self) -> Result<Flows, Problem> {
        match self {
            Self::Node(kernel) => kernel.flows(),
            Self::Unit(unit) => unit.flows(),
        }
    }

    pub(super) fn peers_left_out(&self) -> usize {
        match self {
            Self::Node(kernel) => kernel.peers_left_out(),
            Self::Unit(unit) => unit.peers_left_out(),
        }
    }

    pub(super) fn peers_len(&self) -> usize {
        match self {
            Self::Node(kernel) => kernel.peers_len(),
            Self::Unit(unit) => unit.peers_len(),
        }
    }

    pub(super) fn departed(&self) -> PeerFlows {
        match self {
            Self::Node(kernel) => kernel.departed(),
            Self::Unit(unit) => unit.departed(),
        }
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        match self {
            Self::Node(kernel) => kernel.interfaces(),
            Self::Unit(unit) => unit.interfaces(),
        }
    }
}
