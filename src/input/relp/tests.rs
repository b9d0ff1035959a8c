//! Sessions, seen from the other end of the connection.

use super::*;
use crate::input::fake_deliver::FakeDeliver;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;

const SETTINGS: Settings =
    Settings { max_record_bytes: 64, max_sealed_bytes: 1000, window: 3, idle: Duration::from_secs(5) };
const OPEN: &[u8] = b"1 open 46 relp_version=0\nrelp_software=x\ncommands=syslog\n";
const OPENED: &str = concat!(
    "1 rsp 67 200 OK\nrelp_version=0\nrelp_software=oubliette,",
    env!("CARGO_PKG_VERSION"),
    "\ncommands=syslog\n"
);

/// Starts a session. Returns the peer's end, the task of the session, and the switch that stops it.
fn start(
    delivered: &FakeDeliver,
) -> (DuplexStream, tokio::task::JoinHandle<Result<(), RelpError>>, oneshot::Sender<()>) {
    let (peer, stream) = tokio::io::duplex(1 << 16);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    (peer, tokio::spawn(serve(stream, delivered.clone(), SETTINGS, stopped)), stop)
}

async fn expect(peer: &mut DuplexStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    peer.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// Reads until nothing moves any more.
async fn settle(peer: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    while let Ok(read) = time::timeout(Duration::from_millis(1), peer.read_buf(&mut bytes)).await {
        if read.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_record_is_answered_when_it_is_durable_and_not_before() {
    let delivered = FakeDeliver::default();
    let (mut peer, session, _stop) = start(&delivered);
    peer.write_all(OPEN).await.unwrap();
    expect(&mut peer, OPENED).await;
    peer.write_all(b"2 syslog 3 one\n3 syslog 3 two\n").await.unwrap();
    assert_eq!(settle(&mut peer).await, "");
    peer.write_all(b"4 syslog 5 three\n").await.unwrap();
    assert_eq!(settle(&mut peer).await, "");
    assert_eq!(*delivered.lines.lock().unwrap(), b"one\ntwo\nthree\n");
    // The second batch is durable first; the answers keep the order nevertheless.
    let (first, second) = {
        let mut receipts = delivered.receipts.lock().unwrap();
        (receipts.pop_front().unwrap(), receipts.pop_front().unwrap())
    };
    second.send(()).unwrap();
    assert_eq!(settle(&mut peer).await, "");
    first.send(()).unwrap();
    expect(&mut peer, "2 rsp 6 200 OK\n3 rsp 6 200 OK\n4 rsp 6 200 OK\n").await;
    peer.write_all(b"5 close 0\n").await.unwrap();
    expect(&mut peer, "5 rsp 0\n0 serverclose 0\n").await;
    session.await.unwrap().unwrap();
    assert_eq!(delivered.unanswered.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_than_the_window() {
    let delivered = FakeDeliver::default();
    let (mut peer, _session, _stop) = start(&delivered);
    peer.write_all(OPEN).await.unwrap();
    expect(&mut peer, OPENED).await;
    peer.write_all(b"2 syslog 1 a\n3 syslog 1 b\n4 syslog 1 c\n").await.unwrap();
    settle(&mut peer).await;
    peer.write_all(b"5 syslog 1 d\n").await.unwrap();
    settle(&mut peer).await;
    assert_eq!(*delivered.lines.lock().unwrap(), b"a\nb\nc\n");
    let receipt = delivered.receipts.lock().unwrap().pop_front().unwrap();
    receipt.send(()).unwrap();
    settle(&mut peer).await;
    assert_eq!(*delivered.lines.lock().unwrap(), b"a\nb\nc\nd\n");
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_everything_that_came() {
    let delivered = FakeDeliver::default();
    let (mut peer, session, stop) = start(&delivered);
    peer.write_all(OPEN).await.unwrap();
    expect(&mut peer, OPENED).await;
    peer.write_all(b"2 syslog 1 a\n").await.unwrap();
    settle(&mut peer).await;
    stop.send(()).unwrap();
    assert_eq!(settle(&mut peer).await, "");
    let receipt = delivered.receipts.lock().unwrap().pop_front().unwrap();
    receipt.send(()).unwrap();
    expect(&mut peer, "2 rsp 6 200 OK\n0 serverclose 0\n").await;
    session.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_not_answered() {
    let delivered = FakeDeliver::default();
    let (mut peer, session, _stop) = start(&delivered);
    peer.write_all(&[OPEN, b"2 syslog 1 a\n"].concat()).await.unwrap();
    expect(&mut peer, OPENED).await;
    settle(&mut peer).await;
    delivered.receipts.lock().unwrap().clear();
    assert_eq!(settle(&mut peer).await, "");
    assert!(matches!(session.await.unwrap(), Err(RelpError::Lost(Lost))));
    assert_eq!(delivered.unanswered.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_record_is_sealed_and_answered() {
    let delivered = FakeDeliver::durable();
    let (mut peer, _session, _stop) = start(&delivered);
    peer.write_all(OPEN).await.unwrap();
    expect(&mut peer, OPENED).await;
    let long = "x".repeat(200);
    peer.write_all(format!("2 syslog 200 {long}\n3 syslog 0\n4 syslog 3 a\nb\n").as_bytes()).await.unwrap();
    expect(&mut peer, "2 rsp 6 200 OK\n3 rsp 6 200 OK\n4 rsp 6 200 OK\n").await;
    assert_eq!(*delivered.long.lock().unwrap(), long.as_bytes());
    assert_eq!(*delivered.lines.lock().unwrap(), b"a#012b\n");
}

#[tokio::test(start_paused = true)]
async fn a_bad_peer_is_given_up() {
    type Check = fn(&RelpError) -> bool;
    for (bytes, check) in [
        (
            &b"<13>Nov 23 10:00:00 host app: x\n"[..],
            (|error| matches!(error, RelpError::Unreadable(_))) as Check,
        ),
        (b"1 syslog 1 a\n", |error| matches!(error, RelpError::NotOpened)),
        (&[OPEN, OPEN].concat(), |error| matches!(error, RelpError::NotOpened)),
        (b"1 open 14 relp_version=9\n", |error| matches!(error, RelpError::Offers)),
        (b"1 open 30 relp_version=0\ncommands=eventlog\n", |error| matches!(error, RelpError::Unreadable(_))),
        (b"1 open 32 relp_version=0\ncommands=eventlog\n", |error| matches!(error, RelpError::Offers)),
        (OPEN, |error| matches!(error, RelpError::Idle(_))),
    ] {
        let (mut peer, session, _stop) = start(&FakeDeliver::default());
        peer.write_all(bytes).await.unwrap();
        let error = session.await.unwrap().unwrap_err();
        assert!(check(&error), "{:?}: {error:?}", String::from_utf8_lossy(bytes));
    }
}
