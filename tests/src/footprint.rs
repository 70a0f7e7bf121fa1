//! What the core takes of a board: sizes of linked images, and what is measured in the emulator.

mod image;
mod readme;
mod report;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use image::{Sizes, sizes, symbols};
pub use readme::Table;

const NODE_MCU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../node-mcu");

/// What is built for a target and run.
struct Board {
    target: &'static str,
    processor: &'static str,
    /// The package of the whole firmware.
    firmware: &'static str,
    /// A machine of the emulator with the processor.
    machine: &'static str,
    /// Ticks of its timer in a second; with `-icount shift=0` a second has 10^9 instructions.
    timer_hz: u64,
}

const BOARDS: [Board; 3] = [
    Board {
        target: "thumbv6m-none-eabi",
        processor: "Cortex-M0+",
        firmware: "symphony-rp2040",
        machine: "microbit",
        timer_hz: 16_000_000,
    },
    Board {
        target: "thumbv7m-none-eabi",
        processor: "Cortex-M3",
        firmware: "symphony-lm3s6965",
        machine: "mps2-an385",
        timer_hz: 25_000_000,
    },
    Board {
        target: "thumbv7em-none-eabi",
        processor: "Cortex-M4",
        firmware: "symphony-stm32f429",
        machine: "mps2-an386",
        timer_hz: 25_000_000,
    },
];

/// The processor that the limits of text are for.
const REFERENCE: &str = "Cortex-M3";

/// Parts of the names of functions that only a panic or an allocator reaches. Every panic ends in the first.
const PANICS: [&str; 6] =
    ["rust_begin_unwind", "core::panicking", "expect_failed", "unwrap_failed", "slice_index_fail", "len_mismatch_fail"];
const ALLOCATORS: [&str; 2] = ["__rust_alloc", "alloc::alloc"];

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was measured of each target.
    pub targets: Vec<Target>,
    /// What others publish.
    pub others: Vec<Other>,
    /// What was aimed at.
    pub goals: Vec<Goal>,
}

impl Report {
    /// Whether nothing that panics or allocates is linked into the core.
    ///
    /// # Errors
    /// The names of such functions.
    pub fn check(&self) -> Result<(), Box<dyn Error>> {
        let linked = self.targets.iter().flat_map(|Target { target, panics, allocators, .. }| {
            panics.iter().chain(allocators).map(move |name| format!("{target}: linked into the core: {name}"))
        });
        let linked: Vec<_> = linked.collect();
        if linked.is_empty() { Ok(()) } else { Err(linked.join("\n").into()) }
    }
}

/// What was measured of one target, bytes.
#[derive(Debug, Serialize)]
pub struct Target {
    /// Its triple.
    pub target: &'static str,
    /// The processor.
    pub processor: &'static str,
    /// Election and codec of messages, without authentication.
    pub election: Sizes,
    /// The whole of the core: election, codec, authentication, and the codec of the record.
    pub core: Sizes,
    /// The codec of the record, which is a part of that.
    pub record: Sizes,
    /// Functions in any of these images that only a panic reaches.
    pub panics: Vec<String>,
    /// Functions in any of these images that allocate.
    pub allocators: Vec<String>,
    /// The whole firmware's package.
    pub firmware: &'static str,
    /// Its sizes.
    pub firmware_sizes: Sizes,
    /// Largest nodes by the peers they have room for.
    pub ram: Vec<Ram>,
    /// RAM of a node, and what each peer adds.
    pub ram_per_node: usize,
    /// RAM that a node takes for each peer it has room for.
    pub ram_per_peer: usize,
    /// Most stack that a call of the core takes in authenticated elections, bytes.
    pub stack_peak: usize,
    /// Instructions for a datagram.
    pub instructions: Instructions,
}

/// What `footprint-measure` prints.
#[derive(Debug, Deserialize)]
struct Run {
    ram: Vec<Ram>,
    stack_peak: usize,
    make: Cost,
    take_in: Cost,
    refuse_forged: Cost,
}

/// What calls of one kind took.
#[derive(Debug, Deserialize)]
struct Cost {
    ticks: u64,
    calls: u64,
}

impl Cost {
    fn instructions(&self, timer_hz: u64) -> u64 {
        self.ticks * (1_000_000_000 / 1000) / (timer_hz / 1000) / self.calls.max(1)
    }
}

/// RAM of one node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ram {
    /// Peers it has room for.
    pub peers: usize,
    /// Size of the node, bytes.
    pub endpoint: usize,
    /// Largest record, bytes.
    pub record: usize,
}

/// Instructions for a heartbeat or the answer to one.
#[derive(Debug, Serialize)]
pub struct Instructions {
    /// To make and seal it.
    pub make: u64,
    /// To open it and take it in.
    pub take_in: u64,
    /// To refuse a forged one.
    pub refuse_forged: u64,
}

/// What others publish.
#[derive(Debug, Serialize)]
pub struct Other {
    /// The library.
    pub library: &'static str,
    /// Text, bytes.
    pub text: usize,
    /// RAM, as they count it.
    pub ram: &'static str,
    /// What is not in it.
    pub without: &'static str,
}

/// What was aimed at.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// What.
    pub what: &'static str,
    /// At most, in its unit.
    pub limit: usize,
    /// What was measured.
    pub measured: usize,
    /// Whether it was reached.
    pub met: bool,
}

/// Builds and measures all of it.
///
/// # Errors
/// A toolchain, the emulator or a tool of binutils is missing or fails.
pub fn measure() -> Result<Report, Box<dyn Error>> {
    let targets = BOARDS.iter().map(measure_board).collect::<Result<Vec<_>, _>>()?;
    let goals = goals(&targets);
    let others = vec![
        Other {
            library: "willemt/raft",
            text: 4_750,
            ram: "148, 20 a node, and a log",
            without: "pre-vote, codec, authentication",
        },
        Other { library: "libuavcan", text: 8_200, ram: "4,024", without: "authentication" },
    ];
    Ok(Report { targets, others, goals })
}

fn measure_board(board: &Board) -> Result<Target, Box<dyn Error>> {
    let Board { target, processor, firmware, timer_hz, .. } = *board;
    let folder = build("symphony-footprint", target)?;
    let image = |name: &str| folder.join(format!("footprint-{name}"));
    if symbols(&image("control"), &PANICS)?.is_empty() {
        return Err("a program that can panic is not told from one that cannot".into());
    }
    let empty = sizes(&image("empty"))?;
    let part = |name| sizes(&image(name)).map(|sizes| sizes.without(&empty));
    let parts = ["election", "core", "record"];
    let linked = |names: &[&str]| {
        let of_parts = parts.iter().map(|part| symbols(&image(part), names));
        of_parts.collect::<Result<Vec<_>, _>>().map(|names| names.concat())
    };
    let Run { ram, stack_peak, make, take_in, refuse_forged } = run(board, &image("measure"))?;
    let [Ram { peers: few, endpoint: small, .. }, .., Ram { peers: many, endpoint: large, .. }] = *ram.as_slice()
    else {
        return Err("nodes of two capacities are needed".into());
    };
    let ram_per_peer = (large - small) / (many - few);
    Ok(Target {
        target,
        processor,
        election: part("election")?,
        core: part("core")?,
        record: part("record")?,
        panics: linked(&PANICS)?,
        allocators: linked(&ALLOCATORS)?,
        firmware,
        firmware_sizes: sizes(&build(firmware, target)?.join(firmware))?,
        ram_per_node: small - few * ram_per_peer,
        ram_per_peer,
        ram,
        stack_peak,
        instructions: Instructions {
            make: make.instructions(timer_hz),
            take_in: take_in.instructions(timer_hz),
            refuse_forged: refuse_forged.instructions(timer_hz),
        },
    })
}

/// Builds a package, and returns the folder of its images.
fn build(package: &str, target: &str) -> Result<PathBuf, Box<dyn Error>> {
    let output = image::output(Command::new(Path::new(NODE_MCU).join("build")).args([package, target]))?;
    let image = PathBuf::from(output.trim());
    Ok(image.parent().ok_or("an image without a folder")?.to_owned())
}

fn run(board: &Board, image: &Path) -> Result<Run, Box<dyn Error>> {
    let mut emulator = Command::new("qemu-system-arm");
    emulator.args(["-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "none"]);
    emulator.args(["-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel"]).arg(image);
    Ok(serde_json::from_str(&image::output(&mut emulator)?)?)
}

fn goals(targets: &[Target]) -> Vec<Goal> {
    let goal = |what, limit, measured| Goal { what, limit, measured, met: measured <= limit };
    let most = |measure: fn(&Target) -> usize| targets.iter().map(measure).max().unwrap_or(usize::MAX);
    let of_reference = |measure: fn(&Target) -> usize| {
        targets.iter().find(|target| target.processor == REFERENCE).map_or(usize::MAX, measure)
    };
    let with_four = |target: &Target| target.ram_per_node + 4 * target.ram_per_peer;
    vec![
        goal("text of election and codec on Cortex-M3", 8 * 1024, of_reference(|target| target.election.own_text())),
        goal("text of the whole core on Cortex-M3", 16 * 1024, of_reference(|target| target.core.own_text())),
        goal("RAM of a node with four peers", 1024, most(with_four)),
        goal("peak stack of a call", 2048, most(|target| target.stack_peak)),
        goal("functions that panic", 0, most(|target| target.panics.len())),
        goal("functions that allocate", 0, most(|target| target.allocators.len())),
    ]
}
