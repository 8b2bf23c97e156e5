//! Tables in files.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_csv::ReaderBuilder;
use arrow_csv::reader::Format;
use arrow_schema::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Rows that are read at once.
const ROWS: usize = 1 << 16;

pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// Opens a table: Parquet if the name says so, else CSV with a line of names. The types of its columns are those that all of
/// their values have.
pub fn open(path: &Path) -> Result<Batches, Box<dyn Error>> {
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "parquet") {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(ROWS).build()?;
        return Ok(Box::new(reader));
    }
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(BufReader::new(&file), None)?;
    file.rewind()?;
    let reader = ReaderBuilder::new(Arc::new(schema)).with_format(format).with_batch_size(ROWS).build(file)?;
    Ok(Box::new(reader))
}

/// Writes a table as Parquet.
pub fn save(batches: Batches, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut batches = batches.peekable();
    let Some(Ok(first)) = batches.peek() else { return Err("no rows".into()) };
    let mut writer = ArrowWriter::try_new(File::create(path)?, first.schema(), None)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}
