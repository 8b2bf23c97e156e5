//! TCP to this machine, without waiting for more to send.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use super::{Client, Kind, Mechanism, frame};
use crate::Result;
use crate::process::{self, Job};

pub struct Tcp;

impl Mechanism for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let (socket, _) = TcpListener::from(process::input()?).accept()?;
        socket.set_nodelay(true)?;
        frame::serve(&socket, &socket, job.payload)
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let server = process::serve(job, OwnedFd::from(listener), Stdio::null())?;
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Box::new(frame::Caller::new(socket.try_clone()?, socket, server)))
    }
}
