//! The data directory's device as one shard sees it.
//!
//! Key invariant: no call here blocks the shard: what io_uring cannot do runs on glommio's blocking thread. Direct reads and
//! writes in flight are bounded by their class ([`IoClass`]), and free space is known within a second, so that a full disk
//! is an answer and not an accident.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::io::{DmaFile, OpenOptions};

use super::classes::{IoClass, IoCounts, IoLimits};
use super::clock::last_tick;
use super::file::{Access, File, Inner, WriteBuffer};
use super::foreign::Home;
use super::kernel;
use super::memory::BLOCK_BYTES;
use super::remover;
use super::scheduler::{Place, Scheduler, Ticks};
use super::simulated::{self, Simulated};
use crate::model::TimestampMs;

/// How old the figure for free space may be while bytes are written.
const FREE_SPACE_AGE_MAX: Duration = Duration::from_secs(1);
/// How many bytes this shard may admit before it looks at the free space again.
const ADMITTED_BYTES_MAX: u64 = 64 << 20;
/// Space is reserved ahead of need only while several times the reserve is free.
const RESERVATION_FACTOR: u64 = 4;
/// Space is ample while this many times the reserve is free.
const AMPLE_FACTOR: u64 = 64;
/// A non-empty file that every executor reads first; see [`Disk::open`].
const PROBE_FILE: &str = "direct-io.probe";

/// Bounds of a shard's disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskLimits {
    /// Free bytes below which appends are refused.
    pub reserve_bytes: u64,
    /// What each class of direct I/O may have in flight.
    pub io: IoLimits,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self { reserve_bytes: 128 << 20, io: IoLimits::default() }
    }
}

async fn open_direct(path: &Path, access: Access) -> io::Result<DmaFile> {
    let file = match access {
        Access::Read => DmaFile::open(path).await,
        Access::Durable => {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).mode(0o644).custom_flags(libc::O_DSYNC);
            options.dma_open(path).await
        }
    };
    file.map_err(io::Error::from)
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    pub name: String,
    pub size_bytes: u64,
    /// When the content last changed.
    pub modified: TimestampMs,
    pub is_directory: bool,
}

/// A directory and some of its small files, seen in one go.
#[derive(Clone, Debug, Default)]
pub struct Inspected {
    pub entries: Vec<FileFacts>,
    /// The files asked for, in that order.
    pub contents: Vec<Option<Vec<u8>>>,
}

/// What answers: the kernel, or memory that fails on demand.
enum Device {
    Kernel,
    Simulated(Rc<Simulated>),
}

/// One shard's access to the data directory.
pub struct Disk {
    device: Device,
    directory: PathBuf,
    limits: DiskLimits,
    home: Home,
    scheduler: Rc<Scheduler>,
    free_bytes: Cell<u64>,
    admitted_bytes: Cell<u64>,
    /// Admitted and not written yet.
    promised_bytes: Cell<u64>,
    /// Of all that was promised, what is not any more.
    fulfilled_bytes: Cell<u64>,
    free_known_at: Cell<Duration>,
    refreshing: Cell<bool>,
}

impl Disk {
    /// Opens the data directory for the current executor.
    ///
    /// glommio decides once per thread and device whether reads are polled, by reading from the first file it opens; an
    /// empty file would decide wrongly for ever. So the first one is a small file kept for that.
    pub async fn open(directory: &Path, limits: DiskLimits) -> io::Result<Rc<Self>> {
        let directory = kernel::prepare(directory, PROBE_FILE).await?;
        let probe = DmaFile::open(directory.join(PROBE_FILE)).await.map_err(io::Error::from)?;
        probe.close().await.map_err(io::Error::from)?;
        Self::over(Device::Kernel, directory, limits).await
    }

    /// A disk that exists only in memory; see [`Simulated`].
    pub async fn simulated(device: Rc<Simulated>, limits: DiskLimits) -> io::Result<Rc<Self>> {
        Self::over(Device::Simulated(device), PathBuf::from(simulated::DIRECTORY), limits).await
    }

    async fn over(device: Device, directory: PathBuf, limits: DiskLimits) -> io::Result<Rc<Self>> {
        let ticks = match &device {
            Device::Kernel => Ticks::Since(Instant::now()),
            Device::Simulated(_) => Ticks::Never,
        };
        let disk = Rc::new(Self {
            device,
            directory,
            limits,
            home: Home::new(),
            scheduler: Scheduler::new(ticks, limits.io),
            free_bytes: Cell::new(0),
            admitted_bytes: Cell::new(0),
            promised_bytes: Cell::new(0),
            fulfilled_bytes: Cell::new(0),
            free_known_at: Cell::new(last_tick()),
            refreshing: Cell::new(false),
        });
        disk.refresh_free_space().await?;
        Ok(disk)
    }

    /// The data directory, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where this shard's read memory returns to.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Opens a file. The caller sees to it that nobody removes or renames it meanwhile: glommio looks at the path again
    /// after opening it, and panics if it is gone.
    pub async fn open_file(self: &Rc<Self>, path: &Path, access: Access) -> io::Result<Rc<File>> {
        let inner = match &self.device {
            Device::Kernel => Inner::Direct(open_direct(path, access).await?),
            Device::Simulated(device) => Inner::Simulated(device.open(path, access).await?),
        };
        Ok(Rc::new(File::new(self.clone(), inner)))
    }

    /// Memory for a write of `bytes`, which are whole blocks, once there is a place among those of its class in flight. The
    /// caller fills all of it. Whoever holds one must not wait for another: write this first.
    pub async fn write_buffer(&self, bytes: usize, class: IoClass) -> io::Result<WriteBuffer> {
        debug_assert!((bytes as u64).is_multiple_of(BLOCK_BYTES));
        let place = self.admit(class, bytes).await;
        Ok(WriteBuffer::new(glommio::allocate_dma_buffer(bytes), place))
    }

    /// Waits for a place among the operations of a class in flight.
    pub(super) async fn admit(&self, class: IoClass, bytes: usize) -> Place {
        self.scheduler.admit(class, bytes as u64).await
    }

    /// Whether someone waits for the device, or did a moment ago: reads that nobody waits for should be small.
    pub fn is_contended(&self) -> bool {
        self.scheduler.is_contended()
    }

    /// Says whether the checkpoint is late: then it gets more of the device beside what clients wait for.
    pub fn hasten_checkpoint(&self, late: bool) {
        self.scheduler.hasten(late);
    }

    /// What a class of direct I/O did and does.
    pub fn io_counts(&self, class: IoClass) -> IoCounts {
        self.scheduler.counts(class)
    }

    /// Looks at the free space, unless someone does already: it changes through others too.
    pub fn look_at_free_space(self: &Rc<Self>) {
        if self.refreshing.replace(true) {
            return;
        }
        let disk = self.clone();
        glommio::spawn_local(async move {
            if let Err(error) = disk.refresh_free_space().await {
                tracing::warn!(%error, "cannot tell the free space of the data directory");
            }
            disk.refreshing.set(false);
        })
        .detach();
    }

    /// Takes `bytes` from the free space that is known; false if that would go into the reserve.
    pub fn admit_bytes(self: &Rc<Self>, bytes: u64) -> bool {
        let admitted = self.admitted_bytes.get() + bytes;
        let enough = self.free_bytes.get() >= admitted + self.limits.reserve_bytes;
        let stale = last_tick().saturating_sub(self.free_known_at.get()) >= FREE_SPACE_AGE_MAX;
        if stale || !enough || admitted >= self.promised_bytes.get() + ADMITTED_BYTES_MAX {
            self.look_at_free_space();
        }
        if enough {
            self.admitted_bytes.set(admitted);
        }
        enough
    }

    /// `bytes` are to be written some time after they were admitted.
    pub fn promise(&self, bytes: u64) {
        self.promised_bytes.set(self.promised_bytes.get() + bytes);
    }

    /// `bytes` that were promised are written, or never will be.
    pub fn fulfil(&self, bytes: u64) {
        debug_assert!(bytes <= self.promised_bytes.get(), "only what was promised is fulfilled");
        self.fulfilled_bytes.set(self.fulfilled_bytes.get() + bytes);
        self.promised_bytes.set(self.promised_bytes.get().saturating_sub(bytes));
    }

    /// Takes `bytes` from the free space for a reservation ahead of need; false, and nothing is taken, if space is scarce.
    pub fn admit_reservation(&self, bytes: u64) -> bool {
        let enough = self.free_bytes() >= bytes + RESERVATION_FACTOR * self.limits.reserve_bytes;
        if enough {
            self.admitted_bytes.set(self.admitted_bytes.get() + bytes);
        }
        enough
    }

    /// Free bytes of the file system, as last seen.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.get().saturating_sub(self.admitted_bytes.get())
    }

    /// Whether so much space is free that some may be held for later.
    pub fn is_ample(&self) -> bool {
        self.free_bytes() >= AMPLE_FACTOR * self.limits.reserve_bytes
    }

    /// Waits for what this disk does in the background. glommio's blocking thread panics if its executor ends first: call it
    /// last, once the logs are closed.
    pub async fn quiesce(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(1);
        while self.refreshing.get() || kernel::is_busy() {
            self.sleep(LOOK_AGAIN).await;
        }
    }

    async fn refresh_free_space(&self) -> io::Result<()> {
        let fulfilled = self.fulfilled_bytes.get();
        let free = match &self.device {
            Device::Kernel => kernel::free_bytes(&self.directory).await?,
            Device::Simulated(device) => device.free_bytes(),
        };
        self.free_bytes.set(free);
        // What was admitted and is not written yet is not in that figure, and what was written meanwhile need not be.
        let meanwhile = self.fulfilled_bytes.get() - fulfilled;
        self.admitted_bytes.set(self.promised_bytes.get() + meanwhile);
        self.free_known_at.set(last_tick());
        Ok(())
    }

    /// Lists a directory; `None` if there is none.
    pub async fn list(&self, path: &Path) -> io::Result<Option<Vec<FileFacts>>> {
        match &self.device {
            Device::Kernel => kernel::list(path).await,
            Device::Simulated(device) => device.list(path).await,
        }
    }

    /// Lists a directory and reads small files in it, at most `bytes_max` of each; `None` if there is none. One turn on the
    /// blocking thread, however many files: a broker opens thousands of directories when it starts.
    pub async fn inspect(
        &self,
        path: &Path,
        wanted: &'static [&'static str],
        bytes_max: u64,
    ) -> io::Result<Option<Inspected>> {
        match &self.device {
            Device::Kernel => kernel::inspect(path, wanted, bytes_max).await,
            Device::Simulated(device) => {
                let Some(entries) = device.list(path).await? else { return Ok(None) };
                let mut contents = Vec::with_capacity(wanted.len());
                for name in wanted {
                    contents.push(device.read_small(&path.join(name), bytes_max).await?);
                }
                Ok(Some(Inspected { entries, contents }))
            }
        }
    }

    /// Creates a directory and makes its name durable.
    pub async fn create_directory(&self, path: &Path) -> io::Result<()> {
        match &self.device {
            Device::Kernel => kernel::create_directory(path).await,
            Device::Simulated(device) => device.create_directory(path).await,
        }
    }

    /// Makes the names in a directory durable.
    pub async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match &self.device {
            Device::Kernel => kernel::sync_directory(path).await,
            Device::Simulated(device) => device.sync_directory(path).await,
        }
    }

    /// Renames within the data directory, durably.
    pub async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.device {
            Device::Kernel => kernel::rename(from, to).await,
            Device::Simulated(device) => device.rename(from, to).await,
        }
    }

    /// Whether nobody has the file open, in this process or another.
    pub async fn is_unshared(&self, path: &Path) -> io::Result<bool> {
        match &self.device {
            Device::Kernel => kernel::is_unshared(path).await,
            Device::Simulated(device) => device.is_unshared(path).await,
        }
    }

    /// Removes a file, if it is there. The name's going is durable only after [`Self::sync_directory`].
    pub async fn remove_file(&self, path: &Path) -> io::Result<()> {
        match &self.device {
            Device::Kernel => kernel::remove_file(path).await,
            Device::Simulated(device) => device.remove_file(path).await,
        }
    }

    /// Removes a file, or a directory and all in it, some time later, on a thread that holds up nobody. It has a name of its
    /// own already, and one that the next start removes.
    pub fn discard(&self, path: &Path) {
        match &self.device {
            Device::Kernel => remover::discard(path),
            Device::Simulated(device) => device.discard(path),
        }
    }

    /// Replaces a small file as a whole, durably: after a crash it is the old one or the new one.
    pub async fn replace_file(&self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        match &self.device {
            Device::Kernel => kernel::replace_file(path, temporary, content).await,
            Device::Simulated(device) => device.replace_file(path, &temporary, content).await,
        }
    }

    /// Writes a small file that may be lost or torn by a crash; its content must show that.
    pub async fn put_file(&self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        match &self.device {
            Device::Kernel => kernel::put_file(path, content).await,
            Device::Simulated(device) => device.put_file(path, content).await,
        }
    }

    /// The first `bytes_max` bytes of a small file; `None` if there is none.
    pub async fn read_small(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        match &self.device {
            Device::Kernel => kernel::read_small(path, bytes_max).await,
            Device::Simulated(device) => device.read_small(path, bytes_max).await,
        }
    }

    /// Waits; on a simulated disk, only until other tasks had a turn.
    pub async fn sleep(&self, duration: Duration) {
        match &self.device {
            Device::Kernel => glommio::timer::sleep(duration).await,
            Device::Simulated(device) => device.pass_time().await,
        }
    }
}
