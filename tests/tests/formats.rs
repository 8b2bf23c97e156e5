//! Record batches of arrow-rs, arrays of ndarray and pictures of image: sent and received without a copy of what they hold.

#[path = "support/codec.rs"]
#[allow(unsafe_code)]
mod codec;

use std::sync::Arc;

use arrow_array::builder::{
    ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder, StringRunBuilder, StringViewBuilder, UInt16Builder,
};
use arrow_array::types::{Int16Type, Int32Type, IntervalMonthDayNanoType};
use arrow_array::*;
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit, UnionFields};
use codec::Archive;
use ipc_rpc::__private as p;
use ipc_rpc::{Batch, ClientConfig, Loan, Tensor, Trust, testing};
use ipc_rpc_tests::formats::{FormatsClient, FormatsDispatcher, Museum, Titled, spots};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::large::Spot;
use ipc_rpc_tests::random::Random;

const SERVER: &str = env!("CARGO_BIN_EXE_formats_server");

/// A column of each kind with so many rows, every seventh of them null where the kind has nulls.
fn columns(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let numbers = 0..rows as i64;
    let some = |n: i64| (n % 7 != 3).then_some(n);
    let some32 = |n: i64| some(n).map(|n| n as i32);
    let word = |n: i64| some(n).map(|n| format!("the word {n}"));
    let mut lists = ListBuilder::new(UInt16Builder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), UInt16Builder::new());
    let mut dictionary = StringDictionaryBuilder::<Int16Type>::new();
    let mut runs = StringRunBuilder::<Int32Type>::new();
    let mut views = StringViewBuilder::new().with_fixed_block_size(8192);
    for n in numbers.clone() {
        (0..n % 5).for_each(|item| lists.values().append_option(some(item).map(|n| n as u16)));
        lists.append(n % 7 != 3);
        (0..n % 3).for_each(|item| {
            maps.keys().append_value(format!("key {item}"));
            maps.values().append_option(some(n).map(|n| n as u16));
        });
        maps.append(n % 7 != 3).unwrap();
        dictionary.append_option(some(n).map(|n| format!("kind {}", n % 100)));
        runs.append_option(some(n / 9).map(|n| format!("run {n}")));
        views.append_option(some(n).map(|n| format!("a text, longer than what views hold themselves: {n}")));
    }
    let nulls = || Some(NullBuffer::from_iter(numbers.clone().map(|n| n % 7 != 3)));
    let fields = Fields::from(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true).with_metadata([("language", "en")]),
    ]);
    let integers: ArrayRef = Arc::new(Int64Array::from_iter(numbers.clone().map(some)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter(numbers.clone().map(word)));
    let children = vec![integers.clone(), texts.clone()];
    let structs: ArrayRef = Arc::new(StructArray::new(fields.clone(), children.clone(), nulls()));
    let fixed = Field::new_list_field(DataType::Int64, true);
    let triples = FixedSizeListArray::new(
        Arc::new(fixed),
        3,
        Arc::new(Int64Array::from_iter((0..3 * rows as i64).map(some))),
        nulls(),
    );
    let both = || UnionFields::try_new([1, 5], fields.iter().cloned()).unwrap();
    let ids: ScalarBuffer<i8> = numbers.clone().map(|n| if n % 2 == 0 { 1 } else { 5 }).collect();
    let places: ScalarBuffer<i32> = numbers.clone().map(|n| n as i32).collect();
    let lengths = OffsetBuffer::<i32>::from_lengths((0..rows).map(|_| 1));
    let nested = ListArray::new(
        Arc::new(Field::new_list_field(structs.data_type().clone(), true)),
        lengths,
        structs.clone(),
        None,
    );
    vec![
        ("null", Arc::new(NullArray::new(rows))),
        ("boolean", Arc::new(BooleanArray::from_iter(numbers.clone().map(|n| some(n).map(|n| n % 2 == 0))))),
        ("int8", Arc::new(Int8Array::from_iter(numbers.clone().map(|n| some(n).map(|n| n as i8))))),
        ("int64", integers),
        ("float64", Arc::new(Float64Array::from_iter(numbers.clone().map(|n| some(n).map(|n| n as f64 / 8.0))))),
        ("day", Arc::new(Date32Array::from_iter(numbers.clone().map(some32)))),
        ("seconds", Arc::new(Time32SecondArray::from_iter(numbers.clone().map(some32)))),
        ("instant", Arc::new(TimestampMicrosecondArray::from_iter(numbers.clone().map(some)).with_timezone("+02:00"))),
        (
            "span",
            Arc::new(IntervalMonthDayNanoArray::from_iter(
                numbers.clone().map(|n| some(n).map(|n| IntervalMonthDayNanoType::make_value(n as i32, 1, n))),
            )),
        ),
        (
            "money",
            Arc::new(
                Decimal128Array::from_iter(numbers.clone().map(|n| some(n).map(i128::from)))
                    .with_precision_and_scale(20, 2)
                    .unwrap(),
            ),
        ),
        (
            "much money",
            Arc::new(
                Decimal256Array::from_iter(numbers.clone().map(|n| some(n).map(|n| i256::from_i128(n.into()))))
                    .with_precision_and_scale(60, 2)
                    .unwrap(),
            ),
        ),
        ("text", texts),
        ("long text", Arc::new(LargeStringArray::from_iter(numbers.clone().map(word)))),
        ("viewed text", Arc::new(views.finish())),
        ("bytes", Arc::new(BinaryArray::from_iter(numbers.clone().map(word)))),
        (
            "fours",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    numbers.clone().map(|n| some32(n).map(i32::to_le_bytes)),
                    4,
                )
                .unwrap(),
            ),
        ),
        ("lists", Arc::new(lists.finish())),
        ("triples", Arc::new(triples)),
        ("structs", structs),
        ("nested", Arc::new(nested)),
        ("map", Arc::new(maps.finish())),
        ("dictionary", Arc::new(dictionary.finish())),
        ("runs", Arc::new(runs.finish())),
        ("sparse", Arc::new(UnionArray::try_new(both(), ids.clone(), None, children.clone()).unwrap())),
        ("dense", Arc::new(UnionArray::try_new(both(), ids, Some(places), children).unwrap())),
    ]
}

fn batch(columns: Vec<(&'static str, ArrayRef)>) -> RecordBatch {
    let rows = columns[0].1.len();
    let fields: Vec<_> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let schema = Schema::new(fields).with_metadata([("made by", "a test")]);
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).unwrap()
}

fn sent(batch: &RecordBatch) -> Batch {
    Batch::try_from(batch).unwrap()
}

#[test]
fn columns_of_all_kinds_come_back_as_they_were() {
    let place = Place::new("columns_of_all_kinds_come_back_as_they_were");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = FormatsClient::connect(place.socket()).unwrap();
    for rows in [0, 1, 8, 3000] {
        for (name, column) in columns(rows) {
            let whole = batch(vec![(name, column)]);
            for part in [whole.clone(), whole.slice(rows / 3, rows / 2)] {
                client.keep(&sent(&part)).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(RecordBatch::try_from(client.back().unwrap()).unwrap(), part, "{name}, {rows} rows");
                client.keep(&sent(&part)).unwrap();
                let reply = client.view().back().unwrap();
                let seen = reply.into_batch().unwrap();
                assert_eq!(seen, part, "{name}, {rows} rows");
            }
        }
    }
    until(|| testing::client_usage(&client).is_idle());
}

#[test]
fn columns_in_loans_are_read_where_they_lie() {
    let place = Place::new("columns_in_loans_are_read_where_they_lie");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = FormatsClient::connect(place.socket()).unwrap();
    for (name, column) in columns(40_000) {
        let whole = batch(vec![(name, column)]);
        let lent = Batch::lend(&whole, |bytes| client.loan(bytes)).unwrap();
        assert_eq!(lent, whole);
        let there = spots(&lent);
        assert!(there.iter().all(|spot| spot.inode != 0), "{name}");
        assert_eq!(there.is_empty(), name == "null", "{name}");
        // The same memory as often as it is sent, in slices and as a part of something, too.
        for _ in 0..2 {
            assert_eq!(client.keep(&sent(&lent)).unwrap(), there, "{name}");
        }
        let titled = Titled { title: "a table".into(), table: sent(&lent), notes: vec!["none".into()] };
        assert_eq!(client.keep_titled(&titled).unwrap(), there, "{name}");
        let part = lent.slice(9000, 20_000);
        assert_eq!(client.keep(&sent(&part)).unwrap(), spots(&part), "{name}");
        drop((lent, titled));
        // What is kept is still what it was.
        assert_eq!(RecordBatch::try_from(client.back().unwrap()).unwrap(), part, "{name}");
    }
    until(|| testing::client_usage(&client).is_idle());
}

#[test]
fn a_reply_of_loans_is_read_where_it_lies_and_outlives_its_client() {
    let place = Place::new("a_reply_of_loans_is_read_where_it_lies_and_outlives_its_client");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = FormatsClient::connect(place.socket()).unwrap();
    let whole = batch(columns(10_000));
    client.keep(&sent(&whole)).unwrap();
    let reply = client.view().lent_back().unwrap();
    let there = reply.to_owned().unwrap().spots;
    let seen = Batch::read(reply, |shown| shown.table()).unwrap();
    let inodes: Vec<_> = spots(&seen).iter().map(|spot| spot.inode).collect();
    assert_eq!(spots(&seen), there);
    assert!(inodes.iter().all(|inode| *inode != 0) && inodes.len() > 20);
    drop((client, server));
    assert_eq!(seen, whole);
    let one = seen.column_by_name("text").unwrap().clone();
    drop(seen);
    assert_eq!(&one, whole.column_by_name("text").unwrap());
}

#[test]
fn columns_for_a_server_that_reads_copies_are_copied() {
    let place = Place::new("columns_for_a_server_that_reads_copies_are_copied");
    let _server = place.serve(SERVER, &["snapshot"]);
    let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
    let client = FormatsClient::connect_with(place.socket(), &config).unwrap();
    let whole = batch(columns(5000));
    let lent = Batch::lend(&whole, |bytes| client.loan(bytes)).unwrap();
    client.keep(&sent(&lent)).unwrap();
    let reply = client.view().lent_back().unwrap();
    assert_eq!(Batch::read(reply, |shown| shown.table()).unwrap(), whole);
}

/// Takes apart what a peer may have made of a message, as far as it is one.
fn judge(archive: &Archive) -> bool {
    let Ok(form) = archive.form::<Batch>() else { return false };
    let Ok(batch) = p::decode::<Batch>(form) else { return false };
    let Ok(batch) = RecordBatch::try_from(batch) else { return false };
    for column in batch.columns() {
        column.to_data().validate_full().expect("what passed is valid");
    }
    let _ = batch == batch.slice(0, batch.num_rows());
    true
}

#[test]
fn no_bytes_make_a_batch_that_is_none() {
    let (mut random, mut good, mut bad) = (Random::new(7), 0, 0);
    for (name, column) in columns(12) {
        let whole = Archive::of::<Batch>(&sent(&batch(vec![(name, column)]).slice(1, 9))).unwrap();
        assert!(judge(&whole), "{name}");
        let bytes = whole.bytes().to_vec();
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff, bytes[at] ^ 1 << random.below(8), random.any() as u8] {
                let mut changed = bytes.clone();
                changed[at] = value;
                // Now and then something else, too.
                if random.chance(3) {
                    let at = random.below(bytes.len() as u64) as usize;
                    changed[at] = random.any() as u8;
                }
                if judge(&Archive::from_bytes(&changed)) { good += 1 } else { bad += 1 }
            }
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} of {} changed messages are batches", good + bad);
}

#[test]
fn arrays_are_read_where_they_lie() {
    let place = Place::new("arrays_are_read_where_they_lie");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = FormatsClient::connect(place.socket()).unwrap();
    let mut large = Tensor::new(&[500, 40], client.loan::<f64>(20_000).unwrap()).unwrap();
    large.view_mut().unwrap().indexed_iter_mut().for_each(|(at, value)| *value = (at[0] * at[1]) as f64);
    let expected: Vec<f64> = (0..40).map(|column| f64::from(column) * 124_750.0).collect();
    let there = Spot::of(large.view().unwrap().as_slice().unwrap());
    assert_eq!(client.columns(&large).unwrap(), (there, expected));
    let turned = client.turned(large.clone()).unwrap();
    assert_eq!(turned.view().unwrap(), large.view().unwrap().reversed_axes());
    let reply = client.view().turned(large.clone()).unwrap();
    assert_eq!(reply.view().unwrap(), turned.view().unwrap());
    // What is no array.
    assert!(Tensor::new(&[3, 4], Loan::from(vec![0u8; 11])).is_err());
    assert!(Tensor::new(&[3, 4], Loan::from(vec![0u8; 13])).is_err());
    assert!(Tensor::new(&[usize::MAX, 4], Loan::from(vec![0u8; 12])).is_err());
    // Parts of larger arrays, in other orders, of other dimensions.
    let cube = ndarray::Array::from_shape_fn((3, 4, 5), |(a, b, c)| a * 100 + b * 10 + c).mapv(|n| n as i32);
    let mut slice = cube.clone();
    slice.slice_collapse(ndarray::s![1.., ..;2, 1..4]);
    for array in [cube.clone(), slice.clone(), cube.reversed_axes()] {
        assert_eq!(Tensor::from(array.clone()).view().unwrap(), array.into_dyn());
    }
    assert_eq!(Tensor::from(ndarray::arr0(5u8)).view().unwrap().ndim(), 0);
}

#[test]
fn a_shape_that_lies_is_an_error() {
    let good = Archive::of::<Tensor<u16>>(&Tensor::from(ndarray::arr2(&[[1u16, 2, 3], [4, 5, 6]]))).unwrap();
    let bytes = good.bytes().to_vec();
    let mut lies = 0;
    for at in 0..bytes.len() {
        for value in [0, 1, 4, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let archive = Archive::from_bytes(&changed);
            let Ok(form) = archive.form::<Tensor<u16>>() else { continue };
            match form.view() {
                Ok(view) => {
                    assert_eq!(view.iter().count(), p::decode::<Tensor<u16>>(form).unwrap().into_elements().len())
                }
                Err(_) => lies += 1,
            }
        }
    }
    assert!(lies > 20, "{lies}");
}

#[test]
fn a_dispatcher_in_the_same_process_shares_columns_too() {
    let (client, _server) = testing::pair(FormatsDispatcher::new(Museum::default())).unwrap();
    let whole = batch(columns(1000));
    client.keep(&sent(&whole)).unwrap();
    assert_eq!(RecordBatch::try_from(client.back().unwrap()).unwrap(), whole);
    assert_eq!(client.back().unwrap_err().to_string(), "nothing is kept");
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1, 2]).with_timezone("Europe/Paris"));
    assert_eq!(times.data_type(), &DataType::Timestamp(TimeUnit::Second, Some("Europe/Paris".into())));
    client.keep(&sent(&batch(vec![("times", times.clone())]))).unwrap();
    assert_eq!(RecordBatch::try_from(client.back().unwrap()).unwrap().column(0), &times);
}
