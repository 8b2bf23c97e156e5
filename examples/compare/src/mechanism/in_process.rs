//! A function of this process, called where the compiler cannot see which one it is.

use std::hint::black_box;

use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::payload::{Payload, sum};
use crate::process::Job;

pub struct InProcess;

struct Caller(fn(&[u8]) -> u64);

impl Mechanism for InProcess {
    fn name(&self) -> &'static str {
        "in-process"
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn refuses(&self, _payload: usize, in_flight: usize) -> Option<String> {
        (in_flight > 1).then(|| "a function returns before the next call".into())
    }

    fn serve(&self, _job: &Job) -> Result<()> {
        Err("there is no other process".into())
    }

    fn connect(&self, _job: &Job) -> Result<Box<dyn Client>> {
        Ok(Box::new(Caller(sum)))
    }
}

impl Client for Caller {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        payload.check(black_box(self.0)(black_box(payload.bytes())))
    }
}
