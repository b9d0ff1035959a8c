//! The messages of the command line and the configuration (`C..`), and the list of all error codes.

use crate::primitives::diag::Code;

/// Returns every code of every module, sorted by identifier.
pub(crate) fn all() -> Vec<&'static Code> {
    let mut codes: Vec<&Code> = AREAS.iter().flat_map(|area| area.iter().copied()).collect();
    codes.sort_by_key(|code| code.id);
    codes
}

/// Finds the code called `id`, in upper or lower case.
pub(crate) fn find(id: &str) -> Option<&'static Code> {
    all().into_iter().find(|code| code.id.eq_ignore_ascii_case(id))
}

/// Returns whether `text` has the form of a code: a letter and two digits.
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

/// All error codes of this module.
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
    &TWO_CONFIGURATIONS,
    &UNPURGED,
    &NO_ESCROW,
    &IDENTITIES_HERE,
    &NO_OBJECTS,
];

pub(crate) static USAGE: Code = Code {
    id: "C01",
    title: "the command line is not understood",
    text: "\
What it means
  An option or argument is unknown, missing, given twice, or has a value of the wrong form. The
  message names the option but does not repeat its value, which may be an identifier.

Why it matters
  An option that oubliette does not understand could be the one that hides something. It read
  nothing and wrote nothing.

Example
  oubliette filter --kepe 10.0.0.0/8

What to do
  1. Run `oubliette COMMAND -h`: it shows the options on one screen. `oubliette COMMAND --help`
     explains them.
  2. Correct the command.

References
  oubliette(1)",
};

pub(crate) static OPEN: Code = Code {
    id: "C02",
    title: "a file cannot be opened",
    text: "\
What it means
  oubliette cannot read a file that is named on the command line, in the environment or in the
  configuration. Or it cannot write the output file.

Why it matters
  A configuration or rule file that is skipped could be the one that hides something. So a file that
  you name must be there.

Example
  oubliette filter --config /etc/oubliette.toml        # no such file

What to do
  Correct the path or the permissions. The message repeats what the operating system says.

References
  open(2), section ERRORS",
};

pub(crate) static CONFIG: Code = Code {
    id: "C03",
    title: "the configuration does not load",
    text: "\
What it means
  The configuration file is not valid TOML, has a key that does not exist, or a value of the wrong
  form. The message names file, line and column. It does not quote the line, which may hold a
  password.

Why it matters
  A misspelt key would leave the default in force: identifiers would stay in clear, or lines would
  be dated in the wrong zone. oubliette read nothing and wrote nothing.

Example
  zoen = \"Europe/Paris\"          the key is `zone`

What to do
  1. Correct the line. The keys are: zone, source_zone, tenant, epoch (day, month, fixed), source
     (random, seed), recipients, also, keep, tag (native, suffix, none), token_shape (native,
     address), max_line_bytes, rules, trust_upstream, archive, vault, sync, node, escrow, and the
     table [serve] with [serve.limits] and [[serve.input]]. `oubliette check --reference` explains
     all of them.
  2. Run `oubliette check`.

References
  TOML v1.0.0, https://toml.io/en/v1.0.0",
};

pub(crate) static NO_STATE_DIR: Code = Code {
    id: "C04",
    title: "there is no place for the state directory",
    text: "\
What it means
  You named no state directory, and neither XDG_STATE_HOME nor HOME says where one could be.

Why it matters
  Epoch secrets must survive a restart. Otherwise the tokens of one day would differ before and
  after it.

Example
  a service without `StateDirectory=` and without a home directory

What to do
  Name one with `--state-dir DIR` or OUBLIETTE_STATE_DIR. It must belong to the user who runs
  oubliette.

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
  Writing would destroy lines before they are read, or oubliette would read again what it writes,
  without end. It wrote nothing.

Example
  oubliette filter access.log -o access.log
  oubliette filter access.log >> access.log

What to do
  1. Write to another file: `oubliette filter access.log -o access.out.log`
  2. Look at it.
  3. Rename it over the first: `mv access.out.log access.log`

References
  none",
};

pub(crate) static CONFLICT: Code = Code {
    id: "C06",
    title: "two settings contradict each other",
    text: "\
What it means
  Two options, or an option and the configuration, exclude each other. The message names both.

Why it matters
  Whichever oubliette chose, it would silently ignore the other.

Example
  oubliette filter --key-file key --epoch day          # a key file is one secret for ever

What to do
  Leave one of the two out.

References
  oubliette(1)",
};

pub(crate) static CORE_DUMPS: Code = Code {
    id: "C07",
    title: "core dumps cannot be switched off",
    text: "\
What it means
  oubliette asked the operating system never to write an image of its memory to disk, and the system
  refused.

Why it matters
  Its memory holds log lines in clear and the epoch secret. A core dump would put both on disk,
  where nothing purges them. So oubliette reads no line.

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
  A condition that must always hold did not, and oubliette stopped itself.

Why it matters
  Going on could let an identifier through or lose a line. Lines that were read and not yet written
  are missing from the output.

Example
  none is known

What to do
  1. Send the input again, from the last line of the output on.
  2. Report the place that the message names, and the output of `oubliette --version`. Send nothing
     else, and in particular no log lines that hold identifiers.

References
  none",
};

pub(crate) static STDOUT: Code = Code {
    id: "C09",
    title: "standard output cannot be written",
    text: "\
What it means
  oubliette could not write to standard output: the disk behind it is full, or the device reported
  an error. (A reader that closes a pipe early is not an error.)

  As a warning: standard output was closed from the beginning. The null device, opened for reading
  and writing as some programs pass it on, looks the same to oubliette. `serve` then refuses an
  output `stdout`, because nobody would read the warning.

Why it matters
  The output is incomplete: everything after that point is missing.

Example
  oubliette explain --list > /dev/full; oubliette filter >&-

What to do
  1. Make room.
  2. Run the command again, with its output to a file or a pipe. To discard the output on purpose,
     use `> /dev/null`.

References
  write(2), section ERRORS",
};

pub(crate) static UNKNOWN_CODE: Code = Code {
    id: "C10",
    title: "there is no message with that code",
    text: "\
What it means
  You gave `oubliette explain` something that looks like a code (a letter and two digits), but no
  message of this version has that code.

Why it matters
  Codes never change. One that is missing here belongs to another version.

Example
  oubliette explain Z99

What to do
  Run `oubliette explain --list` to see all codes. To explain a log line of three characters, send
  it on standard input: `echo Z99 | oubliette explain`

References
  none",
};

pub(crate) static ATTENTION: Code = Code {
    id: "C12",
    title: "the report names something that needs a human",
    text: "\
What it means
  oubliette wrote the report. Under \"Needs attention\", the report lists what is wrong: lines past
  their expiry day, a purge that began and did not end, a class that the policy does not know, an
  archive without any segment though the ledger lists some, segments or shred keys that are missing
  before their day, a damaged ledger, or a clock that has jumped and that nobody has confirmed.

Why it matters
  Keeping lines too long breaks the law (Code penal 226-20). Nobody can give back lines whose
  segment is lost, or originals whose shred key is. A damaged ledger proves nothing.

Example
  segments past their expiry day 2027-11-24: 2

What to do
  - Lines past their day: run `oubliette purge`. It says why a file stays, for example because of a
    hold.
  - A purge that did not end: run `oubliette purge` again.
  - An unknown class: put its rule back, or write down why it is gone.
  - No segment: mount the disk, and name the directory that `filter` or `serve` writes to.
  - Missing segments or shred keys: run `oubliette verify DIR`, which names the files. Restore
    segments from a copy. Shred keys have no copy: find out whether the state directory is the one
    that wrote the archive, or an older one that somebody restored.
  - A damaged ledger: run `oubliette ledger verify`, which names the place. `oubliette explain L02`
    says what to keep.
  - A clock that has jumped: `oubliette explain P01`.

References
  GDPR 5(1)(e), 5(2), 30",
};

pub(crate) static TWO_CONFIGURATIONS: Code = Code {
    id: "C13",
    title: "there is another configuration in the state directory",
    text: "\
What it means
  `serve` reads the configuration that `--config` or OUBLIETTE_CONFIG names. There is another one in
  the state directory, `config.toml`, which commands read for which none is named.

Why it matters
  If the two differ in `tenant`, `epoch` or `also`, `oubliette token` prints tokens that are in no
  log. If they differ in `zone`, `rules` or `vault`, `oubliette purge` removes other lines than the
  service does.

Example
  /etc/oubliette/config.toml of the package, and /var/lib/oubliette/config.toml

What to do
  - Move what is needed from the one in the state directory into the other, and remove it. Commands
    for the state directory /var/lib/oubliette then read /etc/oubliette/config.toml.
  - With other paths, give `--config FILE` to every command, or set OUBLIETTE_CONFIG.

References
  docs/configuration.md",
};

pub(crate) static UNPURGED: Code = Code {
    id: "C14",
    title: "days that are over are still in the archive",
    text: "\
What it means
  The archive that this filter writes to has folders of expiry days before today. A filter purges
  nothing: `oubliette serve` does, and `oubliette purge`. Either no purge has run here since, or
  something kept it from removing the files, such as a hold.

Why it matters
  Keeping lines too long breaks the law (Code penal 226-20).

Example
  /srv/log/archive/expires=2027-11-24     on 26 November 2027

What to do
  - Run `oubliette purge --archive DIR`. It says why a file stays.
  - Let a timer run it daily. The package has one: `systemctl enable --now oubliette-purge.timer`.

References
  docs/purge.md",
};

pub(crate) static QUARANTINED: Code = Code {
    id: "C11",
    title: "lines were too long, or had no end, and lie sealed in quarantine",
    text: "\
What it means
  oubliette does not search a line that is longer than `max_line_bytes`, or whose end never came
  because the sender was cut off or oubliette was stopped. Half an address does not look like one,
  and would go out in clear. So each such line is in `<state>/quarantine`, encrypted to the escrow
  recipients or, without any, to `identity.txt` there. A placeholder with its name and length went
  out in its place.

Why it matters
  The lines are not lost, but `replay` does not search quarantine: only the holder of such an
  identity can read them. `oubliette purge` removes each on the expiry day of its placeholder, also
  without an archive. A filter does not.

Example
  a debug log that prints a request body of 10 MiB on one line

What to do
  1. To read a line: `age --decrypt -i IDENTITY FILE`
  2. Find the source that writes such lines. If the line is shorter than the limit that its
     placeholder names, it had no end: make its sender end each line with a line feed. If long lines
     are normal, raise `--max-line-bytes`.
  3. Run `oubliette purge` daily from a timer. Otherwise the lines stay here longer than the law
     allows.

References
  age-encryption.org/v1",
};

pub(crate) static NO_ESCROW: Code = Code {
    id: "K15",
    title: "nobody could give an identifier back later",
    text: "\
What it means
  This node has no escrow recipients, so it wraps its epoch secrets to nobody. When an epoch ends,
  oubliette erases the secret. From then on, nobody can find the original of a token of that epoch.

Why it matters
  A judge may lawfully ask for the lines of one address on a day long past. Without escrow you
  cannot answer. If that is what you want, do nothing.

Example
  the first `oubliette filter` on a machine, before any `oubliette init`

What to do
  1. Run `oubliette init`: it makes two identities, and oubliette wraps every later secret to both.
     If you have recipients already, name them instead: `oubliette init --recipient age1...`
  2. Run `oubliette keys wrap` to wrap the secret that is in use now.

References
  LCEN art. 6 V; NIST SP 800-57 Part 1, key escrow",
};

pub(crate) static IDENTITIES_HERE: Code = Code {
    id: "K16",
    title: "escrow identities still lie on this machine",
    text: "\
What it means
  `oubliette init` made two identities in `<state>/escrow`. At least one of them is still on this
  machine.

Why it matters
  Anybody who reads this disk, or a backup of it, can open every epoch secret with that identity,
  and then link every token to a person. Data that one person can re-identify alone is barely
  pseudonymised.

Example
  /var/lib/oubliette/escrow/identity-1.txt

What to do
  1. Copy each identity to another person or place that does not run this machine: a safe, a notary,
     the legal department.
  2. Check that the copies can be read.
  3. Erase the identities here.

References
  GDPR art. 4(5), \"kept separately\"; EDPB Guidelines 01/2025",
};

pub(crate) static NO_OBJECTS: Code = Code {
    id: "F01",
    title: "this build knows no object storage",
    text: "\
What it means
  A path begins with s3://, and this oubliette was built without the feature `s3`. It did nothing.

Why it matters
  Most nodes never need object storage, and its client is larger than the rest of oubliette. So the
  default build does not have it.

Example
  oubliette verify s3://logs/fleet

What to do
  Install the fleet's build, or build it: `cargo build --release --features s3`. With `kafka`
  instead of `s3`, it has both.

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
