//! Names and files of a real directory.

use bytes::Bytes;

use super::super::{FileName, JOURNAL_DIRECTORY, JournalFiles, NamedFile, load};

#[test]
fn names_are_read_back_and_others_are_not() {
    let journal = FileName::Journal { incarnation: 0xab, shard: 1, number: 12 };
    let manifest = FileName::Manifest { incarnation: 0xab, shard: 1 };
    assert_eq!(journal.to_string(), "00000000000000ab-0001-0012.journal");
    assert_eq!(manifest.to_string(), "00000000000000ab-0001.manifest");
    let large = FileName::Journal { incarnation: u64::MAX, shard: u16::MAX, number: u16::MAX };
    for name in [journal, manifest, large] {
        assert_eq!(FileName::parse(&name.to_string()), Some(name));
    }
    for other in [
        "00000000000000ab-0001.manifest.tmp",
        "ab-0001.manifest",
        "00000000000000AB-0001.manifest",
        "+0000000000000ab-0001.manifest",
        "00000000000000ab-+001.manifest",
        "00000000000000ab-0001-0012-0003.journal",
        "00000000000000ab-0001.journal",
        "00000000000000ab-99999-0000.journal",
        ".journal",
        "",
    ] {
        assert_eq!(FileName::parse(other), None, "{other}");
    }
}

#[test]
fn a_directory_is_read_whole_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(load(data.path()).unwrap(), JournalFiles::default());
    let directory = data.path().join(JOURNAL_DIRECTORY);
    std::fs::create_dir(&directory).unwrap();
    // Longer than one read, with zeros before and behind what is there, and an odd end.
    let mut long = vec![0; (2 << 20) + 777];
    long[5_000] = 1;
    long[(1 << 20) + 4096] = 2;
    *long.last_mut().unwrap() = 3;
    let file = |name: String, content: &[u8]| NamedFile { name, content: Bytes::copy_from_slice(content) };
    let journal = |number| FileName::Journal { incarnation: 3, shard: 0, number }.to_string();
    let journals: Vec<NamedFile> =
        (0..9).map(|number| file(journal(number), if number == 4 { &long } else { b"" })).collect();
    let manifests = vec![file(FileName::Manifest { incarnation: 3, shard: 0 }.to_string(), b"short")];
    let others = vec![file("00000000000003-0000.manifest.tmp".to_owned(), b"left alone")];
    for NamedFile { name, content } in [&journals, &manifests, &others].into_iter().flatten() {
        std::fs::write(directory.join(name), content).unwrap();
    }
    assert_eq!(load(data.path()).unwrap(), JournalFiles { journals, manifests });
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 11);
    let unreadable = journal(100);
    std::fs::create_dir(directory.join(&unreadable)).unwrap();
    assert!(load(data.path()).unwrap_err().to_string().contains(&unreadable));
}
