//! Promises of the house, one file each.

mod support;

mod access_log;
mod admin;
mod ats;
mod ats_replay;
mod balance;
mod bounds;
mod broken_files;
mod clients;
mod config_faults;
mod demo;
mod doctor;
mod explain;
mod hello_bounds;
mod hello_conformance;
mod hello_extensions;
mod hello_names;
mod hello_oracles;
mod hello_records;
mod hello_segmentation;
mod hello_structure;
mod house;
mod in_process;
mod log_reader;
mod manuals;
mod net;
mod outcomes;
mod packages;
mod party;
mod pki;
mod reload;
mod service;
mod shutdown;
mod soak;
mod tunnel;
