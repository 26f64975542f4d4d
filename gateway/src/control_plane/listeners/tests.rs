#![allow(clippy::unwrap_used)]

use std::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
};

use super::*;
use crate::config::EndpointTls;

fn overlay(addresses: &[&str]) -> OverlayConfig {
    OverlayConfig {
        interface: "lo".to_owned(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn device(index: u32, addresses: &[&str]) -> Device {
    Device {
        index,
        up: true,
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().port()
}

struct Node {
    listeners: Listeners,
    workers: Vec<Receiver<WorkerCommand>>,
    port: u16,
}

fn node(workers: usize, addresses: &[&str]) -> Node {
    let port = free_port();
    let endpoint = EndpointConfig {
        domain: "keyway.internal".to_owned(),
        name: None,
        tls: EndpointTls::InternalCa,
        port,
        plain_port: None,
    };
    let (senders, workers) = (0..workers).map(|_| channel()).unzip();
    Node {
        listeners: Listeners::new(&endpoint, &overlay(addresses), senders),
        workers,
        port,
    }
}

fn opened(worker: &Receiver<WorkerCommand>) -> (u64, TcpListener) {
    match worker.try_recv().unwrap() {
        WorkerCommand::OpenListener { id, socket, tls } => {
            assert!(tls);
            (id, socket)
        }
        other @ (WorkerCommand::CloseListener { .. } | WorkerCommand::Drain { .. }) => {
            panic!("expected a socket, got {other:?}")
        }
    }
}

#[test]
fn the_loopback_device_is_seen() {
    let lo = device::look("lo").unwrap().unwrap();
    assert!(lo.up);
    assert!(lo.index > 0);
    assert!(lo.addresses.contains(&IpAddr::from([127, 0, 0, 1])));
    assert_eq!(device::look("no-such-device").unwrap(), None);
}

#[test]
fn every_worker_gets_a_socket_and_one_of_them_hears_the_agent() {
    let mut node = node(3, &["127.0.0.1"]);
    node.listeners.open_first().unwrap();
    let sockets: Vec<_> = node.workers.iter().map(|worker| opened(worker).1).collect();
    let address = SocketAddr::from(([127, 0, 0, 1], node.port));
    assert_eq!(node.listeners.status().borrow().listening, [address]);
    assert_eq!(*node.listeners.addresses().borrow(), [address.ip()]);

    let agent = TcpStream::connect(address).unwrap();
    // The handshake is over, so the connection is in one of the queues already.
    let accepted: Vec<_> = sockets
        .iter()
        .filter_map(|socket| socket.accept().ok())
        .collect();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].1, agent.local_addr().unwrap());
}

#[test]
fn the_device_goes_and_comes_back_with_another_index() {
    let mut node = node(2, &["127.0.0.1"]);
    let lo = ["127.0.0.1"];
    node.listeners.reconcile(Ok(Some(device(1, &lo))));
    let ids: Vec<_> = node.workers.iter().map(|worker| opened(worker).0).collect();
    assert_eq!(ids, [1, 1]);

    node.listeners.reconcile(Ok(None));
    for worker in &node.workers {
        let command = worker.try_recv().unwrap();
        assert!(matches!(command, WorkerCommand::CloseListener { id: 1 }));
    }
    let status = node.listeners.status().borrow().clone();
    assert_eq!(status.listening, []);
    assert_eq!(status.failure.as_deref(), Some("there is no device lo"));
    assert_eq!(
        node.listeners.addresses().borrow().len(),
        1,
        "the last known"
    );

    node.listeners.reconcile(Ok(Some(device(1, &lo))));
    node.listeners.reconcile(Ok(Some(device(1, &lo))));
    node.listeners.reconcile(Ok(Some(device(7, &lo))));
    let ids: Vec<_> = node.workers[0]
        .try_iter()
        .map(|command| match command {
            WorkerCommand::OpenListener { id, .. } => format!("open {id}"),
            WorkerCommand::CloseListener { id } => format!("close {id}"),
            WorkerCommand::Drain { .. } => "drain".to_owned(),
        })
        .collect();
    assert_eq!(ids, ["open 2", "close 2", "open 3"]);
    assert_eq!(node.listeners.status().borrow().failure, None);
}

#[test]
fn a_taken_port_is_an_error_at_the_start() {
    let mut node = node(1, &["127.0.0.1"]);
    // Without SO_REUSEPORT: it does not share.
    let _other = TcpListener::bind(("127.0.0.1", node.port)).unwrap();
    let failure = node.listeners.open_first().unwrap_err();
    assert!(matches!(failure, OpenFailure::InUse(_)), "{failure}");
    assert!(node.workers[0].try_recv().is_err());
    assert!(node.listeners.status().borrow().failure.is_some());
}

#[test]
fn what_should_be_open() {
    let ports = [(443, true), (80, false)];
    let addresses = |overlay: &OverlayConfig, device: Device| {
        wanted(overlay, &ports, Ok(Some(device))).map(|(listeners, missing)| {
            let addresses: Vec<_> = listeners
                .iter()
                .map(|listener| listener.address.to_string())
                .collect();
            (addresses.join(" "), missing)
        })
    };
    let all = overlay(&[]);
    assert_eq!(
        addresses(&all, device(3, &["100.64.0.9", "fd00::9", "fe80::1"])),
        Ok((
            "100.64.0.9:80 100.64.0.9:443 [fd00::9]:80 [fd00::9]:443".to_owned(),
            None
        ))
    );
    let two = overlay(&["100.64.0.9", "fd00::9"]);
    assert_eq!(
        addresses(&two, device(3, &["100.64.0.9", "100.64.0.10"])),
        Ok((
            "100.64.0.9:80 100.64.0.9:443".to_owned(),
            Some("device lo does not have address fd00::9".to_owned())
        ))
    );
    assert_eq!(
        addresses(&all, device(3, &["fe80::1"])),
        Err("device lo has no address".to_owned())
    );
    let mut down = device(3, &["100.64.0.9"]);
    down.up = false;
    assert_eq!(addresses(&all, down), Err("device lo is down".to_owned()));
}
