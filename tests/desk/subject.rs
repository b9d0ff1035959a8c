//! Requests of people, and the list after a breach.

use super::node::{LATER, Node, PERIOD, arg, text};
use serde_json::Value;

const JEAN: [&str; 4] = ["--email", "jean@example.org", "--ip", "203.0.113.7"];
const CASE: [&str; 2] = ["--case", "DSR-12"];

#[test]
fn access_gives_a_person_her_lines_and_nobody_elses_name() {
    let node = Node::new();
    let options = [&JEAN[..], &CASE, &PERIOD].concat();
    let answer = node.answer(&["subject", "access"], &options, 0);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let lines = answer["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[1]["time_utc"], "2026-11-23T09:00:02Z");
    assert_eq!(lines[1]["time_legal"], "2026-11-23T10:00:02+01:00");
    assert_eq!((&lines[1]["class"], &lines[1]["expires"]), (&"connection".into(), &"2027-11-24".into()));
    assert!(lines[1]["line"].as_str().unwrap().contains("from 203.0.113.7 port 57424"));
    assert!(lines[2]["line"].as_str().unwrap().contains(r#""from":"jean@example.org""#));
    let all = answer.to_string();
    assert!(all.contains("to=em_"), "somebody else is a token");
    assert!(!all.contains("anne@example.org") && !all.contains("198.51.100.9"));
    let [connection, ticket] = answer["processing"].as_array().unwrap().as_slice() else {
        panic!("{answer}")
    };
    assert_eq!((&connection["class"], &connection["legal_duty"]), (&"connection".into(), &true.into()));
    assert!(connection["legal_basis"].as_str().unwrap().starts_with("LCEN art. 6 V"));
    assert_eq!(
        (&ticket["class"], &ticket["legal_duty"], &ticket["lines"]),
        (&"support-ticket".into(), &false.into(), &2.into())
    );
    assert_eq!(ticket["expires"].as_array().unwrap().len(), 2);
    // The same as a table.
    let table = node.answer(&["subject", "access"], &[&options[..], &["--form", "csv"]].concat(), 0);
    assert_eq!(table.lines().count(), 6);
    assert!(table.contains("\"'=1+1 203.0.113.7") || table.contains(",'=1+1 203.0.113.7"), "{table}");
    node.verify();
}

#[test]
fn erasure_stops_where_a_duty_stands_and_says_until_when() {
    let node = Node::new();
    let options = [&JEAN[..], &CASE].concat();
    let table = node.answer(&["subject", "erase"], &options, 0);
    assert!(table.contains("kept until that day by law: LCEN art. 6 V"), "{table}");
    let of_its_own = [&options[..], &["--basis", "GDPR-17"]].concat();
    let answers = node.answer(&["subject", "erase", "--json"], &of_its_own, 0);
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, &str, u64)> = answers
        .iter()
        .map(|answer| {
            (
                answer["outcome"].as_str().unwrap(),
                answer["expires"].as_str().unwrap(),
                answer["lines"].as_u64().unwrap(),
            )
        })
        .collect();
    // The first run erased the others.
    assert_eq!(told, [("duty", "2027-11-24", 2), ("duty", "2027-11-25", 1)]);
    let found = |options: &[&str]| node.answer(&["replay"], options, 0).lines().count();
    assert_eq!(found(&["--email", "jean@example.org"]), 0);
    assert_eq!((found(&["--ip", "203.0.113.7"]), found(&["--email", "anne@example.org"])), (3, 2));
    let erased: Vec<(u64, u64)> = node
        .ledger()
        .into_iter()
        .filter(|(event, _)| event == "erase-done")
        .map(|(_, about)| (about["lines_before"].as_u64().unwrap(), about["lines"].as_u64().unwrap()))
        .collect();
    assert_eq!(erased, [(2, 1), (1, 0)]);
    node.verify();
    // Other tools can read what is left, and a purge on the expiry day removes it.
    let srv = node.path("srv");
    let purged =
        node.run(&["purge", "--archive", arg(&srv), "--confirm-clock", "--now", "2030-01-01T10:00:00Z"]);
    assert_eq!(purged.status.code(), Some(0), "{}", text(&purged.stderr));
}

#[test]
fn erasure_finds_an_address_that_other_text_touches() {
    let node = Node::new();
    let texts = ["q=%20IP", "ip%3DIP", "joined#012IP", "from nodeIP", "IP", "IPat once"];
    let line = |text: &str| {
        let text = text.replace("IP", "192.0.2.9");
        format!(
            r#"{{"time":"2026-11-24T10:00:04+01:00","event":"ticket","ticket":9,"status":"closed","text":"{text}","closed_at":"2026-11-24"}}"#
        )
    };
    let lines: Vec<_> = texts.iter().map(|text| line(text) + "\n").collect();
    node.archive_with(&["--token-shape", "address", "--now", "2026-11-24T09:00:10Z"], &lines.concat());
    let left = || node.answer(&["replay"], &["--from", "2026-11-24"], 0).matches("\"ticket\":9,").count();
    assert_eq!(left(), 6);
    let answers =
        node.answer(&["subject", "erase", "--json"], &[&["--ip", "192.0.2.9"], &CASE[..]].concat(), 0);
    let answer: Value = serde_json::from_str(answers.trim_end()).unwrap();
    assert_eq!((&answer["outcome"], &answer["lines"], left()), (&"erased".into(), &6.into(), 0));
    node.verify();
}

#[test]
fn what_is_refused_erases_nothing() {
    let node = Node::new();
    let srv = node.path("srv");
    let erase = ["subject", "erase", "--archive", arg(&srv), "--now", LATER];
    for (options, code) in [
        (&["--ip", "203.0.113.7"][..], "P11"),
        (&["--ip", "203.0.113.7", "--case", "jean@example.org"], "P11"),
        (&["--ip", "203.0.113.7", "--case", "DSR-13"], "P12"),
        (&["--ip", "203.0.113", "--case", "DSR-13"], "P10"),
        (&["--ip", "203.0.113.7", "--case", "DSR-13", "--basis", "GDPR-18"], "P11"),
    ] {
        let refused = node.run(&[&erase[..], options].concat());
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), String::new()), "{options:?}");
        assert!(text(&refused.stderr).starts_with(&format!("error[{code}]")), "{}", text(&refused.stderr));
    }
    assert_eq!(node.ledger().iter().filter(|(event, _)| event == "access-refused").count(), 5);
    assert_eq!(node.answer(&["replay"], &["--ip", "203.0.113.7"], 0).lines().count(), 4);
    node.verify();
}

#[test]
fn restriction_keeps_the_lines_encrypted_and_freezes_nothing_else() {
    let node = Node::new();
    let options = [&JEAN[..], &CASE, &["--until", "2027-06-30"]].concat();
    assert_eq!(node.answer(&["subject", "restrict"], &options, 0), "");
    let held = node.run(&["hold", "list", "--json", "--now", LATER]);
    let hold: Value = serde_json::from_slice(&held.stdout).unwrap();
    assert_eq!((&hold["case"], &hold["until"]), (&"DSR-12".into(), &"2027-06-30".into()));
    // The last day that the ledger is sure of.
    assert_eq!((&hold["frozen_until"], &hold["frozen"]), (&"2026-11-24".into(), &false.into()));
    let extracts: Vec<_> = std::fs::read_dir(node.path("state/holds"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".lines.age"))
        .collect();
    let identity = |file: &str| -> age::x25519::Identity {
        file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().parse().unwrap()
    };
    let custodian = identity(&std::fs::read_to_string(node.identity()).unwrap());
    let key = std::fs::read(hold["key"].as_str().unwrap()).unwrap();
    let key = identity(&text(&age::decrypt(&custodian, &key).unwrap()));
    let lines = age::decrypt(&key, &std::fs::read(&extracts[0]).unwrap()).unwrap();
    assert_eq!(text(&lines).lines().count(), 5);
    // Prolonged: what was extracted stays, and what has come since is added.
    let longer = [&JEAN[..], &CASE, &["--user", "jean", "--until", "2028-06-30"]].concat();
    assert_eq!(node.answer(&["subject", "restrict"], &longer, 0), "");
    let held = node.run(&["hold", "list", "--json", "--now", LATER]);
    let hold: Value = serde_json::from_slice(&held.stdout).unwrap();
    assert_eq!((&hold["until"], &hold["extracts"]), (&"2028-06-30".into(), &2.into()));
    let shorter = node.desk(&["subject", "restrict"], &options);
    assert_eq!(shorter.status.code(), Some(2));
    assert!(text(&shorter.stderr).starts_with("error[H02]"), "{}", text(&shorter.stderr));
    // Each entry states the article that it answers.
    let bases = node.ledger().into_iter().filter(|(event, _)| event == "access");
    assert!(bases.into_iter().all(|(_, about)| about["basis"] == "GDPR-18"));
    node.verify();
}

/// An extract is a copy of the lines that no search of the archive sees and no erasure changes.
#[test]
fn answers_to_a_person_name_the_cases_whose_extracts_have_her_lines() {
    let node = Node::new();
    let person = [&JEAN[..], &CASE].concat();
    let asked = [&person[..], &PERIOD].concat();
    let told = |command: &str, options: &[&str]| {
        let output = node.desk(&["subject", command], options);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    assert!(!told("access", &asked).1.contains("extract"));
    told("restrict", &[&JEAN[..], &["--case", "DSR-11", "--until", "2027-06-30"]].concat());
    let (answer, access) = told("access", &asked);
    assert!(!answer.contains("DSR-11"), "the answer goes to the person: {answer}");
    let nobody = [&["--email", "nobody@example.org"][..], &CASE].concat();
    let of_nobody = "extracts of 1 case were searched, and have no line of the person";
    assert!(told("access", &[&nobody[..], &PERIOD].concat()).1.contains(of_nobody));
    let (_, erase) = told("erase", &person);
    for (told, left) in [
        (access, "have 5 lines of the person, and the answer has all of them"),
        (erase, "have 5 lines of the person, and stay until 2027-06-30: what a case needs is not erased"),
    ] {
        assert!(told.contains(&format!("note: extracts of case DSR-11 {left}")), "{told}");
        assert!(told.contains("`oubliette hold list`"), "{told}");
    }
    // By a token, an erasure takes no identity; and an extract does not say whose tenant it has lines of.
    let token = ["--token", "em_2epqfps049vxty9y8jbv82397yeke8r"];
    let place = ["--archive", arg(&node.path("srv")), "--now", LATER].map(str::to_owned);
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    let output = node.run(&[&["subject", "erase"], &place[..], &token, &CASE].concat());
    let of_token = text(&output.stderr);
    assert!(of_token.contains("were not searched or erased: DSR-11 (no identity was given"), "{of_token}");
    let of_tenant = told("access", &[&asked[..], &["--tenant", "default"]].concat()).1;
    assert!(of_tenant.contains("were not searched: DSR-11"), "{of_tenant}");
    let released = node.run(&[
        "hold",
        "release",
        "--case",
        "DSR-11",
        "--archive",
        arg(&node.path("srv")),
        "--now",
        LATER,
    ]);
    assert_eq!(released.status.code(), Some(0), "{}", text(&released.stderr));
    assert!(!told("access", &asked).1.contains("extract"));
    // Nobody knows whose lines the extracts of an unreadable hold have.
    std::fs::write(node.path("state/holds/0000000000000000.json"), "{}").unwrap();
    let output = node.desk(&["subject", "access"], &asked);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("warning[H01]"), "{told}");
}

/// After the expiry day, the extract alone has the lines. An inquiry may be secret, so they are no part of
/// the answer; but whoever answers must know of them.
#[test]
fn lines_that_only_an_extract_has_are_told_to_whoever_answers() {
    const AFTER: &str = "2027-11-26T10:00:00Z";
    let node = Node::new();
    let srv = node.path("srv");
    let run = |command: &[&str], options: &[&str], now: &str, exit: i32| {
        let (srv, identity) = (node.path("srv"), node.identity());
        let place = ["--archive", arg(&srv), "--now", now];
        let identity = ["--identity", arg(&identity)];
        let identity = if command[0] == "hold" && command[1] == "add" { &[][..] } else { &identity };
        let output = node.run(&[command, &place, identity, options].concat());
        assert_eq!(output.status.code(), Some(exit), "{command:?}: {}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let hold = ["--case", "2027/0815", "--until", "2028-06-30"];
    run(&["hold", "add"], &hold, LATER, 0);
    let ip = ["--ip", "203.0.113.7"];
    run(&["hold", "extract"], &[&ip[..], &hold[..2]].concat(), LATER, 0);
    let purged = node.run(&["purge", "--archive", arg(&srv), "--confirm-clock", "--now", AFTER]);
    assert_eq!(purged.status.code(), Some(0), "{}", text(&purged.stderr));
    // Three connections are purged, and the ticket is not.
    let asked = [&ip[..], &CASE, &PERIOD].concat();
    let (answer, told) = run(&["subject", "access"], &asked, AFTER, 1);
    assert_eq!(answer.matches("\"line\":").count(), 1, "{answer}");
    assert!(!answer.contains("2027/0815"), "{answer}");
    let warned = "warning[D04]: extracts of case 2027/0815 have 4 lines of the person: 3 not in the answer";
    assert!(told.contains(warned), "{told}");
    // A wrong identity opens nothing.
    let other = node.path("other");
    let made = node.bare(&["init"]).arg("--state-dir").arg(&other).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let wrong = other.join("escrow/identity-1.txt");
    let token = ["--token", "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr", "--identity", arg(&wrong)];
    let place = ["subject", "erase", "--archive", arg(&srv), "--now", AFTER];
    let output = node.run(&[&place[..], &token, &CASE].concat());
    let told = text(&output.stderr);
    assert!(told.contains("2027/0815 (the identity does not open the key of the hold)"), "{told}");
    // The ledger still names nobody.
    node.verify();
}

/// A move to the second store that breaks off leaves a segment in both. If the copy stayed, the lines would
/// be back after the next purge.
#[test]
fn an_erasure_takes_the_copy_that_a_crash_left_in_the_other_store() {
    let node = Node::new();
    let (first, second) = (node.path("srv/archive"), node.path("srv/intermediate"));
    let mut copies = Vec::new();
    for day in std::fs::read_dir(&first).unwrap() {
        let folder = day.unwrap().path().join("class=support-ticket");
        for segment in std::fs::read_dir(folder).into_iter().flatten() {
            let segment = segment.unwrap().path();
            let copy = second.join(segment.strip_prefix(&first).unwrap());
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(&segment, &copy).unwrap();
            copies.push(copy);
        }
    }
    assert!(!copies.is_empty());
    let search = || text(&node.desk(&["replay"], &["--email", "jean@example.org"]).stdout);
    assert_eq!(search().lines().count(), 2);
    node.answer(&["subject", "erase"], &[&["--email", "jean@example.org"][..], &CASE].concat(), 0);
    assert!(copies.iter().all(|copy| !copy.exists()), "{copies:?}");
    assert_eq!(search(), "");
    node.verify();
}

/// An authority may have frozen lines under the same reference. If a restriction released them, they would go
/// on their expiry day unless somebody extracts them.
#[test]
fn a_restriction_lets_go_of_nothing_that_an_authority_has_frozen() {
    let node = Node::new();
    let srv = node.path("srv");
    let freeze = ["hold", "add", "--case", "DSR-12", "--until", "2027-06-30", "--class", "connection"];
    let added = node.run(&[&freeze[..], &["--archive", arg(&srv), "--now", LATER]].concat());
    assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
    let hold = || {
        let listed = node.run(&["hold", "list", "--json", "--now", LATER]);
        serde_json::from_slice::<Value>(&listed.stdout).unwrap()
    };
    let frozen = hold();
    let restrict = [&JEAN[..], &CASE, &["--until", "2027-06-30"]].concat();
    let refused = node.desk(&["subject", "restrict"], &restrict);
    assert_eq!((refused.status.code(), hold()), (Some(2), frozen), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).starts_with("error[H03]"), "{}", text(&refused.stderr));
}

#[test]
fn a_breach_is_counted_and_its_people_listed() {
    let node = Node::new();
    let of = |options: &[&str]| {
        let rows = node.answer(&["subject", "affected", "--json"], &[&PERIOD[..], options].concat(), 0);
        rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let distinct = |rows: &[Value]| {
        rows.iter()
            .map(|row| (row["kind"].as_str().unwrap().to_owned(), row["distinct"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    // Counted by token, a person counts once per day; by original, only once.
    assert_eq!(distinct(&of(&[])), [("em".to_owned(), 3), ("ip".to_owned(), 3)]);
    let reveal = [&["--reveal"], &CASE[..]].concat();
    assert_eq!(distinct(&of(&reveal)), [("em".to_owned(), 2), ("ip".to_owned(), 2)]);
    let listed = of(&[&reveal[..], &["--list"]].concat());
    let jean = listed.iter().find(|person| person["identifier"] == "203.0.113.7").unwrap();
    assert_eq!((&jean["lines"], &jean["first"]), (&4.into(), &"2026-11-23T09:00:00Z".into()));
    let revealed = || node.ledger().into_iter().rfind(|(event, _)| event == "access-done");
    assert_eq!(revealed().unwrap().1["revealed"], 4, "each of the list once");
    of(&reveal);
    assert_eq!(revealed().unwrap().1["revealed"], 0, "numbers name nobody");
    let tokens = of(&["--list"]);
    assert_eq!(revealed().unwrap().1["revealed"], 0, "tokens are no originals");
    assert!(tokens.iter().all(|person| person["identifier"].as_str().unwrap().len() == 34));
    // With encrypted output, nothing goes to standard output in clear.
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let options = [&PERIOD[..], &reveal, &["--list", "--recipient", &recipient]].concat();
    let output = node.desk(&["subject", "affected"], &options);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let list = text(&age::decrypt(&identity, &output.stdout).unwrap());
    assert!(list.contains("anne@example.org") && list.lines().count() == 4, "{list}");
    assert_eq!(revealed().unwrap().1["revealed"], 4);
    let refused = node.desk(&["subject", "affected"], &[&PERIOD[..], &["--reveal"]].concat());
    assert!(text(&refused.stderr).starts_with("error[P11]"), "{}", text(&refused.stderr));
    node.verify();
}

#[test]
fn times_without_a_zone_are_read_as_the_filter_read_them() {
    let node = Node::new();
    let lines = "Nov 23 04:30:02 web9 sshd[1]: Failed password for root from 192.0.2.44 port 1 ssh2\n\
                 Nov 23 04:30:07 web9 sshd[1]: Failed password for root from 192.0.2.44 port 2 ssh2\n";
    let new_york = ["--source-zone", "America/New_York"];
    node.archive_with(&[&["--now", "2026-11-23T09:30:10Z"], &new_york[..]].concat(), lines);
    let period = ["--from", "2026-11-23T09:30:07Z", "--to", "2026-11-23T09:30:07Z"];
    let access = ["--case", "DSR-9", "--ip", "192.0.2.44"];
    let config = node.path("zone.toml");
    std::fs::write(&config, "source_zone = 'Asia/Tokyo'\n").unwrap();
    // The segment states its source zone, whatever the configuration is now.
    for told in [&[][..], &new_york, &["--config", arg(&config)]] {
        let found = node.answer(&["subject", "access"], &[&access[..], &period, told].concat(), 0);
        assert!(found.contains("\"time_utc\":\"2026-11-23T09:30:07Z\""), "{told:?}: {found}");
        let counted = node.answer(&["subject", "affected", "--json"], &[&period[..], told].concat(), 0);
        assert_eq!(counted.trim(), r#"{"kind":"ip","distinct":1,"lines":1}"#, "{told:?}");
    }
    // The zone on the command line takes precedence. Read as Tokyo times, none of the stated times would have
    // been believed, so the lines count from receipt, which may lie in the period.
    let typed = [&period[..], &["--source-zone", "Asia/Tokyo", "--ip", "192.0.2.44"]].concat();
    let output = node.desk(&["replay"], &typed);
    let (lines, told) = (text(&output.stdout), text(&output.stderr));
    assert!(
        lines.lines().count() == 2 && told.contains("2 lines may be from outside the period"),
        "{lines}{told}"
    );
    node.verify();
}

#[test]
fn an_answer_remarks_on_lines_that_should_be_gone() {
    let node = Node::new();
    let (srv, identity) = (node.path("srv"), node.identity());
    let told = |now: &str| {
        let place = ["--archive", arg(&srv), "--identity", arg(&identity), "--now", now];
        let options = [&["--case", "DSR-3", "--ip", "203.0.113.7"], &PERIOD[..]].concat();
        let output = node.run(&[&["subject", "access"], &place[..], &options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(!told("2027-11-23T22:59:59Z").contains("expiry day"));
    let after = told("2027-11-24T10:00:00Z");
    assert!(after.contains("note: 1 segment past the expiry day and not purged"), "{after}");
}

#[test]
fn a_line_without_a_time_is_found_in_every_period_that_it_may_be_of() {
    let node = Node::new();
    // A late line has an old time, and the line after it has none.
    let lines = "Nov 23 09:30:00 web9 sshd[1]: Failed password for root from 192.0.2.45 port 1 ssh2\n\
                 a line of 192.0.2.44 without a time\n\
                 Nov 23 10:30:00 web9 sshd[1]: Failed password for root from 192.0.2.45 port 2 ssh2\n";
    node.archive_with(&["--now", "2026-11-23T09:30:10Z"], lines);
    let person = ["--ip", "192.0.2.44"];
    for (from, to, found) in [
        ("2026-11-23T09:30:05Z", "2026-11-23T09:31:00Z", true),
        ("2026-11-23T08:26:00Z", "2026-11-23T08:40:00Z", true),
        ("2026-11-23T09:30:11Z", "2026-11-23T10:00:00Z", false),
        ("2026-11-23T08:00:00Z", "2026-11-23T08:24:00Z", false),
    ] {
        let output = node.desk(&["replay"], &[&person[..], &["--from", from, "--to", to]].concat());
        let (lines, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(lines.lines().count(), usize::from(found), "{from}: {lines}{told}");
        assert_eq!(told.contains("1 line may be from outside the period"), found, "{told}");
    }
    // A whole day contains it for certain.
    let output =
        node.desk(&["replay"], &[&person[..], &["--from", "2026-11-23", "--to", "2026-11-23"]].concat());
    assert!(!text(&output.stderr).contains("outside the period"), "{}", text(&output.stderr));
    let to = node.path("bundle");
    let case = ["--bundle", arg(&to), "--case", "PV-1", "--basis", "60-1/3"];
    let period = ["--from", "2026-11-23T09:30:05Z", "--to", "2026-11-23T09:31:00Z"];
    node.answer(&["replay"], &[&person[..], &period, &case].concat(), 0);
    let table = std::fs::read_to_string(to.join("lines.csv")).unwrap();
    let between =
        "\"receipt (the line states no time), between 2026-11-23T08:30:00Z and 2026-11-23T09:30:10Z\"";
    assert!(table.contains(between), "{table}");
}

/// Whoever prolongs a restriction must learn that what was kept before is still there, and not only what is
/// new.
#[test]
fn a_restriction_says_what_it_has_and_a_prolonged_one_what_it_had() {
    let node = Node::new();
    let restrict = |who: &[&str], until: &str, exit: i32| {
        let options = [who, &["--case", "DSR-11", "--until", until]].concat();
        let output = node.desk(&["subject", "restrict"], &options);
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let none = restrict(&["--ip", "203.0.113.70"], "2027-06-30", 1);
    assert!(none.contains("nothing is restricted: no line was found"), "{none}");
    assert!(restrict(&JEAN, "2027-06-30", 0).contains("restricted until 2027-06-30: 5 lines, encrypted"));
    let longer = restrict(&JEAN, "2028-06-30", 0);
    assert!(
        longer.contains("restricted until 2028-06-30: 1 extract made before, and 5 lines now"),
        "{longer}"
    );
}
