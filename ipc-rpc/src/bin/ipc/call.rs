//! `ipc call`.

use std::env;
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use clap::Args;
use ipc_rpc::describe::{Description, ServiceInfo};
use ipc_rpc::dynamic::DynamicClient;
use ipc_rpc::{ClientConfig, ServerInfo};
use serde_json::Value;

use crate::Common;
use crate::failure::Failure;
use crate::text;

/// Calls a method with arguments in JSON, and prints its reply
#[derive(Args)]
pub struct Call {
    /// The server
    name: String,

    /// `METHOD`, or `SERVICE.METHOD` if several services have one of that name
    method: String,

    /// The arguments: an object with a value for each name, or an array in their order. `-`: from standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    arguments: String,

    #[command(flatten)]
    said: Said,

    /// Print the reply over several lines, as on a terminal
    #[arg(long)]
    pretty: bool,
}

/// What calls say beside their arguments.
#[derive(Args)]
pub struct Said {
    /// What each call says in its metadata; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,

    /// The environment variable that has the secret of the server's `Authenticate`: others see the arguments of a process
    #[arg(long, value_name = "VARIABLE")]
    token_from: Option<String>,
}

impl Said {
    /// A client whose calls say so.
    pub fn with(&self, client: DynamicClient) -> Result<DynamicClient, Failure> {
        let token = match &self.token_from {
            None => None,
            Some(variable) => Some(env::var(variable).map_err(|error| Failure::usage(format!("{variable}: {error}")))?),
        };
        let token = token.as_ref().map(|token| ("authorization", token.as_str()));
        let given = self.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Ok(given.chain(token).fold(client, |client, (key, value)| client.with_metadata(key, value)))
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.into(), value.into())).ok_or_else(|| "expected KEY=VALUE".into())
}

impl Call {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let arguments = self.arguments()?;
        let description = ServerInfo::of(&self.name, common.patience())?.description;
        let hint = format!("`ipc describe {}` prints its methods and types", self.name);
        let (service, method) = self.find(&description).map_err(|failure| failure.hint(&hint))?;
        let config = config(common.timeout);
        let client = self.said.with(DynamicClient::connect(&self.name, &description, &service.name, &config)?)?;
        let reply = client.call(method, &arguments).map_err(|error| Failure::from(error).hint(&hint))?;
        let pretty = self.pretty || io::stdout().is_terminal() && !common.json;
        Ok(writeln!(io::stdout(), "{}", text::json(&reply, pretty))?)
    }

    fn arguments(&self) -> Result<Value, Failure> {
        let text = match self.arguments.as_str() {
            "-" => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                text
            }
            text => text.to_owned(),
        };
        serde_json::from_str(&text).map_err(|error| {
            let error = error.to_string();
            let unquoted = ["expected value", "expected ident", "key must be a string"];
            let hint = if unquoted.iter().any(|what| error.starts_with(what)) { "; texts stand in \"\"" } else { "" };
            Failure::usage(format!("the arguments are no JSON: {error}{hint}"))
        })
    }

    /// The service and the method that are meant.
    fn find<'s>(&'s self, description: &'s Description) -> Result<(&'s ServiceInfo, &'s str), Failure> {
        let (service, method) = match self.method.rsplit_once('.').or_else(|| self.method.rsplit_once("::")) {
            Some((service, method)) => (Some(service), method),
            None => (None, self.method.as_str()),
        };
        if let Some(name) = service {
            let known = description.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
            let found = description.service(name).map(|service| (service, method));
            return found.ok_or_else(|| Failure::usage(format!("it serves no {name:?}, but {known}")));
        }
        let mut having =
            description.services.iter().filter(|service| service.methods.iter().any(|known| known.name == method));
        match (having.next(), having.next()) {
            (Some(service), None) => Ok((service, method)),
            (Some(one), Some(other)) => {
                let (one, other) = (&one.name, &other.name);
                Err(Failure::usage(format!("several services have {method:?}: say {one}.{method} or {other}.{method}")))
            }
            (None, _) => {
                let names = description.services.iter().flat_map(|service| {
                    service.methods.iter().map(|method| match description.services.len() {
                        1 => method.name.clone(),
                        _ => format!("{}.{}", service.name, method.name),
                    })
                });
                let known = names.collect::<Vec<_>>().join(", ");
                Err(Failure::usage(format!("it has no method {method:?}, but {known}")))
            }
        }
    }
}

/// How a tool connects: what fails is said at once, not tried again.
pub fn config(timeout: Option<Duration>) -> ClientConfig {
    let usual = ClientConfig::default();
    ClientConfig {
        timeout: timeout.or(usual.timeout),
        connect_timeout: timeout.unwrap_or(usual.connect_timeout).min(usual.connect_timeout),
        reconnect: None,
        ..usual
    }
}
