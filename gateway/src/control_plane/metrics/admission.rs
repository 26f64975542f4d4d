//! Kernel admission: what the programs saw on each interface.

use prometheus::proto::MetricFamily;

use super::family::{Sample, counter, gauge, plain_gauge};
use crate::control_plane::admission::AdmissionStatus;

pub(super) fn gather(status: &AdmissionStatus) -> Vec<MetricFamily> {
    let mut packets: Vec<Sample> = Vec::new();
    let mut bytes: Vec<Sample> = Vec::new();
    let mut modes: Vec<Sample> = Vec::new();
    for interface in &status.interfaces {
        let mode = interface.mode.name().to_owned();
        let labels = vec![("interface", interface.name.clone()), ("mode", mode)];
        modes.push((labels, 1.0));
        for count in &interface.counters {
            let labels = vec![
                ("interface", interface.name.clone()),
                ("reason", count.reason.clone()),
            ];
            packets.push((labels.clone(), count.packets as f64));
            bytes.push((labels, count.bytes as f64));
        }
    }
    if status.mode == "off" {
        return Vec::new();
    }
    vec![
        plain_gauge(
            "keyway_admission_in_front",
            "1 when the overlay's device and all other interfaces that are meant are covered.",
            if status.in_front { 1.0 } else { 0.0 },
        ),
        plain_gauge(
            "keyway_admission_peers",
            "Addresses that the kernel lets in.",
            status.peers as f64,
        ),
        plain_gauge(
            "keyway_admission_peers_left_out",
            "Peers that the kernel drops because its table is full.",
            status.peers_left_out as f64,
        ),
        counter(
            "keyway_admission_packets_total",
            "Packets that the kernel program judged, by interface and reason.",
            packets,
        ),
        counter(
            "keyway_admission_bytes_total",
            "Bytes of those packets, from the IP header on.",
            bytes,
        ),
        gauge(
            "keyway_admission_mode_info",
            "Always 1; the label says how the interface is covered.",
            modes,
        ),
    ]
}
