//! `cargo xtask dashboard`: builds the dashboard and puts it into the tree, where the node's build takes it
//! from. `--check` builds again elsewhere, compares bytes, and weighs the JavaScript.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};

use crate::{
    apt,
    command::{must, read, root, words},
};

const SOURCE: &str = "gateway/dashboard";
const BUILT: &str = "dist";
/// All scripts together, compressed as the node sends them.
const SCRIPT_BYTES_MAX: usize = 300_000;
/// What the environment is made from.
const LISTS: [&str; 3] = ["package-lock.json", "package.json", ".npmrc"];

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Build in another directory and compare with what is in the tree
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.check {
        true => check(),
        false => write(),
    }
}

fn write() -> Result<()> {
    let built = build()?;
    let place = root().join(SOURCE).join(BUILT);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    for (path, content) in &built {
        let path = place.join(path);
        fs::create_dir_all(path.parent().context("files lie in a directory")?)?;
        fs::write(path, content)?;
    }
    weigh(&built)
}

/// What is in the tree is what its source builds, and no larger than a dashboard may be.
pub(crate) fn check() -> Result<()> {
    let built = build()?;
    let committed = files(&root().join(SOURCE).join(BUILT))?;
    for path in built.keys().chain(committed.keys()) {
        ensure!(
            built.get(path) == committed.get(path),
            "{SOURCE}/{BUILT}/{} is not what its source builds: run `cargo xtask dashboard`",
            path.display()
        );
    }
    println!(
        "{SOURCE}/{BUILT}: the same {} files from source",
        built.len()
    );
    weigh(&built)
}

/// By path under `dist`.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn build() -> Result<Files> {
    let directory = provide()?;
    must(words(["npm", "run", "--silent", "format"]).current_dir(&directory))?;
    must(
        words(["npm", "run", "--silent", "build", "--", "--logLevel=warn"]).current_dir(&directory),
    )?;
    files(&directory.join(BUILT))
}

/// Its source with its packages, in `target`, so that neither an editor's files nor a developer's packages get into it.
pub(crate) fn provide() -> Result<PathBuf> {
    apt::provide(apt::FOR_DASHBOARD)?;
    let directory = root().join("target/dashboard");
    fs::create_dir_all(&directory)?;
    copy_source(&directory)?;
    provide_packages(&directory)?;
    Ok(directory)
}

/// What git knows of it, or would if it was added.
fn copy_source(to: &Path) -> Result<()> {
    for entry in fs::read_dir(to)? {
        let path = entry?.path();
        let is_kept = path.ends_with("node_modules") || path.ends_with("made-from");
        match (is_kept, path.is_dir()) {
            (true, _) => {}
            (false, true) => fs::remove_dir_all(path)?,
            (false, false) => fs::remove_file(path)?,
        }
    }
    let from = root().join(SOURCE);
    let list = [
        "git",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let listed = read(words(list).current_dir(&from), "")?;
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let is_built = Path::new(path).starts_with(BUILT);
        // A file that is deleted but not yet committed is still listed.
        if is_built || !from.join(path).exists() {
            continue;
        }
        let place = to.join(path);
        fs::create_dir_all(place.parent().context("files lie in a directory")?)?;
        fs::copy(from.join(path), place)?;
    }
    Ok(())
}

/// Installed again when the lists change.
fn provide_packages(directory: &Path) -> Result<()> {
    let made_from = directory.join("made-from");
    // npm itself writes none of these.
    let is_made = LISTS.iter().all(|list| {
        let wanted = fs::read(directory.join(list)).ok();
        wanted.is_some() && wanted == fs::read(made_from.join(list)).ok()
    });
    if is_made {
        return Ok(());
    }
    if made_from.exists() {
        fs::remove_dir_all(&made_from)?;
    }
    // Install scripts would fetch binaries past the lock file's hashes.
    must(
        words([
            "npm",
            "ci",
            "--ignore-scripts",
            "--no-progress",
            "--loglevel=error",
        ])
        .current_dir(directory),
    )?;
    fs::create_dir_all(&made_from)?;
    for list in LISTS {
        fs::copy(directory.join(list), made_from.join(list))?;
    }
    Ok(())
}

fn weigh(built: &Files) -> Result<()> {
    let mut scripts = 0;
    for (path, content) in built {
        if path.extension().is_some_and(|extension| extension == "js") {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(content)?;
            scripts += encoder.finish()?.len();
        }
    }
    println!("{SOURCE}/{BUILT}: {scripts} bytes of compressed JavaScript");
    if scripts > SCRIPT_BYTES_MAX {
        bail!("that is more than {SCRIPT_BYTES_MAX}: find what grew");
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Files> {
    let mut found = Files::new();
    let mut rest = vec![directory.to_owned()];
    while let Some(next) = rest.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                rest.push(path);
            } else {
                found.insert(path.strip_prefix(directory)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}
