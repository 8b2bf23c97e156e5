//! Record batches of Apache Arrow as messages.
#![allow(unsafe_code)]
// The derive implements `Message`, and columns refer to memory that a reply or a kept argument owns.

mod part;
mod schema;

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::{ArrayData, BufferSpec, layout};
use arrow_schema::{ArrowError, DataType, FieldRef, Metadata, Schema};

use crate::kept::Kept;
use crate::loan::{Loan, LoanError};
use crate::reply::Reply;
use crate::{Archived, Message};
use part::{Part, lent, owned_by};
use schema::{Column, pairs, refused};

/// A [`RecordBatch`] as a message; needs the feature `arrow`.
///
/// Made from a batch with `Batch::try_from(&batch)`, which copies nothing. When it is sent, each buffer of the columns is copied
/// once, straight into the message; what [`lend`](Batch::lend) has put into shared memory is not copied at all, as often as it
/// is sent. All types of columns travel, nested ones too, with the schema and its metadata. A buffer travels as a whole: of
/// text and lists, a slice of some rows brings along what the others have there.
///
/// Who receives it gets the columns where they lie: from a [`Reply`] with [`into_batch`](Reply::into_batch), in a handler from a
/// `Kept<Batch>` with [`to_batch`](Kept::to_batch), and from any part of either with [`Batch::read`]. The columns keep the memory until the last
/// of them is dropped, beyond the call and the client. A `Batch` that was decoded, as arguments by value and results of ordinary
/// calls are, has its own copy of the columns.
///
/// Whatever a peer sends becomes a valid batch or an error: all values are judged, text for being UTF-8, offsets and keys for
/// staying in range.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{Float64Array, RecordBatch, StringArray, cast::AsArray, types::Float64Type};
/// use ipc_rpc::{Batch, Kept, service, testing};
///
/// #[service]
/// pub trait Tables {
///     fn sum(&self, table: Kept<Batch>, column: &str) -> Result<f64, String>;
/// }
/// struct Plain;
/// impl Tables for Plain {
///     fn sum(&self, table: Kept<Batch>, column: &str) -> Result<f64, String> {
///         let table = table.to_batch().map_err(|error| error.to_string())?; // no copy
///         let column = table.column_by_name(column).ok_or("no such column")?;
///         let numbers = column.as_primitive_opt::<Float64Type>().ok_or("no numbers")?;
///         Ok(numbers.iter().flatten().sum())
///     }
/// }
///
/// let (tables, _server) = testing::pair(TablesDispatcher::new(Plain))?;
/// let rain = RecordBatch::try_from_iter([
///     ("town", Arc::new(StringArray::from(vec!["Bergen", "Cairo"])) as _),
///     ("mm", Arc::new(Float64Array::from(vec![Some(2495.0), Some(18.0)])) as _),
/// ])?;
/// let rain = Batch::lend(&rain, |bytes| tables.loan(bytes))?; // once
/// assert_eq!(tables.sum(&Batch::try_from(&rain)?, "mm")?, 2513.0);
/// assert!(tables.sum(&Batch::try_from(&rain.slice(0, 1))?, "town").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Message, Debug, Clone)]
#[message(crate = crate)]
pub struct Batch {
    columns: Vec<Column>,
    metadata: Vec<(String, String)>,
    rows: u64,
    /// Those of the columns, each before its parts.
    arrays: Vec<Node>,
    /// Of each array its validity, if it has any, and its buffers.
    buffers: Vec<Part>,
}

/// An array but for its type and buffers.
#[derive(Message, Debug, Clone, Copy)]
#[message(crate = crate)]
pub struct Node {
    len: u64,
    /// Of values that are bits, the number of the first one; of runs, that of the first row.
    offset: u64,
    /// Of the validity, the number of the first bit; none: all values are valid.
    valid: Option<u64>,
    buffers: u32,
}

/// What is shorter is copied in any case.
const WORTH_LENDING: usize = 4096;

impl TryFrom<&RecordBatch> for Batch {
    type Error = ArrowError;

    /// Refers to the columns.
    fn try_from(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let schema = batch.schema_ref();
        let columns = schema.fields().iter().map(|field| Column::of(field)).collect::<Result<_, _>>()?;
        let (rows, metadata) = (batch.num_rows() as u64, pairs(schema.metadata()));
        let mut all = Batch { columns, metadata, rows, arrays: Vec::new(), buffers: Vec::new() };
        batch.columns().iter().try_for_each(|column| all.add(&column.to_data()))?;
        Ok(all)
    }
}

impl TryFrom<Batch> for RecordBatch {
    type Error = ArrowError;

    /// The columns are those that the message has.
    fn try_from(batch: Batch) -> Result<Self, ArrowError> {
        let Batch { columns, metadata, rows, arrays, buffers } = batch;
        assemble(columns, metadata, rows, arrays.into_iter(), &mut buffers.into_iter().map(|Part(buffer)| buffer))
    }
}

impl Batch {
    /// Moves the columns of a batch to shared memory that `take` gives for a number of bytes: `|bytes| client.loan(bytes)`, or
    /// `|bytes| ctx.loan(bytes)` in a handler. The batch that this returns, slices of it and batches of its columns are then
    /// sent without being copied. Buffers of less than 4 KiB, and those that `take` gives private memory for, stay where they
    /// are.
    ///
    /// ```
    /// use ipc_rpc::{Batch, Context, LoanError};
    /// use arrow_array::RecordBatch;
    ///
    /// /// In a handler: a table that replies refer to from now on.
    /// fn lend(table: &RecordBatch, ctx: &Context) -> Result<RecordBatch, LoanError> {
    ///     Batch::lend(table, |bytes| ctx.loan(bytes))
    /// }
    /// # let _ = lend;
    /// ```
    ///
    /// # Errors
    /// Those of `take`.
    pub fn lend(
        batch: &RecordBatch,
        mut take: impl FnMut(usize) -> Result<Loan<u8>, LoanError>,
    ) -> Result<RecordBatch, LoanError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for column in batch.columns() {
            columns.push(make_array(moved(&column.to_data(), &mut take)?));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let moved = RecordBatch::try_new_with_options(batch.schema(), columns, &options);
        Ok(moved.unwrap_or_else(|_| batch.clone())) // Nothing but the memory differs.
    }

    /// The batch that is a part of what `owner` keeps, which is a [`Reply`] or a [`Kept`] argument: `part` says which. The columns
    /// are those in shared memory.
    ///
    /// # Errors
    /// A peer sent columns that are none.
    ///
    /// ```
    /// use ipc_rpc::{Batch, Message, Reply};
    ///
    /// #[derive(Message)]
    /// pub struct Answer { pub title: String, pub table: Batch }
    ///
    /// fn table(answer: Reply<Answer>) -> Result<arrow_array::RecordBatch, arrow_schema::ArrowError> {
    ///     Batch::read(answer, |answer| answer.table())
    /// }
    /// # let _ = table;
    /// ```
    pub fn read<O: Keeper>(
        owner: O,
        part: impl FnOnce(&O::Target) -> &Archived<Batch>,
    ) -> Result<RecordBatch, ArrowError> {
        let owner = Arc::new(AssertUnwindSafe(owner));
        let batch = part(&owner.0);
        let copied = |error: crate::message::MessageError| ArrowError::ExternalError(Box::new(error));
        let columns = Vec::<Column>::deserialize(&batch.columns).map_err(copied)?;
        let metadata = Vec::deserialize(&batch.metadata).map_err(copied)?;
        let arrays = batch.arrays.iter().map(|form| Node {
            len: form.len(),
            offset: form.offset(),
            valid: form.valid(),
            buffers: form.buffers(),
        });
        // SAFETY: the message stays in the memory of the owner, which nobody changes and whose address stays when it moves
        // (`Keeper`), for as long as that lives.
        let mut buffers = batch.buffers().iter().map(|bytes| unsafe { owned_by(bytes, owner.clone()) });
        assemble(columns, metadata, batch.rows(), arrays, &mut buffers)
    }

    fn add(&mut self, array: &ArrayData) -> Result<(), ArrowError> {
        let valid = array.nulls().map(|nulls| nulls.offset() as u64);
        self.arrays.push(Node {
            len: array.len() as u64,
            offset: array.offset() as u64,
            valid,
            buffers: array.buffers().len() as u32,
        });
        if array.offset() != 0 && !has_offset(array.data_type()) {
            return Err(refused(format!("an array of {} has an offset", array.data_type())));
        }
        self.buffers.extend(array.nulls().map(|nulls| Part(nulls.buffer().clone())));
        self.buffers.extend(array.buffers().iter().cloned().map(Part));
        array.child_data().iter().try_for_each(|child| self.add(child))
    }
}

/// Arrays of other types begin where their buffers do.
fn has_offset(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Boolean | DataType::RunEndEncoded(..))
}

/// The same array in other memory.
fn moved(
    array: &ArrayData,
    take: &mut impl FnMut(usize) -> Result<Loan<u8>, LoanError>,
) -> Result<ArrayData, LoanError> {
    let mut copy = |from: &Buffer| {
        if from.len() < WORTH_LENDING {
            return Ok(from.clone());
        }
        let mut loan = take(from.len())?;
        if !loan.is_shared() || loan.len() < from.len() {
            return Ok(from.clone());
        }
        loan.truncate(from.len());
        loan.copy_from_slice(from);
        Ok(lent(loan))
    };
    let buffers = array.buffers().iter().map(&mut copy).collect::<Result<_, _>>()?;
    let nulls = match array.nulls() {
        Some(nulls) => {
            let bits = BooleanBuffer::new(copy(nulls.buffer())?, nulls.offset(), nulls.len());
            Some(NullBuffer::new(bits))
        }
        None => None,
    };
    let children = array.child_data().iter().map(|child| moved(child, take)).collect::<Result<_, _>>()?;
    let builder = array.clone().into_builder().buffers(buffers).nulls(nulls).child_data(children);
    // SAFETY: the bytes are those of an array that was valid.
    Ok(unsafe { builder.build_unchecked() })
}

/// Puts a batch together from what a message has.
fn assemble(
    columns: Vec<Column>,
    metadata: Vec<(String, String)>,
    rows: u64,
    mut arrays: impl Iterator<Item = Node>,
    buffers: &mut dyn Iterator<Item = Buffer>,
) -> Result<RecordBatch, ArrowError> {
    let fields = columns.into_iter().map(Column::field).collect::<Result<Vec<FieldRef>, _>>()?;
    let mut all = Vec::with_capacity(fields.len());
    for field in &fields {
        all.push(make_array(array(field.data_type(), &mut arrays, buffers)?));
    }
    if arrays.next().is_some() || buffers.next().is_some() {
        return Err(refused("the message has more than its columns".into()));
    }
    let schema = Schema::new_with_metadata(fields, Metadata::from_iter(metadata));
    let options = RecordBatchOptions::new().with_row_count(Some(number(rows)?));
    RecordBatch::try_new_with_options(Arc::new(schema), all, &options)
}

fn number(n: u64) -> Result<usize, ArrowError> {
    usize::try_from(n).map_err(|_| refused(format!("{n} is too large")))
}

/// The next array, of this type, if it is a valid one.
fn array(
    data_type: &DataType,
    arrays: &mut dyn Iterator<Item = Node>,
    buffers: &mut dyn Iterator<Item = Buffer>,
) -> Result<ArrayData, ArrowError> {
    let node = arrays.next().ok_or_else(|| refused("the message lacks an array".into()))?;
    let (len, offset) = (number(node.len)?, number(node.offset)?);
    if offset != 0 && !has_offset(data_type) {
        return Err(refused(format!("an array of {data_type} has an offset")));
    }
    if let DataType::FixedSizeList(_, size) | DataType::FixedSizeBinary(size) = data_type
        && usize::try_from(*size).ok().and_then(|size| size.checked_mul(len)).is_none()
    {
        return Err(refused(format!("{len} values of {size} are too many")));
    }
    let mut buffer = || buffers.next().ok_or_else(|| refused("the message lacks a buffer".into()));
    let nulls = match node.valid {
        Some(first) => {
            let (bits, first) = (buffer()?, number(first)?);
            if first.checked_add(len).is_none_or(|end| end.div_ceil(8) > bits.len()) {
                return Err(refused(format!("{} bytes do not say which of {len} values are valid", bits.len())));
            }
            Some(NullBuffer::new(BooleanBuffer::new(bits, first, len)))
        }
        None => None,
    };
    let mut specs = layout(data_type).buffers.into_iter();
    let own = (0..node.buffers).map(|_| whole(buffer()?, specs.next())).collect::<Result<Vec<_>, _>>()?;
    let mut child = |data_type: &DataType| array(data_type, arrays, buffers);
    let children = match data_type {
        DataType::List(field)
        | DataType::ListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::LargeList(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => vec![child(field.data_type())?],
        DataType::Struct(fields) => fields.iter().map(|field| child(field.data_type())).collect::<Result<_, _>>()?,
        DataType::Union(fields, _) => {
            fields.iter().map(|(_, field)| child(field.data_type())).collect::<Result<_, _>>()?
        }
        DataType::Dictionary(_, values) => vec![child(values)?],
        DataType::RunEndEncoded(ends, values) => vec![child(ends.data_type())?, child(values.data_type())?],
        _ => Vec::new(),
    };
    // Judges everything: lengths and alignment of the buffers, offsets, text, keys, nulls where there should be none.
    ArrayData::builder(data_type.clone()).len(len).offset(offset).nulls(nulls).buffers(own).child_data(children).build()
}

/// A buffer that can be read as a slice of values, which is taken for granted when it is judged.
fn whole(buffer: Buffer, spec: Option<BufferSpec>) -> Result<Buffer, ArrowError> {
    let Some(BufferSpec::FixedWidth { byte_width, alignment }) = spec else { return Ok(buffer) };
    match buffer.as_ptr().addr().checked_rem(alignment) {
        Some(0) => {}
        _ => return Err(refused(format!("a buffer is not aligned to {alignment} bytes"))),
    }
    match buffer.len().checked_rem(byte_width) {
        None | Some(0) => Ok(buffer),
        Some(rest) => Ok(buffer.slice_with_length(0, buffer.len() - rest)),
    }
}

/// What keeps a message in place: [`Reply`] and [`Kept`].
///
/// ```
/// use ipc_rpc::{Batch, Keeper, Kept, Message, Reply};
/// use arrow_array::RecordBatch;
///
/// #[derive(Message)]
/// pub struct Answer { pub title: String, pub table: Batch }
///
/// fn table<K: Keeper<Target = ArchivedAnswer>>(answer: K) -> Option<RecordBatch> {
///     Batch::read(answer, |answer| answer.table()).ok()
/// }
/// let (of_an_argument, of_a_reply) = (table::<Kept<Answer>>, table::<Reply<Answer>>);
/// # let _ = (of_an_argument, of_a_reply);
/// ```
///
/// # Safety
/// What it derefs to stays where it is, and unchanged, when this is moved, for as long as it lives.
pub unsafe trait Keeper: Deref + Send + Sync + 'static {}

// SAFETY: a checked form in memory that the reply keeps, at an address of its own.
unsafe impl<T: Message> Keeper for Reply<T> where Archived<T>: Sync {}

// SAFETY: as above.
unsafe impl<T: Message> Keeper for Kept<T> where Archived<T>: Sync {}

impl Kept<Batch> {
    /// The batch, whose columns are those in the client's memory and keep it.
    ///
    /// ```
    /// use ipc_rpc::{Batch, Kept};
    ///
    /// fn rows(table: Kept<Batch>) -> usize {
    ///     table.to_batch().map_or(0, |table| table.num_rows())
    /// }
    /// # let _ = rows;
    /// ```
    ///
    /// # Errors
    /// The client sent columns that are none.
    pub fn to_batch(&self) -> Result<RecordBatch, ArrowError> {
        Batch::read(self.clone(), |batch| batch)
    }
}

impl Reply<Batch> {
    /// The batch, whose columns are those in shared memory and keep it.
    ///
    /// ```
    /// use ipc_rpc::{Batch, Reply};
    ///
    /// fn rows(table: Reply<Batch>) -> usize {
    ///     table.into_batch().map_or(0, |table| table.num_rows())
    /// }
    /// # let _ = rows;
    /// ```
    ///
    /// # Errors
    /// The server sent columns that are none.
    pub fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        Batch::read(self, |batch| batch)
    }
}
