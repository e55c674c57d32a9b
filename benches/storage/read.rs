//! Reading: history from the device, and the tail from the batch cache.
//!
//! Key invariant: a cold case keeps no batch in memory, a tail case keeps all of them. What a reader then does with the
//! bytes (checksums, sockets) is not measured here.

use std::cell::RefCell;

use corelog::model::Offset;

use crate::baseline::{self, READ_1_MIB};
use crate::engine::{self, Batch, Engine};
use crate::measure::{Measured, Until, closed_loop};
use crate::report::{Report, Row};

/// Batches of 64 KB in each log.
const BATCHES: usize = 768;
/// More than one log holds: the tail stays in memory.
const CACHE_BYTES: u64 = 256 << 20;

/// A case: its name, readers (each with a log of its own), memory for batches, and the most that one read takes.
const CASES: [(&str, usize, u64, u32); 5] = [
    ("read/cold/1-reader/1MiB", 1, 0, 1 << 20),
    ("read/cold/8-readers/1MiB", 8, 0, 1 << 20),
    ("read/cold/8-readers/64KiB", 8, 0, 64 << 10),
    ("read/tail/1-reader/1MiB", 1, CACHE_BYTES, 1 << 20),
    ("read/tail/1-reader/64KiB", 1, CACHE_BYTES, 64 << 10),
];

pub fn run(report: &mut Report) {
    for (case, readers, cache_bytes, bytes_max) in CASES {
        if report.wants(case) {
            let until = Until { elapsed: report.measured, bytes: u64::MAX };
            let measured = measure(readers, cache_bytes, bytes_max, until);
            let mine = measured.mb_per_second();
            let device = baseline::need(report, READ_1_MIB).mb_per_second();
            report.add(Row::new(case, measured).compare(mine, device, "raw read 1 MiB"));
        }
    }
}

fn measure(readers: usize, cache_bytes: u64, bytes_max: u32, until: Until) -> Measured {
    let directory = engine::new_directory();
    engine::on_executor(&directory, async |disk| {
        let engine = Engine::open(&disk, readers, cache_bytes).await;
        engine.fill(&Batch::new(64, 1_000), BATCHES).await;
        let reader = Reader::new(engine.clone(), bytes_max);
        let measured = closed_loop(readers, until, async move |task, _| reader.next(task).await).await;
        engine.close().await;
        measured
    })
}

/// Readers that go through a log each, again and again.
pub struct Reader {
    engine: std::rc::Rc<Engine>,
    bytes_max: u32,
    at: RefCell<Vec<Offset>>,
}

impl Reader {
    pub fn new(engine: std::rc::Rc<Engine>, bytes_max: u32) -> Self {
        let at = RefCell::new(vec![Offset::ZERO; engine.logs.len()]);
        Self { engine, bytes_max, at }
    }

    /// The next read of a reader. Others get a turn even if it is answered from memory.
    pub async fn next(&self, reader: usize) -> crate::measure::Done {
        let at = self.at.borrow()[reader];
        let (next, done) = self.engine.read(reader, at, self.bytes_max).await;
        self.at.borrow_mut()[reader] = next;
        glommio::yield_if_needed().await;
        done
    }
}
