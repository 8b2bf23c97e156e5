//! Two pipes.

use std::fs::File;
use std::io;

use super::{Client, Kind, Mechanism, frame};
use crate::Result;
use crate::process::{self, Job};

pub struct Pipe;

impl Mechanism for Pipe {
    fn name(&self) -> &'static str {
        "pipe"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        frame::serve(File::from(process::input()?), File::from(process::output()?), job.payload)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let (requests, to) = io::pipe()?;
        let (from, answers) = io::pipe()?;
        let server = process::serve(job, requests, answers)?;
        Ok(Box::new(frame::Caller::new(to, from, server)))
    }
}
