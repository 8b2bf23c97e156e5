//! An async service and an async client, both on tokio: a server that tries to reach network addresses, a client that has
//! it try many at once.
//!
//! `cargo run --release --example async_tokio -- serve` in one terminal,
//! `cargo run --release --example async_tokio -- probe 127.0.0.1:22 localhost:80` in another.
#![deny(unsafe_code)]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ipc_rpc::{Context, Message, Server, service};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What came of a try.
#[derive(Message, Debug, Clone, PartialEq)]
enum Outcome {
    Open { took: Duration },
    Closed { why: String },
}

#[service]
trait Prober {
    /// Connects to an address, and gives up shortly before the caller does.
    async fn probe(&self, ctx: &Context, address: &str) -> Outcome;
}

struct Tcp;

impl Prober for Tcp {
    // Any number of these wait at the same time, on tokio's threads and with its sockets and timers.
    async fn probe(&self, ctx: &Context, address: &str) -> Outcome {
        let limit = ctx.remaining().map_or(Duration::from_secs(5), |left| left * 9 / 10);
        let start = Instant::now();
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Outcome::Open { took: start.elapsed() },
            Ok(Err(error)) => Outcome::Closed { why: error.to_string() },
            Err(_) => Outcome::Closed { why: format!("no answer within {limit:.1?}") },
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("prober")?;
    println!("probing");
    tokio::select! {
        ended = server.serve_async(ProberDispatcher::new(Tcp)) => Ok(ended?),
        // Dropping the server's future ends it.
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// Whether all of them are open.
async fn probe(addresses: &[&str]) -> Result<bool, Box<dyn Error>> {
    let client = ProberClient::connect("prober")?.with_timeout(Duration::from_secs(2));
    let mut calls = JoinSet::new();
    for address in addresses {
        let (client, address) = (client.clone(), address.to_string());
        calls.spawn(async move { (client.probe(&address).await, address) });
    }
    let mut all_open = true;
    while let Some(call) = calls.join_next().await {
        let (outcome, address) = call?;
        match outcome? {
            Outcome::Open { took } => println!("{address}: open, {:.1} ms", took.as_secs_f64() * 1e3),
            Outcome::Closed { why } => {
                all_open = false;
                println!("{address}: {why}");
            }
        }
    }
    Ok(all_open)
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await.map(|()| true),
        ["probe", ref addresses @ ..] if !addresses.is_empty() => probe(addresses).await,
        _ => Err("usage: async_tokio serve | async_tokio probe ADDRESS:PORT..".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("async_tokio: {error}");
            ExitCode::from(2)
        }
    }
}
