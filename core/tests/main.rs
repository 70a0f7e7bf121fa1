//! The core from outside, in one program: it links once.

mod clock;
mod common;
mod corpus;
mod datagrams;
mod deadlines;
mod election;
mod leases;
mod memory;
mod priorities;
mod raised_terms;
mod reasons;
mod records;
mod secure;
mod secure_hellos;
mod secure_starts;
mod sentences;
mod thesis;
mod transfers;
mod vectors;
mod votes;
