//! nginx with one worker that adds one header: what people run where no gateway is.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use super::{Endpoint, Proxy, Running, Site, child::Child, free_addresses};
use crate::process::Processes;

pub(crate) struct Nginx {
    program: PathBuf,
}

impl Nginx {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

impl Proxy for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version(&self) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("-v")
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stderr);
        Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
    }

    fn speaks_tls(&self) -> bool {
        true
    }

    fn adds_credential(&self) -> bool {
        true
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let [plain, plain_events, tls] = free_addresses()?;
        let endpoint = Endpoint {
            plain,
            plain_events,
            tls: Some(tls),
        };
        let config = site.directory.join("nginx.conf");
        fs::write(&config, configuration(site, [&plain, &plain_events, &tls]))?;
        let mut command = Command::new(&self.program);
        command.arg("-p").arg(site.directory).arg("-c").arg(&config);
        // Until its configuration is read, nginx logs to a path compiled in, which may be missing.
        command.arg("-e").arg("stderr");
        let mut child = Child::spawn(command, site, &site.directory.join("output"))?;
        for address in [plain, plain_events, tls] {
            child.wait_until_listening(address)?;
        }
        // It listens before it has a worker.
        let master = child.id();
        let with_worker = || Processes::tree(master, &[]).is_ok_and(|tree| tree.pids.len() > 1);
        child.wait_until("start a worker", with_worker)?;
        Ok(Running {
            endpoint,
            processes: Processes::tree(master, &[])?,
            _child: child,
        })
    }
}

/// Everything that could slow it down for reasons of its own is off or large: no access log, no limit
/// on keep-alive, request bodies stay in memory.
fn configuration(site: &Site<'_>, listen: [&SocketAddr; 3]) -> String {
    let [plain, plain_events, tls] = listen;
    let upstream = site.upstream;
    let certificate = site.certificate.certificate.display();
    let key = site.certificate.key.display();
    // Workers must reach the directory, which belongs to whoever started the bench.
    let user = if geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        r#"{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 30000;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 25000; use epoll; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_buffer_size 128k;
    client_body_temp_path temp-body;
    proxy_temp_path temp-proxy;
    fastcgi_temp_path temp-fastcgi;
    uwsgi_temp_path temp-uwsgi;
    scgi_temp_path temp-scgi;
    http2_max_requests 1000000000;
    http2_max_concurrent_streams 256;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    upstream provider {{
        server {upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer sk-bench-0123456789abcdef0123456789abcdef0123456789";
    server {{
        listen {plain} backlog=4096;
        listen {tls} ssl http2 backlog=4096;
        location / {{ proxy_pass http://provider; }}
    }}
    server {{
        listen {plain_events} backlog=4096;
        location / {{ proxy_pass http://provider; proxy_buffering off; }}
    }}
}}
"#
    )
}
