//! What a process takes of the machine, as `/proc` has it.

use std::fs;
use std::iter::Sum;
use std::os::unix::fs::MetadataExt;

/// What a process takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Footprint {
    /// Bytes of memory that no other process maps.
    pub private: i64,
    /// Bytes of page tables, which are not in `private`.
    pub tables: i64,
    /// Bytes of memory that the segments have which it maps.
    pub shared: i64,
    pub descriptors: i64,
    pub threads: i64,
}

impl Footprint {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a child that lives");
        let (memory, status) = (read("smaps_rollup"), read("status"));
        let number = |text: &str, name: &str| -> i64 {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a known field");
            value.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
        };
        let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten().collect();
        let is_segment = |link: &fs::DirEntry| {
            fs::read_link(link.path()).is_ok_and(|target| target.to_string_lossy().contains("memfd:ipc-rpc"))
        };
        let committed = |link: &fs::DirEntry| fs::metadata(link.path()).map_or(0, |file| file.blocks() as i64 * 512);
        Footprint {
            private: (number(&memory, "Private_Clean:") + number(&memory, "Private_Dirty:")) << 10,
            tables: number(&status, "VmPTE:") << 10,
            shared: open.iter().filter(|link| is_segment(link)).map(committed).sum(),
            descriptors: open.len() as i64,
            threads: number(&status, "Threads:"),
        }
    }

    /// What was added since; less than nothing, if some was given back.
    pub fn since(self, before: Footprint) -> Self {
        Footprint {
            private: self.private - before.private,
            tables: self.tables - before.tables,
            shared: self.shared - before.shared,
            descriptors: self.descriptors - before.descriptors,
            threads: self.threads - before.threads,
        }
    }
}

impl Sum for Footprint {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Footprint::default(), |sum, one| Footprint {
            private: sum.private + one.private,
            tables: sum.tables + one.tables,
            shared: sum.shared + one.shared,
            descriptors: sum.descriptors + one.descriptors,
            threads: sum.threads + one.threads,
        })
    }
}
