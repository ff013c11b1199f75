//! The journal: what an agent that was killed in the middle tells when it is back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Record;

/// Results above this many bytes of JSON (log bundles) are not kept across a restart.
const LARGEST_RESULT: usize = 256 * 1024;

/// Where the records of this boot are kept.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    boot_id: String,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the journal {path}")]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Serialize, Deserialize)]
struct Content<R> {
    boot_id: String,
    records: R,
}

impl Journal {
    /// Keeps `journal.json` in `directory`, which is made when it is missing.
    pub fn new(directory: &Path, boot_id: &str) -> Result<Self, JournalError> {
        fs::create_dir_all(directory).map_err(|source| JournalError {
            action: "make the directory of",
            path: directory.to_owned(),
            source,
        })?;
        Ok(Self { directory: directory.to_owned(), boot_id: boot_id.to_owned() })
    }

    fn path(&self) -> PathBuf {
        self.directory.join("journal.json")
    }

    /// Records of an earlier life of the agent in this boot of the kernel.
    pub fn load(&self) -> Result<Vec<Record>, JournalError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(JournalError { action: "read", path, source }),
        };
        let content: Content<Vec<Record>> = serde_json::from_slice(&bytes).map_err(|error| JournalError {
            action: "understand",
            path,
            source: error.into(),
        })?;
        Ok(if content.boot_id == self.boot_id { content.records } else { Vec::new() })
    }

    /// Replaces the journal in one step: after a crash there is the old one or the new one, never a half.
    pub fn save(&self, records: &[Record]) -> Result<(), JournalError> {
        let path = self.path();
        self.replace(&path, records).map_err(|source| JournalError { action: "write", path, source })
    }

    fn replace(&self, path: &Path, records: &[Record]) -> io::Result<()> {
        let slim: Vec<Record> = records.iter().map(slim).collect();
        let bytes = serde_json::to_vec(&Content { boot_id: self.boot_id.clone(), records: slim })?;
        let new = path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.directory)?.sync_all()
    }
}

fn slim(record: &Record) -> Record {
    let mut record = record.clone();
    if record.result.as_ref().is_some_and(|result| result.to_string().len() > LARGEST_RESULT) {
        record.result = None;
    }
    record
}
