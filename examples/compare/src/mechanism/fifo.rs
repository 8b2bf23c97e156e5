//! Two pipes that have names.
#![allow(unsafe_code)]
// The standard library does not make such pipes; the call takes a path that lives longer than it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Client, Kind, Mechanism, frame};
use crate::Result;
use crate::process::{self, Job};

pub struct Fifo;

fn make(path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated path.
    match unsafe { libc::mkfifo(name.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

impl Mechanism for Fifo {
    fn name(&self) -> &'static str {
        "fifo"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let from = File::open(job.folder.join("requests"))?;
        let to = File::options().write(true).open(job.folder.join("answers"))?;
        frame::serve(from, to, job.payload)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let (requests, answers) = (job.folder.join("requests"), job.folder.join("answers"));
        make(&requests)?;
        make(&answers)?;
        let server = process::serve_by_name(job)?;
        // Opening waits for the other end.
        let to = File::options().write(true).open(requests)?;
        Ok(Box::new(frame::Caller::new(to, File::open(answers)?, server)))
    }
}
