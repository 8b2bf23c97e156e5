//! Memory that is lent to calls instead of being copied into them.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, Context, Loan, Server, Trust, join_all};
use ipc_rpc_tests::helper::{Place, faithful, until};
use ipc_rpc_tests::large::{Cell, Frame, Hall, Large, LargeClient, LargeDispatcher, Spot, sum};
use ipc_rpc_tests::raw::{Peer, overhear};
use ipc_rpc_tests::services::bytes;
use ipc_rpc_tests::{proc, system};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const MIB: usize = 1 << 20;

fn filled(client: &LargeClient, len: usize, seed: u8) -> Loan<u8> {
    let mut loan = client.loan::<u8>(len).unwrap();
    loan.copy_from_slice(&bytes(len, seed));
    loan
}

#[test]
fn a_loan_is_read_where_it_was_written() {
    let place = Place::new("a_loan_is_read_where_it_was_written");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    for len in [4096, 4097, 65_535, 65_536, MIB + 13, 9 * MIB] {
        let loan = filled(&client, len, 3);
        let there = Spot::of(&loan);
        assert!(loan.is_shared() && there.inode != 0);
        assert_eq!(client.place(&loan).unwrap(), (there, sum(&loan)), "{len} bytes");
        assert!(!loan.is_lent());
        // A part of it, a second time, in all ways to call.
        let part = &loan[16..len - 16];
        let (of_part, sum) = (Spot { offset: there.offset + 16, ..there }, sum(part));
        if part.len() >= 4096 {
            assert_eq!(client.place(part).unwrap(), (of_part, sum));
            assert_eq!(client.view().place(part).unwrap().to_owned().unwrap(), (of_part, sum));
            assert_eq!(client.start().place(part).unwrap().wait().unwrap(), (of_part, sum));
            assert_eq!(client.with_metadata("a", "b").place(part).unwrap(), (of_part, sum), "with a context behind it");
            let later = smol::block_on(async { client.place_later(part).await }).unwrap();
            assert_eq!(later, (of_part, sum));
            client.note(part).unwrap();
            client.flush().unwrap();
            assert_eq!(client.noted().unwrap(), Some((of_part, sum)));
        }
    }
    assert!(ipc_rpc::testing::client_usage(&client).is_idle());
}

#[test]
fn what_is_no_loan_is_copied_beside_it() {
    let place = Place::new("what_is_no_loan_is_copied_beside_it");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let mut numbers = client.loan::<u64>(10_000).unwrap();
    numbers.iter_mut().zip(0..).for_each(|(to, n)| *to = n);
    // More than a block has behind what is referred to, so that the request has to be begun again in larger memory.
    let plain: Vec<u8> = bytes(3 * MIB, 1);
    let more: Vec<u64> = (0..50_000).collect();
    let spots = client.places(&numbers, &plain, &more).unwrap();
    assert_eq!(spots[0], Spot::of(&numbers));
    assert_ne!(spots[1], Spot::of(&plain));
    let spots = client.places(&more, &plain, &numbers[1..]).unwrap();
    assert_eq!(spots[2], Spot::of(&numbers[1..]));
    let metadata: String = "m".repeat(20_000);
    let said = client.with_metadata("long", &*metadata);
    assert_eq!(said.places(&numbers, &plain, &numbers).unwrap()[2], Spot::of(&numbers));

    let frame = Frame {
        title: "a frame".into(),
        pixels: filled(&client, MIB, 9),
        samples: vec![1.5; 100_000],
        tags: (0..1000).map(|n| format!("tag {n}")).collect(),
    };
    let (pixels, samples, text) = client.frame(&frame).unwrap();
    assert_eq!(pixels, Spot::of(&frame.pixels));
    assert_ne!(samples, Spot::of(&frame.samples));
    assert_eq!(text, format!("a frame {}", frame.tags.join("+")));
    drop((frame, numbers));
    assert!(ipc_rpc::testing::client_usage(&client).is_idle());
}

#[test]
fn a_new_loan_of_what_has_forbidden_bits_is_zero() {
    let place = Place::new("a_new_loan_of_what_has_forbidden_bits_is_zero");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let len = 100_000;
    let dirty = {
        let mut numbers = client.loan::<u32>(len).unwrap();
        numbers.fill(u32::MAX);
        Spot::of(&numbers)
    };
    let mut cells = client.loan::<Cell>(len).unwrap();
    assert_eq!(Spot::of(&cells), dirty, "else this test shows nothing");
    assert!(cells.iter().all(|cell| *cell == Cell { height: 0, wet: false, warm: false }));
    assert_eq!(client.wet(&cells).unwrap(), 0);
    cells[7].wet = true;
    assert_eq!(client.wet(&cells).unwrap(), 1);
}

#[test]
fn a_handler_lends_its_reply() {
    let place = Place::new("a_handler_lends_its_reply");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    for len in [4096, 4097, MIB, 9 * MIB] {
        let reply = client.view().make(len as u64, 7).unwrap();
        let (spot, all) = reply.get();
        assert_eq!(Spot::of(all), Spot { inode: spot.inode(), offset: spot.offset() });
        assert!(all.len() == len && all.iter().all(|byte| *byte == 7));
        // Another call meanwhile does not touch it, nor does the end of the client.
        let other = client.clone().view().make(len as u64, 8).unwrap();
        assert!(all.iter().all(|byte| *byte == 7) && other.get().1[0] == 8);
        let (_, owned) = client.make(len as u64, 9).unwrap();
        assert!(!owned.is_shared() && owned.iter().all(|byte| *byte == 9));
    }
    let frame = smol::block_on(async { client.view().make_frame(MIB as u64).await }).unwrap();
    assert!(frame.pixels().iter().all(|pixel| *pixel == 9) && frame.samples()[4999] == 0.5);
    assert_eq!(frame.tags().len(), 100);
    match client.make_and_fail(MIB as u64) {
        Err(CallError::Handler(text)) => assert!(text.contains("no idea")),
        other => panic!("{other:?}"),
    }
    drop(client);
    assert!(frame.pixels().iter().all(|pixel| *pixel == 9), "a reply outlives its client");
    let elsewhere = std::thread::spawn(move || frame.pixels().len());
    assert_eq!(elsewhere.join().unwrap(), MIB);
}

#[test]
fn nothing_of_the_servers_memory_is_left_over() {
    let hall = LargeDispatcher::new(Hall::default());
    let (client, server) = ipc_rpc::testing::pair(hall).unwrap();
    for round in 0..50u8 {
        let held = client.view().make(MIB as u64, round).unwrap();
        assert!(server.usage().memory.used >= MIB as u64);
        let _ = client.make_and_fail(MIB as u64).unwrap_err();
        assert_eq!(held.get().1[MIB - 1], round);
    }
    until(|| server.usage().memory.used == 0);
    assert!(server.usage().is_idle());
}

#[test]
fn writing_while_others_read_copies_first() {
    let place = Place::new("writing_while_others_read_copies_first");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect_with(place.socket(), &faithful()).unwrap();
    let mut loan = filled(&client, MIB, 5);
    let (there, sum) = (Spot::of(&loan), sum(&loan));
    let gate = place.join("gate");
    fs::write(&gate, "").unwrap();
    let pending = client.start().place_when_gone(&gate, &loan).unwrap();
    until(|| fs::exists(format!("{gate}.in")).unwrap());
    assert!(loan.is_lent());
    loan.fill(0);
    assert!(!loan.is_lent() && Spot::of(&loan) != there);
    fs::remove_file(&gate).unwrap();
    assert_eq!(pending.wait().unwrap(), (there, sum), "what it was when it was passed");
    // A call that was given up may still be reading: so is its loan, even when it is gone here.
    fs::write(&gate, "").unwrap();
    fs::remove_file(format!("{gate}.in")).unwrap();
    loan.fill(1);
    let there = Spot::of(&loan);
    let late = client.with_timeout(Duration::from_millis(50)).place_when_gone(&gate, &loan).unwrap_err();
    assert!(matches!(late, CallError::TimedOut { .. }));
    assert!(loan.is_lent());
    drop(loan);
    let next = filled(&client, MIB, 6);
    assert_ne!(Spot::of(&next), there, "nobody else gets it before that handler has ended");
    fs::remove_file(&gate).unwrap();
    until(|| {
        drop(filled(&client, 64, 1));
        client.noted().unwrap();
        ipc_rpc::testing::client_usage(&client).zombies == 0
    });
    drop(next);
    assert!(ipc_rpc::testing::client_usage(&client).is_idle());
}

#[test]
fn many_threads_and_loans() {
    let place = Place::new("many_threads_and_loans");
    let _server = place.serve::<&str>(SERVER, &["workers=3"]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let shared = filled(&client, MIB, 77);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (client, shared) = (&client, &shared);
            scope.spawn(move || {
                for round in 0..60usize {
                    let own = filled(client, 5000 + 40_009 * (round % 7), thread);
                    assert_eq!(client.place(shared).unwrap(), (Spot::of(shared), sum(shared)));
                    let many = client.batch(|calls| (0..5).map(|_| calls.place(&own)).collect::<Result<Vec<_>, _>>());
                    for (spot, total) in join_all(many.unwrap()).unwrap() {
                        assert_eq!((spot, total), (Spot::of(&own), sum(&own)));
                    }
                    let dropped = client.start().place(&own).unwrap();
                    drop((own, dropped));
                }
            });
        }
    });
    drop(shared);
    until(|| {
        client.noted().unwrap();
        ipc_rpc::testing::client_usage(&client).is_idle()
    });
}

#[test]
fn where_it_cannot_be_shared_it_is_copied() {
    let place = Place::new("where_it_cannot_be_shared_it_is_copied");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let loan = filled(&client, MIB, 2);
    // The memory of another connection, too small to be mapped.
    let other = LargeClient::connect(place.socket()).unwrap();
    let (spot, total) = other.place(&loan[..100_000]).unwrap();
    assert_eq!(total, sum(&loan[..100_000]));
    assert_ne!(spot, Spot::of(&loan[..100_000]));
    let total = sum(&loan);
    // A client that copies replies before it reads them.
    let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
    let careful = LargeClient::connect_with(place.socket(), &config).unwrap();
    let (_, all) = careful.make(MIB as u64, 3).unwrap();
    assert!(all.len() == MIB && all.iter().all(|byte| *byte == 3));
    let reply = careful.view().make(MIB as u64, 3).unwrap();
    assert!(reply.get().1.iter().all(|byte| *byte == 3));
    // The memory of a server that is gone.
    drop(server);
    let mut loan = loan;
    assert_eq!(sum(&loan), total, "it stays readable");
    let _server = place.serve::<&str>(SERVER, &[]);
    loan[0] = loan[0].wrapping_add(1);
    assert_eq!(client.place(&loan).unwrap().1, sum(&loan), "the same client, its next connection");
    drop(client);
    assert_eq!(other.place(&loan).unwrap().1, sum(&loan), "without its client");

    let mut private = Hall::default().make(&Context::default(), 5000, 1).unwrap().1;
    private[0] = 2;
    assert_eq!(other.place(&private).unwrap().1, sum(&private));
}

#[test]
fn who_is_not_trusted_has_no_access_to_a_loan() {
    let place = Place::new("who_is_not_trusted_has_no_access_to_a_loan");
    let wary = place.serve::<&str>(SERVER, &["trust=snapshot"]);
    let client = LargeClient::connect(place.socket()).unwrap();
    // The client reads where things lie, so it could; but the handler has written, and reads, it as its own.
    let (spot, bytes) = client.make(MIB as u64, 3).unwrap();
    assert_eq!((spot.inode, bytes.len()), (0, MIB));
    drop(wary);
    let _server = place.serve::<&str>(SERVER, &[]);
    let (spot, _) = client.make(MIB as u64, 3).unwrap();
    assert_ne!(spot.inode, 0);
    let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
    let careful = LargeClient::connect_with(place.socket(), &config).unwrap();
    let mut loan = careful.loan::<u8>(MIB).unwrap();
    assert!(!loan.is_shared());
    loan.fill(1);
    assert_eq!(careful.place(&loan).unwrap().1, sum(&loan));
}

#[test]
fn the_memory_of_one_connection_is_passed_over_another_one() {
    let place = Place::new("the_memory_of_one_connection_is_passed_over_another_one");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let other = LargeClient::connect(place.socket()).unwrap();
    let maps = || proc::mappings(server.pid());
    let before = maps();
    let mut loan = filled(&client, 3 * MIB + 77, 2);
    for part in [&loan[..], &loan[1..], &loan[4096..2 * MIB], &loan[MIB + 5..]] {
        assert_eq!(other.place(part).unwrap(), (Spot::of(part), sum(part)));
        assert_eq!(other.with_metadata("a", "b").place(part).unwrap(), (Spot::of(part), sum(part)));
        let later = smol::block_on(async { other.place_later(part).await }).unwrap();
        assert_eq!(later, (Spot::of(part), sum(part)));
    }
    // Several, and something behind them that has the request begun again.
    let mut numbers = client.loan::<u64>(100_000).unwrap();
    numbers.fill(3);
    let plain = bytes(MIB, 1);
    let own = other.loan::<u64>(100_000).unwrap();
    let spots = other.places(&numbers, &plain, &own).unwrap();
    assert_eq!((spots[0], spots[2]), (Spot::of(&numbers), Spot::of(&own)));
    assert_eq!(other.places(&own, &loan, &numbers).unwrap()[1], Spot::of(&loan));
    // As long as it is read it stays as it is.
    let gate = place.join("gate");
    fs::write(&gate, "").unwrap();
    let (there, total) = (Spot::of(&loan), sum(&loan));
    let pending = other.start().place_when_gone(&gate, &loan).unwrap();
    until(|| fs::exists(format!("{gate}.in")).unwrap());
    assert!(loan.is_lent());
    loan.fill(0);
    fs::remove_file(&gate).unwrap();
    assert_eq!(pending.wait().unwrap(), (there, total));
    assert!(!loan.is_lent());
    // Nothing of it is left: neither here nor there, where what the other connection has of its own is seen again.
    assert_eq!(maps(), before);
    for _ in 0..5 {
        let own = filled(&other, 3 * MIB, 9);
        assert_eq!(other.place(&own).unwrap(), (Spot::of(&own), sum(&own)));
        assert_eq!(other.place(&loan).unwrap().1, 0);
    }
    drop((loan, numbers, own, client));
    until(|| ipc_rpc::testing::client_usage(&other).is_idle());
}

#[test]
fn what_was_received_is_passed_on_without_a_copy() {
    let place = Place::new("what_was_received_is_passed_on_without_a_copy");
    let name = |n: u32| place.join(&format!("{n}.sock"));
    let servers = [0, 1, 2].map(|n| place.start(SERVER, &[name(n)]));
    let servers = servers.map(|mut server| {
        assert_eq!(server.line(), "bound");
        server
    });
    let settle = || servers.each_ref().map(|server| proc::mappings(server.pid()).len());
    let before = settle();
    let client = LargeClient::connect(name(0)).unwrap();
    let loan = filled(&client, 2 * MIB + 5, 4);
    let expected = (Spot::of(&loan), sum(&loan));
    for way in [vec![], vec![name(1)], vec![name(1), name(2)], vec![name(2), name(0), name(1)]] {
        assert_eq!(client.relay(&way, &loan).unwrap(), vec![expected; way.len() + 1]);
    }
    // What was copied into the first request is in its memory, and is passed on from there.
    let plain = bytes(MIB, 3);
    let all = client.relay(&[name(1), name(2)], &plain).unwrap();
    assert!(all[0].0.inode != 0 && all == vec![all[0]; 3] && all[0].1 == sum(&plain));
    // What is small is copied each time.
    let all = client.relay(&[name(1)], &plain[..10_000]).unwrap();
    assert!(all[0].0 != all[1].0 && all[0].1 == all[1].1);

    let frame =
        Frame { title: "a frame".into(), pixels: filled(&client, MIB, 9), samples: vec![0.5; 99], tags: vec![] };
    let all = client.relay_frame(&name(1), &frame).unwrap();
    assert_eq!(all[0], (Spot::of(&frame.pixels), sum(&frame.pixels)));
    assert_eq!((all[1], all[3]), (all[0], all[0]));

    // After the answer, when the client has let go of it, and is gone.
    let gate = place.join("gate");
    fs::write(&gate, "").unwrap();
    client.relay_later(&name(1), &gate, &loan).unwrap();
    assert!(loan.is_lent());
    drop((loan, frame, client));
    let watcher = LargeClient::connect(name(1)).unwrap();
    fs::remove_file(&gate).unwrap();
    until(|| watcher.noted().unwrap() == Some(expected));
    drop(watcher);
    until(|| settle() == before);
}

#[test]
fn more_than_a_server_maps_at_once_is_copied() {
    let place = Place::new("more_than_a_server_maps_at_once_is_copied");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let config = ClientConfig { blocks: 512, ..ClientConfig::default() };
    let other = LargeClient::connect_with(place.socket(), &config).unwrap();
    let loan = filled(&client, 300_000, 6);
    let before = proc::mappings(server.pid()).len();
    // Each of them is kept until this test is over.
    let gate = place.join("gate");
    fs::write(&gate, "").unwrap();
    for _ in 0..260 {
        other.relay_later("nobody", &gate, &loan).unwrap();
    }
    // A part of the segment behind each of them is a mapping of its own, or is not if the next one follows.
    let mapped = proc::mappings(server.pid()).len() - before;
    assert!((256..=512).contains(&mapped), "{mapped}");
    let (spot, total) = other.place(&loan).unwrap();
    assert_eq!(total, sum(&loan));
    assert_ne!(spot, Spot::of(&loan));
}

#[test]
fn what_comes_back_is_read_where_it_was_sent_from() {
    let place = Place::new("what_comes_back_is_read_where_it_was_sent_from");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let mut held = Vec::new();
    for len in [5000, MIB, 3 * MIB] {
        let data = bytes(len, 7);
        let reply = client.view().echo(&data).unwrap();
        let (spot, back) = reply.get();
        assert_eq!(Spot { inode: spot.inode(), offset: spot.offset() }, Spot::of(back), "{len} bytes");
        assert!(back == data);
        // It stays as it is while others come and go.
        assert!(*client.echo(&bytes(len, 8)).unwrap().1 == bytes(len, 8));
        held.push((reply, data));
    }
    assert!(held.iter().all(|(reply, data)| reply.get().1 == data));
    // From a loan, which is not a part of the request, it is copied back.
    let loan = filled(&client, MIB, 9);
    let reply = client.view().echo(&loan).unwrap();
    assert!(reply.get().1 == &loan[..]);
    drop((held, reply, loan));
    until(|| {
        client.noted().unwrap();
        ipc_rpc::testing::client_usage(&client).is_idle()
    });
}

#[test]
fn memory_that_has_no_place_is_refused() {
    let place = Place::new("memory_that_has_no_place_is_refused");
    let path = place.socket();
    let server = Server::builder().service(LargeDispatcher::new(Hall::default())).bind(&path).unwrap();
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.run());
    let honest = LargeClient::connect(&path).unwrap();
    let loan = filled(&honest, MIB, 8);
    let hello = overhear(&place, |path| drop(LargeClient::connect(path)));
    let peer = Peer::attach(&path, &hello);
    let geometry = *peer.segment.geometry();
    let (arena, page) = (geometry.caller_arena_at(), 4096u32);
    // `noted`, which has no arguments.
    let number = peer.numbers[5] | 1 << 14;
    let good = || system::memfd(1 << 20, system::SEALS);
    let wrong: Vec<(OwnedFd, [u32; 3])> = vec![
        (good(), [arena - page, page, 0]),
        (good(), [0, page, 0]),
        (good(), [geometry.callee_arena_at() - page, 2 * page, 0]),
        (good(), [geometry.callee_arena_at(), page, 0]),
        (good(), [u32::MAX - page + 1, page, 0]),
        (good(), [arena + 8, page, 0]),
        (good(), [arena, page + 1, 0]),
        (good(), [arena, 0, 0]),
        (good(), [arena, 2 * page, 255]),
        (good(), [arena, page, u32::MAX]),
        (system::memfd(1 << 20, 0), [arena, page, 0]),
        (std::io::pipe().unwrap().0.into(), [arena, page, 0]),
        (fs::File::open("/proc/self/exe").unwrap().into(), [arena, page, 0]),
    ];
    let packet =
        |place: [u32; 3]| -> Vec<u8> { [4, 0, 0].into_iter().chain(place).flat_map(u32::to_le_bytes).collect() };
    let count = wrong.len() as u64;
    for (file, at) in wrong {
        system::send(peer.socket.as_fd(), &packet(at), &[file.as_fd()]).unwrap();
        assert_eq!(peer.call(0, number, &[]), Some(17), "{at:?}");
        assert_eq!(honest.place(&loan).unwrap().1, sum(&loan));
    }
    assert_eq!(handle.rejected().requests, count);
    // Over its own request, and where the reply goes: it spoils what is its own.
    let number = peer.numbers[0] | 1 << 14;
    system::send(peer.socket.as_fd(), &packet([arena, page, 0]), &[good().as_fd()]).unwrap();
    assert!(peer.call(0, number, &[]).is_some());
    assert_eq!(honest.place(&loan).unwrap().1, sum(&loan));
    drop((peer, loan, honest));
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

#[test]
fn servers_that_copy_get_copies() {
    let place = Place::new("servers_that_copy_get_copies");
    let _server = place.serve(SERVER, &["trust=snapshot"]);
    let client = LargeClient::connect(place.socket()).unwrap();
    let loan = filled(&client, MIB, 2);
    let (spot, total) = client.place(&loan).unwrap();
    // In a file of its own, which the client cannot change any more.
    assert!(spot.inode != 0 && spot.inode != Spot::of(&loan).inode);
    assert_eq!(total, sum(&loan));
    let short = filled(&client, MIB / 2, 2);
    let (spot, total) = client.place(&short).unwrap();
    assert_eq!((spot.inode, total), (0, sum(&short)));
}

#[test]
fn a_loan_that_is_too_large_says_so() {
    let place = Place::new("a_loan_that_is_too_large_says_so");
    let _server = place.serve::<&str>(SERVER, &[]);
    let config = ClientConfig { arguments: 1 << 20, ..ClientConfig::default() };
    let client = LargeClient::connect_with(place.socket(), &config).unwrap();
    let half = client.loan::<u8>(MIB / 2).unwrap();
    let error = client.loan::<u8>(MIB / 2 + 1).unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
    drop(half);
    assert!(client.loan::<u8>(MIB - 8192).is_ok());
    let error = client.loan::<u64>(usize::MAX / 8).unwrap_err();
    assert!(error.to_string().contains("bytes a message may have"), "{error}");
    let error: CallError = error.into();
    assert!(matches!(error, CallError::Arguments { .. }));
}
