//! Disks at work: a save takes its time, fails or ends in a crash, as the plan and the times are.

use crate::{
    disk::SaveOutcome,
    node::Save,
    plan::Saved,
    world::{Happening, World},
};

impl World {
    pub(super) fn begin_save(&mut self, node: usize, record: Saved) {
        let usual = if self.stormy { self.draw_outcome() } else { SaveOutcome::Done };
        let failed = SaveOutcome::SyncFailed { written: false };
        let outcome = self.nodes[node].next_outcome.take().unwrap_or(usual);
        let outcome = if self.nodes[node].disk_dead { failed } else { outcome };
        let (low, high) = if self.stormy { self.plan.save_bad_us } else { self.plan.save_us };
        let ends_us = self.now_us + self.rng.range(low, high);
        self.trace.note(self.now_us, node, "saves", &[], || format!("{record:?}: {outcome:?}"));
        self.nodes[node].saving = Some(Save { record, outcome });
        let boot = self.nodes[node].boot;
        self.schedule(ends_us, Happening::SaveEnds { node, boot });
    }

    fn draw_outcome(&mut self) -> SaveOutcome {
        if self.rng.percent(self.plan.save_crash_percent) {
            self.rng.pick(&SaveOutcome::CRASHES)
        } else if self.rng.percent(self.plan.sync_fail_percent) {
            SaveOutcome::SyncFailed { written: self.rng.percent(50) }
        } else {
            SaveOutcome::Done
        }
    }

    pub(super) fn end_save(&mut self, node: usize) {
        let Some(Save { record, outcome }) = self.nodes[node].saving.take() else { return };
        self.trace.note(self.now_us, node, "saved", &[], || format!("{outcome:?}"));
        match outcome {
            SaveOutcome::CrashBefore => return self.crash_in_save(node),
            SaveOutcome::CrashTorn => {
                self.nodes[node].disk.tear();
                return self.crash_in_save(node);
            }
            SaveOutcome::SyncFailed { written } => {
                // The pages of a failed sync may be marked clean, so the next attempt writes the record again.
                if written {
                    self.nodes[node].disk.write(record.clone());
                } else {
                    self.nodes[node].disk.tear();
                }
                let next = self.nodes[node].save_next.take().unwrap_or(record);
                return self.begin_save(node, next);
            }
            SaveOutcome::Done | SaveOutcome::CrashUnheard | SaveOutcome::CrashHeard | SaveOutcome::CrashActed => {
                self.nodes[node].disk.write(record.clone());
            }
        }
        if outcome == SaveOutcome::CrashUnheard {
            return self.crash_in_save(node);
        }
        let local = self.look_at_clock(node);
        if let Some(endpoint) = self.nodes[node].endpoint.as_mut() {
            endpoint.handle_persisted(local, &record);
        }
        if outcome == SaveOutcome::CrashHeard {
            return self.crash_in_save(node);
        }
        if let Some(next) = self.nodes[node].save_next.take() {
            self.begin_save(node, next);
        }
        self.drain(node);
        if outcome == SaveOutcome::CrashActed {
            self.crash_in_save(node);
        }
    }

    fn crash_in_save(&mut self, node: usize) {
        let after_us = self.rng.below(self.plan.timeout_us * 3);
        let at_once = self.rng.percent(50);
        self.restart(node, if at_once { 10 } else { after_us });
    }
}
