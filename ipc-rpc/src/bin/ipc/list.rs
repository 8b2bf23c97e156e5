//! `ipc list`.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use ipc_rpc::{ConnectError, Discovered, Health, ServerInfo, ServerState, discover};
use serde_json::{Value, json};

use crate::Common;
use crate::failure::Failure;
use crate::table::Table;
use crate::text::{self, printable};

/// Lists the servers of this user that have a plain name
#[derive(Args)]
pub struct List {}

/// Names of methods that a line shows; JSON has all.
const SHOWN: usize = 8;

impl List {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let found = discover(common.patience())?;
        let mut out = io::stdout().lock();
        if common.json {
            let servers: Vec<Value> = found.iter().map(as_json).collect();
            writeln!(out, "{}", text::json(&json!({"servers": servers}), false))?;
            return Ok(());
        }
        let mut table = Table::new(&["NAME", "STATE", ">PID", ">UP", ">CLIENTS", ">PROTOCOL", "SERVICES"]);
        for Discovered { name, server, .. } in &found {
            let name = printable(name);
            let dash = || "-".to_owned();
            table.row(match server {
                Ok(server) => vec![
                    name,
                    state(&server.state).into(),
                    server.pid.to_string(),
                    text::span(uptime(&server.state)),
                    server.state.clients_count.to_string(),
                    server.protocol.to_string(),
                    services(server),
                ],
                Err(error) => {
                    let why = printable(&error.to_string());
                    vec![name, trouble(error).into(), dash(), dash(), dash(), dash(), why]
                }
            });
        }
        if found.is_empty() {
            eprintln!("ipc: no servers with a plain name; a server that was bound to a path has to be asked by it");
        }
        Ok(table.write(&mut out)?)
    }
}

/// What a server's state is called.
pub fn state(state: &ServerState) -> &'static str {
    match &state.health {
        _ if state.stopping => "stopping",
        Health::Ready => "ready",
        Health::NotReady(_) => "not ready",
        _ => "failing",
    }
}

/// What the server says about its state.
pub fn reason(state: &ServerState) -> Option<&str> {
    match &state.health {
        Health::NotReady(why) | Health::Failing(why) => Some(why),
        _ => None,
    }
}

/// What the state of a server is called that cannot be asked.
pub fn trouble(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::NoServer { killed: true, .. } => "killed",
        ConnectError::NoServer { .. } => "gone",
        ConnectError::TimedOut { .. } => "silent",
        ConnectError::Permission { .. } => "forbidden",
        ConnectError::Version { .. } => "other version",
        ConnectError::Refused { .. } => "refuses",
        ConnectError::NotAServer { .. } => "no server",
        _ => "error",
    }
}

/// For how long a server has served.
pub fn uptime(state: &ServerState) -> Duration {
    Duration::from_nanos(state.now.saturating_sub(state.started))
}

fn services(server: &ServerInfo) -> String {
    let one = |service: &ipc_rpc::describe::ServiceInfo| {
        let shown: Vec<&str> = service.methods.iter().take(SHOWN).map(|method| method.name.as_str()).collect();
        let rest = if service.methods.len() > SHOWN { ", .." } else { "" };
        format!("{} ({}{rest})", service.name, shown.join(", "))
    };
    let all: Vec<String> = server.description.services.iter().map(one).collect();
    let health = reason(&server.state).map_or(String::new(), |why| format!("; {why}"));
    printable(&format!("{}{health}", all.join(", ")))
}

fn as_json(found: &Discovered) -> Value {
    let Discovered { name, path, server, .. } = found;
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            return json!({"name": name, "path": path, "state": trouble(error), "reason": error.to_string()});
        }
    };
    let services = server.description.services.iter().map(|service| {
        let methods: Vec<&str> = service.methods.iter().map(|method| method.name.as_str()).collect();
        json!({"name": service.name, "methods": methods})
    });
    json!({
        "name": name,
        "path": path,
        "state": state(&server.state),
        "reason": reason(&server.state),
        "pid": server.pid,
        "uid": server.uid,
        "version": server.state.version,
        "protocol": server.protocol,
        "uptime_s": uptime(&server.state).as_secs_f64(),
        "clients": server.state.clients_count,
        "services": services.collect::<Vec<_>>(),
    })
}
