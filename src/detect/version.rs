//! Version numbers that look like IPv4 addresses, distinguished by their surroundings.
//!
//! In doubt the number is an address: a false positive costs a version number, a miss costs a person. So only
//! closed lists of words, and forms that no address has, count as evidence.

use crate::pseudonym::token;

/// Products that state four-part versions after a slash, in lower case. A word that could name a host or a
/// role (`node/203.0.113.9`) must not be listed here.
const PRODUCTS: [&[u8]; 56] = [
    b"openssl",
    b"libressl",
    b"nginx",
    b"apache",
    b"httpd",
    b"php",
    b"python",
    b"perl",
    b"ruby",
    b"jdk",
    b"jre",
    b"nodejs",
    b"android",
    b"chrome",
    b"chromium",
    b"headlesschrome",
    b"crios",
    b"firefox",
    b"fxios",
    b"safari",
    b"applewebkit",
    b"applecoremedia",
    b"edg",
    b"edga",
    b"edgios",
    b"opr",
    b"opera",
    b"vivaldi",
    b"brave",
    b"yabrowser",
    b"ucbrowser",
    b"samsungbrowser",
    b"maxthon",
    b"electron",
    b"webkit",
    b"gecko",
    b"trident",
    b"msie",
    b"silk",
    b"whale",
    b"qqbrowser",
    b"miuibrowser",
    b"curl",
    b"wget",
    b"okhttp",
    b"openssh",
    b"jetty",
    b"dalvik",
    b"nextcloud",
    b"owncloud",
    b"aol",
    b"whatsapp",
    b"viber",
    b"skype",
    b"itunes",
    b"spotify",
];

/// Products that people write before a version with a space between, in lower case. This list is much
/// shorter, because after a space one expects an address.
const SPOKEN_PRODUCTS: [&[u8]; 2] = [b"openssl", b"libressl"];

/// Browsers, likewise; only before numbers that end in zeros, because tables of sessions list the address
/// beside the browser.
const SPOKEN_BROWSERS: [&[u8]; 3] = [b"chrome", b"chromium", b"firefox"];

/// Words that announce a version, in lower case. They also count as the end of a longer word, after a change
/// of case or a separator (`ProductVersion`, `OCS_Version`). `release`, `build`, `fw` and `kernel` are
/// omitted on purpose: DHCP releases addresses, and a firewall logs them after `fw:`.
const ANNOUNCEMENTS: [&[u8]; 5] = [b"version", b"versions", b"ver", b"revision", b"firmware"];

/// Suffixes of files whose names end in a version, after `name-`.
const PACKAGES: [&[u8]; 16] = [
    b".rpm", b".deb", b".apk", b".jar", b".war", b".whl", b".gem", b".msi", b".exe", b".dmg", b".pkg",
    b".iso", b".dll", b".el", b".fc", b"-1.",
];

/// Suffixes of files that may also be named after machines: `backup-10.1.2.3.zip`.
const ARCHIVES: [&[u8]; 3] = [b".tar", b".tgz", b".zip"];

/// Returns whether the dotted number `text[start..end]` is a version.
pub(crate) fn is_version(text: &[u8], start: usize, end: usize) -> bool {
    let (before, number, after) = (&text[..start], &text[start..end], &text[end..]);
    if begins_above_99(number) {
        return false;
    }
    if is_release_of_package(after) {
        return true;
    }
    match before {
        // `v1.2.3.4`, `V1.2.3.4`, `@v1.2.3.4`
        [rest @ .., b'v' | b'V'] if !ends_in(rest, u8::is_ascii_alphanumeric) => true,
        // `Chrome/103.0.0.0`
        [rest @ .., b'/'] => product_slash(rest, number, after),
        // `libfoo.so.1.2.3.4`
        [.., b'.', b's', b'o', b'.'] => true,
        // The peer information of OpenVPN.
        [rest @ .., b'_'] if rest.ends_with(b"OpenVPN_GUI") => true,
        // `jre-11.0.25.0.9`, `openjdk 21.0.5.0.1`
        [rest @ .., b'-' | b' '] if is_java(last_word(rest), number) => true,
        [rest @ .., b'-'] if is_usb_port(rest, number) => true,
        // `openssl-3.0.22.1.tar.gz`, `SWS-3.0.1.86`
        [rest @ .., b'-' | b'_'] if !matches!(after, [b':', b'0'..=b'9', ..]) => {
            is_package(rest, number, after) || is_coded(rest, number)
        }
        // `CEF:0|vendor|product|1.2.3.4|`, `LEEF:2.0|vendor|product|1.2.3.4|`
        [rest @ .., b'|'] => after.starts_with(b"|") && is_header(rest),
        // An SD-ID, `[junos@2636.1.1.1.2]`, but not an account with an address and its port,
        // `[jean@203.0.113.9.51234]`.
        [rest @ .., b'@'] => {
            let address = number.iter().take(4).any(|&byte| byte == b'.') && has_port(number);
            number.iter().filter(|&&byte| byte == b'.').count() > 3 && !address && is_sd_name(rest)
        }
        _ => !matches!(after, [b':', b'0'..=b'9', ..]) && is_announced(before, number),
    }
}

/// Returns whether a number begins too high for a version: only those of browsers, `131.0.0.0`, begin above
/// 99.
fn begins_above_99(number: &[u8]) -> bool {
    number.iter().position(|&byte| byte == b'.') == Some(3) && !number.ends_with(b".0.0.0")
}

/// Recognises `name-1.2.3.4-4.el9.x86_64`: a number and the distribution after a version, in the name of an
/// RPM package.
fn is_release_of_package(after: &[u8]) -> bool {
    let release = after.strip_prefix(b"-").unwrap_or_default();
    let in_release = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let numbers = release.iter().take(16).take_while(in_release).count();
    let distribution = &release[numbers..];
    numbers > 1
        && release[numbers - 1] == b'.'
        && matches!(distribution, [b'e', b'l', b'0'..=b'9', ..] | [b'f', b'c', b'0'..=b'9', ..])
}

/// Recognises `usb 1-1.2.3.4`, `hub 1-1.2.3.4:1.0`, `/usb1/1-1/1-1.2.3.4`: a bus, and the ports of successive
/// hubs.
fn is_usb_port(rest: &[u8], number: &[u8]) -> bool {
    let digits = rest.iter().rev().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    let before = &rest[..rest.len() - digits];
    let in_path = || {
        let word = &before[before.len().saturating_sub(128)..];
        let word = &word[word.iter().rposition(|&byte| byte == b' ').map_or(0, |space| space + 1)..];
        word.ends_with(b"/") && memchr::memmem::find(word, b"/usb").is_some()
    };
    digits > 0
        && number.split(|&byte| byte == b'.').all(|port| port.len() < 3)
        && (before.ends_with(b"usb ") || before.ends_with(b"hub ") || in_path())
}

/// Returns whether there is clearly no version after `before`, whose last byte is `previous`. `false` only
/// means that [`is_version`] has to decide.
#[inline]
pub(crate) fn is_none_before(before: &[u8], previous: u8) -> bool {
    match previous {
        b'v' | b'V' | b'/' | b'|' | b'.' | b'-' | b'_' | b'@' | b'#' | b'\\' | b'0'..=b'9' => false,
        _ if is_separator(previous) => {
            // The last letters of all announcements and spoken products, which few other words share; and the
            // end of what precedes the version of a brand.
            let separators =
                before.iter().rev().take(MOST_SEPARATORS).take_while(|byte| is_separator(**byte)).count();
            let word = before[..before.len() - separators].last_chunk::<3>();
            let tail = word.map(|tail| tail.map(|byte| byte | 0x20));
            separators < MOST_SEPARATORS
                && !matches!(
                    tail.as_ref(),
                    Some(
                        b"ion"
                            | b"ons"
                            | b"ver"
                            | b"are"
                            | b"ase"
                            | b"ssl"
                            | b"ome"
                            | b"ium"
                            | b"fox"
                            | [_, b'"', b';']
                            | [_, b's', b'?']
                    )
                )
        }
        _ => true,
    }
}

/// Most bytes between a word that announces a version and the version. Between them JSON in JSON in JSON has
/// ten, `\\\": \\\"`.
const MOST_SEPARATORS: usize = 12;

/// Returns whether `byte` may stand between a word that announces a version and the version.
#[inline]
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b':' | b'=' | b'>' | b'\\' | b'(' | b'v')
}

/// Recognises `Name/1.2.3.4` as in a User-Agent (RFC 9110, 10.1.5: product / product-version). A host name
/// that Java prints before its address, `gateway/203.0.113.9:5060`, is in lower case, or has a port after it.
fn product_slash(rest: &[u8], number: &[u8], after: &[u8]) -> bool {
    // JSON writes the slash as `\/`.
    let rest = rest.strip_suffix(b"\\").unwrap_or(rest);
    let word = last_word(rest);
    // `Mozilla/5.0%20Chrome/131.0.0.0`
    let name = match word {
        [a, b, name @ ..] if escapes(&rest[..rest.len() - word.len()], [*a, *b]) => name,
        _ => word,
    };
    if name.is_empty() || matches!(after, [b':', b'0'..=b'9', ..]) {
        return false;
    }
    // The agent of an app without one of its own on Apple systems.
    let of_app = matches!(after, [b' ' | b'+', rest @ ..] if rest.starts_with(b"CFNetwork/"));
    if of_app || is_product(name) {
        return true;
    }
    let groups = number.iter().filter(|&&byte| byte == b'.').count() + 1;
    let within_user_agent = || {
        let window = &rest[rest.len().saturating_sub(512)..];
        // In the same string.
        memchr::memmem::rfind(window, b"Mozilla/").is_some_and(|agent| !window[agent..].contains(&b'"'))
    };
    // Not the last part of a path, such as that of a referrer: `http://www.example.org/Login/203.0.113.9`. A
    // word that is longer than what is read counts as one.
    let path = || {
        const MOST: usize = 1024;
        let before = &rest[..rest.len() - name.len()];
        let near = &before[before.len().saturating_sub(MOST)..];
        match near.iter().rposition(|byte| b" +;(%".contains(byte)) {
            Some(end) => near[end + 1..].contains(&b'/'),
            None => near.len() < before.len() || near.contains(&b'/'),
        }
    };
    let with_port = groups == 5 && has_port(number);
    name[0].is_ascii_uppercase()
        && (groups > 4 && !with_port || number.ends_with(b".0.0.0") || within_user_agent())
        && !path()
}

/// Returns whether a number after this word is a version of Java with five parts.
fn is_java(word: &[u8], number: &[u8]) -> bool {
    contains(&[b"jre", b"jdk", b"openjdk"], word)
        && number.iter().filter(|&&byte| byte == b'.').count() == 4
        && !has_port(number)
}

/// Returns whether five numbers are an address and its port, as tcpdump joins them, `10.1.2.3.51234`: the
/// last is not an octet.
fn has_port(number: &[u8]) -> bool {
    let last = number.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    last.len() > 3 || last.len() == 3 && last > &b"255"[..]
}

/// Returns whether `before` and `digits` make `%` and two hexadecimal digits.
fn escapes(before: &[u8], digits: [u8; 2]) -> bool {
    before.ends_with(b"%") && digits.iter().all(u8::is_ascii_hexdigit)
}

/// Returns whether `before` is the start of a CEF or LEEF header up to the product.
fn is_header(before: &[u8]) -> bool {
    let mut fields = before.rsplitn(3, |&byte| byte == b'|').skip(2);
    fields.next().is_some_and(|header| {
        let number = header.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        header[..header.len() - number].ends_with(b"EF:")
    })
}

/// Returns whether `before` ends in the name of an SD-ID after its bracket, `[junos` (RFC 5424, 6.3.2).
fn is_sd_name(before: &[u8]) -> bool {
    let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_' | b'.');
    let name = before.iter().rev().take(32).take_while(in_name).count();
    name > 0 && before[..before.len() - name].ends_with(b"[")
}

/// Recognises `name-1.2.3.4.tar.gz`, `name-1.2.3.4-1.el9`: letters before the dash, a package suffix after
/// it.
fn is_package(rest: &[u8], number: &[u8], after: &[u8]) -> bool {
    let named = |suffixes: &[&[u8]]| {
        suffixes
            .iter()
            .any(|suffix| after.get(..suffix.len()).is_some_and(|start| start.eq_ignore_ascii_case(suffix)))
    };
    let of_machine =
        || number.starts_with(b"10.") || number.split(|&byte| byte == b'.').any(|part| part.len() > 2);
    ends_in(rest, u8::is_ascii_alphanumeric)
        && (named(&PACKAGES) || named(&ARCHIVES) && !of_machine())
        && !super::host_name::has_address_prefix(rest)
}

/// Recognises `SWS-3.0.1.86`: a product code in capitals, then a number whose first three parts have one
/// digit.
fn is_coded(rest: &[u8], number: &[u8]) -> bool {
    let code = last_word(rest);
    (2..=5).contains(&code.len())
        && code.iter().all(u8::is_ascii_uppercase)
        && !super::host_name::has_address_prefix(rest)
        && !matches!(
            code,
            b"SRC"
                | b"DST"
                | b"FROM"
                | b"TO"
                | b"VIA"
                | b"PEER"
                | b"GW"
                | b"BAN"
                | b"IP"
                | b"HOST"
                | b"LAN"
                | b"WAN"
                | b"NAT"
                | b"VPN"
                | b"DNS"
                | b"FTP"
                | b"HTTP"
                | b"HTTPS"
                | b"SSH"
                | b"SMTP"
                | b"IMAP"
        )
        && matches!(number, [_, b'.', _, b'.', _, b'.', ..])
}

/// Recognises `version 1.2.3.4`, `"ProductVersion":"1.2.3.4"`, `<AnalyzerVersion>1.2.3.4`,
/// `OpenSSL 3.0.22.1`, and `"Chromium";v="24.0.0.0"` (Client Hints).
fn is_announced(before: &[u8], number: &[u8]) -> bool {
    if before.ends_with(b"\";v=\"") || before.ends_with(b"\\\";v=\\\"") {
        return true;
    }
    // `app.js?v=1.2.3.4`
    if before.ends_with(b".js?v=") || before.ends_with(b".css?v=") {
        return true;
    }
    let separators =
        before.iter().rev().take(MOST_SEPARATORS).take_while(|byte| is_separator(**byte)).count();
    if separators == 0 {
        return false;
    }
    let rest = &before[..before.len() - separators];
    let word = last_word(rest);
    if is_of_email(&rest[..rest.len() - word.len()]) {
        return false;
    }
    let announced = ANNOUNCEMENTS.iter().any(|announcement| ends_in_word(word, announcement));
    // Oracle's, `Release 19.0.0.0.0`, have five numbers; DHCP releases addresses.
    let released = || {
        let five = number.ends_with(b".0") && number.iter().filter(|&&byte| byte == b'.').count() == 4;
        five && word.eq_ignore_ascii_case(b"release")
    };
    let spoken = || {
        matches!(&before[rest.len()..], b" " | b" v")
            && (contains(&SPOKEN_PRODUCTS, word)
                || number.ends_with(b".0.0.0") && contains(&SPOKEN_BROWSERS, word))
    };
    announced || released() || spoken()
}

/// Returns whether the word after `before` is the end of an e-mail address, `jean@example.fr.version`, which
/// announces nothing. The address may be spelt with escapes.
fn is_of_email(before: &[u8]) -> bool {
    let before = &before[before.len().saturating_sub(253)..];
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_@%\\".contains(byte) || *byte >= 0x80;
    let start = before.iter().rposition(|byte| !in_name(byte)).map_or(0, |last| last + 1);
    memchr::memchr3_iter(b'@', b'%', b'\\', &before[start..])
        .any(|at| token::separator_at(before, start + at, b'@').is_some())
}

/// Returns whether `word` is `ending`, or ends in it after a separator, a digit or a change of case.
/// `version` may also follow other letters, unless they make another word.
fn ends_in_word(word: &[u8], ending: &[u8]) -> bool {
    let Some(border) = word.len().checked_sub(ending.len()) else { return false };
    let (head, tail) = word.split_at(border);
    tail.eq_ignore_ascii_case(ending)
        && match head.last() {
            None | Some(b'_' | b'-' | b'.') => true,
            Some(last) => {
                last.is_ascii_digit()
                    || (last.is_ascii_lowercase() && tail[0].is_ascii_uppercase())
                    || (ending == b"version" && !is_other_word(head))
            }
        }
}

/// Returns whether `version` after these letters makes another word: conversion, inversion, diversion.
fn is_other_word(head: &[u8]) -> bool {
    [&b"con"[..], b"in", b"di", b"re", b"per", b"a"].iter().any(|start| start.eq_ignore_ascii_case(head))
}

fn is_product(word: &[u8]) -> bool {
    (2..=14).contains(&word.len()) && contains(&PRODUCTS, word)
}

fn contains(words: &[&[u8]], word: &[u8]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Returns the letters, digits and underscores at the end of `text`, at most 32.
fn last_word(text: &[u8]) -> &[u8] {
    let word = |most: usize| {
        let bytes = text.iter().rev().take(most);
        let length = bytes.take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        &text[text.len() - length..]
    };
    let last = word(32);
    if last.len() < 32 {
        return last;
    }
    // A word that is glued to a token is a word of its own.
    let longer = super::forged::after_tokens(word(80));
    &longer[longer.len().saturating_sub(32)..]
}

fn ends_in(text: &[u8], class: fn(&u8) -> bool) -> bool {
    text.last().is_some_and(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `|` marks the start and the end of the number.
    fn check(marked: &str) -> bool {
        let start = marked.find('|').unwrap();
        let end = marked.rfind('|').unwrap() - 1;
        is_version(marked.replace('|', "").as_bytes(), start, end)
    }

    #[test]
    fn versions() {
        for marked in [
            "OpenSSL |3.0.22.1|",
            "Mozilla/5.0 (X11) Chrome/|103.0.0.0| Safari/537.36",
            "Mozilla/5.0 (X11) NewBrowser/|9.1.2.3| Safari/537.36",
            "Mozilla\\/5.0 Chrome\\/|103.0.0.0| Safari",
            "\"version\":\"|23.0.0.10|\"",
            "{\\\"version\\\": \\\"|23.0.0.10|\\\"}",
            "ProductVersion=\"|10.6.1.112|\"",
            "<AnalyzerVersion>|10.6.1.112|<",
            "OCS_Version=|7.0.3.80|",
            "agent v|1.2.3.4|",
            "kernel version |5.10.0.1|",
            "get openssl-|3.0.22.1|.tar.gz",
            "libfoo.so.|1.2.3.4|",
            "41=ABC-|3.0.1.86|/lists",
            "Web Cache/|2.0.0.2.0|",
            "[junos@|1.1.1.1.2|",
        ] {
            assert!(check(marked), "{marked}");
        }
    }

    #[test]
    fn addresses() {
        for marked in [
            "from |203.0.113.9|",
            "server=|203.0.113.9|",
            "server |203.0.113.9|",
            "localhost/|203.0.113.9|:8080",
            "gateway/|203.0.113.9| ",
            "GET /|203.0.113.9|/x",
            "http://|203.0.113.9|/x",
            "ip-|203.0.113.9|",
            "17-|198.51.100.1|:873",
            "ABC-|198.51.100.1|",
            "IP-|1.2.3.4|",
            "resolver |203.0.113.9|",
            "root@|203.0.113.9|",
            "|203.0.113.9|",
            "Chrome/|203.0.113.9|:80",
            "invalid version |203.0.113.9|:443",
            "NAME/|203.0.113.9.51234|",
            "NAME/|203.0.113.9.53|",
            "NAME/|10.1.2.3.51234|",
            "receiver: |203.0.113.9|",
            "nginx: |203.0.113.9|",
            "kernel: |203.0.113.9|",
            "node/|203.0.113.9|",
            "DHCP release |203.0.113.9|",
        ] {
            assert!(!check(marked), "{marked}");
        }
    }
}
