//! The report, for people.

use std::fmt;

use super::{Goal, Instructions, Other, Ram, Report, Target};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:<32} {:>7} {:>9} {:>6} {:>7}", "bytes", "", "text", "+ memcpy…", "data", "bss")?;
        for Target { target, election, core, record, firmware, firmware_sizes, .. } in &self.targets {
            let rows = [
                ("election and codec", election),
                ("core, with authentication", core),
                ("its record's codec", record),
                (firmware, firmware_sizes),
            ];
            for (what, sizes) in rows {
                let (text, memory) = (sizes.own_text(), sizes.memory_functions);
                writeln!(f, "{target:<20} {what:<32} {text:>7} {memory:>9} {:>6} {:>7}", sizes.data, sizes.bss)?;
            }
        }
        for Other { library, text, ram, without } in &self.others {
            writeln!(f, "{:<20} {library:<32} {text:>7}   RAM {ram}; without {without}", "for comparison")?;
        }
        for Target { target, ram, stack_peak, instructions, .. } in &self.targets {
            writeln!(f, "\n{target}\n{:>5} {:>10} {:>14}", "peers", "node, RAM", "record, flash")?;
            for Ram { peers, endpoint, record } in ram {
                writeln!(f, "{peers:>5} {endpoint:>10} {record:>14}")?;
            }
            let Instructions { make, take_in, refuse_forged } = instructions;
            writeln!(f, "peak stack of a call {stack_peak} bytes")?;
            writeln!(
                f,
                "instructions to make a datagram {make}, to take one in {take_in}, to refuse a forged one {refuse_forged}"
            )?;
        }
        writeln!(f)?;
        for Goal { what, limit, measured, met } in &self.goals {
            let verdict = if *met { "met" } else { "NOT met" };
            writeln!(f, "{what}: {measured}, at most {limit}: {verdict}")?;
        }
        Ok(())
    }
}
