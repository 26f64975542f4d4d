//! This program's own relay on layer 4, as a child process.

use std::{env, process::Command};

use anyhow::{Context, Result};

use super::{Endpoint, Proxy, Running, Site, child::Child, free_addresses};
use crate::process::Processes;

pub(crate) struct Relay;

impl Proxy for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn version(&self) -> Result<String> {
        Ok("layer 4, epoll, parses nothing".to_owned())
    }

    fn speaks_tls(&self) -> bool {
        false
    }

    fn adds_credential(&self) -> bool {
        false
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let [plain] = free_addresses()?;
        let mut command = Command::new(env::current_exe().context("this program's path")?);
        command.arg("relay");
        command.args(["--listen", &plain.to_string()]);
        command.args(["--upstream", &site.upstream.to_string()]);
        let mut child = Child::spawn(command, site, &site.directory.join("output"))?;
        child.wait_until_listening(plain)?;
        Ok(Running {
            endpoint: Endpoint {
                plain,
                plain_events: plain,
                tls: None,
            },
            processes: Processes::tree(child.id(), &[])?,
            _child: child,
        })
    }
}
