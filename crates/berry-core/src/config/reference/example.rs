//! The example file, with every option and what it means.
//!
//! Its story is a file of its own, in which a line that begins with `@` stands for a key: what the
//! key means is written above it, from the same comments as everything else about the file. `@*`
//! stands for the keys of the table that were not written, each with its default, as comments.

use std::fmt::Write;

use super::{Reference, about};
use crate::config::file::ConfigFile;
use crate::config::reader::{Key, Kind};
use crate::config::table::Table;

const STORY: &str = include_str!("example.toml");

/// Where comments are broken.
const WIDTH: usize = 100;

impl Reference<'_> {
    /// Returns the example file.
    pub fn example(&self) -> String {
        let mut page = String::new();
        let mut table = Place::default();
        for line in STORY.lines() {
            if let Some(header) = line.strip_prefix('[') {
                table = Place::of(header.trim_matches(['[', ']']));
            }
            match line.strip_prefix('@') {
                Some("*") => self.rest(&mut page, &table),
                Some(written) => {
                    let text = written.trim_start_matches("# ");
                    let name = text.split(' ').next().unwrap_or_default();
                    if let Some(key) = table.keys.iter().find(|key| key.name == name) {
                        comment(&mut page, key);
                        table.written.push(key.name);
                    }
                    page.push_str(written);
                    page.push('\n');
                }
                None => {
                    page.push_str(line);
                    page.push('\n');
                }
            }
        }
        page
    }

    /// Writes the keys that were not written, with their defaults.
    fn rest(&self, page: &mut String, table: &Place) {
        let is_written =
            |key: &&Key| table.written.contains(&key.name) || key.kind.keys().is_some();
        let mut rest = table.keys.iter().filter(|key| !is_written(key)).peekable();
        while let Some(key) = rest.next() {
            let path = format!("{}.{}", table.path, key.name);
            let default = self.defaults.get(&path).map_or("", String::as_str);
            comment(page, key);
            // Writing to a string cannot fail.
            let _ = writeln!(page, "# {} = {default}", key.name);
            if rest.peek().is_some() {
                page.push('\n');
            }
        }
    }
}

/// The table that lines belong to.
#[derive(Default)]
struct Place {
    /// As the reference calls it.
    path: String,
    keys: &'static [Key],
    written: Vec<&'static str>,
}

impl Place {
    fn of(header: &str) -> Self {
        let mut place = Self {
            keys: ConfigFile::DESCRIBED,
            ..Self::default()
        };
        let mut is_id = false;
        for step in header.split('.') {
            let step = if is_id { "<id>" } else { step };
            if !place.path.is_empty() {
                place.path.push('.');
            }
            place.path.push_str(step);
            if is_id {
                is_id = false;
                continue;
            }
            let kind = place.keys.iter().find(|key| key.name == step);
            let kind = kind.map(|key| key.kind);
            is_id = matches!(kind, Some(Kind::Named(_)));
            place.keys = kind.and_then(|kind| kind.keys()).unwrap_or_default();
        }
        place
    }
}

/// Writes what a key means, in lines of a readable length.
fn comment(page: &mut String, key: &Key) {
    let mut line = String::from("#");
    for word in about(key).split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            page.push_str(&line);
            page.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    page.push_str(&line);
    page.push('\n');
}
