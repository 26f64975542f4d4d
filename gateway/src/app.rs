//! The node: starts every part in order, keeps them going until it is told to stop, and stops them in
//! order. What the parts do is in the parts.

mod endpoint_tls;
mod file_watch;
mod foresee;
mod harden;
mod keeper;
mod logging;
mod node;
mod node_view;
mod notify;
mod provider_test;
mod readiness;
mod reload;
mod signals;
mod workers;

use std::{path::Path, process, sync::Arc};

use anyhow::Context;
use tracing::{error, info, warn};

pub use keeper::keep_admission;
pub use node::Node;

use crate::{
    config::{CatalogConfig, Config},
    control_plane::catalog::{CatalogError, LiveCatalog},
};
use signals::{Signal, Signals};

/// Threads of the control plane's runtime. Small on purpose: the cores belong to the workers.
const CONTROL_THREADS: usize = 2;

/// Exit status when a second signal ends the node at once.
const EXIT_IMPATIENT: i32 = 1;

/// Runs the node in the foreground until SIGTERM or SIGINT. SIGHUP reads the configuration and the
/// certificate again; a second SIGTERM ends the process without draining.
///
/// # Errors
/// When the node cannot start (a [`crate::config::ConfigError`] inside for a wrong configuration), or did not stop
/// cleanly.
pub fn serve(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    logging::start(&config.log);
    harden::harden_process().context("cannot protect the process's memory")?;
    harden::report_protection();
    let connections = config
        .workers
        .count
        .saturating_mul(config.workers.connections_limit);
    harden::raise_descriptor_limit(u64::try_from(connections).unwrap_or(u64::MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control plane's runtime")?;
    runtime.block_on(run(config, path))
}

/// Checks a configuration and says what a start would meet on this machine.
///
/// # Errors
/// All mistakes of the configuration ([`crate::config::ConfigError`]), or of the catalog's files ([`CatalogError`]).
pub fn check(path: &Path) -> anyhow::Result<Vec<String>> {
    let config = Config::load(path)?;
    load_catalog(&config.catalog)?;
    Ok(foresee::obstacles(&config))
}

/// The catalog that a node with this configuration works with.
fn load_catalog(config: &CatalogConfig) -> Result<LiveCatalog, CatalogError> {
    LiveCatalog::load(config.file.as_deref(), config.prices.as_deref())
}

async fn run(config: Config, path: &Path) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let mut node = tokio::select! {
        node = Node::start(config) => node?,
        () = signals.stop() => {
            info!("told to stop while starting");
            return Ok(());
        }
    };
    notify::ready("serving");
    let ended = loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            // Going on with a dead core would leave its share of connections unanswered.
            failure = node.follow() => {
                error!(%failure, "ending, to be started again");
                break Err(failure);
            }
        };
        match signal {
            Signal::Reload => {
                notify::reloading();
                reload(&mut node, path);
                notify::ready("serving");
            }
            Signal::Stop => break Ok(()),
        }
    };
    notify::stopping();
    tokio::select! {
        stopped = node.stop() => ended.and(stopped),
        () = signals.stop() => {
            error!("told to stop again: ending at once");
            process::exit(EXIT_IMPATIENT);
        }
    }
}

/// Takes what can change at run time from the file; a wrong file changes nothing.
fn reload(node: &mut Node, path: &Path) {
    match Config::load(path) {
        Ok(config) => {
            let config = Arc::new(config);
            for section in node.reload(config) {
                warn!(
                    section,
                    "the changed section takes effect with the next start"
                );
            }
            info!("configuration read again");
        }
        Err(error) => {
            node.reload_failed();
            // A line each: the report for people has excerpts over several.
            for problem in error.problems() {
                error!(key = problem.key, "{}", problem.message);
            }
            error!(
                file = %path.display(),
                "the configuration has mistakes (`keyway check` shows where); the old one stays in use"
            );
        }
    }
}
