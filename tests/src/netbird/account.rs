//! A NetBird account: peers, groups and users with every field that the API's document requires, and some
//! that it does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// See the module. The values are those that are answered.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub peers: Vec<Value>,
    pub groups: Vec<Value>,
    pub users: Vec<Value>,
}

impl Account {
    /// This many peers of a fifth as many users and some machines, in groups of a hundred; none of them
    /// calls.
    pub fn with_crowd(peers: u32) -> Self {
        let mut account = Self::default();
        account.add_group("grp-all", "All");
        for number in 0..peers.div_ceil(100) {
            account.add_group(&format!("grp-crowd-{number}"), &format!("crowd {number}"));
        }
        for number in 0..peers.div_ceil(5) {
            account.add_user(&format!("usr-crowd-{number}"));
        }
        for number in 0..peers {
            let id = format!("crowd-{number}");
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 1, 0)) + number);
            let user = match number % 7 {
                0 => String::new(),
                _ => format!("usr-crowd-{}", number / 5),
            };
            let group = format!("grp-crowd-{}", number / 100);
            account.add_peer(&id, address.into(), &user, &[&group]);
            let v6 = Ipv6Addr::new(
                0xfd00,
                0x4e42,
                0,
                0,
                0,
                0,
                (number >> 16) as u16,
                number as u16,
            );
            account.peer(&id)["ipv6"] = json!(v6);
        }
        // The API promises no order.
        account.peers.reverse();
        account
    }

    /// A group without members.
    pub fn add_group(&mut self, id: &str, name: &str) {
        self.groups.push(json!({
            "id": id, "name": name, "peers_count": 0, "resources_count": 0, "issued": "api",
            "peers": [], "resources": [],
        }));
    }

    /// An active user, whose address is `ID@example.com`.
    pub fn add_user(&mut self, id: &str) {
        self.users.push(json!({
            "id": id, "email": format!("{id}@example.com"), "name": id, "role": "user",
            "status": "active", "last_login": "2026-11-05T09:00:35.477782Z",
            // Not the groups of this user's peers.
            "auto_groups": ["grp-trap"], "is_current": false, "is_service_user": false,
            "is_blocked": false, "pending_approval": false, "issued": "api",
        }));
    }

    /// A peer in the group `All` and others; of a machine where there is no user.
    pub fn add_peer(&mut self, id: &str, address: IpAddr, user: &str, groups: &[&str]) {
        let created = "2026-05-05T09:00:35.477782Z";
        let in_groups: Vec<Value> = std::iter::once("grp-all")
            .chain(groups.iter().copied())
            .map(|group| self.membership(group, id))
            .collect();
        self.peers.push(json!({
            "id": id, "name": format!("{id}-laptop"), "created_at": created, "ip": address,
            "connection_ip": "35.64.0.1", "connected": true, "last_seen": created, "os": "linux",
            "kernel_version": "6.12", "geoname_id": 2_643_743, "version": "0.77.1",
            "groups": in_groups, "ssh_enabled": false, "user_id": user, "hostname": id,
            "ui_version": "", "dns_label": format!("{id}.netbird.cloud"),
            "login_expiration_enabled": true, "login_expired": false, "last_login": created,
            "inactivity_expiration_enabled": false, "approval_required": false,
            "country_code": "DE", "city_name": "Berlin", "serial_number": "C02XJ0J0JGH7",
            "extra_dns_labels": [], "ephemeral": false, "accessible_peers_count": 5,
            "local_flags": {"rosenpass_enabled": false},
        }));
    }

    /// A peer, to be changed.
    ///
    /// # Panics
    /// When there is none of this id.
    pub fn peer(&mut self, id: &str) -> &mut Value {
        find(&mut self.peers, id)
    }

    /// A user, to be changed.
    ///
    /// # Panics
    /// When there is none of this id.
    pub fn user(&mut self, id: &str) -> &mut Value {
        find(&mut self.users, id)
    }

    /// Puts a peer into `All` and these groups, and out of all others.
    ///
    /// # Panics
    /// When there is none of this id.
    pub fn regroup(&mut self, id: &str, groups: &[&str]) {
        let in_groups: Vec<Value> = std::iter::once("grp-all")
            .chain(groups.iter().copied())
            .map(|group| self.membership(group, id))
            .collect();
        self.peer(id)["groups"] = json!(in_groups);
    }

    /// The group as a peer shows it; the group shows the peer.
    fn membership(&mut self, group: &str, peer: &str) -> Value {
        let group = find(&mut self.groups, group);
        if let Some(peers) = group["peers"].as_array_mut() {
            peers.push(json!({"id": peer, "name": format!("{peer}-laptop")}));
        }
        json!({
            "id": group["id"], "name": group["name"], "peers_count": group["peers_count"],
            "resources_count": 0, "issued": "api",
        })
    }
}

#[track_caller]
fn find<'a>(values: &'a mut [Value], id: &str) -> &'a mut Value {
    let mut values = values.iter_mut();
    let found = values.find(|value| value["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in the account"))
}
