//! E-mail addresses: RFC 5321 mailboxes as logs write them, including RFC 6531 (UTF-8).
//!
//! The grammar allows nearly any character in a local part, while logs put addresses after `=`, `/`, `?` and
//! `'`. So an unquoted local part may contain only the characters found in real ones. The rest of the grammar
//! applies only in angle brackets, and in the known wrappers that nest an address in a local part: SRS, BATV
//! and VERP.

use super::canonical;
use super::email_prefix;
use super::email_quoted::{MOST_QUOTED_BYTES, quoted_start};
use super::escape;
use super::hit::{Canon, Hit, Rule};
use super::host_name::{self, is_well_known};
use crate::scan::Line;
use wide::u8x16;

/// Examines an `AT` candidate: `at` is the offset of the `@`, the first of several in a row. Reads nothing
/// before `floor`.
pub(crate) fn find(text: &[u8], at: usize, floor: usize) -> Option<Hit> {
    // `jean@@example.fr`: people mistype addresses, and mail servers log what they refuse.
    let domain = at + text[at..].iter().take_while(|&&byte| byte == b'@').count();
    let end = match text.get(domain) {
        Some(b'[') => literal_end(text, domain)?,
        _ => domain_end(text, domain)?,
    };
    // `a@b.fra@b.fr`: the previous address took the possible local part, but this domain must be replaced
    // too.
    let start = if at == floor && at > 0 { at } else { local_start(text, at, floor)? };
    let start = start + string_prefix(text, start, at, end);
    let start = start + email_prefix::own_domain(&text[start..at], &text[domain..end]);
    let (local, domain) = (&text[start..at], &text[domain..end]);
    if is_of_ssh(domain) && names_algorithm(local)
        || email_prefix::is_of_kerberos(&text[..start], local, domain)
    {
        return None;
    }
    Some(Hit::new(start, end, Canon::Email { at }, Rule::Email))
}

/// Returns whether names of algorithms end in this domain (RFC 4251, 6).
#[inline]
fn is_of_ssh(domain: &[u8]) -> bool {
    matches!(domain, b"openssh.com" | b"libssh.org" | b"lysator.liu.se")
}

/// Returns whether the local part is an algorithm that occurs before such a domain: `curve25519-sha256`,
/// `aes256-gcm`.
fn names_algorithm(local: &[u8]) -> bool {
    const STARTS: [&[u8]; 15] = [
        b"aes128-",
        b"aes256-",
        b"chacha20-",
        b"rijndael-",
        b"hmac-",
        b"umac-",
        b"curve25519-",
        b"sntrup",
        b"ssh-",
        b"sk-",
        b"rsa-sha2-",
        b"ecdsa-sha2-",
        b"webauthn-",
        b"kex-strict-",
        b"hostkeys-",
    ];
    local == b"zlib" || STARTS.iter().any(|start| local.starts_with(start))
}

/// An address of ASCII letters, digits, dots and dashes, with nothing around it that could belong to it.
pub(crate) struct Plain {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Returns the address around the `@` at `at` if it is plain, as nearly all are. `None` only means that
/// [`find`] has to decide. Reads nothing before `floor`.
///
/// Both ends come from the marks of the scan, in which a name may contain a `/`, unlike an address.
#[inline]
pub(crate) fn plain(line: &Line<'_>, at: usize, floor: usize) -> Option<Plain> {
    let text = line.bytes;
    let local_bytes = line.name_ends_before(at).leading_zeros() as usize;
    let domain_bytes = line.name_ends(at + 1).trailing_zeros() as usize;
    let start = at.checked_sub(local_bytes).filter(|&start| start > floor && start < at)?;
    let end = at + 1 + domain_bytes;
    let domain = text.get(at + 1..end)?;
    let ends = |byte: Option<&u8>| byte.is_none_or(|&byte| ENDS[usize::from(byte)]);
    let last = &domain[domain.iter().rposition(|&byte| byte == b'.')? + 1..];
    let fits = local_bytes.max(domain_bytes) <= HALF_BYTES
        && !holds_slash(line, at, local_bytes, domain_bytes)
        && ends(Some(&text[start - 1]))
        && ends(text.get(end))
        && text[start].is_ascii_alphanumeric()
        && !email_prefix::may_begin(&text[start..])
        && !(local_bytes > domain_bytes && text[start..].starts_with(domain))
        // Perhaps the name of an interface of RouterOS.
        && !matches!(text[start - 1..], [b'<', _, _, _, _, b'-', ..] | [b'<', _, _, _, _, _, b'-', ..])
        && domain[0].is_ascii_alphanumeric()
        && last.len() >= 2
        && last.iter().all(u8::is_ascii_alphabetic)
        && !is_of_ssh(domain)
        && (matches!(last, b"net" | b"com" | b"org" | b"fr") || !host_name::is_no_domain(last));
    fits.then_some(Plain { start, end })
}

/// Most bytes on either side of the `@` of a plain address.
const HALF_BYTES: usize = 32;

/// Returns whether a slash is among the `before` bytes before `at` or the `behind` bytes after it, at most
/// [`HALF_BYTES`] each. Also returns `true` so near the edge of the block that this cannot be checked at
/// once.
#[inline]
fn holds_slash(line: &Line<'_>, at: usize, before: usize, behind: usize) -> bool {
    let window = (line.start as usize + at).checked_sub(HALF_BYTES).and_then(|start| line.block.get(start..));
    let Some(window) = window.and_then(<[u8]>::first_chunk::<{ 2 * HALF_BYTES + 1 }>) else { return true };
    let mut slashes = 0_u64;
    // The byte in the middle, the `@`, is left out.
    for (index, start) in [0, 16, 33, 49].into_iter().enumerate() {
        let bytes = window[start..].first_chunk().map_or(u8x16::ZERO, |bytes| u8x16::new(*bytes));
        slashes |= u64::from(bytes.simd_eq(u8x16::splat(b'/')).to_bitmask()) << (16 * index);
    }
    (slashes & u64::MAX >> (HALF_BYTES - behind)) >> (HALF_BYTES - before) != 0
}

/// Bytes that end an address on either side and do not belong to a notation that nests, quotes or escapes an
/// address.
static ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        ends[byte as usize] = matches!(byte, b' ' | b'\t' | b'<' | b'>' | b'(' | b')' | b'"' | b',');
        byte += 1;
    }
    ends
};

/// Returns one past the bracket of an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321,
/// 4.1.3), that starts at `start`. If a port follows, the literal is the address of a machine instead.
fn literal_end(text: &[u8], start: usize) -> Option<usize> {
    const LONGEST: usize = "IPv6:0000:0000:0000:0000:0000:ffff:255.255.255.255]".len();
    let window = &text[start + 1..text.len().min(start + 1 + LONGEST)];
    let length = window.iter().position(|&byte| byte == b']')?;
    let end = start + 1 + length + 1;
    let port = matches!(text[end..], [b':', b'0'..=b'9', ..]);
    (!port && canonical::literal(&window[..length]).is_some()).then_some(end)
}

/// Returns one past the last byte of the domain that starts at `start`: at least two labels, the last of
/// which can be a top-level domain.
fn domain_end(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while let Some(length) = name_char(&text[end..]) {
        end += length;
    }
    let mut cut_labels = 0;
    let mut extension = false;
    loop {
        while end > start && matches!(text[end - 1], b'.' | b'-' | b'_') {
            end -= 1;
        }
        let domain = &text[start..end];
        let dot = domain.iter().rposition(|&byte| byte == b'.')?;
        if dot == 0 || domain[0] == b'-' {
            return None;
        }
        let last = &domain[dot + 1..];
        let letters = last.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if last.get(letters).is_some_and(|byte| *byte >= 0x80) && is_well_known(&last[..letters]) {
            // The rest belongs to the sentence, even if it is a quotation mark of some eight-bit character
            // set.
            return Some(start + dot + 1 + letters);
        }
        if is_top_level(last) {
            if !host_name::is_no_domain(last) && (!extension || is_well_known(last)) {
                return Some(end);
            }
            // `jean@example.fr.tar.gz`: the rest has to end like an address beyond doubt (`app@2.min.js`).
            extension = true;
        } else if let Some(letters) = glued_top_level(&domain[..dot], last, cut_labels, extension) {
            return Some(start + dot + 1 + letters);
        }
        // `jean@example.fr.1`: text after the domain is cut off label by label.
        end = start + dot;
        cut_labels += 1;
    }
}

/// Returns the length of the top-level domain at the start of `last` if something is glued to it.
///
/// That is so in `jean@example.fr198.51.100.7`, after the three labels of the address are cut off. It is so
/// in `jean@example.org2001:db8::1` and `jean@example.fr-2001:db8::1`, if the domain is a well-known one and
/// the label before it is a word. And it is so in `jean@example.paris_old` and `jean@example.paris-2026` for
/// any top-level domain, because none contains a `_` or, except A-labels, a `-`; after an `extension`, as in
/// `app@v2.min_x.js`, it has to be a well-known one.
fn glued_top_level(before: &[u8], last: &[u8], cut_labels: usize, extension: bool) -> Option<usize> {
    let letters = last.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (top_level, glued) = last.split_at(letters);
    let address = cut_labels >= 3 && letters >= 2 && glued.iter().all(u8::is_ascii_digit);
    let word = before.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let joined = letters >= 2
        && matches!(glued, [b'_' | b'-', ..])
        && !extension
        && !host_name::is_no_domain(top_level);
    let ends = (joined || is_well_known(top_level)) && word.iter().any(u8::is_ascii_alphabetic);
    (address || ends).then_some(letters)
}

/// Returns whether an address may continue with `byte` after its `@`. If not, [`find`] finds nothing.
#[inline]
pub(crate) fn goes_on(byte: u8) -> bool {
    static BEGINS: [bool; 256] = {
        let mut begins = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let letter = byte as u8;
            begins[byte] =
                letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_' | b'.' | b'[' | b'@' | 0x80..);
            byte += 1;
        }
        begins
    };
    BEGINS[usize::from(byte)]
}

/// Returns the length of the letter, digit, `-`, `_` or `.` at the start of `text`, or of letters in octal.
fn name_char(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => Some(1),
        0x80.. => letter_length(text),
        // A letter of two or more bytes in octal, `b\303\274cher.example`.
        b'\\' => {
            let octal = |escape: &&[u8]| matches!(escape, [b'\\', b'2' | b'3', b'0'..=b'7', b'0'..=b'7']);
            let escapes = text.chunks_exact(4).take_while(octal).count();
            (escapes > 1).then_some(4 * escapes)
        }
        _ => None,
    }
}

/// Returns the length of the non-ASCII letter at the start of `text`. A byte that is not UTF-8 counts as a
/// letter of some eight-bit character set: in doubt it belongs to the name.
fn letter_length(text: &[u8]) -> Option<usize> {
    let head = &text[..text.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(letter) if letter.is_alphanumeric() || is_mark(letter) => Some(letter.len_utf8()),
        Some(_) => None,
        None => Some(1),
    }
}

/// Returns the length of the non-ASCII letter at the end of `text`.
fn letter_length_before(text: &[u8]) -> Option<usize> {
    for length in 2..=4.min(text.len()) {
        let tail = &text[text.len() - length..];
        if let Ok(valid) = std::str::from_utf8(tail) {
            let letter = valid.chars().next()?;
            return (letter.is_alphanumeric() || is_mark(letter)).then_some(length);
        }
    }
    Some(1)
}

/// Returns the length of the signs at the end of `text` if they follow a word: `j<emoji>an@`. Before a word
/// they are a bullet of the sentence, or a byte order mark.
fn signs_length_before(text: &[u8]) -> Option<usize> {
    let mut start = text.len();
    while let Some(sign) = last_char(&text[..start]).filter(|sign| is_sign(*sign)) {
        start -= sign.len_utf8();
    }
    (is_word_end(text, start, 0) && start < text.len()).then(|| text.len() - start)
}

/// Returns the last character of `text`, if it is UTF-8.
fn last_char(text: &[u8]) -> Option<char> {
    let tail = &text[text.len().saturating_sub(4)..];
    tail.utf8_chunks().last().filter(|chunk| chunk.invalid().is_empty())?.valid().chars().next_back()
}

/// Returns whether a character is not a letter and yet occurs in names: pictures and their modifiers,
/// currencies, the typographic apostrophe, invisible characters (joiners, soft hyphens, directions), and
/// replacements for bytes that were not text. Punctuation, arrows and box drawings separate words.
fn is_sign(letter: char) -> bool {
    matches!(letter,
        '\u{a2}'..='\u{a5}' | '\u{a8}' | '\u{a9}' | '\u{ad}'..='\u{b0}' | '\u{b4}' | '\u{b7}' | '\u{b8}'
        | '\u{200b}'..='\u{200f}' | '\u{2019}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{20a0}'..='\u{20ff}' | '\u{2100}'..='\u{214f}' | '\u{2600}'..='\u{2767}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fffd}'
        | '\u{1f000}'..='\u{1faff}' | '\u{e0000}'..='\u{e01ef}')
}

/// Returns whether a character is a combining mark: one of decomposed (NFD) text, or of the scripts from
/// India to Laos, whose signs Unicode does not class as letters if they only silence or change a vowel. The
/// full stops, currencies and section marks of these scripts are not marks.
fn is_mark(letter: char) -> bool {
    match letter {
        '\u{300}'..='\u{36f}' => true,
        '\u{964}' | '\u{965}' | '\u{970}' | '\u{df4}' | '\u{e2f}' | '\u{e3f}' | '\u{e4f}' | '\u{e5a}'
        | '\u{e5b}' => false,
        '\u{900}'..='\u{eff}' => true,
        _ => false,
    }
}

/// Returns whether a label can be a top-level domain: letters (ASCII or not), or an A-label.
fn is_top_level(label: &[u8]) -> bool {
    let punycode = label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--");
    punycode || (label.len() >= 2 && label.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80))
}

/// Returns the first byte of the local part that ends before the `@` at `at`.
fn local_start(text: &[u8], at: usize, floor: usize) -> Option<usize> {
    if at > floor && text[at - 1] == b'"' {
        return quoted_start(text, at - 1, floor).map(|start| words_start(text, start, floor));
    }
    let mut start = plain_start(text, at, floor);
    start += email_prefix::length(text, start, at);
    start += escape_letter(text, start, at);
    start += terminal_colour(text, start, at);
    // A space in a query, `?q=mail:+jean@example.org`, or in a User-Agent of IIS. A phone number keeps its
    // sign.
    let spaces = text[start..at].iter().take_while(|byte| **byte == b'+').count();
    if text[start + spaces..at].first().is_some_and(u8::is_ascii_alphabetic) {
        start += spaces;
    }
    // Leading punctuation belongs to the sentence.
    while start < at && matches!(text[start], b'.' | b'-' | b'\'' | b'*' | b'~' | b'^' | b'!' | b'$' | b'#') {
        start += 1;
    }
    let start = wrapper_start(text, start, at, floor).unwrap_or(start);
    let quoted = start > floor + 1 && text[start - 2..start] == *b"\".";
    (start < at).then(|| if quoted { words_start(text, start, floor) } else { start })
}

/// Returns the first byte of the words, quoted or not, that dots join to the one at `start`:
/// `"jean"."dupont"@` (RFC 5322, 4.4).
fn words_start(text: &[u8], mut start: usize, floor: usize) -> usize {
    while start > floor + 1 && text[start - 1] == b'.' {
        let end = start - 1;
        start = match text[end - 1] {
            b'"' => quoted_start(text, end - 1, floor).unwrap_or(start),
            _ => Some(plain_start(text, end, floor)).filter(|&word| word < end).unwrap_or(start),
        };
        if start > end {
            break;
        }
    }
    start
}

/// Scans left over the characters of an unquoted local part.
fn plain_start(text: &[u8], at: usize, floor: usize) -> usize {
    let mut start = at;
    while start > floor {
        let length = match text[start - 1] {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'-' => 1,
            // rsyslog's escape of a control byte, `line#012jean@example.org`.
            b'#' if matches!(text[start..at], [b'0', b'0'..=b'3', b'0'..=b'7', _, ..]) => break,
            // A tab or line end of BSD, `line^Jjean@example.org`.
            b'^' if is_caret_letter(&text[start..at]) => break,
            // Only after a word: `o'brien`, `user%relay.example`, `jean#EXT#@example.net`.
            b'\'' | b'*' | b'~' | b'^' | b'!' | b'$' | b'#' if is_word_end(text, start - 1, floor) => 1,
            b'\'' | b';' => match apostrophe_length_before(&text[floor..start]) {
                Some(length) => length,
                None => break,
            },
            b'%' if start < at && !is_percent_escape(text, start - 1) => 1,
            b'?' if stands_for_letters(text, start - 1, at, floor) => 1,
            b'\\' if is_octal_letter(text, start - 1, floor) => 1,
            0x80.. => {
                let before = &text[floor..start];
                match letter_length_before(before).or_else(|| signs_length_before(before)) {
                    Some(length) => length,
                    None => break,
                }
            }
            _ => break,
        };
        // `%2Cjean@`: the digits of an escape do not belong to the local part.
        if length == 1 && start > floor + 2 && text[start - 3] == b'%' && is_percent_escape(text, start - 3) {
            break;
        }
        start -= length;
    }
    start
}

fn is_word_end(text: &[u8], position: usize, floor: usize) -> bool {
    position > floor
        && match text[position - 1] {
            0x80.. => letter_length_before(&text[floor..position]).is_some(),
            last => last.is_ascii_alphanumeric(),
        }
}

/// Returns whether the `?` at `position` is one of a few right before the `@` and after a word, `jos??@`, as
/// mail servers write characters that are not ASCII. A `?` with an empty local part after it begins a query
/// instead, and so it does in the attack `/autodiscover/autodiscover.json?@`.
fn stands_for_letters(text: &[u8], position: usize, at: usize, floor: usize) -> bool {
    const MOST: usize = 16;
    let questions = |bytes: &[u8]| bytes.iter().rev().take(MOST).take_while(|byte| **byte == b'?').count();
    let behind = at - position;
    let word = position - questions(&text[floor..position]);
    behind < MOST
        && questions(&text[position..at]) == behind
        && is_word_end(text, word, floor)
        && !text[floor..position].ends_with(b"autodiscover.json")
}

/// Returns the length of an apostrophe at the end of `text` that is doubled, as in SQL, or a character
/// reference of HTML, if it follows a word: `o''brien@`, `o&#39;brien@`.
fn apostrophe_length_before(text: &[u8]) -> Option<usize> {
    let spellings = [&b"''"[..], b"&#39;", b"&#039;", b"&#x27;", b"&apos;"];
    let spelling = spellings.iter().find(|spelling| text.ends_with(spelling))?;
    is_word_end(text, text.len() - spelling.len(), 0).then_some(spelling.len())
}

/// Returns whether the backslash at `position` begins one of the octal escapes that spell a letter beyond
/// ASCII, `\303\251`. A single one, as in Latin-1, must be within a word, because `DOMAIN\251` is not an
/// escape.
fn is_octal_letter(text: &[u8], position: usize, floor: usize) -> bool {
    let escape =
        |at: usize| matches!(text.get(at..at + 4), Some([b'\\', b'2' | b'3', b'0'..=b'7', b'0'..=b'7']));
    let within_word = || {
        let goes_on = text.get(position + 4).is_some_and(|byte| !byte.is_ascii_digit());
        goes_on && is_word_end(text, position, floor) && !follows_domain(&text[..=position])
    };
    escape(position)
        && (escape(position + 4) || position >= floor + 4 && escape(position - 4) || within_word())
}

/// Returns the length of a string prefix of a programming language, such as the `u'` of
/// `u'jean@example.org'`, if the local part starts with it and the quote is closed after the address.
fn string_prefix(text: &[u8], start: usize, at: usize, end: usize) -> usize {
    let letters = text[start..at].iter().take(2).take_while(|byte| b"bBeEfFnNrRuU".contains(byte)).count();
    let closed = matches!(text[end..], [b'\'', ..] | [b'\\', b'\'', ..]);
    let quoted = text[start + letters..].starts_with(b"'") && closed;
    let opened = !text[..start].ends_with(b"'") && start + letters + 1 < at;
    if letters > 0 && quoted && opened { letters + 1 } else { 0 }
}

fn is_percent_escape(text: &[u8], percent: usize) -> bool {
    matches!(text.get(percent + 1..percent + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// Returns the length of what belongs to an escape and not to the local part after it: the letter of
/// `\njean@`, the digits of `#012jean@`, the number of `\ud83djean@`.
fn escape_letter(text: &[u8], start: usize, at: usize) -> usize {
    let (before, local) = (&text[..start], &text[start..at]);
    if follows_domain(before) {
        return 0;
    }
    let octal = escape::octal_digits(before, local);
    match local {
        _ if octal > 0 => octal,
        [b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0' | b'e', _, ..] if before.ends_with(b"\\") => 1,
        // Not the start of a pattern, `/^Jean@`.
        _ if is_caret_letter(local) => match before {
            [.., word, b'^'] => usize::from(word.is_ascii_alphanumeric() || b".,:;)]}>".contains(word)),
            _ => 0,
        },
        [b'u', digits @ ..] if before.ends_with(b"\\") => match digits.first_chunk::<4>() {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 5,
            _ => 0,
        },
        _ => 0,
    }
}

/// Returns whether `text` begins with the letter of a tab or line end of BSD, `^I`, `^J` or `^M`, and a word.
fn is_caret_letter(text: &[u8]) -> bool {
    matches!(text, [b'I' | b'J' | b'M', next, ..] if !next.is_ascii_uppercase())
}

/// Returns whether the backslash at the end of `before` divides a Windows domain or a folder from a name,
/// `EXAMPLE\nadia@`, `C:\Users\thomas@`: after a word that begins with a capital. In JSON it is doubled.
fn follows_domain(before: &[u8]) -> bool {
    let rest = match before {
        [rest @ .., b'\\', b'\\'] => rest,
        [b'{', ..] => return false,
        [rest @ .., b'\\'] => rest,
        _ => return false,
    };
    let in_word = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_');
    // A NetBIOS name has at most 15 bytes.
    let word = &rest[rest.len() - rest.iter().rev().take(16).take_while(in_word).count()..];
    word.len() > 1 && word[0].is_ascii_uppercase()
}

/// Returns the length of the rest of a terminal colour sequence, `31m` of `ESC[31m`, if the local part starts
/// with one.
fn terminal_colour(text: &[u8], start: usize, at: usize) -> usize {
    let Some(b'[' | b';') = start.checked_sub(1).map(|before| text[before]) else { return 0 };
    let before = &text[start.saturating_sub(24)..start];
    let Some(bracket) = before.iter().rposition(|&byte| byte == b'[') else { return 0 };
    let escape = escape::introduces_sequence(&before[..=bracket]);
    let digits = text[start..at].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = text[start..at].get(digits).is_some_and(|byte| byte.is_ascii_alphabetic());
    if escape && ends { digits + 1 } else { 0 }
}

/// Returns the start of the wrapper if `text[start..at]` is only the end of a local part that nests another
/// address: `SRS0=hash=tt=example.org=user@`, `prvs=tag=user@`, `bounce+user=example.org@`; or of any local
/// part in angle brackets.
fn wrapper_start(text: &[u8], start: usize, at: usize, floor: usize) -> Option<usize> {
    let joint = start.checked_sub(1).filter(|&joint| joint >= floor)?;
    if text[joint] == b' ' {
        return blanks_start(&text[floor..joint]).map(|start| floor + start);
    }
    if !matches!(text[joint], b'=' | b'/' | b'&' | b'?' | b'{' | b'}' | b'|' | b'`') {
        return None;
    }
    let wide =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b".!#$%&'*+-/=?^_`{|}~".contains(byte);
    let window = &text[floor.max(joint.saturating_sub(256))..joint];
    let length = window.iter().rev().take_while(|byte| wide(byte)).count();
    let open = joint - length;
    let bracketed = open > floor && text[open - 1] == b'<';
    // `<mailto:leave-jean=example.org@list.example.org?subject=x>`: List-Unsubscribe. A query may follow.
    let mail_to = text[floor..open].ends_with(b"<mailto:") && !text[open..at].contains(&b'?');
    if (bracketed || mail_to) && !text[open..at].starts_with(b"/") {
        return Some(open + email_prefix::key(&text[open..]));
    }
    // Outside brackets, only the known wrappers are recognised.
    let narrow = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"._+-=".contains(byte);
    let length = window.iter().rev().take_while(|byte| narrow(byte)).count();
    let open = joint - length;
    let before = &text[open..joint];
    if text[joint] == b'/' {
        // `prvs=user/tag@`: the first draft of BATV.
        return find_ignoring_case(before, &[b"prvs="]).map(|prvs| open + prvs);
    }
    if text[joint] != b'=' {
        return None;
    }
    // `from=SRS0=...`: the key before the wrapper stays.
    if let Some(srs) = find_ignoring_case(before, &[b"srs0", b"srs1", b"prvs=", b"btv1="]) {
        return Some(open + srs);
    }
    // A query joins words with `+`.
    let query = open > floor && matches!(text[open - 1], b'?' | b'&' | b';');
    verp_start(before, &text[start..at], query).map(|start| open + start)
}

/// Returns the start of the local part of `<jean\ d@example.org>`, given the text before its last space: RFC
/// 821, 4.1.2 spelt spaces so, without quotes.
fn blanks_start(before: &[u8]) -> Option<usize> {
    if !before.ends_with(b"\\") {
        return None;
    }
    let window = before.len().saturating_sub(MOST_QUOTED_BYTES);
    let start = before[window..].iter().rposition(|&byte| byte == b'<')? + window + 1;
    let local = &before[start..];
    let escaped = local.split(|&byte| byte == b' ').all(|word| word.ends_with(b"\\"));
    (escaped && !local.iter().any(|byte| b"@>\"".contains(byte))).then_some(start)
}

/// Returns the start of a VERP wrapper in the text before its last `=`, `bounce+user`, if `nested` after that
/// is a domain. The key of a pair before it, `from=`, does not belong to it, but half of another wrapper
/// does: `list+caf_=user=example.org@`.
fn verp_start(before: &[u8], nested: &[u8], query: bool) -> Option<usize> {
    let mut end = before.len();
    loop {
        let start = before[..end].iter().rposition(|&byte| byte == b'=').map_or(0, |equals| equals + 1);
        let prefix = &before[start..end];
        let tagged = prefix.contains(&b'+') && !query && is_nested_domain(nested, is_any_top_level);
        let bounce = find_ignoring_case(prefix, &[b"bounce", b"return", b"owner-", b"errors-"]).is_some();
        if tagged || bounce && is_nested_domain(nested, is_well_known) {
            return Some(start);
        }
        end = start.checked_sub(1)?;
    }
}

/// Returns whether the right half of a VERP joint can be a domain: a dot followed by a top-level domain.
fn is_nested_domain(text: &[u8], is_top_level: fn(&[u8]) -> bool) -> bool {
    let dot = text.iter().rposition(|&byte| byte == b'.');
    dot.is_some_and(|dot| dot > 0 && is_top_level(&text[dot + 1..]))
}

/// Returns whether a label can be a top-level domain and is not a file extension.
fn is_any_top_level(label: &[u8]) -> bool {
    is_top_level(label) && !host_name::is_no_domain(label)
}

/// Returns the offset of the first of `words` in `text`, which is short, ignoring ASCII case.
fn find_ignoring_case(text: &[u8], words: &[&[u8]]) -> Option<usize> {
    words
        .iter()
        .filter_map(|word| text.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word)))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Scan;
    use proptest::prelude::*;

    /// Calls [`plain`] for a line between other lines.
    fn plain_in(line: &[u8], at: usize, floor: usize) -> Option<Plain> {
        let other = [b'/'; 2 * HALF_BYTES];
        let block = [&other[..], line, &other].join(&b'\n');
        let mut scan = Scan::default();
        let line = scan.lines(&block).nth(1).unwrap();
        plain(&line, at, floor)
    }

    #[test]
    fn plain_addresses_are_seen() {
        for line in
            ["to=<jean.dupont@mail.example.org>, relay", "\"user\":\"jean@example.fr\"", "x jean@a.info,"]
        {
            let at = line.find('@').unwrap();
            let plain = plain_in(line.as_bytes(), at, 0).unwrap_or_else(|| panic!("{line}"));
            let hit = find(line.as_bytes(), at, 0).unwrap();
            assert_eq!((plain.start, plain.end), (hit.start, hit.end));
        }
    }

    #[test]
    fn plain_addresses_have_no_slash_and_a_bounded_length() {
        let half = "a".repeat(HALF_BYTES);
        for (local, domain, is_plain) in [
            (half.as_str(), "example.org", true),
            (&format!("{half}a"), "example.org", false),
            ("jean", &format!("{}.fr", &half[3..]), true),
            ("jean", &format!("{}.fr", &half[2..]), false),
            ("a/jean", "example.org", false),
            ("jean", "example.org/a", false),
            ("jean", "example/a.org", false),
        ] {
            let line = format!("/ {local}@{domain} /");
            let found = plain_in(line.as_bytes(), 2 + local.len(), 0).is_some();
            assert_eq!(found, is_plain, "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// The fast path finds what the general parser finds.
        #[test]
        fn plain_is_what_find_says(
            line in "[a-z ]{0,2}[<(\"= ,;%\\[/'][a-z0-9.+_%='-]{0,6}/?[a-z0-9]{0,2}@[a-z0-9.+_/-]{0,6}[.](fr|net|png|a|7x|info|service)?[a-z0-9.@> :=+]{0,4}",
            floor in 0..4_usize,
        ) {
            let line = line.as_bytes();
            if let Some(at) = memchr::memchr(b'@', line).filter(|&at| at >= floor)
                && let Some(plain) = plain_in(line, at, floor)
            {
                let hit = find(line, at, floor).map(|hit| (hit.start, hit.end));
                prop_assert_eq!(hit, Some((plain.start, plain.end)), "{}", line.escape_ascii());
            }
        }
    }
}
