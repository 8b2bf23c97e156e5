//! Hello world: run `serve` in one terminal and `add 2 3` in another.
use std::{env, error::Error, process::ExitCode};

use ipc_rpc::{Server, service};

#[service]
trait Calculator {
    fn add(&self, a: f64, b: f64) -> f64;
}

struct Abacus;

impl Calculator for Abacus {
    fn add(&self, a: f64, b: f64) -> f64 {
        a + b
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match arguments {
        ["serve"] => Server::bind("calculator")?.serve(CalculatorDispatcher::new(Abacus))?,
        ["add", a, b] => println!("{}", CalculatorClient::connect("calculator")?.add(a.parse()?, b.parse()?)?),
        _ => return Err("usage: calculator serve | calculator add A B".into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Err(error) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) else { return ExitCode::SUCCESS };
    eprintln!("calculator: {error}");
    ExitCode::FAILURE
}
