//! The binary protocol (memcached's `protocol_binary.txt`), in both directions.
//!
//! | file | what |
//! |---|---|
//! | [`breach`] | what a client must not do |
//! | [`opcode`] | opcode and status numbers |
//! | [`packet`] | headers and whole packets, parsed |
//! | [`request`] | a packet as the command that it is: for one key, or for none |
//! | [`said`] | what a server says, as any server would |
//! | [`reply`] | replies, written |
//! | [`command`] | a command to the packet a binary server gets |

pub mod breach;
pub mod command;
pub mod opcode;
pub mod packet;
pub mod reply;
pub mod request;
pub mod said;
