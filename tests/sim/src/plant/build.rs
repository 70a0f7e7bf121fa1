//! Makes the changed copy, builds it, and runs it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde::Serialize;

use super::table::{Plant, Substitution};
use crate::{cli::Arguments, invariant::Invariant};

/// What the simulator found of a plant.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Found {
    plant: &'static str,
    /// The first seed that broke an invariant.
    seed: Option<u64>,
    invariant: String,
    run_seconds: f64,
    build_seconds: f64,
}

impl Found {
    pub(super) fn is_found(&self) -> bool {
        self.seed.is_some()
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn line(&self) -> String {
        let seed = self.seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
        let Self { plant, invariant, run_seconds, build_seconds, .. } = self;
        format!("{plant:<28} {seed:>6}  {invariant:<22} {run_seconds:>8.1}  {build_seconds:>8.1}")
    }
}

/// Plants a fault and looks for the first seed that finds it.
pub(super) fn find(plant: &Plant, arguments: &Arguments) -> Result<Found, String> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| arguments.workspace.join("target"), PathBuf::from);
    let folder = target.join("plants");
    write_copy(plant, &arguments.workspace, &folder).map_err(|error| format!("making the copy: {error}"))?;
    let begun = Instant::now();
    build(&folder)?;
    let build_seconds = begun.elapsed().as_secs_f64();
    let mut simulator = Command::new(folder.join("target/release/symphony-sim"));
    let (low, high) = arguments.nodes;
    simulator.args(["--json", "--stop-early", "--nodes", &format!("{low}-{high}")]).args([
        "--seeds",
        &arguments.seeds.to_string(),
        "--start",
        &arguments.start.to_string(),
    ]);
    let begun = Instant::now();
    let output = simulator.output().map_err(|error| format!("running it: {error}"))?;
    let run_seconds = begun.elapsed().as_secs_f64();
    let (seed, invariant) = first_violation(&output.stdout)?;
    Ok(Found { plant: plant.name, seed, invariant, run_seconds, build_seconds })
}

/// Applies one substitution, whose text must be there exactly once.
pub(super) fn substitute(source: &str, substitution: &Substitution) -> Result<String, String> {
    match source.matches(substitution.from).count() {
        1 => Ok(source.replacen(substitution.from, substitution.to, 1)),
        count => Err(format!("{} holds this {count} times, not once: {}", substitution.file, substitution.from)),
    }
}

fn write_copy(plant: &Plant, workspace: &Path, folder: &Path) -> io::Result<()> {
    copy_tree(&workspace.join("core/src"), &folder.join("core/src"), &|path, source| {
        let file = path.to_string_lossy().replace('\\', "/");
        let mut mine = plant
            .substitutions
            .iter()
            .filter(|substitution| file.ends_with(&format!("core/src/{}", substitution.file)));
        mine.try_fold(source, |source, substitution| substitute(&source, substitution))
    })?;
    copy_tree(&workspace.join("tests/sim/src"), &folder.join("tests/sim/src"), &|_, source| Ok(source))?;
    for file in ["core/Cargo.toml", "core/tests/common/cipher.rs", "tests/sim/Cargo.toml"] {
        write_if_changed(&folder.join(file), &fs::read_to_string(workspace.join(file))?)?;
    }
    let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
    write_if_changed(&folder.join("Cargo.toml"), &smaller_workspace(&manifest))?;
    if !folder.join("Cargo.lock").exists() {
        fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    }
    Ok(())
}

/// The workspace's manifest for the copy's two packages, built as fast as they then run.
fn smaller_workspace(manifest: &str) -> String {
    let mut lines: Vec<_> = manifest
        .lines()
        .take_while(|line| !line.starts_with("[profile."))
        .filter(|line| !line.starts_with("default-members") && !line.starts_with("exclude"))
        .map(|line| if line.starts_with("members") { "members = [\"core\", \"tests/sim\"]" } else { line })
        .collect();
    lines.extend(["[profile.release]", "opt-level = 2", "incremental = true", ""]);
    lines.join("\n")
}

fn build(folder: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--offline", "--quiet", "--package", "symphony-sim", "--target-dir", "target"])
        .current_dir(folder)
        // Beside the flags that the workspace has for its ciphers; the variable would take their place.
        .args(["--config", "target.'cfg(all())'.rustflags = ['--cap-lints', 'allow']"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .map_err(|error| format!("starting cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the changed core does not compile:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// The seed and the invariant of the first violation in a report; too few leaders in time are one, too.
fn first_violation(report: &[u8]) -> Result<(Option<u64>, String), String> {
    let report: serde_json::Value = serde_json::from_slice(report).map_err(|error| format!("its report: {error}"))?;
    if report["violations"][0].is_null() && report["lively"] == false {
        return Ok((report["slow_seeds"][0].as_u64(), Invariant::LeaderMostlyInTime.to_string()));
    }
    let first = &report["violations"][0];
    let invariant = first["invariant"].as_str().unwrap_or("not found").to_owned();
    Ok((first["seed"].as_u64(), invariant))
}

type Change<'a> = &'a dyn Fn(&Path, String) -> Result<String, String>;

fn copy_tree(from: &Path, to: &Path, change: Change<'_>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_tree(&path, &copy, change)?;
        } else {
            let text = change(&path, fs::read_to_string(&path)?).map_err(io::Error::other)?;
            write_if_changed(&copy, &text)?;
        }
    }
    Ok(())
}

/// Leaves the file's time alone where nothing changes, so that only what did is built again.
fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
