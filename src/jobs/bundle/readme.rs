//! The texts in which a bundle describes itself, in English and in French, and the script that checks it.
//!
//! The French file has accents; they are escaped here, because sources are ASCII.

use super::About;
use crate::jobs::replay::{PurgedSpan, Purpose};
use jiff::Timestamp;
use jiff::civil::Date;

/// Returns the contents of `README.txt`.
pub(super) fn english(about: &About, lines: u64, day: Date) -> String {
    let Stated { case, basis, operator, from, to } = Stated::of(&about.purpose, "not stated");
    let answer = match lines {
        0 if !about.gaps.is_empty() => {
            "No line was found in the segments that were searched. Others were not: see below.".to_owned()
        }
        0 if !about.gaps.unlisted.is_empty() => "No line was found in the segments that were searched. Whether others \
              should be there cannot be told: see below."
            .to_owned(),
        0 if about.in_clear => "No line was found that has a token of what was asked for; see below.".to_owned(),
        0 if about.gaps.purged.span().is_some() => "NO LINE WAS FOUND among those that the archive still has: none of \
              them, in the period and the classes asked for, names what was asked for. lines.log is empty."
            .to_owned(),
        0 => "NO LINE WAS FOUND. That is the answer: in the period and the classes asked for, no line of the archive \
              names what was asked for. lines.log is empty."
            .to_owned(),
        1 => "One line was found.".to_owned(),
        _ => format!("{lines} lines were found."),
    };
    let in_clear = if about.in_clear { IN_CLEAR } else { "" };
    let purged = about.gaps.purged.span().map(purged_in_english).unwrap_or_default();
    let unlisted = match about.gaps.unlisted.len() {
        0 => String::new(),
        count => format!(
            "\nNot in the record: {count} of the segments that were searched were sealed under another one. So nobody can \
             tell here whether others are missing, and proof/check.sh calls those of them that have lines in here WRONG.\n"
        ),
    };
    let unsealed = match about.gaps.unsealed {
        0 => String::new(),
        count => format!(
            "\nLeft out: {count} segments that were still being written when this was made. Their lines are of the \
             running day.\n"
        ),
    };
    let tenant = about.purpose.tenant.as_ref().map(|name| format!(" of tenant {name}")).unwrap_or_default();
    let missing = listed(
        "Missing: the record says that these segments were sealed, and not that they were purged; they are not there.",
        &about.gaps.missing,
    );
    let unattributed = listed(
        "Not searched: of these segments nobody can tell whether their lines are this tenant's.",
        &about.gaps.unattributed,
    );
    let unsearched = listed(
        "Not searched: these segments. The secret that it takes to search them is not there.",
        &about.gaps.unsearched.names(),
    );
    let unreadable = listed(
        "Damaged: these segments are not as they were sealed, or cannot be read. Lines of them that could not be read are not in here.",
        &about.gaps.unreadable.names(),
    );
    let unopened = listed(
        "Damaged: the vaults of these segments. What could not be read of them is not revealed: it stands here as tokens.",
        &about.gaps.unopened.names(),
    );
    let unrevealed = listed(
        "Not revealed: originals in lines of these segments. The vault or the key that it takes is not there.",
        &about.gaps.unrevealed.names(),
    );
    let (made, segments, zone) = (about.made, about.segments, zone(about));
    format!(
        "\
LOG LINES OF ONE CASE

Case:         {case}
Legal basis:  {basis}
Period:       {from} to {to}
Made:         {made} by oubliette {VERSION}, operator {operator}
Searched:     {segments} segments{tenant}

{answer}
{in_clear}{purged}{unsealed}{missing}{unlisted}{unattributed}{unsearched}{unreadable}{unopened}{unrevealed}
FILES

lines.log      The lines as they are stored, byte for byte, in the order of their events. Identifiers of people
               are replaced by tokens (ip_..., em_...): keyed HMAC-SHA-256 of the identifier in its canonical form.
lines.csv      One row a line: RFC 4180, UTF-8. time_utc is in UTC; time_legal in the legal zone, {zone}.
               time_from says where that is from. A line that states no time, or one that was not believed, counts with
               its receipt, which lies between two instants; it is here if it may be of the period.
               identifiers holds what was asked for, put back; ports what stands beside each, ? if nothing
               does. line_revealed is the line with the asked identifiers put back; other people stay tokens
               unless the request covers them. A cell that would begin with = + - or @ has an apostrophe in front,
               so that no spreadsheet computes it; bytes that are no text are written \\xff.
proof/         frames.csv says in which frame of which segment each line was found. A segment is a sealed file of
               log lines, its frames are compressed blocks. proof/segments holds what each seal is over and the
               seal; proof/ledger the entries of the signed record that belong to this case, to these segments,
               to purges of the period and to the keys; proof/keys the public keys.
SHA256SUMS     SHA-256 of every file. SHA256SUMS.sig is its Ed25519 signature with the key of {day}.

CANONICAL FORM

An IPv4 address is 04 and its 4 bytes, an IPv6 address 06 and its 16 bytes; ::ffff:a.b.c.d is IPv4. An e-mail
address is in lower case and NFC, its domain an A-label without a final dot. So every notation of an identifier has
one token, and a revealed identifier is written in its canonical notation.

HOW TO CHECK

With sha256sum and openssl (3.0 or later) and nothing else, in this directory:

    sha256sum -c SHA256SUMS
    openssl pkeyutl -verify -rawin -pubin -inkey proof/keys/{day}.pem -in SHA256SUMS -sigfile SHA256SUMS.sig
    sh proof/check.sh

The first compares every file, the second the signature. The third does both, and checks every entry, every seal and
the chain of keys: the key of each day is named by an entry that was signed with the key of the day before it. Each
ends with 0 if all is well. The first key is that of the beginning of the record; compare it with what the host
published or deposited earlier.

WHAT THIS PROVES

Lines cannot be changed, added or taken out here without the check failing. That a line stands in its frame is stated
by the host, under its signature; the frame is not in here, for it holds lines of other people. By order it can be
produced, and SHA-256(chain_before || frame) must be the chain in frames.csv, which the seal covers.
"
    )
}

fn purged_in_english(span: PurgedSpan) -> String {
    let (days, entries) = span.in_words();
    format!(
        "\nPurged: lines that may belong to this period were removed {days}, as the law demands. Nobody can tell any \
         more what they said. The record says so: {entries}, in proof/ledger.\n"
    )
}

fn purged_in_french(PurgedSpan { first_day, last_day, first_entry, last_entry }: PurgedSpan) -> String {
    let days = if first_day == last_day {
        format!("le {first_day}")
    } else {
        format!("du {first_day} au {last_day}")
    };
    let entries = if first_entry == last_entry {
        format!("\u{e9}criture {first_entry}")
    } else {
        format!("\u{e9}critures {first_entry} \u{e0} {last_entry}")
    };
    format!(
        "\nPurg\u{e9} : des lignes qui pouvaient \u{ea}tre de cette p\u{e9}riode ont \u{e9}t\u{e9} supprim\u{e9}es {days}, comme la loi \
         l'exige. Nul ne peut plus dire ce qu'elles contenaient. Le registre en fait foi : {entries}, dans proof/ledger.\n"
    )
}

const IN_CLEAR: &str = "
Not looked for: identifiers in clear. Some of what was asked for is an address or a name that the host may leave as
it is, without a token. Only a search of the text of the lines finds it there.
";

const EN_CLAIR: &str = "
Non recherch\u{e9}s : les identifiants en clair. Une partie de ce qui est demand\u{e9} est une adresse ou un nom que
l'h\u{e9}bergeur peut laisser tel quel, sans jeton. Seule une recherche dans le texte des lignes l'y trouve.
";

/// Returns a paragraph followed by a list of names; empty if there are none.
fn listed(what: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: String = names.iter().map(|name| format!("  - {name}\n")).collect();
    format!("\n{what}\n\n{names}")
}

/// Returns the contents of `LISEZMOI.txt`.
pub(super) fn french(about: &About, lines: u64, day: Date) -> String {
    let Stated { case, basis, operator, from, to } = Stated::of(&about.purpose, "non pr\u{e9}cis\u{e9}");
    let answer = match lines {
        0 if !about.gaps.is_empty() => {
            "Aucune ligne n'a \u{e9}t\u{e9} trouv\u{e9}e dans les segments examin\u{e9}s. D'autres ne l'ont pas \u{e9}t\u{e9} : \
             voir ci-dessous."
                .to_owned()
        }
        0 if !about.gaps.unlisted.is_empty() => {
            "Aucune ligne n'a \u{e9}t\u{e9} trouv\u{e9}e dans les segments examin\u{e9}s. Nul ne peut dire s'il en manque : voir \
             ci-dessous."
                .to_owned()
        }
        0 if about.in_clear => {
            "Aucune ligne avec un jeton de ce qui est demand\u{e9} n'a \u{e9}t\u{e9} trouv\u{e9}e ; voir ci-dessous."
                .to_owned()
        }
        0 if about.gaps.purged.span().is_some() => {
            "AUCUNE LIGNE N'A \u{c9}T\u{c9} TROUV\u{c9}E parmi celles que l'archive a encore : aucune, dans la p\u{e9}riode et les \
             classes demand\u{e9}es, ne contient ce qui est demand\u{e9}. lines.log est vide."
                .to_owned()
        }
        0 => "AUCUNE LIGNE N'A \u{c9}T\u{c9} TROUV\u{c9}E. C'est la r\u{e9}ponse : dans la p\u{e9}riode et les classes \
              demand\u{e9}es, aucune ligne de l'archive ne contient ce qui est demand\u{e9}. lines.log est vide."
            .to_owned(),
        1 => "Une ligne a \u{e9}t\u{e9} trouv\u{e9}e.".to_owned(),
        _ => format!("{lines} lignes ont \u{e9}t\u{e9} trouv\u{e9}es."),
    };
    let in_clear = if about.in_clear { EN_CLAIR } else { "" };
    let purged = about.gaps.purged.span().map(purged_in_french).unwrap_or_default();
    let unlisted = match about.gaps.unlisted.len() {
        0 => String::new(),
        count => format!(
            "\nHors registre : {count} des segments examin\u{e9}s ont \u{e9}t\u{e9} scell\u{e9}s sous un autre registre. Nul ne peut donc \
             dire ici s'il en manque d'autres, et proof/check.sh signale (WRONG) ceux dont des lignes sont ici.\n"
        ),
    };
    let unsealed = match about.gaps.unsealed {
        0 => String::new(),
        count => format!(
            "\nNon examin\u{e9}s : {count} segments en cours d'\u{e9}criture. Leurs lignes sont du jour en cours.\n"
        ),
    };
    let tenant = about.purpose.tenant.as_ref().map(|name| format!(" du client {name}")).unwrap_or_default();
    let missing = listed(
        "Manquants : selon le registre, ces segments ont \u{e9}t\u{e9} scell\u{e9}s et non purg\u{e9}s ; ils ne sont pas l\u{e0}.",
        &about.gaps.missing,
    );
    let unattributed = listed(
        "Non examin\u{e9}s : nul ne peut dire si les lignes de ces segments sont de ce client.",
        &about.gaps.unattributed,
    );
    let unsearched = listed(
        "Non examin\u{e9}s : ces segments. Le secret n\u{e9}cessaire pour y chercher n'est pas l\u{e0}.",
        &about.gaps.unsearched.names(),
    );
    let unreadable = listed(
        "Endommag\u{e9}s : ces segments ne sont plus tels qu'ils ont \u{e9}t\u{e9} scell\u{e9}s, ou sont illisibles. Leurs lignes illisibles ne sont pas ici.",
        &about.gaps.unreadable.names(),
    );
    let unopened = listed(
        "Endommag\u{e9}s : les coffres de ces segments. Ce qui n'y est plus lisible n'est pas r\u{e9}v\u{e9}l\u{e9} : les jetons restent.",
        &about.gaps.unopened.names(),
    );
    let unrevealed = listed(
        "Non r\u{e9}v\u{e9}l\u{e9} : les originaux dans des lignes de ces segments. Le coffre ou la cl\u{e9} n\u{e9}cessaire n'est pas l\u{e0}.",
        &about.gaps.unrevealed.names(),
    );
    let (made, segments, zone) = (about.made, about.segments, zone(about));
    format!(
        "\
LIGNES DE JOURNAUX POUR UNE AFFAIRE

Affaire :          {case}
Base l\u{e9}gale :      {basis}
P\u{e9}riode :          {from} \u{e0} {to}
\u{c9}tabli :           {made} par oubliette {VERSION}, op\u{e9}rateur {operator}
Examin\u{e9}s :         {segments} segments{tenant}

{answer}
{in_clear}{purged}{unsealed}{missing}{unlisted}{unattributed}{unsearched}{unreadable}{unopened}{unrevealed}
FICHIERS

lines.log      Les lignes telles qu'elles sont conserv\u{e9}es, \u{e0} l'octet pr\u{e8}s, dans l'ordre des \u{e9}v\u{e9}nements.
               Les identifiants des personnes y sont remplac\u{e9}s par des jetons (ip_..., em_...) : HMAC-SHA-256
               \u{e0} cl\u{e9} de l'identifiant sous sa forme canonique.
lines.csv      Une rang\u{e9}e par ligne (RFC 4180, UTF-8). time_utc : heure UTC ; time_legal : heure l\u{e9}gale,
               {zone}. time_from : d'o\u{f9} vient cette heure. Une ligne qui n'en indique aucune, ou une heure non
               cr\u{e9}dible, compte \u{e0} sa r\u{e9}ception, situ\u{e9}e entre deux instants ; elle est ici si elle
               peut \u{ea}tre de la p\u{e9}riode. identifiers : ce qui est demand\u{e9}, en clair ; ports : le port \u{e0} c\u{f4}t\u{e9} de
               chacun, ? s'il n'y en a pas. line_revealed : la ligne avec les identifiants demand\u{e9}s ;
               les autres personnes restent des jetons, sauf si la demande les couvre. Une cellule qui
               commencerait par = + - ou @ est pr\u{e9}c\u{e9}d\u{e9}e d'une apostrophe ; les octets qui ne sont pas du texte
               sont \u{e9}crits \\xff.
proof/         frames.csv : dans quelle trame de quel segment chaque ligne se trouve. proof/segments : ce que
               couvre chaque sceau, et le sceau ; proof/ledger : les \u{e9}critures du registre sign\u{e9} relatives \u{e0}
               l'affaire, aux segments, aux purges de la p\u{e9}riode et aux cl\u{e9}s ; proof/keys : les cl\u{e9}s publiques.
SHA256SUMS     SHA-256 de chaque fichier. SHA256SUMS.sig : sa signature Ed25519 par la cl\u{e9} du {day}.

FORME CANONIQUE

Adresse IPv4 : 04 puis ses 4 octets ; IPv6 : 06 puis ses 16 octets ; ::ffff:a.b.c.d est IPv4. Adresse \u{e9}lectronique :
minuscules, NFC, domaine en A-label sans point final. Toute notation d'un identifiant a donc un seul jeton.

COMMENT V\u{c9}RIFIER

Avec sha256sum et openssl (3.0 ou plus r\u{e9}cent), sans autre logiciel, dans ce r\u{e9}pertoire :

    sha256sum -c SHA256SUMS
    openssl pkeyutl -verify -rawin -pubin -inkey proof/keys/{day}.pem -in SHA256SUMS -sigfile SHA256SUMS.sig
    sh proof/check.sh

La premi\u{e8}re commande compare chaque fichier, la deuxi\u{e8}me v\u{e9}rifie la signature. La troisi\u{e8}me fait les deux et
v\u{e9}rifie chaque \u{e9}criture, chaque sceau et la cha\u{ee}ne des cl\u{e9}s : la cl\u{e9} de chaque jour est nomm\u{e9}e par une
\u{e9}criture sign\u{e9}e avec la cl\u{e9} du jour pr\u{e9}c\u{e9}dent. Chacune se termine par 0 si tout est conforme.

CE QUE CELA PROUVE

Aucune ligne ne peut \u{ea}tre chang\u{e9}e, ajout\u{e9}e ou retir\u{e9}e ici sans que la v\u{e9}rification \u{e9}choue. Que la ligne est dans sa
trame, l'h\u{e9}bergeur le d\u{e9}clare sous sa signature ; la trame n'est pas jointe, car elle contient des lignes d'autres
personnes. Sur ordre elle peut \u{ea}tre produite : SHA-256(chain_before || trame) doit \u{ea}tre la valeur chain de
frames.csv, que le sceau couvre.
"
    )
}

/// Returns the contents of `proof/check.sh`.
pub(super) fn check(day: Date) -> String {
    include_str!("check.sh").replace("DAY_OF_SUMS", &day.to_string())
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn zone(about: &About) -> String {
    about.zone.iana_name().unwrap_or("UTC").to_owned()
}

/// What the purpose states, as text.
struct Stated {
    case: String,
    basis: String,
    operator: String,
    from: String,
    to: String,
}

impl Stated {
    fn of(purpose: &Purpose, nothing: &str) -> Self {
        // Text that somebody typed must not begin a new line.
        let plain = |text: &str| text.chars().filter(|character| !character.is_control()).collect::<String>();
        let text = |text: Option<&str>| text.map_or_else(|| nothing.to_owned(), plain);
        let instant =
            |instant: Option<Timestamp>| instant.map_or_else(|| nothing.to_owned(), |at| at.to_string());
        Self {
            case: text(purpose.case.as_deref()),
            basis: purpose.basis.map_or_else(|| nothing.to_owned(), |basis| basis.to_string()),
            operator: text(purpose.operator.as_deref()),
            from: instant(purpose.from),
            to: instant(purpose.to),
        }
    }
}
