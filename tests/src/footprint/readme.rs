//! The table in the README, which comes from here.

use std::{error::Error, fmt};

use super::{Report, Target};

/// The lines between which it stands.
const BEGIN: &str = "<!-- from footprint --readme -->";
const END: &str = "<!-- end -->";

/// How far text and instructions may differ from the table, per cent: toolchains differ.
const TOLERANCE_PERCENT: usize = 2;

/// The table in the README: a column for each processor.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Row>,
}

/// A number, or two, of each processor.
#[derive(Debug)]
struct Row {
    what: String,
    cells: Vec<Vec<usize>>,
    exact: bool,
}

impl Table {
    /// The table of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let row = |what: &str, exact, numbers: &dyn Fn(&Target) -> Vec<usize>| Row {
            what: what.to_owned(),
            cells: report.targets.iter().map(numbers).collect(),
            exact,
        };
        let instructions = |count: u64| vec![usize::try_from(count).unwrap_or(usize::MAX)];
        let record = |target: &Target| target.ram.iter().map(|ram| (ram.peers, ram.record)).collect::<Vec<_>>();
        let rows = vec![
            row("text: election and codec", false, &|target| vec![target.election.own_text()]),
            row("text: the whole core, with authentication and record", false, &|target| vec![target.core.own_text()]),
            row("`memcpy` and the like beside it", false, &|target| vec![target.core.memory_functions]),
            row("text: a firmware, with network and log", false, &|target| vec![target.firmware_sizes.text]),
            row("RAM: a node + each peer", true, &|target| vec![target.ram_per_node, target.ram_per_peer]),
            row("stack: a call, at most", false, &|target| vec![target.stack_peak]),
            row("record in flash: a node + each peer", true, &|target| match *record(target).as_slice() {
                [(few, small), .., (many, large)] => {
                    let peer = (large - small) / (many - few);
                    vec![small - few * peer, peer]
                }
                _ => vec![],
            }),
            row("instructions: to make a heartbeat", false, &|target| instructions(target.instructions.make)),
            row("instructions: to take one in", false, &|target| instructions(target.instructions.take_in)),
            row("instructions: to refuse a forged one", false, &|target| {
                instructions(target.instructions.refuse_forged)
            }),
        ];
        Self { rows }
    }

    /// Whether the README says the same.
    ///
    /// # Errors
    /// It has no such table, or another.
    pub fn check(&self, readme: &str) -> Result<(), Box<dyn Error>> {
        let (_, after) = readme.split_once(BEGIN).ok_or_else(|| format!("no line {BEGIN}"))?;
        let (table, _) = after.split_once(END).ok_or_else(|| format!("no line {END}"))?;
        let lines: Vec<_> = table.trim().lines().skip(2).collect();
        let agrees = lines.len() == self.rows.len() && lines.iter().zip(&self.rows).all(|(line, row)| row.agrees(line));
        if agrees { Ok(()) } else { Err(format!("the README's table should be\n{self}").into()) }
    }
}

impl Row {
    fn agrees(&self, line: &str) -> bool {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let numbers = |cell: &str| {
            let numbers = cell.split(" + ").map(|number| number.replace(',', "").parse());
            numbers.collect::<Result<Vec<usize>, _>>().unwrap_or_default()
        };
        let is_near = |said: usize, measured: usize| {
            said == measured || !self.exact && said.abs_diff(measured) * 100 <= measured * TOLERANCE_PERCENT
        };
        cells.next() == Some(self.what.as_str())
            && self.cells.iter().all(|measured| {
                let said = numbers(cells.next().unwrap_or_default());
                said.len() == measured.len()
                    && said.iter().zip(measured).all(|(said, measured)| is_near(*said, *measured))
            })
            && cells.next().is_none()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { what, cells, .. } in &self.rows {
            write!(f, "| {what} |")?;
            for cell in cells {
                let numbers: Vec<_> = cell.iter().map(|number| grouped(*number)).collect();
                write!(f, " {} |", numbers.join(" + "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number with commas between its thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme(row: &str) -> String {
        format!("before\n{BEGIN}\n| bytes | M0 | M3 |\n|---|---|---|\n{row}\n{END}\nafter")
    }

    fn table(exact: bool) -> Table {
        Table { rows: vec![Row { what: "text".to_owned(), cells: vec![vec![12_345], vec![416, 144]], exact }] }
    }

    #[test]
    fn a_table_agrees_with_itself() {
        assert_eq!(table(true).to_string(), "| text | 12,345 | 416 + 144 |\n");
        assert!(table(true).check(&readme(table(true).to_string().trim())).is_ok());
    }

    #[test]
    fn another_number_is_found() {
        for (row, exact, agrees) in [
            ("| text | 12,346 | 416 + 144 |", true, false),
            ("| text | 12,346 | 416 + 144 |", false, true),
            ("| text | 12,600 | 416 + 144 |", false, false),
            ("| text | 12,345 | 416 |", false, false),
            ("| text | 12,345 |", false, false),
            ("| txt | 12,345 | 416 + 144 |", false, false),
            ("| text | 12,345 | 416 + 144 |\n| more | 1 | 1 |", false, false),
        ] {
            assert_eq!(table(exact).check(&readme(row)).is_ok(), agrees, "{row}");
        }
        assert!(table(false).check("no table").is_err());
    }
}
