//! What a server has said at one moment.

use std::time::Instant;

use ipc_rpc::{MethodFigures, ServerInfo, ServerState};

/// A server's state and figures.
pub struct Reading {
    pub pid: i32,
    pub uid: u32,
    pub state: ServerState,
    /// When the figures were read; the state is from when the server was asked.
    pub read: Instant,
    pub services: Vec<Service>,
}

pub struct Service {
    pub name: String,
    pub methods: Vec<Method>,
}

pub struct Method {
    pub name: String,
    /// What the clients' calls that are under way have as its number.
    pub number: u16,
    /// `None`: they are not for this user.
    pub figures: Option<MethodFigures>,
}

impl Reading {
    pub fn of(server: &ServerInfo) -> Self {
        let mut numbers = 0..=u16::MAX;
        let services = server.description.services.iter().map(|service| {
            let methods = service.methods.iter().zip(&mut numbers).map(|(method, number)| Method {
                name: method.name.clone(),
                number,
                figures: server.figures(&service.name, &method.name),
            });
            Service { name: service.name.clone(), methods: methods.collect() }
        });
        let (services, read) = (services.collect(), Instant::now());
        Reading { pid: server.pid, uid: server.uid, state: server.state.clone(), read, services }
    }

    /// Is it the same server as at an earlier reading, and not a later one of its name?
    pub fn continues(&self, earlier: &Reading) -> bool {
        (self.state.pid, self.state.started) == (earlier.state.pid, earlier.state.started)
    }

    /// The figures of a method, if it is there.
    pub fn figures(&self, service: &str, method: &str) -> Option<&MethodFigures> {
        let service = self.services.iter().find(|known| known.name == service)?;
        service.methods.iter().find(|known| known.name == method)?.figures.as_ref()
    }
}
