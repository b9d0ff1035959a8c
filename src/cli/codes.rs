//! The messages of the command line and the configuration (`C..`), and the list of all messages.

use crate::primitives::diag::Code;

/// Every code of every area, in the order of the identifiers.
pub(crate) fn all() -> Vec<&'static Code> {
    let mut codes: Vec<&Code> = AREAS.iter().flat_map(|area| area.iter().copied()).collect();
    codes.sort_by_key(|code| code.id);
    codes
}

/// The code called `id`, in upper or lower case.
pub(crate) fn find(id: &str) -> Option<&'static Code> {
    all().into_iter().find(|code| code.id.eq_ignore_ascii_case(id))
}

/// Whether `text` has the form of a code: a letter, two digits.
pub(crate) fn is_id(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, tens, ones]
        if letter.is_ascii_alphabetic() && tens.is_ascii_digit() && ones.is_ascii_digit())
}

const AREAS: &[&[&Code]] = &[
    CODES,
    crate::archive::CODES,
    crate::detect::account::CODES,
    crate::input::CODES,
    crate::jobs::CODES,
    crate::jobs::batch::CODES,
    crate::jobs::bundle::CODES,
    crate::jobs::collect::CODES,
    crate::jobs::hold::CODES,
    crate::jobs::purge::CODES,
    crate::jobs::replay::CODES,
    crate::jobs::subject::CODES,
    crate::jobs::vaults::CODES,
    crate::keyring::CODES,
    crate::ledger::CODES,
    crate::pipeline::CODES,
    crate::pipeline::outlet::CODES,
    crate::quarantine::CODES,
    crate::rules::CODES,
    crate::rules::retention::CODES,
    crate::shred::CODES,
    crate::telemetry::CODES,
    crate::vault::CODES,
];

/// The codes of this area.
const CODES: &[&Code] = &[
    &USAGE,
    &OPEN,
    &CONFIG,
    &NO_STATE_DIR,
    &SAME_FILE,
    &CONFLICT,
    &CORE_DUMPS,
    &BUG,
    &STDOUT,
    &UNKNOWN_CODE,
    &QUARANTINED,
    &ATTENTION,
    &NO_ESCROW,
    &IDENTITIES_HERE,
    &NO_OBJECTS,
];

pub(crate) static USAGE: Code = Code {
    id: "C01",
    title: "the command line is not understood",
    text: "\
What it means
  An option or argument is unknown, missing, given twice, or has a value of the wrong form.

Why it matters
  An option that is not understood could be the one that hides something. Nothing was read and nothing
  was written.

Example
  oubliette filter --kepe 10.0.0.0/8

What to do
  `oubliette COMMAND -h` shows the options on one screen, `oubliette COMMAND --help` explains them. The
  message names the option but does not repeat its value: what is typed here may be an identifier.

References
  oubliette(1)",
};

pub(crate) static OPEN: Code = Code {
    id: "C02",
    title: "a file cannot be opened",
    text: "\
What it means
  A file that was named on the command line, in the environment or in the configuration cannot be read,
  or the output file cannot be written.

Why it matters
  A configuration or rule file that is passed over could be the one that hides something. So a file that
  was named must be there.

Example
  oubliette filter --config /etc/oubliette.toml        # no such file

What to do
  Mend the path or the permissions; the message says what the operating system says.

References
  open(2), section ERRORS",
};

pub(crate) static CONFIG: Code = Code {
    id: "C03",
    title: "the configuration does not load",
    text: "\
What it means
  The configuration file is not valid TOML, has a key that does not exist, or a value of the wrong form.
  The message names file, line and column, and never quotes what stands there: it may be a password.

Why it matters
  A misspelt key would silently leave the default in force: identifiers would stay in clear, or lines
  would be dated in the wrong zone. Nothing was read and nothing was written.

Example
  zoen = \"Europe/Paris\"          the key is `zone`

What to do
  Mend the line, then run `oubliette check`. The keys are: zone, source_zone, tenant, epoch (day, month,
  fixed), source (random, seed), recipients, also, keep, tag (native, suffix, none), token_shape (native,
  address), max_line_bytes, rules, trust_upstream, vault, sync, node, escrow, and the table [serve] with
  [serve.limits] and [[serve.input]].

References
  TOML v1.0.0, https://toml.io/en/v1.0.0",
};

pub(crate) static NO_STATE_DIR: Code = Code {
    id: "C04",
    title: "there is no place for the state directory",
    text: "\
What it means
  No state directory was named, and neither XDG_STATE_HOME nor HOME says where one could be.

Why it matters
  Epoch secrets must survive a restart, or the tokens of one day would differ before and after it.

Example
  a service without `StateDirectory=` and without a home directory

What to do
  Name one with `--state-dir DIR` or OUBLIETTE_STATE_DIR. It must belong to the user who runs oubliette.

References
  XDG Base Directory Specification, XDG_STATE_HOME",
};

pub(crate) static SAME_FILE: Code = Code {
    id: "C05",
    title: "input and output are the same file",
    text: "\
What it means
  The file to be read and the file to be written are one and the same, perhaps under two names.

Why it matters
  Writing would destroy lines before they are read, or what is written would be read again without end.
  Nothing was written.

Example
  oubliette filter access.log -o access.log
  oubliette filter access.log >> access.log

What to do
  Write to another file, look at it, then rename it over the first: `mv access.out.log access.log`.

References
  none",
};

pub(crate) static CONFLICT: Code = Code {
    id: "C06",
    title: "two settings contradict each other",
    text: "\
What it means
  Two options, or an option and the configuration, ask for things that cannot both be.

Why it matters
  Whichever oubliette chose, one of the two would silently not hold.

Example
  oubliette filter --key-file key --epoch day          # a key file is one secret for ever

What to do
  Leave one of the two out; the message names both.

References
  oubliette(1)",
};

pub(crate) static CORE_DUMPS: Code = Code {
    id: "C07",
    title: "core dumps cannot be switched off",
    text: "\
What it means
  oubliette asks the operating system never to write an image of its memory to disk. It was refused.

Why it matters
  Its memory holds log lines in clear and the epoch secret. A core dump would put both on disk, where
  nothing purges them. So no line is read.

Example
  a sandbox whose system call filter forbids prctl(2) or setrlimit(2)

What to do
  Allow setrlimit(RLIMIT_CORE) and prctl(PR_SET_DUMPABLE) to this service.

References
  core(5), prctl(2), getrlimit(2)",
};

pub(crate) static BUG: Code = Code {
    id: "C08",
    title: "a bug in oubliette",
    text: "\
What it means
  Something that must always hold did not, and oubliette has stopped itself.

Why it matters
  Going on could let an identifier through or lose a line. Lines that were read and not yet written are
  not in the output: send the input again from the last line that is.

Example
  none is known

What to do
  Please report the place that the message names, and `oubliette --version`. Nothing else is needed; in
  particular, send no log lines that hold identifiers.

References
  none",
};

pub(crate) static STDOUT: Code = Code {
    id: "C09",
    title: "standard output cannot be written",
    text: "\
What it means
  Writing to standard output failed: the disk behind it is full, or the device reported an error. (A
  reader that closes a pipe early is not an error.) Or it was closed from the beginning, which is a warning; the null
  device opened for reading and writing, as some programs pass it on, cannot be told from that. `serve` refuses an output
  `stdout` then, for nobody would read the warning.

Why it matters
  What comes after that point is missing from the output.

Example
  oubliette explain --list > /dev/full; oubliette filter >&-

What to do
  Make room and run the command again. Send what comes to a file or a pipe; to drop it and mean it, `> /dev/null`.

References
  write(2), section ERRORS",
};

pub(crate) static UNKNOWN_CODE: Code = Code {
    id: "C10",
    title: "there is no message with that code",
    text: "\
What it means
  `oubliette explain` was given something of the form of a code (a letter and two digits), but no message
  of this version has that code.

Why it matters
  Codes are stable: one that is missing here belongs to another version.

Example
  oubliette explain Z99

What to do
  `oubliette explain --list` shows all codes. To explain a log line of three characters, send it on
  standard input: `echo Z99 | oubliette explain`.

References
  none",
};

pub(crate) static ATTENTION: Code = Code {
    id: "C12",
    title: "the report names something that needs a human",
    text: "\
What it means
  The report was written. Under \"Needs attention\" it names what is not as it should be: lines past their
  expiry day, a purge that was begun and not ended, a class that the policy does not know, an archive without
  any segment though the ledger knows of some, or a ledger that is not whole.

Why it matters
  Lines kept too long break the law (Code penal 226-20), and a ledger that is not whole proves nothing.

Example
  segments past their expiry day 2027-11-24: 2

What to do
  Lines past their day: run `oubliette purge`, which says why a file stays, such as a hold. A purge not
  ended: run it again. A class: put its rule back, or tell why it is gone. No segment: name the directory that
  `filter` or `serve` writes to, with its disk mounted. A ledger: `oubliette ledger verify` names the place,
  `oubliette explain L02` says what to keep.

References
  GDPR 5(1)(e), 5(2), 30",
};

pub(crate) static QUARANTINED: Code = Code {
    id: "C11",
    title: "lines were too long, or had no end, and lie sealed in quarantine",
    text: "\
What it means
  Lines longer than `max_line_bytes` were not searched, nor lines whose end never came: the sender was cut off, or
  oubliette was stopped in the middle of one. Half an address looks like none, and would go out in clear. Each lies in
  `<state>/quarantine`, encrypted to the escrow recipients, and a placeholder with its name and length went out in its place.

Why it matters
  They are not lost, but nobody sees them until the holder of an escrow identity opens them: `replay` does not search
  quarantine. `oubliette purge` removes each on the day of its placeholder, also where there is no archive; a filter does not.

Example
  a debug log that prints a request body of 10 MiB on one line

What to do
  Find the source that writes such lines; one without an end is shorter than the limit that its placeholder names, and
  its sender should end each line with a line feed. If long lines are normal, raise `--max-line-bytes`. To read one:
  `age --decrypt -i IDENTITY FILE`. Run `oubliette purge` daily, from a timer, or lines lie here longer than the law allows.

References
  age-encryption.org/v1",
};

pub(crate) static NO_ESCROW: Code = Code {
    id: "K15",
    title: "nobody could give an identifier back later",
    text: "\
What it means
  Epoch secrets of this node are wrapped to nobody. When an epoch is over its secret is erased, and then
  nobody can tell whose its tokens are.

Why it matters
  A judge may lawfully ask for the lines of one address, of a day long past. Without escrow there is no
  answer. If that is what you want, nothing need be done.

Example
  the first `oubliette filter` on a machine, before any `oubliette init`

What to do
  `oubliette init` makes two identities and wraps every later secret to both; `oubliette keys wrap` does so
  for the running one. Or name the recipients you have: `oubliette init --recipient age1...`.

References
  LCEN art. 6 V; NIST SP 800-57 Part 1, key escrow",
};

pub(crate) static IDENTITIES_HERE: Code = Code {
    id: "K16",
    title: "escrow identities still lie on this machine",
    text: "\
What it means
  `oubliette init` made two identities in `<state>/escrow`. At least one of them is still there.

Why it matters
  Whoever reads this disk, or a backup of it, can open every epoch secret with it, and then tell whose every
  token is. Data that the same person can re-identify at once is barely pseudonymised.

Example
  /var/lib/oubliette/escrow/identity-1.txt

What to do
  Move one to each of two people or places that do not run this machine: a safe, a notary, the legal
  department. Check that the copies are readable, then erase them here.

References
  GDPR art. 4(5), \"kept separately\"; EDPB Guidelines 01/2025",
};

pub(crate) static NO_OBJECTS: Code = Code {
    id: "F01",
    title: "this build knows no object storage",
    text: "\
What it means
  A path begins with s3://, and this oubliette was built without the feature `s3`.

Why it matters
  Most nodes never need object storage, and its client is larger than the rest of oubliette. So it is off unless asked
  for. Nothing was done.

Example
  oubliette verify s3://logs/fleet

What to do
  Install the fleet's build, or build it: `cargo build --release --features s3`; with `kafka` instead of `s3`, it
  has both.

References
  docs/fleet/README.md",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let ids: Vec<&str> = all().iter().map(|code| code.id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ids.iter().all(|id| is_id(id)), "{ids:?}");
    }

    #[test]
    fn every_code_has_its_long_text() {
        const SECTIONS: [&str; 5] =
            ["What it means", "Why it matters", "Example", "What to do", "References"];
        for code in all() {
            let found: Vec<&str> = code.text.lines().filter(|line| SECTIONS.contains(line)).collect();
            assert_eq!(found, SECTIONS, "{}", code.id);
            assert!(!code.title.ends_with('.'), "{}", code.id);
        }
    }

    #[test]
    fn what_looks_like_a_code() {
        for (text, is) in
            [("K03", true), ("k03", true), ("K3", false), ("003", false), ("K033", false), ("", false)]
        {
            assert_eq!(is_id(text), is, "{text}");
        }
    }

    #[test]
    fn codes_are_found_in_any_case() {
        assert_eq!(find("c03"), Some(&CONFIG));
        assert_eq!(find("Z99"), None);
    }
}
