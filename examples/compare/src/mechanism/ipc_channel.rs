//! ipc-channel: a channel each way.

use std::fs;

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::payload::sum;
use crate::process::{self, Job, Killed};

#[derive(Serialize, Deserialize)]
struct Request {
    payload: ByteBuf,
}

/// What the server hands to the caller: where requests go, and where answers come from.
type Ends = (IpcSender<Request>, IpcReceiver<u64>);

const NAME: &str = "name";

pub struct IpcChannel;

struct Caller {
    requests: IpcSender<Request>,
    answers: IpcReceiver<u64>,
    _server: Killed,
}

impl Mechanism for IpcChannel {
    fn name(&self) -> &'static str {
        "ipc-channel"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let (to, requests) = ipc::channel::<Request>()?;
        let (answers, from) = ipc::channel::<u64>()?;
        let caller = IpcSender::<Ends>::connect(fs::read_to_string(job.folder.join(NAME))?)?;
        caller.send((to, from))?;
        loop {
            answers.send(sum(&requests.recv()?.payload))?;
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let (once, name) = IpcOneShotServer::<Ends>::new()?;
        fs::write(job.folder.join(NAME), name)?;
        let server = process::serve_by_name(job)?;
        let (_, (requests, answers)) = once.accept()?;
        Ok(Box::new(Caller { requests, answers, _server: server }))
    }
}

impl Client for Caller {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.requests.send(Request { payload: ByteBuf::from(bytes) })?)
    }

    fn receive(&mut self) -> Result<u64> {
        Ok(self.answers.recv()?)
    }
}
