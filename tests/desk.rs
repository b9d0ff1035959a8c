//! The work of the legal desk and the data protection officer, in real runs: bundles for authorities,
//! extracts for holds, answers to people.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod desk {
    mod bundle;
    mod clear;
    mod copies;
    mod custodian;
    mod damage;
    mod docs;
    mod hold;
    mod keys;
    mod node;
    mod pipes;
    mod purge;
    mod purged;
    mod refusals;
    mod report;
    mod shred;
    mod subject;
    mod tenants;
}
