//! The work: adds up columns that lie in the memory of another process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType};
use ipc_rpc::{Batch, Kept};

use crate::service::{Groups, Question};

/// The groups of one table.
#[derive(Default)]
pub struct Adder(Mutex<Sums>);

#[derive(Default)]
struct Sums {
    question: Question,
    groups: BTreeMap<String, Group>,
}

#[derive(Clone, Default)]
struct Group {
    rows: u64,
    /// Of each column the sum, and how many values it has here.
    columns: Vec<(f64, u64)>,
}

impl Groups for Adder {
    fn begin(&self, question: Question) {
        *self.sums() = Sums { question, groups: BTreeMap::new() };
    }

    fn add(&self, rows: Kept<Batch>) -> Result<Duration, String> {
        let begin = Instant::now();
        let rows = rows.to_batch().map_err(|error| error.to_string())?;
        self.sums().add(&rows).map_err(|error| error.to_string())?;
        Ok(begin.elapsed())
    }

    fn groups(&self) -> Result<Batch, String> {
        let table = self.sums().table().map_err(|error| error.to_string())?;
        Batch::try_from(&table).map_err(|error| error.to_string())
    }
}

impl Adder {
    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let column = |name: &str| {
            rows.column_by_name(name).ok_or_else(|| {
                let names: Vec<_> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
                ArrowError::SchemaError(format!("no column {name:?}; there are {}", names.join(", ")))
            })
        };
        let keys = column(&self.question.by)?;
        let options = FormatOptions::default();
        let keys = ArrayFormatter::try_new(keys.as_ref(), &options)?;
        let numbers = |name: &String| match column(name)? {
            // A column of `f64` stays where it is.
            all if all.data_type().is_numeric() => arrow_cast::cast(all, &DataType::Float64),
            all => Err(ArrowError::SchemaError(format!("column {name:?} has no numbers, but {}", all.data_type()))),
        };
        let all = self.question.of.iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<_> = all.iter().map(|column| column.as_primitive::<Float64Type>()).collect();
        let mut key = String::new();
        for row in 0..rows.num_rows() {
            key.clear();
            write!(key, "{}", keys.value(row)).map_err(|_| ArrowError::CastError("a key that is no text".into()))?;
            if !self.groups.contains_key(&key) {
                self.groups.insert(key.clone(), Group { rows: 0, columns: vec![(0.0, 0); all.len()] });
            }
            let Some(group) = self.groups.get_mut(&key) else { continue };
            group.rows += 1;
            for ((sum, count), column) in group.columns.iter_mut().zip(&all) {
                if column.is_valid(row) {
                    *sum += column.value(row);
                    *count += 1;
                }
            }
        }
        Ok(())
    }

    fn table(&self) -> Result<RecordBatch, ArrowError> {
        let groups = || self.groups.values();
        let mut columns: Vec<(String, ArrayRef)> = vec![
            (self.question.by.clone(), Arc::new(StringArray::from_iter_values(self.groups.keys()))),
            ("rows".into(), Arc::new(UInt64Array::from_iter_values(groups().map(|group| group.rows)))),
        ];
        for (n, name) in self.question.of.iter().enumerate() {
            let parts = || groups().filter_map(move |group| group.columns.get(n).copied());
            let means = parts().map(|(sum, count)| (count > 0).then(|| sum / count as f64));
            columns
                .push((format!("sum {name}"), Arc::new(Float64Array::from_iter_values(parts().map(|(sum, _)| sum)))));
            columns.push((format!("mean {name}"), Arc::new(Float64Array::from_iter(means))));
        }
        RecordBatch::try_from_iter(columns)
    }
}
