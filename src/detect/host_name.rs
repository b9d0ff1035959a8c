//! The surroundings of an address that is spelt in a host name.

/// Suffixes of services that resolve `203.0.113.9.suffix` to the very address it spells.
const FORWARD_SUFFIXES: [&[u8]; 4] = [b"nip.io", b"sslip.io", b"xip.io", b"traefik.me"];

/// Words that network operators put before an address in a host name.
const ADDRESS_PREFIXES: [&[u8]; 42] = [
    b"ip",
    // As in `ipv4`: digits at the end do not count.
    b"ipv",
    b"host",
    b"hosted",
    b"static",
    b"dyn",
    b"dynamic",
    b"dynip",
    b"dhcp",
    b"dsl",
    b"adsl",
    b"vdsl",
    b"xdsl",
    b"ppp",
    b"pppoe",
    b"pool",
    b"cable",
    b"client",
    b"cust",
    b"customer",
    b"cpe",
    b"user",
    b"subscriber",
    b"broadband",
    b"bb",
    b"mobile",
    b"nat",
    b"vps",
    b"ec",
    b"ns",
    b"node",
    b"crawl",
    b"unknown",
    b"rev",
    b"reverse",
    b"rdns",
    b"addr",
    b"inet",
    b"net",
    b"fiber",
    b"ftth",
    b"wan",
];

/// Labels of the names that access networks give to the addresses of subscribers.
const ACCESS_LABELS: [&[u8]; 27] = [
    b"ipv6",
    b"ip6",
    b"v6",
    b"abo",
    b"access",
    b"adsl",
    b"broadband",
    b"cable",
    b"cust",
    b"customer",
    b"dhcp",
    b"dip",
    b"dsl",
    b"dyn",
    b"dynamic",
    b"fbx",
    b"fiber",
    b"ftth",
    b"mobile",
    b"pool",
    b"ppp",
    b"pppoe",
    b"res",
    b"rev",
    b"vdsl",
    // A provider in Brazil, whose names have no other label.
    b"virtua",
    b"xdsl",
];

/// Returns whether the text continues with `.in-addr.arpa`.
pub(crate) fn is_in_addr_arpa(after: &[u8]) -> bool {
    starts_with_ignoring_case(after, b".in-addr.arpa")
}

/// Returns whether the text continues like the name of a response policy rule, after a prefix length and the
/// octets, last octet first: `32.9.113.0.203.rpz-client-ip`.
pub(crate) fn is_rpz_name(after: &[u8]) -> bool {
    [&b".rpz-ip"[..], b".rpz-client-ip", b".rpz-nsip"]
        .iter()
        .any(|trigger| starts_with_ignoring_case(after, trigger))
}

/// Returns whether the text continues with `.ip6.arpa` (or the older `.ip6.int`).
pub(crate) fn is_ip6_arpa(after: &[u8]) -> bool {
    starts_with_ignoring_case(after, b".ip6.arpa") || starts_with_ignoring_case(after, b".ip6.int")
}

/// Returns whether the text continues with at least two labels of a domain name: `.dialup.isp.example`.
pub(crate) fn continues_domain(after: &[u8]) -> bool {
    let labels = Labels::of(after);
    labels.count >= 2 && labels.ends_in_name() || labels.end_in_file_or_port(after)
}

/// Returns whether the text continues with the rest of a label and at least two more: `-static.isp.example`.
pub(crate) fn continues_label(after: &[u8]) -> bool {
    let in_label = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_');
    let rest = after.iter().take(Labels::MOST_LABEL_BYTES).take_while(in_label).count();
    rest > 0 && continues_domain(&after[rest..])
}

/// Returns whether the text continues with a domain of an access network: `.ipv6.abo.isp.example`,
/// `.dip0.isp.example`.
pub(crate) fn continues_access_name(after: &[u8]) -> bool {
    let mut labels = after[..Labels::of(after).end].rsplit(|&byte| byte == b'.').skip(1);
    let is_access = |label: &[u8]| ACCESS_LABELS.iter().any(|known| known.eq_ignore_ascii_case(label));
    continues_domain(after) && labels.any(|label| is_access(label) || is_access(label.trim_suffix_digits()))
}

/// Returns whether the text continues with at least one label of a host name: `.isp`, but not `.png`.
pub(crate) fn continues_name(after: &[u8]) -> bool {
    let labels = Labels::of(after);
    labels.count >= 1 && labels.ends_in_name() || labels.end_in_file_or_port(after)
}

/// Returns whether the name belongs to a service that spells addresses with the first octet first.
pub(crate) fn is_forward_suffix(after: &[u8]) -> bool {
    let name = &after[..Labels::of(after).end];
    FORWARD_SUFFIXES.iter().any(|suffix| {
        name.len() > suffix.len()
            && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            && name[name.len() - suffix.len() - 1] == b'.'
    })
}

/// Returns whether `before` ends in a word that announces an address in a host name: `ip-`, `host.`, `dyn`.
pub(crate) fn has_address_prefix(before: &[u8]) -> bool {
    address_prefix(before).is_some()
}

/// Returns the word that announces an address at the end of `before`; see [`has_address_prefix`].
pub(crate) fn address_prefix(before: &[u8]) -> Option<&[u8]> {
    let before = match before {
        [rest @ .., b'-' | b'_' | b'.'] => rest,
        _ => before,
    };
    // `ec2-`: digits may end the word.
    let before = before.trim_suffix_digits();
    let letters = before.iter().rev().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (rest, word) = before.split_at(before.len() - letters);
    let is_prefix = |word: &&[u8]| ADDRESS_PREFIXES.iter().any(|prefix| word.eq_ignore_ascii_case(prefix));
    // The first letter may be the end of an escape: `\nip-`, `ESC[31mip-`.
    let escaped = matches!(
        (rest.last(), word.first()),
        (Some(b'\\'), Some(b'n' | b'r' | b't')) | (Some(b'0'..=b'9' | b'[' | b';'), Some(b'm' | b'K'))
    );
    Some(word).filter(is_prefix).or_else(|| word.get(1..).filter(|_| escaped).filter(is_prefix))
}

/// Returns whether the name around the address at `start..end` is of a form that people give to their own
/// machines, with the octets in their order: `ip-10-1-2-3.example.net`, `10-1-2-3.default.pod.cluster.local`.
pub(crate) fn is_of_own_network(text: &[u8], start: usize, end: usize) -> bool {
    let announced = address_prefix(&text[..start]).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"ip"));
    let labels = Labels::of(&text[end..]);
    announced || labels.last.eq_ignore_ascii_case(b"local") || labels.last.eq_ignore_ascii_case(b"internal")
}

/// Returns whether a last label is a file extension or a systemd unit type (`user@1000.service`). None of
/// them is a top-level domain.
pub(crate) fn is_no_domain(last_label: &[u8]) -> bool {
    let mut lower = [0; 9];
    let Some(lower) = lower.get_mut(..last_label.len()) else { return false };
    lower.copy_from_slice(last_label);
    lower.make_ascii_lowercase();
    matches!(
        &*lower,
        b"png" | b"jpg" | b"jpeg" | b"gif" | b"webp" | b"avif" | b"svg" | b"ico" | b"bmp" | b"tif" |
        b"tiff" | b"css" | b"js" | b"mjs" | b"json" | b"xml" | b"html" | b"htm" | b"xhtml" | b"php" |
        b"asp" | b"aspx" | b"jsp" | b"txt" | b"log" | b"pdf" | b"csv" | b"tsv" | b"doc" | b"docx" |
        b"xls" | b"xlsx" | b"ppt" | b"mp3" | b"mp4" | b"webm" | b"ogg" | b"wav" | b"woff" | b"woff2" |
        b"ttf" | b"eot" | b"map" | b"gz" | b"tgz" | b"bz2" | b"xz" | b"zst" | b"rar" | b"jar" | b"war" |
        b"rpm" | b"deb" | b"exe" | b"dll" | b"iso" | b"tmp" | b"bak" | b"conf" | b"cfg" | b"lock" | b"pem" |
        b"key" | b"crt" | b"csr" | b"ovpn" | b"sieve" | b"ics" | b"vcf" | b"eml" | b"mbox" |
        // systemd.unit(5)
        b"service" | b"socket" | b"timer" | b"target" | b"mount" | b"automount" | b"slice" | b"scope" | b"swap" |
        b"path" | b"device"
    )
}

/// Returns whether `top_level` belongs to a country, or is one of a few common generic ones.
pub(crate) fn is_well_known(top_level: &[u8]) -> bool {
    let generic: [&[u8]; 12] = [
        b"com", b"net", b"org", b"info", b"biz", b"edu", b"gov", b"example", b"test", b"name", b"shop",
        b"online",
    ];
    let country = top_level.len() == 2 && top_level.iter().all(u8::is_ascii_alphabetic);
    country || generic.iter().any(|known| known.eq_ignore_ascii_case(top_level))
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The labels that follow, each with its dot in front: `.dialup.isp.example`.
struct Labels<'a> {
    count: usize,
    last: &'a [u8],
    end: usize,
}

impl<'a> Labels<'a> {
    /// A name has at most 253 bytes (RFC 1035, 2.3.4), so nothing beyond is read.
    const MOST_BYTES: usize = 253;
    const MOST_LABEL_BYTES: usize = 63;

    fn of(after: &'a [u8]) -> Self {
        let after = &after[..after.len().min(Self::MOST_BYTES)];
        let mut labels = Self { count: 0, last: &[], end: 0 };
        while after.get(labels.end) == Some(&b'.') {
            let start = labels.end + 1;
            let length = after[start..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                .count();
            if length == 0 {
                break;
            }
            labels.count += 1;
            labels.last = &after[start..start + length];
            labels.end = start + length;
        }
        labels
    }

    /// Returns whether the last label can be a top-level domain: letters only and not a file extension, or an
    /// A-label. Text joined to it by a dash, as in `isp.example-2026`, does not belong to the name.
    fn ends_in_name(&self) -> bool {
        let letters = self.last.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let ends = matches!(self.last.get(letters), None | Some(b'-' | b'_'));
        letters >= 2 && ends && !is_no_domain(&self.last[..letters])
            || self.last.len() > 4 && starts_with_ignoring_case(self.last, b"xn--")
    }

    /// Returns whether the labels, which are those of `after`, are a domain beyond doubt and then what makes
    /// it the name of a file, or a port, as tcpdump writes it: `.isp.example.net.log`,
    /// `.isp.example.net.51234`.
    fn end_in_file_or_port(&self, after: &[u8]) -> bool {
        let goes_on = |label: &[u8]| label.iter().all(u8::is_ascii_digit) || is_no_domain(label);
        if self.count < 3 || !goes_on(self.last) {
            return false;
        }
        let mut labels = after[1..self.end].rsplit(|&byte| byte == b'.').skip_while(|label| goes_on(label));
        labels.next().is_some_and(is_well_known) && labels.next().is_some()
    }
}

trait TrimSuffixDigits {
    fn trim_suffix_digits(&self) -> &[u8];
}

impl TrimSuffixDigits for [u8] {
    /// Removes up to three digits at the end.
    fn trim_suffix_digits(&self) -> &[u8] {
        let digits = self.iter().rev().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        &self[..self.len() - digits]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_continues_a_name() {
        for (after, domain, name) in [
            (&b".dyn.example.net"[..], true, true),
            (b".isp", false, true),
            (b".png", false, false),
            (b".2.tar.gz", false, false),
            (b"", false, false),
            (b".", false, false),
            (b". Then", false, false),
            (b" x.y", false, false),
            (b".a.b:80", false, false),
            (b".isp.example.net.log", true, true),
            (b".isp.example.net.log.1.gz", true, true),
            (b".isp.example.fr.51234 > x", true, true),
            (b".fr.html", false, false),
            (b".bundle.min.js", false, false),
            (b".net.log.1", false, false),
            (b".el9.x86_64.rpm", false, false),
            (b".aa.bb:80", true, true),
        ] {
            assert_eq!(continues_domain(after), domain, "{:?}", String::from_utf8_lossy(after));
            assert_eq!(continues_name(after), name, "{:?}", String::from_utf8_lossy(after));
        }
    }

    #[test]
    fn prefixes() {
        for (before, expected) in [
            (&b"from ip-"[..], true),
            (b"ip", true),
            (b"ec2-", true),
            (b"HOST.", true),
            (b"\x1b[31mip-", true),
            (b"x\\nip-", true),
            (b"build-", false),
            (b"clip-", false),
            (b"", false),
            (b"-", false),
        ] {
            assert_eq!(has_address_prefix(before), expected, "{:?}", String::from_utf8_lossy(before));
        }
    }
}
