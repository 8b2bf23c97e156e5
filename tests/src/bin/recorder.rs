//! Records calls until it is told to stop, or killed: `recorder NAME SERVICE FILE LIMIT`.
//!
//! Prints `records` when calls are recorded, and how it ended.

use std::fs::File;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use ipc_rpc::record::Recorder;
use ipc_rpc_tests::helper;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, service, file, limit] = &arguments[..] else { panic!("NAME SERVICE FILE LIMIT") };
    let (told, tells) = mpsc::channel();
    helper::live_no_longer_than_the_test(move |_| told.send(()).expect("main waits"));
    let file = File::create(file).expect("a file");
    let patience = Duration::from_secs(20);
    let recorder = match Recorder::start(name, service, file, limit.parse().expect("a number"), patience) {
        Ok(recorder) => recorder,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("records");
    tells.recv().expect("a line");
    let end = recorder.stop(patience).expect("an end");
    println!("calls {}, left out {}", end.calls, end.left_out);
    ExitCode::SUCCESS
}
