//! A linked image, as binutils see it.

use std::{collections::BTreeMap, error::Error, path::Path, process::Command};

use serde::Serialize;

/// What copies, moves, fills and compares memory: the compiler's, and in nearly every program.
const MEMORY_FUNCTIONS: [&str; 6] = ["memcpy", "memmove", "memset", "memclr", "memcmp", "bcmp"];

/// Sizes of an image, bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sizes {
    /// Code, constants and vectors.
    pub text: usize,
    /// Of these, functions that copy, move, fill and compare memory.
    pub memory_functions: usize,
    /// Variables with a value at the start: in flash and in RAM.
    pub data: usize,
    /// Variables that begin as zero.
    pub bss: usize,
}

impl Sizes {
    /// What is more than in another image.
    pub(super) fn without(self, other: &Self) -> Self {
        let Self { text, memory_functions, data, bss } = self;
        Self {
            text: text.saturating_sub(other.text),
            memory_functions: memory_functions.saturating_sub(other.memory_functions),
            data: data.saturating_sub(other.data),
            bss: bss.saturating_sub(other.bss),
        }
    }

    /// Text that is not the compiler's.
    pub(super) fn own_text(&self) -> usize {
        self.text.saturating_sub(self.memory_functions)
    }
}

/// The sizes of an image.
pub(super) fn sizes(image: &Path) -> Result<Sizes, Box<dyn Error>> {
    let table = output(Command::new("arm-none-eabi-size").arg(image))?;
    let line = table.lines().nth(1).ok_or("no sizes")?;
    let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
    let mut next = || numbers.next().ok_or("no size");
    Ok(Sizes { text: next()?, memory_functions: memory_functions(image)?, data: next()?, bss: next()? })
}

/// Bytes of the functions that move memory. Several names may stand for one.
fn memory_functions(image: &Path) -> Result<usize, Box<dyn Error>> {
    let arguments = ["--demangle", "--defined-only", "--print-size"];
    let table = output(Command::new("arm-none-eabi-nm").args(arguments).arg(image))?;
    let function = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let (address, size, _, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let last = name.rsplit("::").next()?;
        let stem = last.trim_start_matches("__aeabi_").trim_end_matches(['4', '8']);
        MEMORY_FUNCTIONS.contains(&stem).then_some((address.to_owned(), usize::from_str_radix(size, 16).ok()?))
    };
    let sizes: BTreeMap<_, _> = table.lines().filter_map(function).collect();
    Ok(sizes.values().sum())
}

/// The names of functions and variables in an image that hold one of `parts`.
pub(super) fn symbols(image: &Path, parts: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let table = output(Command::new("arm-none-eabi-nm").args(["--demangle", "--defined-only"]).arg(image))?;
    let names = table.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
    Ok(names.filter(|name| parts.iter().any(|part| name.contains(part))).map(str::to_owned).collect())
}

/// What a program prints, if it ends well.
pub(super) fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !output.status.success() {
        let program = command.get_program().display().to_string();
        return Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
