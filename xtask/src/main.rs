//! Every automation of the repository. `cargo xtask --help` lists it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool"
)]

mod apt;
mod bench;
mod catalog;
mod ci;
mod command;
mod ebpf;
mod fuzz;
mod interrupt;
mod machine;
mod openapi;
mod run;
mod soak;
mod test;
mod tidy;
mod tool;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automations of the Keyway repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show the main job in a demo overlay, or with --config run the node on this host
    Run(run::Arguments),
    /// Run every test; ends with `N passed, N failed, N skipped`
    Test(test::Arguments),
    /// What CI runs: formatting, lints, tidy, dependencies, tests
    Ci,
    /// Build the kernel programs and put the object into the tree
    Ebpf(ebpf::Arguments),
    /// Write README's table of providers from the catalog
    Catalog,
    /// Write the description of the management API from its routes
    Openapi(openapi::Arguments),
    /// Check what the compiler does not: layers, file sizes, leftovers
    Tidy,
    /// Fuzz every target for a while
    Fuzz(fuzz::Arguments),
    /// Side-by-side load benches
    Bench(bench::Arguments),
    /// Minutes of load with faults: does every request have its record?
    Soak(soak::Arguments),
}

fn main() -> ExitCode {
    if ebpf::rustc::is_called() {
        eprintln!("error: {:#}", ebpf::rustc::become_rustc());
        return ExitCode::FAILURE;
    }
    let outcome = match Arguments::parse().task {
        Task::Run(arguments) => run::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Ci => ci::run(),
        Task::Ebpf(arguments) => ebpf::run(&arguments),
        Task::Catalog => catalog::run(),
        Task::Openapi(arguments) => openapi::run(&arguments),
        Task::Tidy => tidy::run(),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Soak(arguments) => soak::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
