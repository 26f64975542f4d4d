//! `keyway`: see `gateway::cli` for what it can do, and `gateway::app` for how a node starts.

use std::process::ExitCode;

use gateway::{alloc::WipingAllocator, cli};

/// Freed blocks are wiped: secrets pass through buffers of libraries that know nothing of them.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::new();

fn main() -> ExitCode {
    cli::run()
}
