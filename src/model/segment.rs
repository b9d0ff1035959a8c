//! Names of segments, which hold the lines of one class, expiry day and epoch, and of their vaults.

use super::{ClassName, Expires};
use crate::primitives::hex;
use std::fmt;
use std::path::{Path, PathBuf};

/// The two directory trees of an archive. They may be on different volumes, with different owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Segments: pseudonymised lines.
    pub archive: PathBuf,
    /// Vaults: encrypted originals, from which a person can be identified again.
    pub vault: PathBuf,
}

impl Tree {
    /// The trees `archive` and `vault` below `directory`.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { archive: directory.join("archive"), vault: directory.join("vault") }
    }

    /// The file of a sealed segment.
    #[must_use]
    pub fn segment(&self, name: &SegmentName) -> PathBuf {
        self.archive.join(name.to_string())
    }

    /// The file of a segment that is still being written (a part).
    #[must_use]
    pub fn part(&self, name: &SegmentName) -> PathBuf {
        self.archive.join(format!("{name}{PART}"))
    }

    /// The file of a segment that is to replace a sealed one. Its name is neither that of a segment nor of a part.
    #[must_use]
    pub fn staged(&self, name: &SegmentName) -> PathBuf {
        self.archive.join(format!("{name}{STAGED}"))
    }

    /// The file of the vault of a segment that is to replace a sealed one.
    #[must_use]
    pub fn staged_vault(&self, name: &SegmentName) -> PathBuf {
        self.vault.join(name.folder.to_string()).join(format!("{}{VAULT}{STAGED}", name.stem()))
    }

    /// The file of the vault of a segment.
    #[must_use]
    pub fn vault(&self, name: &SegmentName) -> PathBuf {
        self.vault.join(name.folder.to_string()).join(format!("{}{VAULT}", name.stem()))
    }
}

/// What the lines of a segment have in common, and the directory that the segment is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder {
    /// The first legal day on which the lines must no longer exist.
    pub expires: Expires,
    /// The retention class of the lines.
    pub class: ClassName,
}

impl Folder {
    /// Parses directory names `expires=2027-11-24` and `class=connection`, in the form of Hive partitioning.
    #[must_use]
    pub fn parse(expires: &str, class: &str) -> Option<Self> {
        let expires = match expires.strip_prefix("expires=")? {
            "contract" => Expires::Contract,
            day if day.len() == "2027-11-24".len() => Expires::On(day.parse().ok()?),
            _ => return None,
        };
        Some(Self { expires, class: ClassName::new(class.strip_prefix("class=")?)? })
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expires={}/class={}", self.expires, self.class)
    }
}

/// The name of a segment: `expires=2027-11-24/class=connection/<node>-<kid>-<n>.log.zst`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    /// The directory of the segment.
    pub folder: Folder,
    /// The node that wrote the segment.
    pub node: NodeName,
    /// The epoch and its secret.
    pub kid: [u8; 5],
    /// Distinguishes segments that have folder, node and kid in common; counted from 1.
    pub number: u64,
}

impl SegmentName {
    /// The kid of a segment with tokens of many nodes and epochs. It names the first day of 2020, so no epoch has it.
    pub const MANY_EPOCHS: [u8; 5] = *b"00000";

    /// Parses the name of a file in `folder`. Also returns whether it is a part: still written to, or left by a crash.
    #[must_use]
    pub fn parse(folder: &Folder, file: &str) -> Option<(Self, bool)> {
        let (sealed, part) = match file.strip_suffix(PART) {
            Some(sealed) => (sealed, true),
            None => (file, false),
        };
        Self::from_stem(folder, sealed.strip_suffix(SEGMENT)?).map(|name| (name, part))
    }

    /// Parses the [`Display`](fmt::Display) form of a name, which is a path within the archive.
    #[must_use]
    pub fn parse_path(path: &str) -> Option<Self> {
        let [expires, class, file] = path.splitn(3, '/').collect::<Vec<_>>()[..] else { return None };
        Self::parse(&Folder::parse(expires, class)?, file).filter(|(_, part)| !part).map(|(name, _)| name)
    }

    /// Whether a file of this name is a segment or a vault that is to replace another one.
    #[must_use]
    pub fn is_staged(file: &str) -> bool {
        file.strip_suffix(STAGED).is_some_and(|file| file.ends_with(SEGMENT) || file.ends_with(VAULT))
    }

    /// Parses the name of a vault in `folder`.
    #[must_use]
    pub fn parse_vault(folder: &Folder, file: &str) -> Option<Self> {
        Self::from_stem(folder, file.strip_suffix(VAULT)?)
    }

    fn from_stem(folder: &Folder, stem: &str) -> Option<Self> {
        let (rest, number) = stem.rsplit_once('-')?;
        let (node, kid) = rest.rsplit_once('-')?;
        let kid: [u8; 5] = kid.as_bytes().try_into().ok()?;
        let plain = !number.starts_with(['0', '+']) && kid.iter().all(u8::is_ascii_alphanumeric);
        let node = NodeName::new(node).filter(|_| plain)?;
        Some(Self { folder: folder.clone(), node, kid, number: number.parse().ok()? })
    }

    /// The file name without its extension: `<node>-<kid>-<n>`.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{}-{}-{}", self.node, self.kid(), self.number)
    }

    /// The kid as text.
    #[must_use]
    pub fn kid(&self) -> String {
        String::from_utf8_lossy(&self.kid).into_owned()
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{SEGMENT}", self.folder, self.stem())
    }
}

/// The name of a node, as it is used in file names: 1 to 63 of `a-z`, `0-9`, `.`, `_`, `-`, starting with a
/// letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(String);

impl NodeName {
    /// Returns `None` if the name is not well-formed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        (starts_well && name.len() <= 63 && name.bytes().all(allowed)).then(|| Self(name.to_owned()))
    }

    /// The name closest to a host name; `node` if no part of it can be used.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        let lower = host.to_ascii_lowercase();
        let usable = lower.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
        let name: String = usable
            .chars()
            .map(|character| if Self::new(&format!("a{character}")).is_some() { character } else { '-' })
            .take(63)
            .collect();
        Self::new(&name).unwrap_or_else(|| Self("node".to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The unique id of a segment: 16 random bytes, shown as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentId(pub [u8; 16]);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

const SEGMENT: &str = ".log.zst";
const PART: &str = ".part";
const VAULT: &str = ".vault";
const STAGED: &str = ".staged";

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Folder {
        Folder::parse("expires=2027-11-24", "class=connection").unwrap()
    }

    #[test]
    fn names_read_back() {
        let name = SegmentName {
            folder: folder(),
            node: NodeName::new("web-1.example.net").unwrap(),
            kid: *b"2epqf",
            number: 12,
        };
        assert_eq!(
            name.to_string(),
            "expires=2027-11-24/class=connection/web-1.example.net-2epqf-12.log.zst"
        );
        assert_eq!(SegmentName::parse_path(&name.to_string()), Some(name.clone()));
        assert_eq!(SegmentName::parse_path(&format!("{name}.part")), None);
        let file = format!("{}.log.zst", name.stem());
        assert_eq!(SegmentName::parse(&folder(), &file), Some((name.clone(), false)));
        assert_eq!(SegmentName::parse(&folder(), &format!("{file}.part")), Some((name.clone(), true)));
        let tree = Tree::at(Path::new("/srv/log"));
        assert_eq!(tree.part(&name), tree.segment(&name).with_extension("zst.part"));
        let vault = tree.vault(&name);
        assert!(vault.starts_with("/srv/log/vault/expires=2027-11-24/class=connection"));
        let vault = vault.file_name().unwrap().to_str().unwrap();
        assert_eq!(SegmentName::parse_vault(&folder(), vault), Some(name));
    }

    #[test]
    fn what_is_no_segment() {
        for file in [
            "web1-2epqf-1.log",
            "web1-2epqf-01.log.zst",
            "web1-2epqf-.log.zst",
            "web1-2epqf-0.log.zst",
            "web1-2epq-1.log.zst",
            "2epqf-1.log.zst",
            "-2epqf-1.log.zst",
            "web1-2epqf-18446744073709551616.log.zst",
            "web1-2epqf-1.log.zst.part.part",
            ".web1-2epqf-1.log.zst",
        ] {
            assert_eq!(SegmentName::parse(&folder(), file), None, "{file}");
        }
        for (expires, class) in [
            ("expires=2027-11-31", "class=connection"),
            ("expires=2027-1-1", "class=connection"),
            ("expires=never", "class=connection"),
            ("2027-11-24", "class=connection"),
            ("expires=2027-11-24", "class=Connection"),
            ("expires=2027-11-24", "connection"),
        ] {
            assert_eq!(Folder::parse(expires, class), None, "{expires}/{class}");
        }
        assert_eq!(Folder::parse("expires=contract", "class=a").unwrap().expires, Expires::Contract);
    }

    #[test]
    fn hosts_give_nodes() {
        for (host, node) in [
            ("Web1.Example.NET", "web1.example.net"),
            ("_web", "web"),
            ("a b/c", "a-b-c"),
            ("", "node"),
            ("\u{e9}t\u{e9}", "t-"),
            ("(none)", "none-"),
        ] {
            assert_eq!(NodeName::of_host(host).as_str(), node, "{host}");
        }
    }
}
