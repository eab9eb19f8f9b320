//! Whether a file can be the ledger's, as far as its first bytes say: of a database whose log is not in it yet,
//! they say too little. The ledger itself looks closer.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What the ledger notes in its file for whoever wants to know whose it is.
pub const LEDGER: u32 = u32::from_be_bytes(*b"Bery");

/// How a file of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Where the numbers are that we look at, each of four bytes with the highest first.
const PAGES: usize = 28;
const VERSION: usize = 60;
const APPLICATION: usize = 68;
const HEADER: u64 = 100;

/// Says whose a file is that has something in it, where it is not the ledger's.
pub(super) fn other_owner(path: &Path) -> Option<&'static str> {
    if !fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return None;
    }
    let mut header = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEADER).read_to_end(&mut header).ok()?;
    if !header.starts_with(SQLITE) {
        return Some("it is no database of SQLite");
    }
    let number = |place: usize| {
        let bytes = header.get(place..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let is_ours = match (number(APPLICATION)?, number(VERSION)?) {
        // The first version did not say whose it was.
        (LEDGER, _) | (0, 1) => true,
        // The first page is SQLite's own: there is no table.
        (0, 0) => number(PAGES)? <= 1,
        _ => false,
    };
    (!is_ours).then_some("it is the database of another program")
}
