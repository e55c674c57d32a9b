//! Faults on demand, and what the disk's scheduler counts.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Failure, Simulated};
use crate::io::{Access, Disk, DiskLimits, File, IoClass, IoCounts};

fn run<T>(test: impl Future<Output = T>) -> T {
    let executor = glommio::LocalExecutorBuilder::default().io_memory(1 << 20).make();
    executor.expect("io_uring works here").run(test)
}

async fn disk_of(device: &Rc<Simulated>) -> Rc<Disk> {
    Disk::simulated(device.clone(), DiskLimits { reserve_bytes: 0, ..DiskLimits::default() })
        .await
        .expect("it is there")
}

fn path(name: &str) -> PathBuf {
    Path::new("/simulated").join(name)
}

async fn open(disk: &Rc<Disk>, name: &str) -> Rc<File> {
    disk.open_file(&path(name), Access::Durable).await.expect("opened")
}

async fn write(disk: &Rc<Disk>, file: &File, byte: u8) -> io::Result<()> {
    let mut buffer = disk.write_buffer(4096, IoClass::Bypass).await?;
    buffer.as_mut_slice().fill(byte);
    file.write_at(buffer, 0).await
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

#[test]
fn only_the_files_asked_for_fail_and_only_until_healed() {
    run(async {
        let device = Simulated::new(1);
        let disk = disk_of(&device).await;
        let (log, index) = (open(&disk, "a.log").await, open(&disk, "a.index").await);
        device.fail_writes_to(is_log, Failure::StorageFull);
        for failed in [
            write(&disk, &log, 1).await,
            log.preallocate(1 << 20).await,
            log.truncate(0).await,
            disk.put_file(&path("b.log"), vec![1]).await,
            disk.replace_file(&path("b.log"), vec![1]).await,
            disk.create_directory(&path("c.log")).await,
        ] {
            assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
        }
        write(&disk, &index, 2).await.expect("another file");
        disk.put_file(&path("b.index"), vec![1]).await.expect("another file");
        device.heal();
        write(&disk, &log, 3).await.expect("healed");
        assert_eq!(device.content(&path("a.log")), Some(vec![3; 4096]));
    });
}

#[test]
fn reads_fail_where_asked_and_writes_do_not() {
    run(async {
        let device = Simulated::new(2);
        let disk = disk_of(&device).await;
        let log = open(&disk, "a.log").await;
        device.fail_reads_to(is_log, Failure::Device);
        write(&disk, &log, 1).await.expect("a write");
        let read = log.read_at(0, 4096, IoClass::ColdRead).await;
        assert_eq!(read.expect_err("it fails").raw_os_error(), Some(libc::EIO));
        assert!(disk.read_small(&path("a.log"), 10).await.is_err());
        assert_eq!(disk.list(&path("")).await.expect("listed").expect("there").len(), 1);
        device.heal();
        assert_eq!(log.read_at(0, 4096, IoClass::ColdRead).await.expect("healed"), vec![1; 4096]);
    });
}

#[test]
fn a_crash_ends_the_faults() {
    run(async {
        let device = Simulated::new(3);
        let disk = disk_of(&device).await;
        device.fail_writes_to(|_| true, Failure::Device);
        device.fail_writes_after(0);
        let after = device.crash();
        let log = open(&disk_of(&after).await, "a.log").await;
        write(&disk_of(&after).await, &log, 1).await.expect("power is back");
        assert!(disk.sync_directory(&path("")).await.is_err(), "the old one has none");
    });
}

#[test]
fn a_seed_draws_the_same_with_faults_that_hit_nothing() {
    let life = |faults: bool| {
        run(async move {
            let device = Simulated::new(4);
            if faults {
                device.fail_writes_to(is_log, Failure::Device);
                device.fail_reads_to(is_log, Failure::Device);
            }
            let disk = disk_of(&device).await;
            let file = open(&disk, "a.index").await;
            write(&disk, &file, 1).await.expect("no log");
            file.read_at(0, 4096, IoClass::ColdRead).await.expect("no log");
            device.choose(u64::MAX)
        })
    };
    assert_eq!(life(false), life(true));
}

#[test]
fn each_class_counts_what_it_did() {
    run(async {
        let device = Simulated::new(5);
        let disk = disk_of(&device).await;
        let log = open(&disk, "a.log").await;
        write(&disk, &log, 1).await.expect("a write");
        log.read_at(0, 4096, IoClass::TailRead).await.expect("a read");
        let held = disk.write_buffer(8192, IoClass::Bypass).await.expect("a place");
        let writes =
            IoCounts { in_flight: 1, in_flight_bytes: 8192, waiting: 0, operations: 2, bytes: 12_288 };
        assert_eq!(disk.io_counts(IoClass::Bypass), writes);
        drop(held);
        assert_eq!(
            disk.io_counts(IoClass::Bypass),
            IoCounts { in_flight: 0, in_flight_bytes: 0, ..writes },
            "a buffer that is not written gives its place back"
        );
        let reads = IoCounts { operations: 1, bytes: 4096, ..IoCounts::default() };
        assert_eq!(disk.io_counts(IoClass::TailRead), reads);
        assert_eq!(disk.io_counts(IoClass::Journal), IoCounts::default());
    });
}
