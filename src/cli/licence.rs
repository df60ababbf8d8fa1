//! The text of `-i`: our licence, and those of the libraries inside the program.

use super::VERSION;

/// The whole text.
pub fn text() -> String {
    let mut text = format!("moxi {VERSION}\n\n{LICENCE}\nThe program contains these libraries:\n\n");
    for (name, licence) in LIBRARIES.iter().chain(TLS_LIBRARIES.iter().filter(|_| cfg!(feature = "tls"))) {
        text.push_str(&format!("  {name:<20} {licence}\n"));
    }
    text
}

const LICENCE: &str = "\
Copyright (c) the moxi authors. All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

3. Neither the name of the copyright holder nor the names of its contributors
   may be used to endorse or promote products derived from this software
   without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS \"AS IS\" AND
ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
";

/// Every crate that is linked in; a test checks those that the manifest names.
pub const LIBRARIES: &[(&str, &str)] = &[
    ("base64", "MIT OR Apache-2.0"),
    ("bitflags", "MIT OR Apache-2.0"),
    ("block-buffer", "MIT OR Apache-2.0"),
    ("cfg-if", "MIT OR Apache-2.0"),
    ("const-oid", "Apache-2.0 OR MIT"),
    ("crc32fast", "MIT OR Apache-2.0"),
    ("crypto-common", "MIT OR Apache-2.0"),
    ("digest", "MIT OR Apache-2.0"),
    ("errno", "MIT OR Apache-2.0"),
    ("foldhash", "Zlib"),
    ("fork", "BSD-3-Clause"),
    ("httparse", "MIT OR Apache-2.0"),
    ("hybrid-array", "MIT OR Apache-2.0"),
    ("itoa", "MIT OR Apache-2.0"),
    ("jiff", "Unlicense OR MIT"),
    ("jiff-core", "Unlicense OR MIT"),
    ("lexopt", "MIT"),
    ("libc", "MIT OR Apache-2.0"),
    ("linux-raw-sys", "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"),
    ("log", "MIT OR Apache-2.0"),
    ("md-5", "MIT OR Apache-2.0"),
    ("memchr", "Unlicense OR MIT"),
    ("memoffset", "MIT"),
    ("mio", "MIT"),
    ("nix", "MIT"),
    ("rustix", "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"),
    ("sd-listen-fds", "MIT OR Apache-2.0"),
    ("sd-notify", "MIT OR Apache-2.0"),
    ("serde_core", "MIT OR Apache-2.0"),
    ("serde_json", "MIT OR Apache-2.0"),
    ("signal-hook", "MIT OR Apache-2.0"),
    ("signal-hook-registry", "MIT OR Apache-2.0"),
    ("slab", "MIT"),
    ("socket2", "MIT OR Apache-2.0"),
    ("typenum", "MIT OR Apache-2.0"),
    ("zmij", "MIT"),
];

/// Those that TLS adds.
pub const TLS_LIBRARIES: &[(&str, &str)] = &[
    ("getrandom", "MIT OR Apache-2.0"),
    ("once_cell", "MIT OR Apache-2.0"),
    ("openssl-probe", "MIT OR Apache-2.0"),
    ("ring", "Apache-2.0 AND ISC"),
    ("rustls", "Apache-2.0 OR ISC OR MIT"),
    ("rustls-native-certs", "Apache-2.0 OR ISC OR MIT"),
    ("rustls-pki-types", "MIT OR Apache-2.0"),
    ("rustls-webpki", "ISC"),
    ("subtle", "BSD-3-Clause"),
    ("untrusted", "ISC"),
    ("zeroize", "Apache-2.0 OR MIT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_library_of_the_manifest() {
        let manifest = include_str!("../../Cargo.toml");
        let section = manifest.split("[dependencies]\n").nth(1).expect("a section");
        let section = section.split("\n[").next().expect("its end");
        for line in section.lines() {
            let Some((name, _)) = line.split_once(" = ") else {
                continue;
            };
            // What only moxi-top has.
            if name == "crossterm" {
                continue;
            }
            assert!(LIBRARIES.iter().chain(TLS_LIBRARIES).any(|(known, _)| *known == name), "{name} is missing");
        }
    }

    #[test]
    fn begins_with_name_and_version() {
        assert!(text().starts_with(&format!("moxi {VERSION}\n\n")));
    }
}
