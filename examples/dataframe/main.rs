//! Data frame: one process reads a table, from a CSV or a Parquet file, to Arrow columns in memory that it lends; another one
//! groups the rows where they lie, and gives back a table of sums and means.
//!
//! `cargo run --release --example dataframe --features dataframe -- FILE --by COLUMN --of COLUMN` starts both processes.
#![deny(unsafe_code)]

mod group;
#[path = "../server_process.rs"]
mod server_process;
mod service;
mod source;

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::ArrowError;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use ipc_rpc::{Batch, Server};

use group::Adder;
use server_process::{Home, ServerProcess};
use service::{GroupsClient, GroupsDispatcher, Question};

/// Groups the rows of a table, in another process
#[derive(Parser)]
#[command(name = "dataframe")]
struct Arguments {
    /// A CSV file with a line of names, or a Parquet file
    #[arg(required_unless_present = "child")]
    file: Option<PathBuf>,

    /// Rows that are equal in this column are a group
    #[arg(long, value_name = "COLUMN", required_unless_present_any = ["child", "save"], default_value = "")]
    by: String,

    /// Add up this column of numbers; may be given several times
    #[arg(long, value_name = "COLUMN")]
    of: Vec<String>,

    /// Print the result as CSV
    #[arg(long)]
    csv: bool,

    /// Only write the table as a Parquet file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Serve the parent process
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dataframe: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.child {
        let home = Home::new()?;
        let socket = home.socket()?;
        let server = Server::bind(&socket)?;
        home.announce(&socket)?;
        server.serve(GroupsDispatcher::new(Adder::default()))?;
        return Ok(());
    }
    let path = arguments.file.as_deref().unwrap_or(Path::new(""));
    let batches = source::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match &arguments.save {
        Some(to) => Ok(source::save(batches, to).map_err(|error| format!("{}: {error}", to.display()))?),
        None => ask(arguments, path, batches),
    }
}

/// Gives all rows to the other process and prints what that makes of them.
fn ask(arguments: &Arguments, path: &Path, batches: source::Batches) -> Result<(), Box<dyn Error>> {
    let server = match ServerProcess::start(&[Path::new("--child")])? {
        Ok(server) => server,
        Err(status) => return Err(format!("the other process ended before it could serve: {status}").into()),
    };
    let groups = GroupsClient::connect(server.socket())?;
    groups.begin(Question { by: arguments.by.clone(), of: arguments.of.clone() })?;
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {pos} rows")?);
    let (mut calls, mut rows, mut columns, mut shared) = (Vec::new(), 0, 0, 0);
    for batch in batches {
        let batch = batch.map_err(|error| format!("{}: {error}", path.display()))?;
        columns += bytes(&batch);
        let lent = Batch::lend(&batch, |bytes| {
            let loan = groups.loan(bytes)?;
            shared += if loan.is_shared() { bytes } else { 0 };
            Ok(loan)
        })?;
        let lent = Batch::try_from(&lent)?;
        let begin = Instant::now();
        let work = groups.add(&lent)?;
        calls.push((work, begin.elapsed().saturating_sub(work)));
        rows += batch.num_rows();
        bar.set_position(rows as u64);
    }
    bar.finish_and_clear();
    let table = groups.view().groups()?.into_batch()?;
    let mut out = BufWriter::new(io::stdout().lock());
    print(&table, arguments.csv, &mut out)?;
    out.flush()?;
    let (mut works, mut others): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    eprintln!(
        "{rows} rows, {} batches of {:.1} MiB in all, {} bytes of them copied to the other process",
        works.len(),
        columns as f64 / f64::from(1 << 20),
        columns - shared
    );
    eprintln!("the work of a call takes {:.1?}, all else {:.1?} (medians)", median(&mut works), median(&mut others));
    Ok(())
}

/// How much the columns have.
fn bytes(batch: &RecordBatch) -> usize {
    fn all(array: &dyn Array) -> usize {
        let data = array.to_data();
        let nulls = data.nulls().map_or(0, |nulls| nulls.buffer().len());
        nulls + data.buffers().iter().map(|buffer| buffer.len()).sum::<usize>()
    }
    // Tables in files that this reads have plain columns.
    batch.columns().iter().map(|column| all(column.as_ref())).sum()
}

/// The middle one.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Prints a table, its columns side by side.
fn print(table: &RecordBatch, csv: bool, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let options = FormatOptions::default();
    let mut columns = Vec::new();
    for (field, column) in table.schema_ref().fields().iter().zip(table.columns()) {
        let values = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let cell = |row| -> Result<String, ArrowError> {
            let text = values.value(row).try_to_string()?;
            // All numbers with as many digits.
            match (column.data_type().is_floating(), text.parse::<f64>()) {
                (true, Ok(number)) => Ok(format!("{number:.3}")),
                _ => Ok(text),
            }
        };
        let mut all = vec![field.name().clone()];
        all.extend((0..table.num_rows()).map(cell).collect::<Result<Vec<_>, _>>()?);
        let width = all.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        columns.push((all, width, column.data_type().is_numeric()));
    }
    for row in 0..=table.num_rows() {
        for (n, (texts, width, right)) in columns.iter().enumerate() {
            let text = texts.get(row).map_or("", String::as_str);
            match (csv, n, *right) {
                (true, 0, _) => write!(out, "{text}")?,
                (true, ..) => write!(out, ",{text}")?,
                (false, _, true) => write!(out, "{text:>width$}  ")?,
                (false, _, false) => write!(out, "{text:width$}  ")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
