//! Whatever clients do, it harms nobody else, and what they have sent in full is carried out.
//!
//! | file | what it proves |
//! |---|---|
//! | `clients` | those that come by the hundred, end half, send without end or do not read |
//! | `binary_clients` | what moxi itself says to binary clients, however their bytes come |
//! | `leaving` | those that leave: what they have sent is done, whichever way they go |
//! | `mcmux` | those that name the server of each request (`-X`) |
//! | `http` | browsers that a page has sent here: nobody obeys them |

mod binary_clients;
mod clients;
mod http;
mod leaving;
mod mcmux;
