//! Why a command could not do what it was told, for people and for scripts.

use std::io;
use std::process::ExitCode;

use ipc_rpc::dynamic::DynamicCallError;
use ipc_rpc::{CallError, ConnectError};
use serde_json::{Value, json};

use crate::text;

/// Why a command failed; prints itself and knows its exit status.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    /// The handler's error.
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whoever reads the output has seen enough.
    Unread,
    Failed,
    Usage,
    NoServer,
    Handler,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { kind: Kind::Usage, message: message.into(), value: None }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Failure { kind: Kind::Failed, message: message.into(), value: None }
    }

    /// With what to do about it, if it is the usage.
    pub fn hint(mut self, hint: &str) -> Self {
        if self.kind == Kind::Usage {
            self.message = format!("{}; {hint}", self.message);
        }
        self
    }

    /// Says it on standard error.
    pub fn report(self, json: bool) -> ExitCode {
        let (name, code) = match self.kind {
            Kind::Unread => return ExitCode::SUCCESS,
            Kind::Failed => ("failed", 1),
            Kind::Usage => ("usage", 2),
            Kind::NoServer => ("no server", 3),
            Kind::Handler => ("handler", 4),
        };
        match (json, self.value) {
            (true, value) => {
                let mut error = json!({"error": name, "message": self.message});
                if let Some(value) = value {
                    error["value"] = value;
                }
                eprintln!("{}", text::json(&error, false));
            }
            (false, Some(value)) => eprintln!("ipc: {}: {}", text::printable(&self.message), text::json(&value, false)),
            (false, None) => eprintln!("ipc: {}", text::printable(&self.message)),
        }
        ExitCode::from(code)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let (kind, hint) = match &error {
            ConnectError::NoServer { .. } => (Kind::NoServer, "; `ipc list` shows those that run"),
            ConnectError::NotAServer { .. } => (Kind::NoServer, ""),
            _ => (Kind::Failed, ""),
        };
        Failure { kind, message: format!("{error}{hint}"), value: None }
    }
}

impl From<DynamicCallError> for Failure {
    fn from(error: DynamicCallError) -> Self {
        let (kind, value) = match &error {
            DynamicCallError::NoMethod { .. }
            | DynamicCallError::Unsupported { .. }
            | DynamicCallError::Arguments(_) => (Kind::Usage, None),
            DynamicCallError::Call(CallError::Handler(value)) => (Kind::Handler, Some(value.clone())),
            _ => (Kind::Failed, None),
        };
        let message = if value.is_some() { "the handler's error".into() } else { error.to_string() };
        Failure { kind, message, value }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        // Behind an empty line there is how the command is used.
        let said: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let said = said.join(" ");
        Failure::usage(said.strip_prefix("error: ").unwrap_or(&said))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::Unread } else { Kind::Failed };
        Failure { kind, message: error.to_string(), value: None }
    }
}
