//! Kinds of identifiers: `ip`, `em`, ... The kind is the first part of a token, and one input of its key.

/// Index of a kind in [`Kinds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// An IP address.
    pub const IP: Self = Self(0);
    /// A network: IPv6 /64 or IPv4 /24. Used for search, and never written to a line.
    pub const NET: Self = Self(1);
    /// An e-mail address.
    pub const EM: Self = Self(2);
    /// Text that looks like one of our tokens: a forgery.
    pub const FK: Self = Self(3);
    /// A quarantined line.
    pub const QR: Self = Self(4);
    /// An account name.
    pub const USR: Self = Self(5);
    /// A client host name.
    pub const HOST: Self = Self(6);
}

/// The names of all kinds: the built-in ones, then those that rule files add.
#[derive(Clone, Debug)]
pub struct Kinds {
    names: Vec<String>,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { names: Self::BUILT_IN.map(String::from).to_vec() }
    }
}

impl Kinds {
    /// The names of the kinds that are known without any rule file.
    pub const BUILT_IN: [&str; 9] = ["ip", "net", "em", "fk", "qr", "usr", "host", "mac", "tel"];

    /// The maximum length of a kind's name, in bytes.
    pub const MAX_NAME_BYTES: usize = 8;

    /// The kind `name`, which is added if it is new. Returns `None` if the name is not 1 to 8 lower-case
    /// ASCII letters, or if there are 255 kinds already.
    pub fn intern(&mut self, name: &str) -> Option<Kind> {
        if let Some(kind) = self.find(name) {
            return Some(kind);
        }
        let well_formed = (1..=Self::MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase());
        let index = u8::try_from(self.names.len()).ok().filter(|&index| index < u8::MAX)?;
        well_formed.then(|| {
            self.names.push(name.to_owned());
            Kind(index)
        })
    }

    /// The kind `name`, if it exists.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Kind> {
        let index = self.names.iter().position(|known| known == name)?;
        u8::try_from(index).ok().map(Kind)
    }

    /// The name of a kind.
    #[must_use]
    pub fn name(&self, kind: Kind) -> &str {
        &self.names[usize::from(kind.0)]
    }

    /// All kinds and their names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &str)> {
        (0u8..).zip(&self.names).map(|(index, name)| (Kind(index), name.as_str()))
    }
}
