//! `ipc ping`.

use std::io::{self, Write};

use clap::Args;
use ipc_rpc::dynamic::DynamicClient;
use ipc_rpc::{Histogram, ServerInfo};
use serde_json::json;

use crate::Common;
use crate::call::config;
use crate::failure::Failure;
use crate::text;

/// Measures round trips to a server, through shared memory as calls have them, but without a handler
#[derive(Args)]
pub struct Ping {
    /// The server
    name: String,

    /// How many
    #[arg(short, long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
}

impl Ping {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let description = ServerInfo::of(&self.name, common.patience())?.description;
        let Some(service) = description.services.first() else {
            return Err(Failure::failed("the server has no service"));
        };
        let config = config(Some(common.patience()));
        let client = DynamicClient::connect(&self.name, &description, &service.name, &config)?;
        let (mut times, mut least, mut most) = (Histogram::default(), u64::MAX, 0);
        for number in 0..self.count {
            let time = client
                .ping()
                .map_err(|error| Failure::failed(format!("round trip {} of {}: {error}", number + 1, self.count)))?;
            let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            times.add(time, 1);
            (least, most) = (least.min(time), most.max(time));
        }
        let quantile = |q: f64| times.quantile(q).unwrap_or(0).clamp(least, most);
        let (median, p99) = (quantile(0.5), quantile(0.99));
        let mut out = io::stdout().lock();
        if common.json {
            let figures = json!({
                "name": self.name,
                "count": self.count,
                "min_ns": least,
                "p50_ns": median,
                "p99_ns": p99,
                "max_ns": most,
            });
            return Ok(writeln!(out, "{}", text::json(&figures, false))?);
        }
        let [least, median, p99, most] = [least, median, p99, most].map(text::time);
        let (name, count) = (text::printable(&self.name), self.count);
        Ok(writeln!(out, "{name}: {count} round trips, min {least}, p50 {median}, p99 {p99}, max {most}")?)
    }
}
