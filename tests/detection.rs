//! Detection by tables: each line with its identifiers replaced by `{kind:canonical}`.

use oubliette::detect::{Detector, Options, Scratch};
use oubliette::model::{Canonical, Finding, Findings, Kinds, Record};
use std::net::IpAddr;

/// Returns the line with every finding replaced by `{kind:canonical}`.
fn mark(detector: &Detector, line: &[u8]) -> String {
    let (mut scratch, mut findings) = (Scratch::default(), Findings::default());
    detector.find_alone(line, &Record::raw(line), &mut scratch, &mut findings);
    let kinds = Kinds::default();
    let mut marked = Vec::new();
    let mut position = 0;
    for finding in &findings.items {
        marked.extend_from_slice(&line[position..finding.span.start as usize]);
        let name = kinds.name(finding.kind);
        marked.extend_from_slice(format!("{{{name}:{}}}", spell(finding, &findings)).as_bytes());
        position = finding.span.end as usize;
    }
    marked.extend_from_slice(&line[position..]);
    String::from_utf8_lossy(&marked).into_owned()
}

fn spell(finding: &Finding, findings: &Findings) -> String {
    match finding.canonical {
        Canonical::V4(octets) => IpAddr::from(octets).to_string(),
        Canonical::V6(octets) => IpAddr::from(octets).to_string(),
        Canonical::Bytes(span) => String::from_utf8_lossy(span.of(&findings.bytes)).into_owned(),
    }
}

/// Checks a table of lines and their marked forms; reports all differences at once.
fn check(table: &[(&str, &str)]) {
    let detector = Detector::new(Options::default());
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(line, expected)| {
            let marked = mark(&detector, line.as_bytes());
            (marked != *expected)
                .then(|| format!("\n     line {line}\n expected {expected}\n      got {marked}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} lines:{}", wrong.len(), table.len(), wrong.concat());
}

/// Checks lines in which nothing may be found.
fn check_left_alone(lines: &[&str]) {
    let table: Vec<_> = lines.iter().map(|line| (*line, *line)).collect();
    check(&table);
}

#[test]
fn mistyped_emails() {
    check(&[
        ("550 5.1.1 <jean@@example.fr>: bad address", "550 5.1.1 <{em:jean@example.fr}>: bad address"),
        ("to=Jean@@@example.fr, dsn=5.1.3", "to={em:jean@example.fr}, dsn=5.1.3"),
        ("GET /?m=jean%40%40example.fr HTTP/1.1", "GET /?m={em:jean@example.fr} HTTP/1.1"),
        ("\"jean d\"@@example.fr", "{em:\"jean d\"@example.fr}"),
        ("jean@@[192.0.2.7]", "{em:jean@[192.0.2.7]}"),
    ]);
    check_left_alone(&["select @@global.read_only", "@@ -1,2 +1,3 @@ fn main", "a@@b", "@@@@", "jean@@"]);
}

/// docs/detection.md lists these. If one of them is found some day, it must be removed there.
#[test]
fn what_is_known_to_stay_in_clear() {
    check_left_alone(&[
        "from 3405803785 port 22",
        "http://3405803785/",
        "from 0xcb007109 port 22",
        "from 0313.0.0161.07 port 22",
        "from v91.198.51.100 port 22",
        "from v91.198.51.100.dyn.example.net port 22",
        "to jean&#64;example.org now",
        "to jean&#x40;example.org now",
        "to jean&commat;example.org now",
        "to jean=40example.org now",
        "to jean (at) example.org now",
        "member jean--at--example.org now",
        "open: user jean opened example.org!user.jean",
        "from 203&#46;0&#46;113&#46;9 now",
        "Authorization: Basic amVhbkBleGFtcGxlLm9yZzpzZWNyZXQ=",
        "type=PROCTITLE msg=audit(1795428000.1:1): proctitle=70696E67003230332E302E3131332E39",
        r#"{"MESSAGE":[50,48,51,46,48,46,49,49,51,46,57]}"#,
        "PTR (1)9(3)113(1)0(3)203(7)in-addr(4)arpa(0)",
        "iso.3.6.1.2.1.4.22.1.2.2.203.0.113.9 = 1",
        "flow 203.0.113.9.198.51.100.7, 203.0.113.91.2.3.4",
        "42.203.0.113.9.443",
        "227 Entering Passive Mode (203,0,113,9,195,80)",
        "from 2001:db8:1:2:3 port 22",
        "to <jean@gmail>, <jean@example.c0m> now",
        "from 203,0,113,9 port 22",
        "from 203-0-113-9 port 22",
        "from 203x0x113x9.ftth.isp.example port 22",
        "from host9.203-0-113.isp.example port 22",
        "from 20010db8000000000000000000000009 port 22",
        "from Chrome/91.198.51.100, version=91.198.51.100 port 22",
        "backup-91.98.51.10.tar.gz",
        "via FW-9.9.9.9 now",
        "access for 'jean'@'203.0.113.%', zone 113.0.203.in-addr.arpa/IN",
        "IN SOA ns.example.org. jean.example.org. 1 7200 900 1209600 300",
        "cpc1-2-3-203-0-113-9.isp.example",
        "GET /?m=jean%u0040example.org",
        "pxelinux.cfg/CB00710",
        "from ool-457a1b2c.dyn.isp.example",
        "via 128.9.zz.db8.2001.rpz-client-ip.rpz.example",
        "from 203\u{ff0e}0\u{ff0e}113\u{ff0e}9 port 22",
        "to jean\u{ff20}example.org now",
        "to jean@example\u{3002}jp now",
        "to jean(work)@example.org now",
        "to jean @ example.org now",
        "to {jean}@example.org now",
        "to=<jean%example.net%example.org>, relay=none",
        r"to jean\100example.org, jean\u{40}example.org now",
        "m=jean%25252525252540example.org",
        "GET /personal/jean_example_org/Documents",
        "peer {203,0,113,9} port 22",
        "ORCPT=rfc822;jean+40example.org",
        "097100CB:9C56 01 00000000:00000000",
        "InetAddress.0 = Hex-STRING: CB 00 71 09",
        "peer [203 0 113 9] port 22",
        "ipv6.\"20:01:0d:b8:00:00:00:00:00:00:00:00:00:00:00:09\" = 2",
    ]);
    check(&[
        ("to jean/admin@example.org now", "to jean/{em:admin@example.org} now"),
        ("to jean=example.fr@list.example now", "to jean={em:example.fr@list.example} now"),
        ("to jean|x@example.org now", "to jean|{em:x@example.org} now"),
        ("to r&d@example.org now", "to r&{em:d@example.org} now"),
        ("to jean@example.orgfe80::1 now", "to jean@example.org{ip:fe80::1} now"),
        ("from 10.203.0.113.53 now", "from {ip:10.203.0.113}.53 now"),
        ("from %203.0.113.9 now", "from %20{ip:3.0.113.9} now"),
    ]);
    // UTF-16
    let wide: String = "from 203.0.113.9 ".chars().flat_map(|letter| [letter, '\0']).collect();
    check_left_alone(&[&wide]);
}

#[test]
fn ipv4_and_what_stands_around_it() {
    check(&[
        ("203.0.113.9", "{ip:203.0.113.9}"),
        ("from 203.0.113.9 port 22", "from {ip:203.0.113.9} port 22"),
        ("[client 203.0.113.9:57424]", "[client {ip:203.0.113.9}:57424]"),
        ("client=host.example[203.0.113.9]:41234", "client=host.example[{ip:203.0.113.9}]:41234"),
        ("203.0.113.9:443", "{ip:203.0.113.9}:443"),
        ("203.0.113.9#53", "{ip:203.0.113.9}#53"),
        ("203.0.113.0/24", "{ip:203.0.113.0}/24"),
        ("IP 203.0.113.9.51234 > 198.51.100.7.53:", "IP {ip:203.0.113.9}.51234 > {ip:198.51.100.7}.53:"),
        ("203.0.113.95 203.0.113.9", "{ip:203.0.113.95} {ip:203.0.113.9}"),
        ("203.0.113.9.", "{ip:203.0.113.9}."),
        ("203.0.113.9, then", "{ip:203.0.113.9}, then"),
        ("198.51.100.1-203.0.113.9", "{ip:198.51.100.1}-{ip:203.0.113.9}"),
        ("ip=203.0.113.9;x", "ip={ip:203.0.113.9};x"),
        ("203.000.113.009", "{ip:203.0.113.9}"),
        ("addr_203.0.113.9_x", "addr_{ip:203.0.113.9}_x"),
        (
            "X-Forwarded-For: 203.0.113.9, 198.51.100.7:8080, \"[2001:db8::1]\"",
            "X-Forwarded-For: {ip:203.0.113.9}, {ip:198.51.100.7}:8080, \"[{ip:2001:db8::1}]\"",
        ),
        (
            "rsync@17-198.51.100.1:873-203.0.113.9:50514.service",
            "rsync@17-{ip:198.51.100.1}:873-{ip:203.0.113.9}:50514.service",
        ),
        (
            "Invalid user x x x 203.0.113.9 from 198.51.100.1 port 22",
            "Invalid user x x x {ip:203.0.113.9} from {ip:198.51.100.1} port 22",
        ),
        ("root@203.0.113.9", "root@{ip:203.0.113.9}"),
        ("user@[203.0.113.9]:22", "user@[{ip:203.0.113.9}]:22"),
        ("root@203.0.113.9.22 x", "root@{ip:203.0.113.9}.22 x"),
        ("localhost/203.0.113.9:8080", "localhost/{ip:203.0.113.9}:8080"),
        ("NAME/203.0.113.9.51234 x", "NAME/{ip:203.0.113.9}.51234 x"),
        ("NAME/10.1.2.3.51234 x", "NAME/{ip:10.1.2.3}.51234 x"),
        ("host.example203.0.113.9 x", "host.example{ip:203.0.113.9} x"),
        ("http://203.0.113.9/x", "http://{ip:203.0.113.9}/x"),
        ("line one#012203.0.113.9 line two", "line one#012{ip:203.0.113.9} line two"),
        ("line one\\n203.0.113.9", "line one\\n{ip:203.0.113.9}"),
        ("\u{1b}[31m203.0.113.9\u{1b}[0m", "\u{1b}[31m{ip:203.0.113.9}\u{1b}[0m"),
        ("203.0.113.9::1521", "{ip:203.0.113.9}::1521"),
        ("core.203.0.113.9.1732612", "core.{ip:203.0.113.9}.1732612"),
        ("2026-11-23 203.0.113.9.101530.pcap", "2026-11-23 {ip:203.0.113.9}.101530.pcap"),
        (
            "Mozilla/5.0+(X11)+Foo/1.2.3.4 http://x.example/Login/203.0.113.9 200",
            "Mozilla/5.0+(X11)+Foo/1.2.3.4 http://x.example/Login/{ip:203.0.113.9} 200",
        ),
        (
            "<34>1 2026-11-23T10:00:00Z 203.0.113.9 sshd - - - x",
            "<34>1 2026-11-23T10:00:00Z {ip:203.0.113.9} sshd - - - x",
        ),
        ("9273847.203.0.113.9", "9273847.{ip:203.0.113.9}"),
        ("rule 1042.203.0.113.9 x", "rule 1042.{ip:203.0.113.9} x"),
        ("1042.203.0.113.9.51234 x", "1042.{ip:203.0.113.9}.51234 x"),
        ("[jean@203.0.113.9.51234]", "[jean@{ip:203.0.113.9}.51234]"),
        ("[jean@10.1.2.3.51234] x", "[jean@{ip:10.1.2.3}.51234] x"),
    ]);
}

/// Five numbers of an address and its port, or of another number and an address: in doubt, nothing of either
/// reading stays.
#[test]
fn ipv4_of_five_numbers() {
    check(&[
        ("x 10.203.0.113.9 y", "x {ip:10.203.0.113} y"),
        ("ipNetToMediaPhysAddress.2.203.0.113.9 = x", "ipNetToMediaPhysAddress.{ip:2.203.0.113} = x"),
        ("127.203.0.113.9", "127.{ip:203.0.113.9}"),
        ("12.80.113.0.203.dyn.example.net x", "{ip:80.113.0.203}.dyn.example.net x"),
        ("1.203.0.113.9.log", "{ip:1.203.0.113}.log"),
        ("203.0.113.9.80 x", "{ip:203.0.113.9}.80 x"),
        ("IP 203.0.113.9.7 > 198.51.100.7.9: x", "IP {ip:203.0.113.9}.7 > {ip:198.51.100.7}.9: x"),
    ]);
    check_left_alone(&["2026.11.23.10.15", "enterprises.12356.101.4.1.3", "[meta@32473.1.2.3.4 x=\"y\"]"]);
}

/// Addresses at places where versions occur. No version begins with a number above 99, except those of
/// browsers that end in zeros.
#[test]
fn ipv4_where_a_version_could_stand() {
    check(&[
        ("from v203.0.113.9 port 22", "from v{ip:203.0.113.9} port 22"),
        ("GET /app.js?v=203.0.113.9", "GET /app.js?v={ip:203.0.113.9}"),
        ("GET /app?v=1.2.3.4", "GET /app?v={ip:1.2.3.4}"),
        ("v203.0.113.9.dyn.example.net", "v{ip:9.113.0.203}.dyn.example.net"),
        ("Chrome/203.0.113.9, version=203.0.113.9", "Chrome/{ip:203.0.113.9}, version={ip:203.0.113.9}"),
        ("PING nextcloud/172.18.0.5 x", "PING nextcloud/{ip:172.18.0.5} x"),
        ("nginx-10.1.2.3.log", "nginx-{ip:10.1.2.3}.log"),
        ("backup-10.1.2.3.tar.gz", "backup-{ip:10.1.2.3}.tar.gz"),
        ("backup-91.198.51.100.zip", "backup-{ip:91.198.51.100}.zip"),
        ("jean Chrome 91.198.51.100 login", "jean Chrome {ip:91.198.51.100} login"),
        ("Host/91.198.51.100.443", "Host/{ip:91.198.51.100}.443"),
        ("host-91.198.51.100-4.elisa.example", "host-{ip:91.198.51.100}-4.elisa.example"),
    ]);
    check_left_alone(&[
        "Chrome 103.0.0.0, v103.0.0.0",
        "app-10.6.1.112.msi openssl-3.0.22.1.tar.gz",
        "Release 19.0.0.0.0 - Production, Release 12.1.0.2.0 - 64bit",
        "usb 1-1.2.3.4: new device, hub 1-1.2.3.4:1.0: found",
        "as /devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2.3/1-1.2.3.4/1-1.2.3.4:1.0/input7",
        "\"Not_A Brand\";v=\"24.0.0.1\"",
        r#"{"Sec-Ch-Ua":["\"Not_A Brand\";v=\"24.0.0.1\""]}"#,
        "java-17-openjdk-17.0.13.0.11-4.el9.x86_64, java-17-openjdk-headless-1:17.0.13.0.11-12.1.el9_5.x86_64",
        "foo-1.2.3.4-2.fc41.noarch",
        "AppleCoreMedia/1.0.0.21H16 (iPhone; U; CPU OS 17_6_1 like Mac OS X; fr_fr)",
        "com.example.app/3.2.1.4 CFNetwork/1498.700.2 Darwin/23.6.0",
        "connect ECONNREFUSED ::1:5432",
    ]);
}

/// Each is decided as a whole: an address is never partly masked.
#[test]
fn ipv4_borders() {
    check(&[
        ("textnoblank1.1.1.9still", "textnoblank{ip:1.1.1.9}still"),
        ("aa:bb::1.2.3.", "{ip:aa:bb::1}.2.3."),
        ("61:34:ad::7:F", "{ip:61:34:ad::7:f}"),
        ("13:abd:45:203.0.113.9", "13:abd:45:{ip:203.0.113.9}"),
        ("1111.1.1.8.1", "1111.{ip:1.1.8.1}"),
    ]);
    check_left_alone(&[
        "256.0.0.0",
        "1.2.3.4.5.6.7.8.76",
        "1..1.1.8",
        "1.2.3.",
        "1.2.3",
        "13:abd:45:0.0.0.0",
        "12345678901234567890.12345678901234567890.12345678901234567890.12345678901234567890",
        "203.0.113.256",
        "203.0.113.0009",
        "203.0.113.9203-0-113-9.dyn.example.net",
    ]);
}

/// Identifiers with nothing, or next to nothing, between them.
#[test]
fn what_is_glued_together() {
    check(&[
        ("2026-11-23-203.0.113.9.log", "2026-11-23-{ip:203.0.113.9}.log"),
        ("203.0.113.9203.0.113.8", "{ip:203.0.113.9}{ip:203.0.113.8}"),
        ("203.0.113.25398.51.100.7", "{ip:203.0.113.253}{ip:98.51.100.7}"),
        ("203.0.113.91203.0.113.8 x", "{ip:203.0.113.91}{ip:203.0.113.8} x"),
        ("203.0.113.9:443203.0.113.8", "{ip:203.0.113.9}:443{ip:203.0.113.8}"),
        ("[2001:db8::1]:80443.0.113.8:80", "[{ip:2001:db8::1}]:804{ip:43.0.113.8}:80"),
        ("app 1.2.3-203.0.113.9", "app 1.2.3-{ip:203.0.113.9}"),
        ("1.2.7_203.0.113.9", "1.2.7_{ip:203.0.113.9}"),
        ("203.0.113.9.203-0-113-9.isp.example.net", "{ip:203.0.113.9}.{ip:203.0.113.9}.isp.example.net"),
        ("203.0.113.9.fe80::1%eth0", "{ip:203.0.113.9}.{ip:fe80::1}%eth0"),
        ("2001:db8::1a203.0.113.9", "{ip:2001:db8::1a}{ip:203.0.113.9}"),
        ("203.0.113.9a2001:db8::1", "{ip:203.0.113.9}a{ip:2001:db8::1}"),
        ("203.0.113.92001:db8::1", "{ip:203.0.113.9}{ip:2001:db8::1}"),
        ("203.0.113.1592a01:db8::1", "{ip:203.0.113.159}{ip:2a01:db8::1}"),
        ("203.0.113.952001:db8:1:2:3:4:5:6", "{ip:203.0.113.95}{ip:2001:db8:1:2:3:4:5:6}"),
        ("fe80::2001:db8::8a2e:203.0.113.9", "{ip:fe80::2001:db8}{ip:::8a2e:cb00:7109}"),
        ("2001:db8::1::203.0.113.9", "{ip:2001:db8::1}::{ip:203.0.113.9}"),
        ("2001:db8:1:2:3:4:5:6.203.0.113.9", "{ip:2001:db8:1:2:3:4:5:6}"),
        ("2001:db8::1::2001:db8::2", "{ip:2001:db8::1}::{ip:2001:db8::2}"),
        ("2001:db8::12001:db8::2", "{ip:2001:db8::1}{ip:2001:db8::2}"),
        ("2001:db8:1:2:3:4:5:62001:db8::2 x", "{ip:2001:db8:1:2:3:4:5:6}{ip:2001:db8::2} x"),
        (
            "2001:db8::216:3eff:feaa:bbccfe80::216:3eff:feaa:bbdd",
            "{ip:2001:db8::216:3eff:feaa:bbcc}{ip:fe80::216:3eff:feaa:bbdd}",
        ),
        ("2001:db8::1:2:52001: x", "{ip:2001:db8::1:2}:52001: x"),
        ("2001:db8::1:2:52001:2001:db8::9", "{ip:2001:db8::1:2}:52001:{ip:2001:db8::9}"),
        ("2001:db8::1203.0.113.9 x", "{ip:2001:db8::1}{ip:203.0.113.9} x"),
        ("198.51.100.198.51.100.2", "{ip:198.51.100.1}{ip:98.51.100.2}"),
        ("x 10.0.0.110.0.0.2 y", "x {ip:10.0.0.1}{ip:10.0.0.2} y"),
        ("::ffff:203.0.113.9.198.51.100.7", "{ip:203.0.113.9}.{ip:198.51.100.7}"),
        ("jean@example.org2001:db8::1", "{em:jean@example.org}{ip:2001:db8::1}"),
        ("jean@example.fr-2001:db8::1", "{em:jean@example.fr}-{ip:2001:db8::1}"),
        ("jean@example.fr.OpenSSL 203.0.113.9", "{em:jean@example.fr.openssl} {ip:203.0.113.9}"),
    ]);
}

#[test]
fn left_alone() {
    check_left_alone(&[
        "OpenSSL 3.0.22.1",
        "Mozilla/5.0 Chrome/103.0.5060.114 Safari/537.36",
        "Mozilla/5.0 Chrome/103.0.0.0 Safari/537.36",
        "1.3.6.1.4.1.311",
        "00:1b:44:11:3a:b7",
        "00-1b-44-11-3a-b7",
        "MAC=00:16:3e:aa:bb:cc:00:16:3e:dd:ee:ff:08:00",
        "50:06:01:60:3b:20:19:aa",
        "12:34:56",
        "10:15:30.123",
        "2026-11-23 10:15:30,123",
        "2026-11-23T10:15:30.123456+01:00",
        "23/Nov/2026:10:15:30 +0100",
        "std::vec<std::string>",
        "core::f64::consts::E",
        "Fe32::from_char(*c)",
        "Net::DNS::Resolver",
        "$1::bigint",
        "b::",
        "::",
        "dead::beef",
        "[::]:80",
        ":::22",
        "0.0.0.0:80",
        "netmask 255.255.255.0 broadcast 255.255.255.255",
        "permit ip any 0.0.0.255",
        "Tor 0.4.8.9 opening log file",
        "GET /app.js?v=1.2.3.4 HTTP/1.1",
        "GET /app.min.css?v=1.2.3.4&x HTTP/1.1",
        r#"{"a":"{\"b\":\"{\\\"version\\\":\\\"27.1.4.1\\\"}\"}"}"#,
        "WhatsApp/2.23.20.0 A",
        "d41d8cd98f00b204e9800998ecf8427e",
        "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "MD5:d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e",
        "123e4567-e89b-12d3-a456-426614174000",
        "20112233-4455-2677-8899-aabbccddeeff",
        "main.1a2b3c4d.js",
        "chunk-1a2b3c4d.js",
        "icon@2x.png",
        "user@1000.service",
        "getty@tty1.service",
        "lodash@4.17.21",
        "router@v1.4.5",
        "root@localhost",
        "@example",
        "@",
        "a@",
        "127.0.0.1 ::1 127.1.2.3",
        "pic-1-2-3-4.jpg",
        "step 1-2-3-4",
        "01-23-45-67-89",
        "build-2026-11-23-10.tar.gz",
        "session_d41d8cd98f00b204e9800998ecf8427e",
        "foo-1.2.3.4.tar.gz libfoo.so.1.2.3.4",
        "100% sure 50%",
        "C:\\temp\\users",
    ]);
}

#[test]
fn ipv6_in_every_notation() {
    check(&[
        ("2001:DB8:0:0:0:0:0:1", "{ip:2001:db8::1}"),
        ("IPfe80::9:1 afe80::9", "IP{ip:fe80::9:1} a{ip:fe80::9}"),
        ("443fe80::9:1", "443{ip:fe80::9:1}"),
        ("2001:db8:1:2:3:4:5:67890 x", "{ip:2001:db8:1:2:3:4:5:6789}0 x"),
        ("2001:db8::1", "{ip:2001:db8::1}"),
        ("2001:0db8::0001", "{ip:2001:db8::1}"),
        ("[2001:db8::1]:443", "[{ip:2001:db8::1}]:443"),
        ("2001:db8:1::ab9:C0A8:102:46824", "{ip:2001:db8:1::ab9:c0a8:102}:46824"),
        ("2001:db8:0:0:0:0:0:1:443", "{ip:2001:db8::1}:443"),
        ("2001:db8::1.443 >", "{ip:2001:db8::1}.443 >"),
        // Nothing shows that this is a port.
        ("2001:db8::1:443 >", "{ip:2001:db8::1:443} >"),
        ("2001:db8::/32", "{ip:2001:db8::}/32"),
        ("::ffff:203.0.113.9", "{ip:203.0.113.9}"),
        ("::FFFF:203.0.113.9]:22", "{ip:203.0.113.9}]:22"),
        ("::ffff:cb00:7109", "{ip:203.0.113.9}"),
        ("0:0:0:0:0:ffff:203.0.113.9", "{ip:203.0.113.9}"),
        ("2002:cb00:7109::1", "{ip:2002:cb00:7109::1}"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "{ip:2001:0:4136:e378:8000:63bf:3fff:fdd2}"),
        ("64:ff9b::203.0.113.9", "{ip:64:ff9b::cb00:7109}"),
        ("fe80::5efe:203.0.113.9", "{ip:fe80::5efe:cb00:7109}"),
        ("fe80::1%eth0", "{ip:fe80::1}%eth0"),
        ("fe80::1_443 2a00::9up", "{ip:fe80::1}_443 {ip:2a00::9}up"),
        ("IPv6:2001:db8::1]", "IPv6:{ip:2001:db8::1}]"),
        ("inet6 addr:fe80::a00:27ff:fe4e:66a1/64", "inet6 addr:{ip:fe80::a00:27ff:fe4e:66a1}/64"),
        ("client:2001:db8::1: denied", "client:{ip:2001:db8::1}: denied"),
        ("client::2001:db8::1", "client::{ip:2001:db8::1}"),
        (
            "http: TLS handshake error from [2001:db8::1]:59062: EOF",
            "http: TLS handshake error from [{ip:2001:db8::1}]:59062: EOF",
        ),
        ("fe80::", "{ip:fe80::}"),
        ("2001:db8::1::443", "{ip:2001:db8::1}::443"),
        ("FD00::AA11:20fe:601:5171:fa9b:87ac:bef0", "{ip:fd00:aa11:20fe:601:5171:fa9b:87ac:bef0}"),
        ("src=2001:db8::1,dst=2001:db8::2", "src={ip:2001:db8::1},dst={ip:2001:db8::2}"),
        ("10:15:30 2001:db8::1", "10:15:30 {ip:2001:db8::1}"),
        ("dead:beef::cafe", "{ip:dead:beef::cafe}"),
        ("(2001:db8::abcd)", "({ip:2001:db8::abcd})"),
    ]);
}

#[test]
fn addresses_in_names() {
    check(&[
        ("7.113.0.203.in-addr.arpa", "{ip:203.0.113.7}.in-addr.arpa"),
        ("7.113.0.203.IN-ADDR.ARPA.", "{ip:203.0.113.7}.IN-ADDR.ARPA."),
        (
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            "{ip:2001:db8::1}.ip6.arpa",
        ),
        (
            "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.b.dnsbl.example: not found",
            "{ip:2001:db8::9}.b.dnsbl.example: not found",
        ),
        ("203-0-113-7.dyn.example.net", "{ip:203.0.113.7}.dyn.example.net"),
        ("203-0-113-9.pool.isp.example", "{ip:203.0.113.9}.pool.isp.example"),
        ("ip-203-0-113-7", "ip-{ip:203.0.113.7}"),
        ("ec2-203-0-113-7.compute.example.com", "ec2-{ip:203.0.113.7}.compute.example.com"),
        ("ip203-0-113-7.example.net", "ip{ip:203.0.113.7}.example.net"),
        ("ip-cb007109.isp", "ip-{ip:203.0.113.9}.isp"),
        ("pCB007109.dip0.t-ipconnect.example", "p{ip:203.0.113.9}.dip0.t-ipconnect.example"),
        ("9.113.0.203.dialup.isp.example", "{ip:203.0.113.9}.dialup.isp.example"),
        ("203.0.113.9.nip.io", "{ip:203.0.113.9}.nip.io"),
        (
            "203.0.113.9.static.isp.example[203.0.113.9]",
            "{ip:203.0.113.9}.static.isp.example[{ip:203.0.113.9}]",
        ),
        ("9-113-0-203.isp.example (203.0.113.9)", "{ip:203.0.113.9}.isp.example ({ip:203.0.113.9})"),
        ("2001-db8--1.ipv6-literal.net", "{ip:2001:db8::1}.ipv6-literal.net"),
        (r"\\fe80--1s4.ipv6-literal.net\share", r"\\{ip:fe80::1}s4.ipv6-literal.net\share"),
        (
            "10:00:00.1 IP6 2001-db8-0-0-0-0-0-a.isp.example.net.51234 > web1.443: Flags [S]",
            "10:00:00.1 IP6 {ip:2001:db8::a}.isp.example.net.51234 > web1.443: Flags [S]",
        ),
        (
            "10:00:00.1 IP 203-0-113-9.isp.example.net.51234 > web1.443: Flags [S]",
            "10:00:00.1 IP {ip:203.0.113.9}.isp.example.net.51234 > web1.443: Flags [S]",
        ),
        (
            "/var/log/hosts/203-0-113-9.isp.example.fr.log",
            "/var/log/hosts/{ip:203.0.113.9}.isp.example.fr.log",
        ),
        ("/js/chunk-203-0-113-9.min.js", "/js/chunk-203-0-113-9.min.js"),
        (r"\\2001-db8--1.ipv6-literal.net\share", r"\\{ip:2001:db8::1}.ipv6-literal.net\share"),
        (r"a\0122001-db8--1.ipv6-literal.net", r"a\012{ip:2001:db8::1}.ipv6-literal.net"),
        ("host-2001-db8-0-0-0-0-0-a.isp.example", "host-{ip:2001:db8::a}.isp.example"),
        ("203.0.113.9.log", "{ip:203.0.113.9}.log"),
        ("203-0-113-9.dyn.example.net_443", "{ip:203.0.113.9}.dyn.example.net_443"),
        ("203-0-113-9.dyn.example.net--GET", "{ip:203.0.113.9}.dyn.example.net--GET"),
        ("ip-203-0-113-9.isp-2026.log", "ip-{ip:203.0.113.9}.isp-2026.log"),
    ]);
}

/// Names of subscribers that spell an address with nothing between its digits, or with more digits around it.
#[test]
fn addresses_in_names_of_access_networks() {
    check(&[
        (
            "from 2a01cb0008bd2700289c166d32b9da85.ipv6.abo.isp.example[2a01:cb00:8bd:2700:289c:166d:32b9:da85]",
            "from {ip:2a01:cb00:8bd:2700:289c:166d:32b9:da85}.ipv6.abo.isp.example\
             [{ip:2a01:cb00:8bd:2700:289c:166d:32b9:da85}]",
        ),
        ("p20010db8000000010000000000000009.dip0.isp.example", "p{ip:2001:db8:0:1::9}.dip0.isp.example"),
        ("p50607109.dip0.isp.example", "p{ip:80.96.113.9}.dip0.isp.example"),
        ("xcb007109.dyn.isp.example", "x{ip:203.0.113.9}.dyn.isp.example"),
        ("cb007109.nip.io", "{ip:203.0.113.9}.nip.io"),
        ("dCB007109.access.isp.example", "d{ip:203.0.113.9}.access.isp.example"),
        (
            "from d5152ACE6.access.isp.example[81.82.172.230]",
            "from d{ip:81.82.172.230}.access.isp.example[{ip:81.82.172.230}]",
        ),
        ("0xcb007109.abnxx3.adsl.isp.example", "0x{ip:203.0.113.9}.abnxx3.adsl.isp.example"),
        ("cb007109.virtua.example", "{ip:203.0.113.9}.virtua.example"),
        ("cb007109.cm-5-2a.dynamic.isp.example", "{ip:203.0.113.9}.cm-5-2a.dynamic.isp.example"),
        ("softbank203000113009.isp.example", "softbank{ip:203.0.113.9}.isp.example"),
        ("KD203000113009.ppp-bb.isp.example", "KD{ip:203.0.113.9}.ppp-bb.isp.example"),
        ("ppp-203000113009.isp.example", "ppp-{ip:203.0.113.9}.isp.example"),
        ("lns-bzn-34-203-0-113-9.adsl.isp.example", "lns-bzn-{ip:203.0.113.9}.adsl.isp.example"),
        ("2026-203-0-113-9.dyn.example.net", "2026-{ip:203.0.113.9}.dyn.example.net"),
        ("from host-12345-203-0-113-9.dyn.example.net", "from host-12345-{ip:203.0.113.9}.dyn.example.net"),
        ("203-0-113-9-54321.isp.example", "{ip:203.0.113.9}-54321.isp.example"),
        ("ipv4-203-0-113-9", "ipv4-{ip:203.0.113.9}"),
        ("ip9.ip-203-0-113.example", "ip{ip:203.0.113.9}.example"),
        ("from 9.ip-203-0-113.example[", "from {ip:203.0.113.9}.example["),
        ("ip-9.net-203-0-113.rev.isp.example", "ip-{ip:203.0.113.9}.rev.isp.example"),
        ("nan92-1-203-0-113-9.fbx.isp.example", "nan92-1-{ip:203.0.113.9}.fbx.isp.example"),
        ("lfbn-idf1-1-113-9.w203-0.abo.isp.example", "lfbn-idf1-1-{ip:203.0.113.9}.abo.isp.example"),
        ("from lfbn-1-113-9.w203-0.abo.isp.example[", "from lfbn-1-{ip:203.0.113.9}.abo.isp.example["),
        ("ville-656-1-113-9.w203-0.abo.isp.example", "ville-656-1-{ip:203.0.113.9}.abo.isp.example"),
        ("wlan0.203.0.113.9", "wlan0.{ip:203.0.113.9}"),
        ("20261123.203.0.113.9.pcap", "20261123.{ip:203.0.113.9}.pcap"),
        ("1795428000.203.0.113.9.51234 x", "1795428000.{ip:203.0.113.9}.51234 x"),
        ("web1.203.0.113.9.log", "web1.{ip:203.0.113.9}.log"),
        ("wlan0.203.0.113.9.443 x", "wlan0.{ip:203.0.113.9}.443 x"),
    ]);
    check_left_alone(&[
        "v1.2.3.4.5",
        "ns3001234.ip-203-0-113.example",
        "2.0.0.127.dnsbl.example.org",
        "vps-1a2b3c4d.vps.example.net",
        "node-1a2b3c4d.example.net",
        "user-1a2b3c4d",
        "2ab3cd14e5f60718293a4b5c6d7e8f90.cdn.example.net",
        "2AB3CD14E5F60718293A4B5C6D7E8F90.gr7.eu-west-1.eks.example.com",
        "img202611231000.cdn.example.net",
        "d5152ace6.cdn.example.net",
        "0xdeadbeef.example.net",
        "wd5152ace6.access.isp.example",
        "20261123.dyn.isp.example",
        "1-2-3-203-0-113-9.fbx.isp.example",
        "ip-9.net-203-0.rev.isp.example",
        "lfbn-1-113-9.w203.abo.isp.example",
    ]);
}

/// Names whose octets, read in the wrong order, belong to a network that stays readable.
#[test]
fn names_that_seem_to_be_of_a_kept_network() {
    check(&[
        ("203.0.113.127.static.isp.example", "{ip:203.0.113.127}.static.isp.example"),
        ("127.113.0.203.static.isp.example", "{ip:203.0.113.127}.static.isp.example"),
        ("127-113-0-203.dyn.isp.example", "{ip:203.0.113.127}.dyn.isp.example"),
        ("0-113-0-203.dyn.isp.example", "{ip:203.0.113.0}.dyn.isp.example"),
        (
            "127-113-0-203.dyn.isp.example[203.0.113.127]",
            "{ip:203.0.113.127}.dyn.isp.example[{ip:203.0.113.127}]",
        ),
    ]);
    let keep = vec!["10.0.0.0/8".parse().unwrap()];
    let detector = Detector::new(Options { keep, ..Options::default() });
    for (line, expected) in [
        ("203.0.113.10.static.isp.example", "{ip:203.0.113.10}.static.isp.example"),
        ("10-113-0-203.isp.example", "{ip:203.0.113.10}.isp.example"),
        ("ip-10-1-2-3.eu-west-3.compute.internal", "ip-10-1-2-3.eu-west-3.compute.internal"),
        ("10-1-2-3.default.pod.cluster.local", "10-1-2-3.default.pod.cluster.local"),
    ] {
        assert_eq!(mark(&detector, line.as_bytes()), expected);
    }
}

/// Names under `.arpa` and of block lists that contain more or less than one address.
#[test]
fn names_of_zones() {
    let nibbles = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    let subdomain = |name: &str| format!("{nibbles}.{name}");
    check(&[
        (&subdomain("zen.dnsbl.example"), "{ip:2001:db8::9}.zen.dnsbl.example"),
        (&subdomain("bl.example"), "{ip:2001:db8::9}.bl.example"),
        (&format!("db._udp.{nibbles}.ip6.arpa."), "db._udp.{ip:2001:db8::9}.ip6.arpa."),
        (
            "query: 2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa IN NS",
            "query: {ip:2001:db8:1:2::}.ip6.arpa IN NS",
        ),
        ("9.0/26.113.0.203.in-addr.arpa", "{ip:203.0.113.9}.in-addr.arpa"),
        ("9.0-63.113.0.203.in-addr.arpa", "{ip:203.0.113.9}.in-addr.arpa"),
        ("2.9.113.0.203.in-addr.arpa", "2.{ip:203.0.113.9}.in-addr.arpa"),
        ("via 32.9.113.0.203.rpz-client-ip.rpz.example", "via 32.{ip:203.0.113.9}.rpz-client-ip.rpz.example"),
        ("24.0.113.0.203.rpz-ip", "24.{ip:203.0.113.0}.rpz-ip"),
    ]);
}

/// Socket addresses in records of the audit system, and connections of DB2.
#[test]
fn addresses_in_records_of_programs() {
    check(&[
        (
            "type=SOCKADDR msg=audit(1.1:1): saddr=02000050CB0071090000000000000000",
            "type=SOCKADDR msg=audit(1.1:1): saddr=02000050{ip:203.0.113.9}0000000000000000",
        ),
        (
            r#"{"saddr":"0A0001BB0000000020010DB800000000000000000000000900000000"}"#,
            r#"{"saddr":"0A0001BB00000000{ip:2001:db8::9}00000000"}"#,
        ),
        (
            "saddr=0A0001BB0000000000000000000000000000FFFFCB00710900000000",
            "saddr=0A0001BB00000000{ip:203.0.113.9}00000000",
        ),
        (
            r#"{"m":"{\"saddr\": \"02000050CB0071090000000000000000\"}"}"#,
            r#"{"m":"{\"saddr\": \"02000050{ip:203.0.113.9}0000000000000000\"}"}"#,
        ),
        ("APPID: 203.0.113.9.54321.261123100000", "APPID: {ip:203.0.113.9}.54321.261123100000"),
        (
            "RRQ from 203.0.113.9 filename pxelinux.cfg/CB007109",
            "RRQ from {ip:203.0.113.9} filename pxelinux.cfg/{ip:203.0.113.9}",
        ),
        ("file /grub/grub.cfg-CB007109 not found", "file /grub/grub.cfg-{ip:203.0.113.9} not found"),
    ]);
    check_left_alone(&[
        "pxelinux.cfg/01-00-16-3e-aa-bb-cc",
        "saddr=020000357F0000010000000000000000",
        "saddr=01002F7661722F72756E2F6E7363642F736F636B6574",
        "saddr=100000000000000000000000",
        "saddr=02000050",
    ]);
}

/// Addresses with their ports in ONC RPC, and in the ids that HAProxy gives to connections.
#[test]
fn addresses_joined_to_their_ports() {
    check(&[
        ("rpcbind: set 100003 4 tcp 203.0.113.9.8.1", "rpcbind: set 100003 4 tcp {ip:203.0.113.9}.8.1"),
        (r#"{"netid":"tcp","addr":"203.0.113.9.8.1"}"#, r#"{"netid":"tcp","addr":"{ip:203.0.113.9}.8.1"}"#),
        (
            "100000  4  udp       203.0.113.9.0.111    portmapper",
            "100000  4  udp       {ip:203.0.113.9}.0.111    portmapper",
        ),
        ("rpcbind[42]: unset from 203.0.113.9.3.1", "rpcbind[42]: unset from {ip:203.0.113.9}.3.1"),
        (
            "\"GET /\" CB007109:9C56_C0000201:01BB_6742F000_0007:1092",
            "\"GET /\" {ip:203.0.113.9}:9C56_{ip:192.0.2.1}:01BB_6742F000_0007:1092",
        ),
        (
            "id=20010DB8000000000000000000000009:9C56_00000000000000000000FFFFC0000201:01BB_6742F000_0:1",
            "id={ip:2001:db8::9}:9C56_{ip:192.0.2.1}:01BB_6742F000_0:1",
        ),
        (
            r"\nCB007109:9C56_7F000001:01BB_6742F000_0007:1",
            r"\n{ip:203.0.113.9}:9C56_7F000001:01BB_6742F000_0007:1",
        ),
    ]);
    check_left_alone(&[
        "addr=1.3.6.1.2.1, udp 203.0.113.9.256.1, tcp 203.0.113.9.1.2.3",
        "snmp 203.0.113.9.8.1",
        " 4F2A1B3C: to, 4F2A1B3C:5D x, 4F2A1B3C:5D_6E, xCB007109:9C56_C0000201:01BB_",
    ]);
}

/// Names and addresses right after the escape of a line end or tab.
#[test]
fn names_behind_escapes() {
    let nibbles = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    for escape in ["#012", "#011", "\\n", "\\t", "\\012", "^J", "^M^J"] {
        check(&[
            (&format!("x{escape}{nibbles}"), &format!("x{escape}{{ip:2001:db8::9}}.ip6.arpa")),
            (
                &format!("x{escape}pcb007109.dip0.isp.example"),
                &format!("x{escape}p{{ip:203.0.113.9}}.dip0.isp.example"),
            ),
            (&format!("x{escape}9.ip-203-0-113.eu"), &format!("x{escape}{{ip:203.0.113.9}}.eu")),
            (
                &format!("x{escape}2001-db8--9.ip6.isp.example"),
                &format!("x{escape}{{ip:2001:db8::9}}.ip6.isp.example"),
            ),
            (&format!("x{escape}64:ff9b::9"), &format!("x{escape}{{ip:64:ff9b::9}}")),
            (&format!("x{escape}jean@example.org"), &format!("x{escape}{{em:jean@example.org}}")),
        ]);
    }
    check(&[
        ("#012cb007109.nip.io", "#012{ip:203.0.113.9}.nip.io"),
        ("^[[31mjean@example.org^[[0m", "^[[31m{em:jean@example.org}^[[0m"),
        (r"/^Jean@example\.org$/", r"/^{em:jean@example.org}$/"),
        ("JEAN^MARIE@EXAMPLE.ORG", "{em:jean^marie@example.org}"),
    ]);
}

/// IPv6 addresses after groups that belong to something else.
#[test]
fn ipv6_behind_other_groups() {
    check(&[
        ("peer 42:2001:db8::9", "peer 42:{ip:2001:db8::9}"),
        ("10:15:30:2001:db8::9", "10:15:30:{ip:2001:db8::9}"),
        ("10:15:30:fe80::9", "10:15:30:{ip:fe80::9}"),
        ("1:2001:db8:1:2:3:4:5:6", "1:{ip:2001:db8:1:2:3:4:5:6}"),
        ("42::2001:db8::9", "42::{ip:2001:db8::9}"),
        ("::2001:db8::9", "::{ip:2001:db8::9}"),
        ("::42:2001:db8::9", "{ip:::42}:{ip:2001:db8::9}"),
        ("::42:2001:db8::9ip", "{ip:::42}:{ip:2001:db8::9}ip"),
        ("bad:2001:db8::9:54321", "bad:{ip:2001:db8::9}:54321"),
        ("#2001:db8::1:9:", "#{ip:2001:db8::1:9}:"),
        (r"\2001:db8::1:9\share", r"\{ip:2001:db8::1:9}\share"),
        ("2001:db8:1:2:3:4:5:6::GET", "{ip:2001:db8:1:2:3:4:5:6}::GET"),
        (r#"{"m":"afe80::9"}"#, r#"{"m":"a{ip:fe80::9}"}"#),
        ("64:ff9b:1:2001::5", "{ip:64:ff9b:1:2001::5}"),
        ("ffff:2001:db8::9", "ffff:{ip:2001:db8::9}"),
    ]);
}

/// A flow whose ends are joined by a colon.
#[test]
fn ipv6_behind_ipv6() {
    check(&[
        (
            "2001:db8:85a3::8a2e:370:7334:2001:db8:85a3::8a2e:370:7335",
            "{ip:2001:db8:85a3::8a2e:370:7334}:{ip:2001:db8:85a3::8a2e:370:7335}",
        ),
        ("2001:db8::1:2:3:4:2001:db8::9", "{ip:2001:db8::1:2:3:4}:{ip:2001:db8::9}"),
        ("2001:db8::1:fe80::9", "{ip:2001:db8::1}:{ip:fe80::9}"),
        ("fe80::2001:db8::9:1:2", "fe80::{ip:2001:db8::9:1:2}"),
        ("2026::2001:db8:1::9:1", "2026::{ip:2001:db8:1::9:1}"),
        ("2001:db8:1:2:3:4:5:6:443:200 x", "{ip:2001:db8:1:2:3:4:5:6}:443:200 x"),
        ("2001:db8:1:2:3:4:5:6:51234:10:15:30", "{ip:2001:db8:1:2:3:4:5:6}:51234:10:15:30"),
        ("2001:db8:1:2:3:4:2:6::ffff", "{ip:2001:db8:1:2:3:4:2:6}::ffff"),
        ("2001:db8:1:2:3:4:5:6::443", "{ip:2001:db8:1:2:3:4:5:6}::443"),
        ("2001:db8:1:2:3:4:5:6::client", "{ip:2001:db8:1:2:3:4:5:6}::client"),
        ("2001:db8::1:2:3:443:2001:db8::9:443", "{ip:2001:db8::1:2:3:443}:{ip:2001:db8::9:443}"),
        ("2001:db8::1:2:50443:2001:db8::9", "{ip:2001:db8::1:2}:50443:{ip:2001:db8::9}"),
        (
            "2001:db8:1:2:3:4:5:6:50443:2001:db8:1:2:3:4:5:9:443",
            "{ip:2001:db8:1:2:3:4:5:6}:50443:{ip:2001:db8:1:2:3:4:5:9}:443",
        ),
    ]);
}

/// Address literals (RFC 5321, 4.1.3).
#[test]
fn email_at_an_address_literal() {
    check(&[
        ("from=<jean@[203.0.113.9]>, x", "from=<{em:jean@[203.0.113.9]}>, x"),
        ("user@[203.0.113.9]", "{em:user@[203.0.113.9]}"),
        ("<Jean@[IPv6:2001:DB8:0::9]>", "<{em:jean@[ipv6:2001:db8::9]}>"),
        ("<\"jean d\"@[203.0.113.9]>", "<{em:\"jean d\"@[203.0.113.9]}>"),
        ("m=jean%40%5B203.0.113.9%5D&x", "m={em:jean@[203.0.113.9]}&x"),
        ("helo=<[203.0.113.9]>", "helo=<[{ip:203.0.113.9}]>"),
        ("<sip:jean@[2001:db8::9]:5061>", "<sip:jean@[{ip:2001:db8::9}]:5061>"),
        ("user@[203.0.113.9", "user@[{ip:203.0.113.9}"),
    ]);
    check_left_alone(&["jean@[host]", "jean@[]", "a@[", "@[127.0.0.1]"]);
}

/// Local parts and domains surrounded by bytes that programs and character sets add.
#[test]
fn email_and_what_programs_make_of_letters() {
    check(&[
        ("{u'to': u'jean@example.org', 'x': 1}", "{u'to': u'{em:jean@example.org}', 'x': 1}"),
        ("to=b'jean@example.org'", "to=b'{em:jean@example.org}'"),
        ("EXEC f N'jean@example.org'", "EXEC f N'{em:jean@example.org}'"),
        ("u'o'brien@example.org'", "u'{em:o'brien@example.org}'"),
        ("'n'guyen@example.org'", "'{em:n'guyen@example.org}'"),
        ("n'guyen@example.org", "{em:n'guyen@example.org}"),
        ("sasl_username=jos??@example.org", "sasl_username={em:jos??@example.org}"),
        ("GET /?@example.org", "GET /?@example.org"),
        (r"user jos\303\251@example.org from", r"user {em:jos\303\251@example.org} from"),
        ("/vpn/jean@example.org.ovpn", "/vpn/{em:jean@example.org}.ovpn"),
        ("jean@example.org.lock", "{em:jean@example.org}.lock"),
        ("jean@example.fr\u{e9}t\u{e9}", "{em:jean@example.fr}\u{e9}t\u{e9}"),
    ]);
    let detector = Detector::new(Options::default());
    // A quotation mark of Windows-1252.
    let marked = mark(&detector, b"\x93jean@example.org\x94 ");
    assert!(marked.contains("@example.org}"), "{marked}");
    check_left_alone(&["getty@tty1.conf", "openvpn@server.conf"]);
}

#[test]
fn email_in_every_notation() {
    check(&[
        ("jean@example.fr", "{em:jean@example.fr}"),
        ("<Jean.Dupont@EX\u{c4}MPLE.fr>", "<{em:jean.dupont@xn--exmple-cua.fr}>"),
        // A sigma that ends a word.
        ("<\u{3a3}\u{39f}\u{3a3}@example.fr>", "<{em:\u{3c3}\u{3bf}\u{3c2}@example.fr}>"),
        ("<\u{3c3}\u{3bf}\u{3c2}@example.fr>", "<{em:\u{3c3}\u{3bf}\u{3c2}@example.fr}>"),
        ("mailto:jean+tag@example.fr?x", "mailto:{em:jean+tag@example.fr}?x"),
        ("to=<jean@example.fr>, relay", "to=<{em:jean@example.fr}>, relay"),
        ("mail jean@example.fr.", "mail {em:jean@example.fr}."),
        ("\"john doe\"@example.fr", "{em:\"john doe\"@example.fr}"),
        (r#"EXAMPLE\"jean d"@example.fr"#, r#"EXAMPLE\{em:"jean d"@example.fr}"#),
        ("to \"jean\".\"d u\"@example.fr", "to {em:\"jean\".\"d u\"@example.fr}"),
        ("to=jean.\"d u\"@example.fr", "to={em:jean.\"d u\"@example.fr}"),
        ("<\"jean\".d.u@example.fr>", "<{em:\"jean\".d.u@example.fr}>"),
        (r#"{"to":"\"jean\".\"d\"@example.fr"}"#, r#"{"to":"{em:"jean"."d"@example.fr}"}"#),
        (r"jean@b\303\274cher.example, x", r"{em:jean@b\303\274cher.example}, x"),
        ("jos\u{e9}@example.fr", "{em:jos\u{e9}@example.fr}"),
        ("jose\u{301}@example.fr", "{em:jos\u{e9}@example.fr}"),
        ("\u{ab}jean@example.fr\u{bb}", "\u{ab}{em:jean@example.fr}\u{bb}"),
        ("user='jean@example.fr'", "user='{em:jean@example.fr}'"),
        ("o'brien@example.fr", "{em:o'brien@example.fr}"),
        ("GET /?email=a@x.fr&email=b@x.fr", "GET /?email={em:a@x.fr}&email={em:b@x.fr}"),
        ("/users/jean@example.fr/x", "/users/{em:jean@example.fr}/x"),
        ("https://u:pw@example.fr/x", "https://u:{em:pw@example.fr}/x"),
        ("from=<SRS0=abc=de=example.org=user@fwd.fr>", "from=<{em:srs0=abc=de=example.org=user@fwd.fr}>"),
        ("for SRS0=abc=de=example.org=user@fwd.fr now", "for {em:srs0=abc=de=example.org=user@fwd.fr} now"),
        ("<bounce+jean=example.fr@list.fr>", "<{em:bounce+jean=example.fr@list.fr}>"),
        ("bounce+jean=example.fr@list.fr", "{em:bounce+jean=example.fr@list.fr}"),
        (
            "List-Unsubscribe: <mailto:leave-jean=example.fr@list.example?subject=jean%40example.fr>",
            "List-Unsubscribe: <mailto:{em:leave-jean=example.fr@list.example}?subject={em:jean@example.fr}>",
        ),
        (
            "<mailto:?to=jean@example.fr&cc=luc@example.fr>",
            "<mailto:?to={em:jean@example.fr}&cc={em:luc@example.fr}>",
        ),
        ("prvs=4567abc=jean@example.fr", "{em:prvs=4567abc=jean@example.fr}"),
        ("user-mail=jean.dupont@example.fr", "user-mail={em:jean.dupont@example.fr}"),
        ("jean.dupont@mail.example.co.uk", "{em:jean.dupont@mail.example.co.uk}"),
        ("jean@example.museum", "{em:jean@example.museum}"),
        ("jean@xn--exmple-cua.fr", "{em:jean@xn--exmple-cua.fr}"),
        ("a@b.fr,c@d.fr;e@f.fr", "{em:a@b.fr},{em:c@d.fr};{em:e@f.fr}"),
        ("user%relay.example@gate.fr", "{em:user%relay.example@gate.fr}"),
        ("\\njean@example.fr", "\\n{em:jean@example.fr}"),
        ("\u{1b}[31mjean@example.fr", "\u{1b}[31m{em:jean@example.fr}"),
        ("jean@203-0-113-9.isp.example", "{em:jean@203-0-113-9.isp.example}"),
        ("-jean@example.fr", "-{em:jean@example.fr}"),
        (
            "args: /usr/sbin/sendmail -t -i -fjean@example.fr",
            "args: /usr/sbin/sendmail -t -i -f{em:jean@example.fr}",
        ),
        ("\"sendmail\",\"-rjean@example.fr\"", "\"sendmail\",\"-r{em:jean@example.fr}\""),
        ("-fjean@example.fr", "-{em:fjean@example.fr}"),
        ("in:<pppoe-jean@isp.example> out:ether1", "in:<pppoe-{em:jean@isp.example}> out:ether1"),
        ("to=<pppoe-@example.fr>", "to=<{em:pppoe-@example.fr}>"),
        ("jean@example.fr198.51.100.7:443", "{em:jean@example.fr}{ip:198.51.100.7}:443"),
    ]);
}

/// File names, escapes, words and quotes right beside an identifier do not change it.
#[test]
fn neighbours() {
    check(&[
        ("/u/jean@example.fr.json", "/u/{em:jean@example.fr}.json"),
        ("jean@example.fr.tar.gz", "{em:jean@example.fr}.tar.gz"),
        ("jean@example.fr.log.1", "{em:jean@example.fr}.log.1"),
        ("jean@example.fr-2026.log", "{em:jean@example.fr}-2026.log"),
        ("jean@example.paris-20261123 x", "{em:jean@example.paris}-20261123 x"),
        ("jean@mail.example.dev-1", "{em:jean@mail.example.dev}-1"),
        ("user=jean@example.cloud-203.0.113.9", "user={em:jean@example.cloud}-{ip:203.0.113.9}"),
        ("jean@example.museum-x_y@example.fr", "{em:jean@example.museum}-{em:x_y@example.fr}"),
        ("mbsync@jean@example.fr.service", "mbsync@{em:jean@example.fr}.service"),
        ("<jean!@example.fr>", "<{em:jean!@example.fr}>"),
        ("jean_example.fr#EXT#@example.com", "{em:jean_example.fr#ext#@example.com}"),
        ("#012jean@example.fr", "#012{em:jean@example.fr}"),
        ("x#012203.0.113.9#012jean@example.fr", "x#012{ip:203.0.113.9}#012{em:jean@example.fr}"),
        ("jean#42x@example.fr", "{em:jean#42x@example.fr}"),
        (r"<jean\ q@example.fr>", r"<{em:jean\ q@example.fr}>"),
        (r#"{"to":"<jean\\ du\\ q@example.fr>"}"#, r#"{"to":"<{em:jean\\ du\\ q@example.fr}>"}"#),
        (r"in C:\Program\ jean@example.fr", r"in C:\Program\ {em:jean@example.fr}"),
        (r"in C:\Users\thomas@example.fr\x", r"in C:\Users\{em:thomas@example.fr}\x"),
        (r"(LOCAL\nadia@example.fr)", r"(LOCAL\{em:nadia@example.fr})"),
        (r"user EXAMPLE\2023001@example.fr", r"user EXAMPLE\{em:2023001@example.fr}"),
        (r#"User-Name = "EXAMPLE\\nadia@example.fr""#, r#"User-Name = "EXAMPLE\\{em:nadia@example.fr}""#),
        (r#"{"user":"EXAMPLE\\nadia@example.fr"}"#, r#"{"user":"EXAMPLE\\{em:nadia@example.fr}"}"#),
        (r#"{"log":"Denied\njean@example.fr"}"#, r#"{"log":"Denied\n{em:jean@example.fr}"}"#),
        (r"denied\njean@example.fr", r"denied\n{em:jean@example.fr}"),
        (r"\012jean@example.fr", r"\012{em:jean@example.fr}"),
        (r#"{"log":"a\nfe80::1"}"#, r#"{"log":"a\n{ip:fe80::1}"}"#),
        (r"\nfd12:3456:789a:1::1", r"\n{ip:fd12:3456:789a:1::1}"),
        ("\u{1b}[31mfe80::1", "\u{1b}[31m{ip:fe80::1}"),
        (r"\u001b[1;32mfd12::31fc", r"\u001b[1;32m{ip:fd12::31fc}"),
        ("#012fe80::1", "#012{ip:fe80::1}"),
        ("addr_fe80::1", "addr_{ip:fe80::1}"),
        ("_2001::1", "_{ip:2001::1}"),
        ("0:0:0:0:0:ffff:cb00:7109", "{ip:203.0.113.9}"),
        ("rl:2001:db8::1:1732612345", "rl:{ip:2001:db8::1}:1732612345"),
        ("2001:db8:0:0:0:0:0:1:denied", "{ip:2001:db8::1}:denied"),
        ("2001:db8::1:accepted", "{ip:2001:db8::1}:accepted"),
        ("203.0.113.9.0 > 198.51.100.7.0: x", "{ip:203.0.113.9}.0 > {ip:198.51.100.7}.0: x"),
        ("access.203.0.113.9.20261126.log", "access.{ip:203.0.113.9}.20261126.log"),
        ("backup-203.0.113.9.tar.gz", "backup-{ip:203.0.113.9}.tar.gz"),
        ("203-0-113-9-static.example.net", "{ip:203.0.113.9}-static.example.net"),
        ("c-203-0-113-9-x.hsd1.example.net", "c-{ip:203.0.113.9}-x.hsd1.example.net"),
        ("203-0-113-9s.isp.example", "{ip:203.0.113.9}s.isp.example"),
        ("203-0-113-9.isp.xn--p1ai", "{ip:203.0.113.9}.isp.xn--p1ai"),
        ("#012203-0-113-9.isp.example.net", "#012{ip:203.0.113.9}.isp.example.net"),
        ("nginx-203.0.113.9:8080", "nginx-{ip:203.0.113.9}:8080"),
        ("BAN-5.9.1.200", "BAN-{ip:5.9.1.200}"),
        ("conversion 203.0.113.9", "conversion {ip:203.0.113.9}"),
        (
            r#"{"ua":"Mozilla/5.0","uri":"/Admin/203.0.113.9"}"#,
            r#"{"ua":"Mozilla/5.0","uri":"/Admin/{ip:203.0.113.9}"}"#,
        ),
        (r#"{"to":"\"jean d\"@example.fr"}"#, r#"{"to":"{em:"jean d"@example.fr}"}"#),
        // Signs within a name belong to it; signs before it do not.
        ("j\u{1f600}an@example.fr", "{em:j\u{1f600}an@example.fr}"),
        ("jean\u{1f600}@example.fr", "{em:jean\u{1f600}@example.fr}"),
        (
            "x j\u{2764}\u{fe0f}\u{200d}\u{1f525}n@example.fr",
            "x {em:j\u{2764}\u{fe0f}\u{200d}\u{1f525}n@example.fr}",
        ),
        ("\u{e9}\u{1f600}an@example.fr", "{em:\u{e9}\u{1f600}an@example.fr}"),
        ("o\u{2019}brien@example.fr", "{em:o\u{2019}brien@example.fr}"),
        ("jean\u{200b}@example.fr", "{em:jean\u{200b}@example.fr}"),
        ("je\u{fffd}an@example.fr", "{em:je\u{fffd}an@example.fr}"),
        ("gal\u{b7}la@example.fr", "{em:gal\u{b7}la@example.fr}"),
        ("\u{1f4e7}jean@example.fr", "\u{1f4e7}{em:jean@example.fr}"),
        ("to \u{1f600}\u{1f600}jean@example.fr", "to \u{1f600}\u{1f600}{em:jean@example.fr}"),
        ("\u{feff}jean@example.fr", "\u{feff}{em:jean@example.fr}"),
        ("to\u{2192}jean@example.fr", "to\u{2192}{em:jean@example.fr}"),
        ("\u{201c}jean@example.fr\u{201d}", "\u{201c}{em:jean@example.fr}\u{201d}"),
        ("a\u{2014}jean@example.fr", "a\u{2014}{em:jean@example.fr}"),
        ("\u{2514}\u{2500}jean@example.fr", "\u{2514}\u{2500}{em:jean@example.fr}"),
        // An `@` with a backslash.
        (r"jean\@example.fr", r"{em:jean@example.fr}"),
        (r#"{"m":"jean\\@example.fr"}"#, r#"{"m":"{em:jean@example.fr}"}"#),
        (r"s/jean.dupont\@example\.fr/x/", r"s/{em:jean.dupont@example.fr}/x/"),
        (r"jean@example\.fr", r"{em:jean@example.fr}"),
        (r"^203\.0\.113\.9$", r"^{ip:203.0.113.9}$"),
        (r#"{"re":"203\\.0\\.113\\.9"}"#, r#"{"re":"{ip:203.0.113.9}"}"#),
        // Any top-level domain ends before `_`.
        ("jean@example.paris_x", "{em:jean@example.paris}_x"),
        ("jean@mail.example.museum_2026", "{em:jean@mail.example.museum}_2026"),
        ("/srv/jean@example.paris_x/y", "/srv/{em:jean@example.paris}_x/y"),
        // Wrappers that nest an address, without angle brackets.
        ("bounce+jean=example.paris@list.example", "{em:bounce+jean=example.paris@list.example}"),
        ("from=list+jean=example.paris@list.example, x", "from={em:list+jean=example.paris@list.example}, x"),
        (
            r#"{"from":"list+jean=example.fr@list.example"}"#,
            r#"{"from":"{em:list+jean=example.fr@list.example}"}"#,
        ),
        (
            "list+caf_=jean.dupont=example.fr@gmail.example",
            "{em:list+caf_=jean.dupont=example.fr@gmail.example}",
        ),
        (
            "to=list+caf_=jean.dupont=example.fr@gmail.example",
            "to={em:list+caf_=jean.dupont=example.fr@gmail.example}",
        ),
        ("prvs=jean/0123456789@example.fr", "{em:prvs=jean/0123456789@example.fr}"),
        ("from=PRVS=jean/0123456789@example.fr", "from={em:prvs=jean/0123456789@example.fr}"),
        ("bounce%2Bjean%3Dexample.fr%40list.example", "{em:bounce+jean=example.fr@list.example}"),
        ("jean@\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}.com", "{em:jean@xn--j2bd4cyah0f.com}"),
    ]);
    check_left_alone(&[
        r#"{"a":"b","@timestamp.ms":1}"#,
        r#"{"sender":"@example.com"}"#,
        r#"{"a":"","@x.yz":1}"#,
        r#"x="y" "@jean.dupont""#,
        "Mozilla/5.0%20(X11)%20Chrome/131.0.0.0%20Safari/537.36",
        "CEF:0|vendor|product|1.0.2.3|1|x|5|",
        "LEEF:2.0|vendor|product|4.3.2.1|id|",
        "app@2.min.js",
        "getty@tty1.service",
        "icon@2x.png",
        "std::a::be",
        "1-2-3-4-release.tar.gz",
        "2026-11-23-10-static.example.net",
        "2026-11-23-10-15.backup.example.net",
        "backup.2026.11.23.10.15",
        "SNMPv2-SMI::enterprises.12356.101.4.1.3",
        "icon@2x.png_old",
        "getty@tty1.service_x",
        "app@v2.min_x.js",
        "pkg@1.2.rc_1",
        "root@host_a.b_c",
        r"C:\@eaDir\x",
        r"C:\Users\jean\.ssh\config",
        r"OpenSSL 3\.0\.22",
        "x \u{1f600}@example",
    ]);
    check(&[
        // The keys of pairs stay, and so do words joined by a query.
        ("bounce=jean.dupont@example.fr", "bounce={em:jean.dupont@example.fr}"),
        ("?q=a+b=jean.dupont@example.fr", "?q=a+b={em:jean.dupont@example.fr}"),
        ("/srv/mail/jean@example.fr", "/srv/mail/{em:jean@example.fr}"),
        ("x=y/jean@example.fr", "x=y/{em:jean@example.fr}"),
    ]);
}

#[test]
fn encoded_identifiers() {
    check(&[
        ("GET /?mail=jean%40example.fr", "GET /?mail={em:jean@example.fr}"),
        (
            "GET /?mail=jean%40example.fr&u=a%2Bb%40example.fr&ip=2001%3Adb8%3A%3A1 HTTP/1.1",
            "GET /?mail={em:jean@example.fr}&u={em:a+b@example.fr}&ip={ip:2001:db8::1} HTTP/1.1",
        ),
        ("ip=2001%3adb8%3a%3a1&x", "ip={ip:2001:db8::1}&x"),
        ("m=jean%2540example.fr", "m={em:jean@example.fr}"),
        ("m=jean%252540example.fr", "m={em:jean@example.fr}"),
        ("q=%22203.0.113.9%22", "q=%22{ip:203.0.113.9}%22"),
        ("to %91.198.51.100 now", "to %{ip:91.198.51.100} now"),
        ("to %198.51.100.7 now", "to %{ip:198.51.100.7} now"),
        ("to %19203.0.113.9 now", "to %19{ip:203.0.113.9} now"),
        ("q=%20201.2.3.4", "q=%20{ip:201.2.3.4}"),
        ("203%2E0%2E113%2E9", "{ip:203.0.113.9}"),
        ("{\"m\":\"jean\\u0040example.fr\"}", "{\"m\":\"{em:jean@example.fr}\"}"),
        ("{\"ip\":\"203\\u002e0\\u002e113\\u002e9\"}", "{\"ip\":\"{ip:203.0.113.9}\"}"),
        ("{\"u\":\"http:\\/\\/203.0.113.9\\/x\"}", "{\"u\":\"http:\\/\\/{ip:203.0.113.9}\\/x\"}"),
        (
            "{\"msg\":\"{\\\"ip\\\":\\\"203.0.113.9\\\"}\"}",
            "{\"msg\":\"{\\\"ip\\\":\\\"{ip:203.0.113.9}\\\"}\"}",
        ),
        (
            "{\"msg\":\"{\\\"m\\\":\\\"jean\\\\u0040example.fr\\\"}\"}",
            "{\"msg\":\"{\\\"m\\\":\\\"{em:jean@example.fr}\\\"}\"}",
        ),
        ("\"\\x22jean\\x40example.fr\\x22\"", "\"\\x22{em:jean@example.fr}\\x22\""),
        (r#"{"msg":"\"john doe\"@example.fr"}"#, r#"{"msg":"{em:"john doe"@example.fr}"}"#),
        (
            r#"{"m":"{\"m\":\"to \\\"j d\\\"@example.fr x\"}"}"#,
            r#"{"m":"{\"m\":\"to {em:"j d"@example.fr} x\"}"}"#,
        ),
        (r#"7,"to ""john doe""@example.fr, x",9"#, r#"7,"to {em:"john doe"@example.fr}, x",9"#),
        ("%E2%80%9Cjean%40example.fr", "%E2%80%9C{em:jean@example.fr}"),
        ("jos%C3%A9%40example.fr", "{em:jos\u{e9}@example.fr}"),
        ("Chrome%2F103.0.0.0%20Safari", "Chrome%2F103.0.0.0%20Safari"),
        (
            "{\"remote_ip\":\"203.0.113.9\",\"common_log\":\"203.0.113.9 - -\"}",
            "{\"remote_ip\":\"{ip:203.0.113.9}\",\"common_log\":\"{ip:203.0.113.9} - -\"}",
        ),
        ("%7B%22ip%22%3A%22203.0.113.9%22%7D", "%7B%22ip%22%3A%22{ip:203.0.113.9}%22%7D"),
        (r"IP6.ADDRESS[1]:2001\:db8\:\:9/64", r"IP6.ADDRESS[1]:{ip:2001:db8::9}/64"),
        (r"ip=fe80\:\:9:x", r"ip={ip:fe80::9}:x"),
        (
            r"suser=bounce+jean\=example.fr@list.example.org",
            r"suser={em:bounce+jean=example.fr@list.example.org}",
        ),
        (
            r"suser=SRS0\=abc\=de\=example.fr\=jean@example.org x=1",
            "suser={em:srs0=abc=de=example.fr=jean@example.org} x=1",
        ),
        (
            r"msg=to\=jean@example.org src\=203.0.113.9",
            r"msg=to\={em:jean@example.org} src\={ip:203.0.113.9}",
        ),
        // What follows an escape of a sign does not begin within it.
        (r#"{"m":"SRC\u003d203.0.113.9"}"#, r#"{"m":"SRC\u003d{ip:203.0.113.9}"}"#),
        (r"\x22203.0.113.9\x22", r"\x22{ip:203.0.113.9}\x22"),
        (r"\x222001:db8::9\x22", r"\x22{ip:2001:db8::9}\x22"),
        (r#"{"m":"\u003c2001:db8:1:2:3:4:5:6\u003e"}"#, r#"{"m":"\u003c{ip:2001:db8:1:2:3:4:5:6}\u003e"}"#),
        // Addresses that begin after an escape and extend beyond its word.
        (r#"to%3D"jean d"@example.org, x"#, r#"to%3D{em:"jean d"@example.org}, x"#),
        (r#"to%253D%20"jean d"@example.org, x%20y"#, r#"to%253D%20{em:"jean d"@example.org}, x%20y"#),
    ]);
    check_left_alone(&[
        r#"{"m":"MAC\u003d00:16:3e:aa:bb:cc:00:16:3e:dd:ee:ff:08:00"}"#,
        r#"{"m":"{\"m\":\"MAC\\u003d00:16:3e:aa:bb:cc:00:16:3e:dd:ee:ff:08:00\"}"}"#,
        r"\x22a1:b2:c3:d4:e5:f6:a1:b2:c3:d4:e5:f6:a1:b2:c3:d4\x22",
    ]);
}

/// The number of a VLAN between an interface and an address.
#[test]
fn ipv4_behind_a_vlan() {
    check(&[
        ("eth0.100.203.0.113.9 up", "eth0.{ip:203.0.113.9} up"),
        ("eth0.1234.203.0.113.9 up", "eth0.1234.{ip:203.0.113.9} up"),
        ("wlan0.198.51.100.7.53 x", "wlan0.{ip:198.51.100.7}.53 x"),
    ]);
    check_left_alone(&["backup1.2026.11.23.10.15", "backup1.20261.11.23.10.15", "v1.2.3.4.5.6"]);
}

#[test]
fn reversed_digits_without_a_zone() {
    let nibbles = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    check(&[
        (&format!("query {nibbles} now"), "query {ip:2001:db8::9} now"),
        (&format!("{nibbles}."), "{ip:2001:db8::9}."),
        ("9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f", "{ip:fe80::9}"),
    ]);
    check_left_alone(&["1.3.6.1.4.1.9.9.1.3.6.1.4.1.9.9.1.3.6.1.4.1.9.9.1.3.6.1.4.1.9.9.1.2"]);
}

/// A local part in which a program escaped letters or signs.
#[test]
fn email_with_escaped_signs() {
    check(&[
        (r"uid=ren\C3\A9.dupont@example.net,ou=x", "uid={em:ren\u{e9}.dupont@example.net},ou=x"),
        (r"(mail=ren\c3\a9@example.net)", "(mail={em:ren\u{e9}@example.net})"),
        (r#"{"dn":"uid=ren\\C3\\A9@example.net"}"#, "{\"dn\":\"uid={em:ren\u{e9}@example.net}\"}"),
        (r"uid=jean\2Btag@example.net,ou=x", "uid={em:jean+tag@example.net},ou=x"),
        (r"uid=jean\+tag@example.net,ou=x", "uid={em:jean+tag@example.net},ou=x"),
        (r"VALUES ('jean.o\'brien@example.net', 1)", "VALUES ('{em:jean.o'brien@example.net}', 1)"),
        (r#"{"q":"'o\\'brien@example.net'"}"#, "{\"q\":\"'{em:o'brien@example.net}'\"}"),
        (r"x=\'jean@example.net\'", r"x=\'{em:jean@example.net}\'"),
        (r"[u\'jean@example.net\']", r"[u\'{em:jean@example.net}\']"),
        (r"LIKE 'jean\_dupont@example.net'", "LIKE '{em:jean_dupont@example.net}'"),
        (r"/^jean\-dupont@example\.net$/", "/^{em:jean-dupont@example.net}$/"),
        (r"EXAMPLE\_jean@example.net", r"EXAMPLE\{em:_jean@example.net}"),
        ("('o''brien@example.net')", "('{em:o''brien@example.net}')"),
        (
            "ren\u{e9}'@example.net, ren\u{e9}'brien@example.net",
            "{em:ren\u{e9}'@example.net}, {em:ren\u{e9}'brien@example.net}",
        ),
        ("('a@example.net''jean@example.net')", "('{em:a@example.net}''{em:jean@example.net}')"),
        ("x=''jean@example.net''", "x=''{em:jean@example.net}''"),
        ("\"o&#039;brien@example.net\"", "\"{em:o&#039;brien@example.net}\""),
        ("m=&#39;jean@example.net&#39;", "m=&#39;{em:jean@example.net}&#39;"),
        (r"F=<ren\351.dupont@example.net>", r"F=<{em:ren\351.dupont@example.net}>"),
        (r"EXAMPLE\251jean@example.net", r"EXAMPLE\{em:251jean@example.net}"),
    ]);
    check_left_alone(&[r"C:\data\be\ad\files", r"it\'s a\_b \2B"]);
}

/// What programs put before an address is not part of it.
#[test]
fn email_behind_a_word() {
    let arguments = "-odb ".repeat(20);
    check(&[
        (
            "<from=jean@example.net> <to=a@example.net>",
            "<from={em:jean@example.net}> <to={em:a@example.net}>",
        ),
        ("live.com#jean@example.net", "live.com#{em:jean@example.net}"),
        ("to local example.net-jean@example.net", "to local example.net-{em:jean@example.net}"),
        (
            "\"203.0.113.9-jean@example.net-1795428000\"",
            "\"{ip:203.0.113.9}-{em:jean@example.net}-1795428000\"",
        ),
        ("192.0.2.1_203.0.113.9_jean@example.net", "{ip:192.0.2.1}_{ip:203.0.113.9}_{em:jean@example.net}"),
        ("3.jean-d@example.net", "{em:3.jean-d@example.net}"),
        ("?to=a@example.net+jean@example.net", "?to={em:a@example.net}+{em:jean@example.net}"),
        ("GET /?q=mail:+jean@example.net", "GET /?q=mail:+{em:jean@example.net}"),
        ("GET /?q=mail%3A+jean%40example.net", "GET /?q=mail%3A+{em:jean@example.net}"),
        ("Mozilla/5.0+(compatible;+jean@example.net)", "Mozilla/5.0+(compatible;+{em:jean@example.net})"),
        ("<sip:+33600000000@example.net>", "<sip:{em:+33600000000@example.net}>"),
        ("a@example.net+33600000000@example.net", "{em:a@example.net}{em:+33600000000@example.net}"),
        ("msmtp -t -fjean@example.net", "msmtp -t -f{em:jean@example.net}"),
        (
            &format!("sendmail {arguments}-fjean@example.net"),
            &format!("sendmail {arguments}-f{{em:jean@example.net}}"),
        ),
    ]);
}

/// Text that only looks like an address or an e-mail address.
#[test]
fn what_has_the_shape_of_an_identifier() {
    check_left_alone(&[
        "TGS_REQ for HTTP/www.example.net@EXAMPLE.NET, krbtgt/EXAMPLE.NET@EXAMPLE.NET",
        "GET /autodiscover/autodiscover.json?@evil.example/owa/ HTTP/1.1",
        "GET /autodiscover/autodiscover.json%3F@evil.example/owa/ HTTP/1.1",
        "=ERROR REPORT==== 28-Nov-2026::10:15:30 ===",
        "IV_GUI_VER=OpenVPN_GUI_11.50.0.0",
        "jre-11.0.25.0.9, openjdk 21.0.5.0.1",
        "core::add::f32",
        "add::f32",
    ]);
    check(&[
        ("jean/admin.example.net@EXAMPLE.ORG", "jean/{em:admin.example.net@example.org}"),
        ("HTTP/jean@EXAMPLE.NET", "HTTP/{em:jean@example.net}"),
        ("jean@EXAMPLE.NET for krbtgt/X@X", "{em:jean@example.net} for krbtgt/X@X"),
        ("www.example.net@EXAMPLE.NET", "{em:www.example.net@example.net}"),
        ("?a=x.json?jean@example.net", "?a=x.json?{em:jean@example.net}"),
        ("x-2026::10:15:30", "x-{ip:2026::10:15:30}"),
        ("openjdk 10.1.2.3.51234", "openjdk {ip:10.1.2.3}.51234"),
        ("::abc:f32", "{ip:::abc:f32}"),
    ]);
}

/// Names of algorithms and extensions of SSH are not addresses (RFC 4251, 6).
#[test]
fn names_in_ssh() {
    check_left_alone(&[
        "cipher=chacha20-poly1305@openssh.com mac=umac-128-etm@openssh.com comp=zlib@openssh.com",
        "offer: curve25519-sha256@libssh.org,sntrup761x25519-sha512@openssh.com,aes256-gcm@openssh.com [preauth]",
        "rijndael-cbc@lysator.liu.se hmac-sha2-256-etm@openssh.com,kex-strict-s-v00@openssh.com",
        "sk-ssh-ed25519@openssh.com ssh-ed25519-cert-v01@openssh.com rsa-sha2-512-cert-v01@openssh.com",
        "hostkeys-00@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com",
    ]);
    check(&[
        ("jean@openssh.com", "{em:jean@openssh.com}"),
        ("jean-d@openssh.com", "{em:jean-d@openssh.com}"),
        ("aes256-gcm@example.org", "{em:aes256-gcm@example.org}"),
        ("x.aes256-gcm@openssh.com", "{em:x.aes256-gcm@openssh.com}"),
    ]);
}

#[test]
fn forged_tokens() {
    check(&[
        (
            "user ip_2epqfnspyfc4whwyd2jp92w06ftvdrr logged in",
            "user {fk:ip_2epqfnspyfc4whwyd2jp92w06ftvdrr} logged in",
        ),
        // Its padding bits are set, but no reader sees that.
        ("user ip_2epqfnspyfc4whwyd2jp92w06ftvdrs", "user {fk:ip_2epqfnspyfc4whwyd2jp92w06ftvdrs}"),
        ("zz_00000000000000000000000000000000", "zz_00000000000000000000000000000000"),
        ("ip_2epqfnspyfc4whwyd2jp92w06ftvdr", "ip_2epqfnspyfc4whwyd2jp92w06ftvdr"),
    ]);
}

#[test]
fn trusted_upstream_tokens_stay() {
    let trusting = Detector::new(Options { trust_upstream: true, ..Options::default() });
    let line = "user ip_2epqfnspyfc4whwyd2jp92w06ftvdrr";
    assert_eq!(mark(&trusting, line.as_bytes()), line);
    let shaped = Detector::new(Options { trust_upstream: true, address_shape: true, ..Options::default() });
    let line = "fdae:6de7:b09c:8f3c:d14a:c917:67:eb6d ps049vxty9y8jbv82397yeke8r@pseudonym.invalid";
    assert_eq!(mark(&shaped, line.as_bytes()), line);
    assert_ne!(mark(&trusting, line.as_bytes()), line);
}

#[test]
fn what_no_upstream_wrote_keeps_no_address_in_clear() {
    let options = Options { trust_upstream: true, address_shape: true, ..Options::default() };
    let trusting = Detector::new(options);
    // The padding bits of a tag are zero.
    let id = "id_da39a3ee5e6b4b0d3255bfef9560189";
    assert_eq!(mark(&trusting, format!("{id}.203.0.113.9").as_bytes()), format!("{id}.{{ip:203.0.113.9}}"));
    let mailbox = "ps049vxty9y8jbv82397yeke8s@pseudonym.invalid";
    assert_eq!(mark(&trusting, mailbox.as_bytes()), format!("{{em:{mailbox}}}"));
}

#[test]
fn kept_networks_stay_readable() {
    let keep = ["10.0.0.0/8", "2001:db8:aaaa::/48"].map(|net| net.parse().unwrap()).to_vec();
    let detector = Detector::new(Options { keep, ..Options::default() });
    for (line, expected) in [
        ("10.1.2.3 203.0.113.9", "10.1.2.3 {ip:203.0.113.9}"),
        ("ip-10-1-2-3.isp.example", "ip-10-1-2-3.isp.example"),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        ("2001:db8:aaaa::1 2001:db8:bbbb::1", "2001:db8:aaaa::1 {ip:2001:db8:bbbb::1}"),
        ("127.0.0.1", "{ip:127.0.0.1}"),
    ] {
        assert_eq!(mark(&detector, line.as_bytes()), expected);
    }
}
