//! A service for record batches and arrays of several dimensions, whose handlers tell where they found them.

use std::sync::{Mutex, PoisonError};

use arrow_array::{Array, RecordBatch};
use arrow_data::ArrayData;
use ipc_rpc::{Archived, Batch, Context, Kept, Message, Tensor, service};

use crate::large::Spot;

/// A struct around a batch.
#[derive(Message, Debug, Clone)]
pub struct Titled {
    /// Something before it.
    pub title: String,
    /// The batch.
    pub table: Batch,
    /// Something behind it.
    pub notes: Vec<String>,
}

/// A batch, and where its buffers lie.
#[derive(Message, Debug, Clone)]
pub struct Shown {
    /// The places.
    pub spots: Vec<Spot>,
    /// The batch.
    pub table: Batch,
}

/// Takes and gives what other crates define.
#[service]
pub trait Formats {
    /// Where the buffers of the columns lie. The batch is kept.
    fn keep(&self, batch: Kept<Batch>) -> Result<Vec<Spot>, String>;
    /// The same of a batch that is a part of something.
    fn keep_titled(&self, titled: Kept<Titled>) -> Result<Vec<Spot>, String>;
    /// What was kept last; this is not kept any more.
    fn back(&self) -> Result<Batch, String>;
    /// The same, moved to memory that is lent to this call, and where that is.
    fn lent_back(&self, ctx: &Context) -> Result<Shown, String>;
    /// Where the elements lie, and their sum by columns.
    fn columns(&self, numbers: &Archived<Tensor<f64>>) -> Result<(Spot, Vec<f64>), String>;
    /// The same array with rows and columns changed.
    fn turned(&self, numbers: Tensor<f64>) -> Result<Tensor<f64>, String>;
}

/// Serves [`Formats`].
#[derive(Debug, Default)]
pub struct Museum(Mutex<Option<RecordBatch>>);

/// Where all buffers of a batch lie.
pub fn spots(batch: &RecordBatch) -> Vec<Spot> {
    fn add(array: &ArrayData, all: &mut Vec<Spot>) {
        let nulls = array.nulls().map(arrow_buffer::NullBuffer::buffer);
        all.extend(
            nulls.into_iter().chain(array.buffers()).filter(|buffer| buffer.len() >= 4096).map(|it| Spot::of(it)),
        );
        array.child_data().iter().for_each(|child| add(child, all));
    }
    let mut all = Vec::new();
    batch.columns().iter().for_each(|column| add(&column.to_data(), &mut all));
    all
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl Museum {
    fn show(&self, batch: RecordBatch) -> Vec<Spot> {
        let all = spots(&batch);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch);
        all
    }

    fn take(&self) -> Result<RecordBatch, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| "nothing is kept".to_owned())
    }
}

impl Formats for Museum {
    fn keep(&self, batch: Kept<Batch>) -> Result<Vec<Spot>, String> {
        batch.to_batch().map(|batch| self.show(batch)).map_err(text)
    }

    fn keep_titled(&self, titled: Kept<Titled>) -> Result<Vec<Spot>, String> {
        assert_eq!((titled.title(), titled.notes().len()), ("a table", 1));
        Batch::read(titled, |titled| titled.table()).map(|batch| self.show(batch)).map_err(text)
    }

    fn back(&self) -> Result<Batch, String> {
        Batch::try_from(&self.take()?).map_err(text)
    }

    fn lent_back(&self, ctx: &Context) -> Result<Shown, String> {
        let lent = Batch::lend(&self.take()?, |bytes| ctx.loan(bytes)).map_err(text)?;
        Ok(Shown { spots: spots(&lent), table: Batch::try_from(&lent).map_err(text)? })
    }

    fn columns(&self, numbers: &Archived<Tensor<f64>>) -> Result<(Spot, Vec<f64>), String> {
        let all = numbers.view().map_err(text)?;
        let spot = Spot::of(all.as_slice().ok_or("not in order")?);
        Ok((spot, all.sum_axis(ndarray::Axis(0)).iter().copied().collect()))
    }

    fn turned(&self, numbers: Tensor<f64>) -> Result<Tensor<f64>, String> {
        Ok(Tensor::from(numbers.view().map_err(text)?.reversed_axes().to_owned()))
    }
}
