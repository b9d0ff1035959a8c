//! Whose lines are searched, where one archive has those of several tenants.
//!
//! A vault says whose tokens it holds, and a segment has one vault, so its lines are of that tenant. A segment without
//! vault does not say. What proves a line to be a tenant's then is a token made with the tenant's own keys, which only an
//! identifier in clear is looked for by.

/// The tenant of a search, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// Its name. Identifiers in clear are looked for by its keys where no vault names another one.
    pub tenant: String,
    /// Who named it.
    pub named: Named,
}

/// Who named a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nobody: everybody's lines are searched.
    Nowhere,
    /// The configuration: lines of others are left out, and what does not say whose it is was written by this node.
    InConfiguration,
    /// Whoever asks: lines that are not proven to be the tenant's are left out.
    InQuestion,
}

/// How lines are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// By identifiers in clear and nothing else: a line that is found has a token of the tenant.
    ByIdentifiers,
    /// By tokens, which may be anybody's, or by what is no person.
    Otherwise,
}

/// Whether a segment is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// It is.
    Searched,
    /// It is another tenant's.
    OfAnother,
    /// Nobody can tell whose it is.
    Unknown,
}

impl Tenancy {
    /// Everybody's lines.
    #[cfg(test)]
    pub(in crate::jobs) fn everybody() -> Self {
        Self { tenant: DEFAULT_TENANT.to_owned(), named: Named::Nowhere }
    }

    /// The tenant whose lines alone are searched, if there is one.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        (self.named != Named::Nowhere).then_some(&*self.tenant)
    }

    /// Whether a segment is searched whose vault names `owner`, if it has one.
    #[must_use]
    pub fn share(&self, owner: Option<&str>, sought: Sought) -> Share {
        match (self.named, owner) {
            (Named::Nowhere, _) | (Named::InConfiguration, None) => Share::Searched,
            (_, Some(owner)) if owner == self.tenant => Share::Searched,
            (_, Some(_)) => Share::OfAnother,
            (Named::InQuestion, None) if sought == Sought::ByIdentifiers => Share::Searched,
            (Named::InQuestion, None) => Share::Unknown,
        }
    }
}

/// Whose tokens they are where nobody names a tenant.
pub const DEFAULT_TENANT: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_named_a_tenant_decides_what_becomes_of_others() {
        use Share::{OfAnother, Searched, Unknown};
        for (named, owner, sought, share) in [
            (Named::Nowhere, Some("other"), Sought::Otherwise, Searched),
            (Named::Nowhere, None, Sought::Otherwise, Searched),
            (Named::InConfiguration, Some("acme"), Sought::Otherwise, Searched),
            (Named::InConfiguration, Some("other"), Sought::Otherwise, OfAnother),
            (Named::InConfiguration, None, Sought::Otherwise, Searched),
            (Named::InQuestion, Some("acme"), Sought::Otherwise, Searched),
            (Named::InQuestion, Some("other"), Sought::ByIdentifiers, OfAnother),
            (Named::InQuestion, None, Sought::ByIdentifiers, Searched),
            (Named::InQuestion, None, Sought::Otherwise, Unknown),
        ] {
            let tenancy = Tenancy { tenant: "acme".to_owned(), named };
            assert_eq!(tenancy.share(owner, sought), share, "{named:?} {owner:?} {sought:?}");
        }
    }
}
