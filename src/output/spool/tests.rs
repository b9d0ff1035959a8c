//! Lines come out as they went in, in order, even after a crash.

use super::*;
use crate::model::Expires;
use crate::primitives::storage::{Fault, Memory, Survives};
use crate::pseudonym::Pseudonymised;
use jiff::civil::{Date, date};

const TODAY: Date = date(2026, 11, 23);

fn block(lines: &[&str], expires: Date) -> Pseudonymised {
    let lines: Vec<_> = lines.iter().map(|line| (*line, 0)).collect();
    Pseudonymised::of_lines(Expires::On(expires), &lines)
}

fn later(lines: &[&str]) -> Pseudonymised {
    block(lines, date(2027, 11, 24))
}

fn opened(memory: &Memory, most_bytes: u64) -> (Writer, Reader, Syncer) {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    open(&storage, Path::new("/spool"), most_bytes).unwrap()
}

/// Reads everything that is left.
fn rest(reader: &mut Reader) -> String {
    let mut text = String::new();
    while let Some(lines) = reader.next(TODAY).unwrap() {
        assert_eq!(lines.count, lines.bytes.iter().filter(|&&byte| byte == b'\n').count() as u64);
        text.push_str(std::str::from_utf8(&lines.bytes).unwrap());
    }
    text
}

#[test]
fn lines_come_out_in_order_and_again_until_they_are_taken_over() {
    let (mut writer, mut reader, _) = opened(&Memory::new(), 1 << 20);
    assert_eq!(reader.next(TODAY).unwrap(), None);
    assert!(writer.append(&later(&["a", "b"]), None).unwrap());
    assert!(writer.append(&later(&["c"]), None).unwrap());
    let first = reader.next(TODAY).unwrap().unwrap();
    assert_eq!((first.bytes.as_slice(), first.count), (&b"a\nb\n"[..], 2));
    assert_eq!(rest(&mut reader), "c\n");
    reader.confirm(first.end, first.count);
    reader.rewind();
    assert_eq!(rest(&mut reader), "c\n");
    assert_eq!(reader.level().lines, 1);
    drop(writer);
    assert!(reader.is_closed());
}

#[test]
fn one_process_sends_from_a_spool() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let open = || open(&storage, Path::new("/spool"), 1 << 20);
    let ends = open().unwrap();
    assert_eq!(open().unwrap_err().to_string(), "another process sends from it");
    drop(ends);
    open().unwrap();
}

/// With one line in flight at any time, a thousand lines pass through a spool of ten.
#[test]
fn what_was_taken_over_makes_room_in_a_small_spool() {
    let (mut writer, mut reader, _) = opened(&Memory::new(), 1 << 10);
    writer.append(&later(&["before"]), None).unwrap();
    for number in 0..1000 {
        let line = format!("{number:0100}");
        assert!(writer.append(&later(&[&line]), None).unwrap(), "{number}: {:?}", writer.level());
        let before = reader.next(TODAY).unwrap().unwrap();
        reader.confirm(before.end, before.count);
        if before.count > 1 {
            writer.append(&later(&["before"]), None).unwrap();
        }
    }
}

#[test]
fn what_is_left_is_there_after_a_restart() {
    let memory = Memory::new();
    let (mut writer, mut reader, _) = opened(&memory, 1 << 20);
    for line in ["a", "b", "c"] {
        writer.append(&later(&[line]), None).unwrap();
    }
    let first = reader.next(TODAY).unwrap().unwrap();
    reader.confirm(first.end, first.count);
    reader.save().unwrap();
    drop((writer, reader));
    let (mut writer, mut reader, _) = opened(&memory, 1 << 20);
    assert_eq!(reader.level().lines, 2);
    writer.append(&later(&["d"]), None).unwrap();
    assert_eq!(rest(&mut reader), "b\nc\nd\n");
}

/// Takes effect without waiting a second: delivered lines are not sent again even if the process ends at
/// once.
#[test]
fn what_was_taken_over_is_not_sent_again_after_a_kill() {
    let memory = Memory::new();
    let (mut writer, mut reader, syncer) = opened(&memory, 1 << 20);
    for line in ["a", "b", "c"] {
        writer.append(&later(&[line]), None).unwrap();
    }
    syncer.sync().unwrap();
    let left = |memory: &Memory| rest(&mut opened(memory, 1 << 20).1);
    for expected in ["b\nc\n", "c\n"] {
        let first = reader.next(TODAY).unwrap().unwrap();
        reader.confirm(first.end, first.count);
        assert_eq!(left(&memory.after_crash(Survives::Everything)), expected);
        assert_eq!(left(&memory.after_crash(Survives::Synced)), "a\nb\nc\n");
    }
    // Whatever happens to bytes that were not synced, no undelivered line is skipped.
    let trail = Path::new("/spool/trail");
    let length = memory.files()[trail].len();
    for at in 0..length {
        let damaged = memory.after_crash(Survives::Everything);
        damaged.damage(trail, |bytes| bytes[at] ^= 1);
        let left = left(&damaged);
        assert!("a\nb\nc\n".ends_with(&left) && left.ends_with("c\n"), "{at}: {left}");
    }
    reader.save().unwrap();
    assert_eq!(memory.files()[trail], b"");
    assert_eq!(left(&memory.after_crash(Survives::Synced)), "c\n");
}

/// Lines are sent even while the disk is full: positions that cannot be kept cost duplicates after a power
/// cut.
#[test]
fn lines_come_out_while_positions_cannot_be_kept() {
    let before = Memory::new();
    let (mut writer, _reader, _) = opened(&before, 1 << 20);
    for line in ["a", "b"] {
        writer.append(&later(&[line]), None).unwrap();
    }
    let memory = before.after_crash(Survives::Everything).with_fault(Fault::Full(0));
    let (_writer, mut reader, _) = opened(&memory, 1 << 20);
    for line in ["a\n", "b\n"] {
        let lines = reader.next(TODAY).unwrap().unwrap();
        assert_eq!(lines.bytes, line.as_bytes());
        reader.confirm(lines.end, lines.count);
        reader.rest();
    }
    assert!(reader.save().is_err());
}

#[test]
fn a_full_spool_takes_nothing_until_something_went() {
    let memory = Memory::new();
    let (mut writer, mut reader, _) = opened(&memory, 100);
    assert!(writer.append(&later(&[&"x".repeat(300)]), None).unwrap(), "an empty one takes any block");
    assert!(!writer.append(&later(&["y"]), None).unwrap());
    let first = reader.next(TODAY).unwrap().unwrap();
    reader.confirm(first.end, first.count);
    assert!(writer.append(&later(&["y"]), None).unwrap());
    assert_eq!(rest(&mut reader), "y\n");
}

/// A caller that gets an error sends the lines again, or counts them as dropped, so half of them must not
/// come out later. And a disk that stays full is not filled with files.
#[test]
fn what_there_was_no_room_for_never_comes_out() {
    let mut refused = 0;
    for at in 0..8 {
        let memory = Memory::new().with_fault(Fault::Full(at));
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let Ok((mut writer, mut reader, _)) = open(&storage, Path::new("/spool"), 1 << 20) else { continue };
        let mut kept = String::new();
        for piece in ["1", "2", "3", "4"] {
            let (mut records, second) = (Records::of(&later(&[piece])), Records::of(&later(&["more"])));
            records.bytes.extend_from_slice(&second.bytes);
            records.lines += second.lines;
            match writer.append_records(&records, None) {
                Ok(_) => kept += &format!("{piece}\nmore\n"),
                Err(_) => refused += 1,
            }
        }
        let files = memory.files().into_keys().filter(|path| path.extension().is_some());
        assert!(files.count() <= 1, "{at}");
        assert_eq!(rest(&mut reader), kept, "{at}");
        drop((writer, reader));
        let (_writer, mut reader, _) = opened(&memory.after_crash(Survives::Everything), 1 << 20);
        assert_eq!(rest(&mut reader), kept, "{at} after a restart");
    }
    assert!(refused > 0);
}

#[test]
fn files_go_when_they_are_taken_over() {
    let memory = Memory::new();
    let (mut writer, mut reader, _) = opened(&memory, 1 << 30);
    let line = "x".repeat(1 << 20);
    for _ in 0..20 {
        writer.append(&later(&[&line]), None).unwrap();
    }
    let is_file = |name: &str| name.ends_with(SUFFIX);
    let files = |memory: &Memory| {
        let listed = memory.list(Path::new("/spool")).unwrap();
        listed.iter().filter(|listed| is_file(&listed.name)).count()
    };
    assert_eq!(files(&memory), 3);
    while let Some(lines) = reader.next(TODAY).unwrap() {
        reader.confirm(lines.end, lines.count);
    }
    assert_eq!((files(&memory), reader.level().lines), (1, 0));
    assert!(reader.level().bytes < 8 << 20);
}

#[test]
fn lines_whose_day_has_come_are_not_sent_and_are_overwritten() {
    let memory = Memory::new();
    let (mut writer, reader, _) = opened(&memory, 1 << 20);
    writer.append(&block(&["gone"], TODAY), None).unwrap();
    writer.append(&later(&["stays"]), None).unwrap();
    writer.append(&block(&["gone too"], date(2026, 11, 1)), None).unwrap();
    drop((writer, reader));
    let (_writer, mut reader, _) = opened(&memory, 1 << 20);
    assert_eq!(rest(&mut reader), "stays\n");
    let holds = |text: &str| {
        let path = memory.list(Path::new("/spool")).unwrap().swap_remove(0).path;
        let file = memory.open(&path).unwrap();
        let bytes = crate::primitives::private_folder::read_from(&*file, 0).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(holds("gone") && holds("stays"));
    reader.expire(TODAY).unwrap();
    assert!(!holds("gone") && holds("stays"));
    reader.rewind();
    assert_eq!(rest(&mut reader), "stays\n");
}

/// However often they are read before something is delivered, and the lines after them wait still.
#[test]
fn lines_whose_day_has_come_are_counted_once() {
    let (mut writer, mut reader, _) = opened(&Memory::new(), 1 << 20);
    for block in [block(&["gone", "gone"], TODAY), later(&["a"]), block(&["gone"], TODAY), later(&["b"])] {
        writer.append(&block, None).unwrap();
    }
    writer.append(&block(&["gone"], TODAY), None).unwrap();
    let counts = |reader: &Reader| (reader.level().lines, reader.level().expired);
    for _ in 0..3 {
        assert_eq!(rest(&mut reader), "a\nb\n");
        assert_eq!(counts(&reader), (6, 0));
        reader.rewind();
    }
    for expected in [(3, 2), (1, 3)] {
        let lines = reader.next(TODAY).unwrap().unwrap();
        reader.confirm(lines.end, lines.count);
        assert_eq!(counts(&reader), expected);
    }
    assert_eq!(reader.next(TODAY).unwrap(), None);
    reader.rest();
    assert_eq!(counts(&reader), (0, 4));
}

#[test]
fn a_spool_that_nobody_sends_from_expires() {
    let memory = Memory::new();
    let (mut writer, reader, _) = opened(&memory, 1 << 20);
    for (line, day) in [("soon", date(2026, 11, 24)), ("later", date(2026, 12, 1))] {
        writer.append(&block(&[line], day), None).unwrap();
    }
    drop((writer, reader));
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let files = || memory.list(Path::new("/spool")).unwrap().len();
    for (today, left, whole) in [
        (TODAY, true, "soon\nlater\n"),
        (date(2026, 11, 24), true, "later\n"),
        (date(2026, 12, 1), false, ""),
    ] {
        assert_eq!(expire_left(&storage, Path::new("/spool"), today).unwrap(), left);
        assert_eq!(files() > 0, left);
        let (_, mut reader, _) = opened(&memory, 1 << 20);
        assert_eq!(rest(&mut reader), whole);
    }
}

#[test]
fn pieces_are_durable_when_they_are_synced_or_taken_over() {
    let (mut writer, mut reader, syncer) = opened(&Memory::new(), 1 << 20);
    assert_eq!(writer.first_not_durable(), None);
    writer.append(&later(&["a"]), Some(2)).unwrap();
    writer.append(&later(&["b"]), Some(3)).unwrap();
    assert_eq!(writer.first_not_durable(), Some(2));
    let first = reader.next(TODAY).unwrap().unwrap();
    reader.confirm(first.end, first.count);
    assert_eq!(writer.first_not_durable(), Some(3));
    syncer.sync().unwrap();
    assert_eq!(writer.first_not_durable(), None);
    writer.append(&later(&["c"]), Some(7)).unwrap();
    assert_eq!(writer.first_not_durable(), Some(7));
    assert_eq!(rest(&mut reader), "b\nc\n");
    reader.rest();
    assert_eq!(writer.first_not_durable(), None);
}

#[test]
fn the_oldest_line_tells_the_lag() {
    let (mut writer, mut reader, _) = opened(&Memory::new(), 1 << 20);
    assert_eq!(writer.waiting(), Duration::ZERO);
    for line in ["a", "b"] {
        writer.append(&later(&[line]), None).unwrap();
    }
    let first = reader.next(TODAY).unwrap().unwrap();
    reader.confirm(first.end, first.count);
    let before = writer.waiting();
    assert!(before > Duration::ZERO && writer.waiting() > before);
    let second = reader.next(TODAY).unwrap().unwrap();
    reader.confirm(second.end, second.count);
    assert_eq!(writer.waiting(), Duration::ZERO);
}

#[test]
fn ages_do_not_take_memory_without_end() {
    let mut state = State::default();
    let long_ago = Instant::now().checked_sub(AGE_STEP).unwrap();
    for offset in 0..2 * MOST_AGES as u64 {
        state.came(Position { file: 1, offset });
        state.ages.iter_mut().rev().take(1).for_each(|(_, since)| *since = long_ago);
    }
    assert_eq!(state.ages.len(), MOST_AGES);
    state.confirmed = Position { file: 1, offset: 2 * MOST_AGES as u64 - 2 };
    assert!(state.waiting() >= AGE_STEP, "the last line waits still");
    state.confirmed.offset += 1;
    assert_eq!(state.waiting(), Duration::ZERO);
}

/// Crashes, torn writes and failures at every operation: what was synced comes out whole and in order.
#[test]
fn what_was_synced_survives_every_crash() {
    let run = |memory: &Memory| -> io::Result<usize> {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let mut synced = 0;
        let mut steps = || -> io::Result<()> {
            let (mut writer, mut reader, syncer) = open(&storage, Path::new("/spool"), 1 << 20)?;
            for (piece, line) in ["1", "2", "3", "4"].into_iter().enumerate() {
                writer.append(&later(&[line]), None)?;
                syncer.sync()?;
                synced = piece + 1;
            }
            let first = reader.next(TODAY)?.ok_or(io::ErrorKind::NotFound)?;
            reader.confirm(first.end, first.count);
            reader.save()
        };
        let _ = steps();
        Ok(synced)
    };
    let whole = Memory::new();
    assert_eq!(run(&whole).unwrap(), 4);
    for at in 0..40 {
        for fault in [Fault::Freeze(at), Fault::Tear(at), Fault::Fail(at, io::ErrorKind::Other)] {
            let memory = Memory::new().with_fault(fault);
            let synced = run(&memory).unwrap();
            for survives in [Survives::Everything, Survives::Synced, Survives::Half, Survives::Zeroed] {
                let (_writer, mut reader, _) = opened(&memory.after_crash(survives), 1 << 20);
                let text = rest(&mut reader).replace('\n', "");
                let from = if text.starts_with('1') { "1234" } else { "234" };
                let least = &from[..synced.saturating_sub(4 - from.len()).min(from.len())];
                assert!(
                    from.starts_with(&text) && text.starts_with(least) || text.is_empty() && synced == 0,
                    "{fault:?} {survives:?}: {text} after {synced}"
                );
            }
        }
    }
}
