//! The types of columns, as messages.
//!
//! What arrow-rs takes for granted of a type is ensured here, because a peer wrote it.
#![allow(unsafe_code)]
// The derive implements `Message`.

use std::sync::Arc;

use arrow_schema::{
    ArrowError, DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION,
    DataType, Field, IntervalUnit, Metadata, TimeUnit, UnionFields, UnionMode,
};

use crate::Message;

/// A column, or a part of one.
#[derive(Message, Debug, Clone)]
#[message(crate = crate)]
pub struct Column {
    name: String,
    kind: Kind,
    nullable: bool,
    ordered: bool,
    metadata: Vec<(String, String)>,
}

/// Mirrors `DataType`, less what that can express and no array can have.
#[derive(Message, Debug, Clone)]
#[message(crate = crate)]
pub enum Kind {
    Null,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    Timestamp(Unit, Option<String>),
    Date32,
    Date64,
    Time32Second,
    Time32Millisecond,
    Time64Microsecond,
    Time64Nanosecond,
    Duration(Unit),
    IntervalYearMonth,
    IntervalDayTime,
    IntervalMonthDayNano,
    Binary,
    FixedSizeBinary(i32),
    LargeBinary,
    BinaryView,
    Utf8,
    LargeUtf8,
    Utf8View,
    List(Box<Column>),
    ListView(Box<Column>),
    FixedSizeList(Box<Column>, i32),
    LargeList(Box<Column>),
    LargeListView(Box<Column>),
    Struct(Vec<Column>),
    Union(Vec<(i8, Column)>, bool),
    Dictionary(Box<Kind>, Box<Kind>),
    Decimal32(u8, i8),
    Decimal64(u8, i8),
    Decimal128(u8, i8),
    Decimal256(u8, i8),
    Map(Box<Column>, bool),
    RunEndEncoded(Box<Column>, Box<Column>),
}

/// A unit of time.
#[derive(Message, Debug, Clone, Copy)]
#[message(crate = crate)]
pub enum Unit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

pub(super) fn pairs(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl Column {
    pub(super) fn of(field: &Field) -> Result<Self, ArrowError> {
        Ok(Column {
            name: field.name().clone(),
            kind: Kind::of(field.data_type())?,
            nullable: field.is_nullable(),
            ordered: field.dict_is_ordered() == Some(true),
            metadata: pairs(field.metadata()),
        })
    }

    fn boxed(field: &Field) -> Result<Box<Self>, ArrowError> {
        Column::of(field).map(Box::new)
    }

    pub(super) fn field(self) -> Result<Arc<Field>, ArrowError> {
        let field = Field::new(self.name, self.kind.data_type()?, self.nullable);
        Ok(Arc::new(field.with_dict_is_ordered(self.ordered).with_metadata(Metadata::from_iter(self.metadata))))
    }
}

/// Both directions for types that are but a name.
macro_rules! names {
    ($($name:ident)*) => {
        fn simple(data_type: &DataType) -> Option<Kind> {
            match data_type {
                $(DataType::$name => Some(Kind::$name),)*
                _ => None,
            }
        }

        fn simple_type(kind: &Kind) -> Option<DataType> {
            match kind {
                $(Kind::$name => Some(DataType::$name),)*
                _ => None,
            }
        }
    };
}

names! {
    Null Boolean Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float16 Float32 Float64 Date32 Date64
    Binary LargeBinary BinaryView Utf8 LargeUtf8 Utf8View
}

impl Kind {
    fn of(data_type: &DataType) -> Result<Self, ArrowError> {
        if let Some(kind) = simple(data_type) {
            return Ok(kind);
        }
        Ok(match data_type {
            DataType::Timestamp(unit, zone) => Kind::Timestamp(Unit::of(*unit), zone.as_deref().map(str::to_owned)),
            DataType::Time32(TimeUnit::Second) => Kind::Time32Second,
            DataType::Time32(TimeUnit::Millisecond) => Kind::Time32Millisecond,
            DataType::Time64(TimeUnit::Microsecond) => Kind::Time64Microsecond,
            DataType::Time64(TimeUnit::Nanosecond) => Kind::Time64Nanosecond,
            DataType::Duration(unit) => Kind::Duration(Unit::of(*unit)),
            DataType::Interval(IntervalUnit::YearMonth) => Kind::IntervalYearMonth,
            DataType::Interval(IntervalUnit::DayTime) => Kind::IntervalDayTime,
            DataType::Interval(IntervalUnit::MonthDayNano) => Kind::IntervalMonthDayNano,
            DataType::FixedSizeBinary(size) => Kind::FixedSizeBinary(*size),
            DataType::List(field) => Kind::List(Column::boxed(field)?),
            DataType::ListView(field) => Kind::ListView(Column::boxed(field)?),
            DataType::FixedSizeList(field, size) => Kind::FixedSizeList(Column::boxed(field)?, *size),
            DataType::LargeList(field) => Kind::LargeList(Column::boxed(field)?),
            DataType::LargeListView(field) => Kind::LargeListView(Column::boxed(field)?),
            DataType::Struct(fields) => {
                Kind::Struct(fields.iter().map(|field| Column::of(field)).collect::<Result<_, _>>()?)
            }
            DataType::Union(fields, mode) => {
                let all: Result<_, ArrowError> =
                    fields.iter().map(|(id, field)| Ok((id, Column::of(field)?))).collect();
                Kind::Union(all?, *mode == UnionMode::Dense)
            }
            DataType::Dictionary(key, value) => Kind::Dictionary(Box::new(Kind::of(key)?), Box::new(Kind::of(value)?)),
            DataType::Decimal32(precision, scale) => Kind::Decimal32(*precision, *scale),
            DataType::Decimal64(precision, scale) => Kind::Decimal64(*precision, *scale),
            DataType::Decimal128(precision, scale) => Kind::Decimal128(*precision, *scale),
            DataType::Decimal256(precision, scale) => Kind::Decimal256(*precision, *scale),
            DataType::Map(field, sorted) => Kind::Map(Column::boxed(field)?, *sorted),
            DataType::RunEndEncoded(ends, values) => Kind::RunEndEncoded(Column::boxed(ends)?, Column::boxed(values)?),
            other => return Err(refused(format!("a column of type {other} cannot be sent"))),
        })
    }

    fn data_type(self) -> Result<DataType, ArrowError> {
        if let Some(data_type) = simple_type(&self) {
            return Ok(data_type);
        }
        Ok(match self {
            Kind::Timestamp(unit, zone) => DataType::Timestamp(unit.unit(), zone.map(Arc::from)),
            Kind::Time32Second => DataType::Time32(TimeUnit::Second),
            Kind::Time32Millisecond => DataType::Time32(TimeUnit::Millisecond),
            Kind::Time64Microsecond => DataType::Time64(TimeUnit::Microsecond),
            Kind::Time64Nanosecond => DataType::Time64(TimeUnit::Nanosecond),
            Kind::Duration(unit) => DataType::Duration(unit.unit()),
            Kind::IntervalYearMonth => DataType::Interval(IntervalUnit::YearMonth),
            Kind::IntervalDayTime => DataType::Interval(IntervalUnit::DayTime),
            Kind::IntervalMonthDayNano => DataType::Interval(IntervalUnit::MonthDayNano),
            Kind::FixedSizeBinary(size) => DataType::FixedSizeBinary(positive(size)?),
            Kind::List(column) => DataType::List(column.field()?),
            Kind::ListView(column) => DataType::ListView(column.field()?),
            Kind::FixedSizeList(column, size) => DataType::FixedSizeList(column.field()?, positive(size)?),
            Kind::LargeList(column) => DataType::LargeList(column.field()?),
            Kind::LargeListView(column) => DataType::LargeListView(column.field()?),
            Kind::Struct(columns) => {
                DataType::Struct(columns.into_iter().map(Column::field).collect::<Result<Vec<_>, _>>()?.into())
            }
            Kind::Union(columns, dense) => {
                let (ids, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
                let fields = columns.into_iter().map(Column::field).collect::<Result<Vec<_>, _>>()?;
                let mode = if dense { UnionMode::Dense } else { UnionMode::Sparse };
                DataType::Union(UnionFields::try_new(ids, fields)?, mode)
            }
            Kind::Dictionary(key, value) => match key.data_type()? {
                key if key.is_dictionary_key_type() => {
                    DataType::Dictionary(Box::new(key), Box::new(value.data_type()?))
                }
                other => return Err(refused(format!("keys of a dictionary cannot be of type {other}"))),
            },
            Kind::Decimal32(precision, scale) => {
                decimal(precision, scale, DECIMAL32_MAX_PRECISION).map(|()| DataType::Decimal32(precision, scale))?
            }
            Kind::Decimal64(precision, scale) => {
                decimal(precision, scale, DECIMAL64_MAX_PRECISION).map(|()| DataType::Decimal64(precision, scale))?
            }
            Kind::Decimal128(precision, scale) => {
                decimal(precision, scale, DECIMAL128_MAX_PRECISION).map(|()| DataType::Decimal128(precision, scale))?
            }
            Kind::Decimal256(precision, scale) => {
                decimal(precision, scale, DECIMAL256_MAX_PRECISION).map(|()| DataType::Decimal256(precision, scale))?
            }
            Kind::Map(column, sorted) => DataType::Map(column.field()?, sorted),
            Kind::RunEndEncoded(ends, values) => match ends.field()? {
                ends if ends.data_type().is_run_ends_type() => DataType::RunEndEncoded(ends, values.field()?),
                other => return Err(refused(format!("ends of runs cannot be of type {}", other.data_type()))),
            },
            other => return Err(refused(format!("a column of type {other:?} cannot be received"))),
        })
    }
}

impl Unit {
    fn of(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => Unit::Second,
            TimeUnit::Millisecond => Unit::Millisecond,
            TimeUnit::Microsecond => Unit::Microsecond,
            TimeUnit::Nanosecond => Unit::Nanosecond,
        }
    }

    fn unit(self) -> TimeUnit {
        match self {
            Unit::Second => TimeUnit::Second,
            Unit::Millisecond => TimeUnit::Millisecond,
            Unit::Microsecond => TimeUnit::Microsecond,
            Unit::Nanosecond => TimeUnit::Nanosecond,
        }
    }
}

fn positive(size: i32) -> Result<i32, ArrowError> {
    if size < 0 { Err(refused(format!("{size} is no size of a value"))) } else { Ok(size) }
}

fn decimal(precision: u8, scale: i8, most: u8) -> Result<(), ArrowError> {
    match (1..=most).contains(&precision) && i16::from(scale).abs() <= i16::from(precision) {
        true => Ok(()),
        false => Err(refused(format!("no decimal has {precision} digits, {scale} of them behind the point"))),
    }
}

pub(super) fn refused(reason: String) -> ArrowError {
    ArrowError::InvalidArgumentError(reason)
}
