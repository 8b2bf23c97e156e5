//! `ipc replay`.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use clap::Args;
use ipc_rpc::ServerInfo;
use ipc_rpc::dynamic::DynamicClient;
use ipc_rpc::record::{Pace, Recording, Replayed, Unlike, replay};
use serde_json::{Value, json};

use crate::Common;
use crate::call::{Said, config};
use crate::failure::Failure;
use crate::text::{self, printable};

/// Makes recorded calls again, one after another, and compares the replies; status 1 if some differ
#[derive(Args)]
pub struct Replay {
    /// The server
    name: String,

    /// What `ipc record` has written
    file: PathBuf,

    #[command(flatten)]
    said: Said,

    /// With the pauses that there were between the calls
    #[arg(long)]
    paced: bool,
}

impl Replay {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let file = self.file.display();
        let opened = File::open(&self.file).map_err(|error| Failure::usage(format!("{file}: {error}")))?;
        let unreadable = |error: io::Error| Failure::failed(format!("{file}: {error}"));
        let mut recording = Recording::read(BufReader::new(opened)).map_err(unreadable)?;
        let service = recording.service().name.clone();
        let description = ServerInfo::of(&self.name, common.patience())?.description;
        if description.service(&service).is_none() {
            let known = description.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!("{file} has calls of {service:?}, but {} serves {known}", self.name)));
        }
        let client = DynamicClient::connect(&self.name, &description, &service, &config(common.timeout))?;
        let client = self.said.with(client)?;
        let pace = if self.paced { Pace::AsRecorded } else { Pace::AtOnce };
        let replayed = replay(&mut recording, &client, pace).map_err(unreadable)?;
        self.print(&replayed, recording.end().is_some(), common.json)?;
        match replayed.sent - replayed.same {
            0 => Ok(()),
            unlike => Err(Failure::failed(format!("{unlike} of {} calls ended in another way", replayed.sent))),
        }
    }

    fn print(&self, replayed: &Replayed, is_whole: bool, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let Replayed { sent, same, left_out, unlike, took, .. } = replayed;
        if json {
            let unlike: Vec<Value> = unlike.iter().map(one).collect();
            let all = json!({
                "sent": sent,
                "same": same,
                "left_out": left_out,
                "took_s": took.as_secs_f64(),
                "is_whole": is_whole,
                "unlike": unlike,
            });
            return writeln!(out, "{}", text::json(&all, false));
        }
        for Unlike { number, method, recorded, replayed, .. } in unlike {
            let [recorded, replayed] = [recorded, replayed].map(|value| text::json(value, false));
            writeln!(out, "call {number}, {}: {recorded} was recorded, now {replayed}", printable(method))?;
        }
        let took = text::span(*took);
        writeln!(out, "{sent} calls in {took}: {same} ended as before, {left_out} could not be made")?;
        if *left_out > 0 {
            writeln!(
                out,
                "those are of methods that the server has no more, or in another form, or refer to what no recording has"
            )?;
        }
        if !is_whole {
            writeln!(out, "the recording has no end: whoever made it was killed, and calls may be missing")?;
        }
        Ok(())
    }
}

fn one(Unlike { number, method, recorded, replayed, .. }: &Unlike) -> Value {
    json!({"number": number, "method": method, "recorded": recorded, "replayed": replayed})
}
