//! SIGHUP with a configuration that cannot be used, or with different inputs and outputs: peers notice a
//! pause at most.

use crate::sidecar::{Sidecar, line};
use crate::{TCP, ids, once};
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const RELP: &str = "[[serve.input]]\ntype = 'relp'\nlisten = '127.0.0.1:0'\n";

#[test]
fn what_cannot_be_put_to_use_cuts_no_connection() {
    let sidecar = Sidecar::start(TCP, &[]);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("before")).unwrap();
    sidecar.wait_until_archived("id=before ");
    fs::write(sidecar.folder().join("taken"), "").unwrap();
    // Other inputs, and an archive at a place where none can be.
    let other = format!("escrow = 'none'\n[serve]\narchive = 'taken/archive'\n{RELP}");
    sidecar.configure(&other);
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    for number in 0..20 {
        writeln!(stream, "{}", line(&format!("after{number}"))).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(stream);
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(ids("after", 20).chain(["before".to_owned()])), "{}", ended.told);
    assert!(!ended.told.contains("listening: relp"), "{}", ended.told);
}

#[test]
fn a_reload_that_is_refused_leaves_the_mode_of_a_socket_file() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let unix = |mode: &str| {
        format!("[[serve.input]]\ntype = 'unix'\npath = '{}'\nmode = '{mode}'\n", socket.display())
    };
    let mode = || fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    let sidecar = Sidecar::start(&unix("0600"), &[]);
    // Another process listens on the address of the second input.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = format!("[[serve.input]]\ntype = 'tcp'\nlisten = '{}'\n", taken.local_addr().unwrap());
    let config = |mode: &str, second: &str| format!("escrow = 'none'\n{}{second}", unix(mode));
    sidecar.configure(&config("0666", &second));
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    assert_eq!(mode(), 0o600);
    drop(taken);
    sidecar.hang_up();
    sidecar.wait_for("listening: tcp");
    assert_eq!(mode(), 0o666);
    let ended = sidecar.stop();
    assert!(ended.told.contains("error[I10]"), "{}", ended.told);
}

/// With too few descriptors to open the last input, the input opened before it is closed again.
#[test]
fn an_input_is_not_open_beside_one_that_could_not_be() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Many, so that a run of the pipeline still has its descriptors when they are opened.
    let sockets = tempfile::tempdir().unwrap();
    let unix =
        |name| format!("[[serve.input]]\ntype = 'unix'\npath = '{}/{name}'\n", sockets.path().display());
    let others = (0..20).map(unix).collect::<String>();
    let first = format!("{TCP}[[serve.input]]\ntype = 'tcp'\nlisten = '{place}'\n");
    let more = format!("escrow = 'none'\n{first}{others}[[serve.input]]\ntype = 'stdin'\n");
    let sidecar = Sidecar::start(TCP, &[]);
    let mut loaded = 0;
    // Returns the messages if the reload is refused.
    let mut hang_up = |configuration: &str, descriptors| {
        sidecar.configure(configuration);
        sidecar.limit_descriptors(descriptors);
        sidecar.hang_up();
        let is_refused = |told: &str| told.contains("stay in force");
        let told =
            sidecar.wait_until(|told| is_refused(told) || told.matches("loaded again").count() > loaded);
        loaded = told.matches("loaded again").count();
        is_refused(&told).then_some(told)
    };
    let mut descriptors = (12..40).rev();
    let told = descriptors.find_map(|most| {
        let refused = hang_up(&more, most);
        refused.or_else(|| hang_up(&format!("escrow = 'none'\n{TCP}"), 200))
    });
    sidecar.limit_descriptors(200);
    assert!(told.as_ref().is_some_and(|told| told.contains("error[J01]")), "{told:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(place).is_ok() {
        assert!(Instant::now() < deadline, "it is open still: {told:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("after")).unwrap();
    drop(stream);
    assert_eq!(sidecar.stop().archived(), once(["after".to_owned()]));
}

#[test]
fn a_configuration_that_is_gone_is_no_wish_for_the_defaults() {
    let sidecar = Sidecar::start(TCP, &[]);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    fs::remove_file(sidecar.folder().join("config.toml")).unwrap();
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    writeln!(stream, "{}", line("after")).unwrap();
    drop(stream);
    let ended = sidecar.stop();
    assert!(ended.told.contains("error[C02]"), "{}", ended.told);
    assert_eq!(ended.archived(), once(["after".to_owned()]));
}

#[test]
fn a_file_whose_input_is_configured_otherwise_is_read_on() {
    const LINES: usize = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let input = |poll: u32| {
        let path = path.display();
        format!("[[serve.input]]\ntype = 'file'\npath = '{path}'\npoll = '{poll}ms'\n")
    };
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let sidecar = Sidecar::start(&input(10), &[]);
    for number in 0..LINES {
        writeln!(file, "{}", line(&format!("f{number}"))).unwrap();
        if number % 1_000 == 500 {
            let poll = 11 + u32::try_from(number / 1_000).unwrap();
            sidecar.configure(&format!("escrow = 'none'\n{}", input(poll)));
            sidecar.hang_up();
        }
        if number % 20 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    sidecar.wait_until_archived(&format!("id=f{} ", LINES - 1));
    let ended = sidecar.stop();
    assert!(ended.told.matches("loaded again").count() >= 2, "{}", ended.told);
    assert!(ended.archived() == once(ids("f", LINES)), "{} lines", ended.archived().values().sum::<usize>());
}

#[test]
fn an_output_that_hangs_holds_a_reload_up_for_a_moment_only() {
    // The receiver accepts connections but says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let output = format!("[[serve.output]]\ntype = 'relp'\nname = 'silent'\naddress = '{address}'\n");
    let sidecar = Sidecar::start(&format!("{RELP}{output}"), &[]);
    let mut peer = TcpStream::connect(sidecar.address("relp")).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    peer.write_all(b"1 open 46 relp_version=0\nrelp_software=x\ncommands=syslog\n").unwrap();
    let answered = |peer: &mut TcpStream, txnr: u32, id: &str| {
        let text = line(id);
        peer.write_all(format!("{txnr} syslog {} {text}\n", text.len()).as_bytes()).unwrap();
        let (mut told, mut byte) = (String::new(), [0]);
        while !told.ends_with(&format!("{txnr} rsp 6 200 OK\n")) {
            assert_eq!(peer.read(&mut byte).unwrap(), 1, "{told}");
            told.push(byte[0].into());
        }
    };
    answered(&mut peer, 2, "before");
    sidecar.configure(&format!("escrow = 'none'\n{RELP}"));
    sidecar.hang_up();
    sidecar.wait_for("loaded again");
    let start = Instant::now();
    answered(&mut peer, 3, "after");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    drop(peer);
    assert_eq!(sidecar.stop().archived(), once(["before", "after"].map(ToOwned::to_owned)));
}

#[test]
fn an_input_that_is_configured_otherwise_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let inputs = |option: u32, mode: &str| {
        format!(
            "escrow = 'none'\n[[serve.input]]\ntype = 'relp'\nlisten = '{address}'\nwindow = {option}\n\
             [[serve.input]]\ntype = 'unix'\npath = '{}'\nmode = '{mode}'\n\
             [[serve.input]]\ntype = 'udp'\nlisten = '{address}'\nreceive_buffer = {}\n",
            socket.display(),
            option * 4096
        )
    };
    let first = inputs(10, "0600");
    let sidecar = Sidecar::start(first.strip_prefix("escrow = 'none'\n").unwrap(), &[]);
    sidecar.configure(&inputs(20, "0666"));
    sidecar.hang_up();
    sidecar.wait_for("loaded again");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut unix = UnixStream::connect(&socket).unwrap();
    writeln!(unix, "{}", line("unix")).unwrap();
    datagram.send_to(line("udp").as_bytes(), address).unwrap();
    let peer = (0..10).find_map(|_| answered(address, &line("relp"))).unwrap();
    for id in ["unix", "udp", "relp"] {
        sidecar.wait_until_archived(&format!("id={id} "));
    }
    drop((unix, peer));
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(["unix", "udp", "relp"].map(ToOwned::to_owned)), "{}", ended.told);
    assert!(!socket.exists());
}

/// Opens a RELP session and returns it once its only record is answered. `None` if the listener that was just
/// replaced closed it first; a sender then begins another session.
fn answered(address: SocketAddr, text: &str) -> Option<TcpStream> {
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let session = "1 open 46 relp_version=0\nrelp_software=x\ncommands=syslog\n";
    peer.write_all(format!("{session}2 syslog {} {text}\n", text.len()).as_bytes()).ok()?;
    let (mut answers, mut buffer) = (String::new(), [0; 1024]);
    while !answers.contains("2 rsp ") {
        let read = peer.read(&mut buffer).ok().filter(|read| *read > 0)?;
        answers.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    Some(peer)
}

/// Otherwise lines would be acknowledged that the output never gets.
#[test]
fn a_required_output_that_cannot_be_started_at_a_reload_stops_it() {
    let sidecar = Sidecar::start(RELP, &[]);
    // A file at the place of the spools.
    fs::write(sidecar.folder().join("spool"), "").unwrap();
    let output = |name: &str, required: bool| {
        format!(
            "[[serve.output]]\ntype = 'tcp'\nname = '{name}'\naddress = '127.0.0.1:9'\nrequired = {required}\n"
        )
    };
    // A failed output that is not required is reported, and the rest continues without it.
    sidecar.configure(&format!("escrow = 'none'\n{RELP}{}", output("other", false)));
    sidecar.hang_up();
    sidecar.wait_for("error[O01]");
    let mut peer = TcpStream::connect(sidecar.address("relp")).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    peer.write_all(b"1 open 46 relp_version=0\nrelp_software=x\ncommands=syslog\n").unwrap();
    sidecar.configure(&format!("escrow = 'none'\n{RELP}{}", output("needed", true)));
    sidecar.hang_up();
    let ended = sidecar.wait();
    assert_eq!(ended.code, Some(2), "{}", ended.told);
    assert!(ended.told.contains("cannot use the spool of the output `needed`"), "{}", ended.told);
}

#[test]
fn an_output_that_cannot_be_as_it_is_configured_stays_as_it_was() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = format!(
        "[[serve.output]]\ntype = 'tcp'\nname = 'needed'\naddress = '{}'\nrequired = true\n",
        receiver.local_addr().unwrap()
    );
    let sidecar = Sidecar::start(&format!("{TCP}{output}"), &[]);
    let secret = output.replace("'tcp'", "'tls'") + "ca = 'there-is-none.pem'\n";
    sidecar.configure(&format!("escrow = 'none'\n{TCP}{secret}"));
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("after")).unwrap();
    drop(stream);
    let (mut taken, mut got) = (receiver.accept().unwrap().0, [0; 200]);
    taken.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let bytes = taken.read(&mut got).unwrap();
    assert!(String::from_utf8_lossy(&got[..bytes]).contains("id=after "));
    drop(taken);
    assert!(sidecar.stop().told.contains("error[I11]"));
}

/// Keys are files of the state directory, and can be as wrong as the configuration.
#[test]
fn keys_that_cannot_be_read_end_no_sidecar() {
    let sidecar = Sidecar::start(TCP, &[]);
    let mut stream = TcpStream::connect(sidecar.address("tcp")).unwrap();
    writeln!(stream, "{}", line("before")).unwrap();
    sidecar.wait_until_archived("id=before ");
    let escrow = sidecar.folder().join("escrow");
    fs::create_dir_all(&escrow).unwrap();
    fs::set_permissions(&escrow, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(escrow.join("recipients.txt"), "age1typo\n").unwrap();
    fs::set_permissions(escrow.join("recipients.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    writeln!(stream, "{}", line("after")).unwrap();
    drop(stream);
    let ended = sidecar.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(ended.told.contains("error[K09]"), "{}", ended.told);
    assert_eq!(ended.archived(), once(["before".to_owned(), "after".to_owned()]));
}
