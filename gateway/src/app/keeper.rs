//! `keyway admission attach --watch`: a process that keeps the kernel program in front, so that the node
//! needs no capabilities.

use std::{path::Path, time::Duration};

use anyhow::Context;
use tracing::{info, warn};

use super::{
    logging, notify,
    signals::{Signal, Signals},
};
use crate::{
    config::{AdmissionMode, Config},
    control_plane::{admission::keeper::Keeper, netlink::LinkWatch},
};

/// Between two looks at the interfaces when the kernel tells of no change, while all is well and while
/// something is not.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps every interface covered until SIGTERM or SIGINT; the program stays in front.
///
/// # Errors
/// When the programs cannot be loaded. What cannot be covered is logged and told to the node.
pub fn keep_admission(path: &Path) -> anyhow::Result<()> {
    let config = Config::load_alone(path)?;
    logging::start(&config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(keep(&config))
}

async fn keep(config: &Config) -> anyhow::Result<()> {
    if config.admission.mode == AdmissionMode::Off {
        info!("admission.mode is \"off\": nothing to keep");
        notify::ready("admission.mode is \"off\"");
        return Ok(());
    }
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let mut keeper = Keeper::start(config, true)?;
    let mut links = LinkWatch::start();
    let mut status = None;
    loop {
        let (now, longest) = match keeper.look() {
            Ok(interfaces) => {
                let now = format!("in front of {} interfaces", interfaces.len());
                (now, LOOK_INTERVAL)
            }
            Err(problem) => (problem.to_string(), RETRY_INTERVAL),
        };
        if status.as_ref() != Some(&now) {
            notify::ready(&now);
            status = Some(now);
        }
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => warn!("the configuration is read at the start: restart the unit, the filter stays"),
                Signal::Stop => break,
            },
            () = links.next(longest) => {}
        }
    }
    notify::stopping();
    info!("stopped; the kernel program stays in front (`keyway admission detach` removes it)");
    Ok(())
}
