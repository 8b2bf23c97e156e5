//! The work: files of a folder, and their hashes.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file to be hashed.
pub struct Task {
    pub path: PathBuf,
    pub bytes: u64,
}

/// All files in a folder and the folders in it, by name. Links are not followed.
pub fn files(folder: &Path) -> Result<Vec<Task>, Box<dyn Error>> {
    let cannot = |path: &Path, error: io::Error| format!("cannot read {path:?}: {error}");
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| cannot(&folder, error))? {
            let path = entry.map_err(|error| cannot(&folder, error))?.path();
            let meta = fs::symlink_metadata(&path).map_err(|error| cannot(&path, error))?;
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() {
                found.push(Task { path, bytes: meta.len() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The SHA-256 of a file in hexadecimal. `read` is told of every part that was read.
pub fn hash(path: &Path, mut read: impl FnMut(u64) -> Result<(), Box<dyn Error>>) -> Result<String, Box<dyn Error>> {
    let cannot = |error: io::Error| format!("cannot read {path:?}: {error}");
    let mut file = File::open(path).map_err(cannot)?;
    let (mut hasher, mut part) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let bytes = file.read(&mut part).map_err(cannot)?;
        if bytes == 0 {
            break;
        }
        hasher.update(&part[..bytes]);
        read(bytes as u64)?;
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
