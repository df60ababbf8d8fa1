//! What shells need to complete moxi's command line (`--completion`), from the tables of flags and `-Z` keys.

use std::ffi::OsStr;
use std::fmt::Write as _;

use super::flags::{FLAGS, Flag};
use crate::config::behavior::KEYS;
use crate::failure::{Failure, USAGE};

/// The script for one shell.
pub fn text(shell: &OsStr) -> Result<String, Failure> {
    match shell.to_str() {
        Some("bash") => Ok(bash()),
        Some("zsh") => Ok(zsh()),
        Some("fish") => Ok(fish()),
        _ => Err(Failure::new(USAGE, "Invalid argument for --completion: expected bash, zsh, or fish\n")),
    }
}

/// What an argument can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    User,
    Keys,
    /// One of these.
    Word(&'static [&'static str]),
    /// A number, or something else that nobody can guess.
    Other,
}

/// What the argument of this name in the table can be.
fn kind(argument: &str) -> Kind {
    match argument {
        "config" | "file" | "path" => Kind::File,
        "username" => Kind::User,
        "key=value[,...]" => Kind::Keys,
        "protocol" => Kind::Word(&["auto", "ascii", "binary"]),
        "y|n" => Kind::Word(&["y", "n"]),
        "shell" => Kind::Word(&["bash", "zsh", "fish"]),
        "depth" => Kind::Word(&["config", "deep"]),
        _ => Kind::Other,
    }
}

/// `-z`, `--help`.
fn forms(flag: &Flag) -> Vec<String> {
    let short = flag.short().map(|letter| format!("-{letter}"));
    let long = flag.name.map(|name| format!("--{name}"));
    short.into_iter().chain(long).collect()
}

/// `--check=deep`: a flag whose argument may be missing, with each that it can be.
fn with_words(flag: &Flag) -> Vec<String> {
    match flag.argument().filter(|(_, is_needed)| !is_needed).map(|(name, _)| kind(name)) {
        Some(Kind::Word(words)) => words.iter().map(|word| format!("{}={word}", flag.form())).collect(),
        _ => Vec::new(),
    }
}

fn keys() -> String {
    KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(" ")
}

const BASH_END: &str = r#"    esac
    case $cur in
        -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    esac
}
complete -o filenames -F _moxi moxi
"#;

fn bash() -> String {
    let mut text = "# bash completion for moxi\n_moxi() {\n".to_owned();
    text.push_str("    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n");
    let flags: Vec<String> = FLAGS.iter().flat_map(|flag| [forms(flag), with_words(flag)].concat()).collect();
    let _ = writeln!(text, "    local flags='{}'", flags.join(" "));
    let _ = writeln!(text, "    local keys='{}'", keys());
    text.push_str("    COMPREPLY=()\n    case $prev in\n");
    // An argument that may be missing is no word of its own.
    let needed =
        |flag: &'static Flag| flag.argument().filter(|(_, is_needed)| *is_needed).map(|(name, _)| (flag, name));
    for (flag, name) in FLAGS.iter().filter_map(needed) {
        let action = match kind(name) {
            Kind::File => "COMPREPLY=($(compgen -f -- \"$cur\"))".to_owned(),
            Kind::User => "COMPREPLY=($(compgen -u -- \"$cur\"))".to_owned(),
            Kind::Word(words) => format!("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", words.join(" ")),
            Kind::Keys => "case $cur in\n            [/.]*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n            \
                 *=) ;;\n            *,*) COMPREPLY=($(compgen -P \"${cur%,*},\" -S = -W \"$keys\" -- \"${cur##*,}\")) ;;\
                 \n            *) COMPREPLY=($(compgen -S = -W \"$keys\" -- \"$cur\")) ;;\n        esac\n        \
                 compopt -o nospace"
                .to_owned(),
            Kind::Other => ":".to_owned(),
        };
        let _ = writeln!(text, "    {})\n        {action}\n        return ;;", forms(flag).join("|"));
    }
    text.push_str(BASH_END);
    text
}

/// Within single quotes, for zsh's `_arguments`.
fn for_zsh(help: &str) -> String {
    help.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:").replace('\'', "'\\''")
}

fn zsh() -> String {
    let mut text = "#compdef moxi\n_arguments -s -S".to_owned();
    for flag in FLAGS {
        let help = for_zsh(flag.help);
        for form in forms(flag) {
            let _ = match flag.argument() {
                None if form == "-v" => write!(text, " \\\n    '*-v[{help}]'"),
                None => write!(text, " \\\n    '{form}[{help}]'"),
                Some((name, is_needed)) => {
                    // The argument may follow at once, or after `=`, or be the next word.
                    let joint = match form.starts_with("--") {
                        true if is_needed => "=",
                        true => "=-",
                        false => "+",
                    };
                    let colon = if is_needed { ":" } else { "::" };
                    let label = for_zsh(name);
                    let action = match kind(name) {
                        Kind::File => "_files".to_owned(),
                        Kind::User => "_users".to_owned(),
                        Kind::Word(words) => format!("({})", words.join(" ")),
                        Kind::Keys => format!("{{_files; _sequence compadd -S = - {}}}", keys()),
                        Kind::Other => String::new(),
                    };
                    write!(text, " \\\n    '{form}{joint}[{help}]{colon}{label}:{action}'")
                }
            };
        }
    }
    text.push_str(" \\\n    '*:cluster configuration:_files'\n");
    text
}

fn fish() -> String {
    let mut text = "complete -c moxi -f\n".to_owned();
    for flag in FLAGS {
        text.push_str("complete -c moxi");
        if let Some(letter) = flag.short() {
            let _ = write!(text, " -s {letter}");
        }
        if let Some(name) = flag.name {
            let _ = write!(text, " -l {name}");
        }
        let may_miss = flag.argument().is_some_and(|(_, is_needed)| !is_needed);
        match flag.argument().map(|(name, _)| kind(name)) {
            None => {}
            Some(Kind::Word(words)) if may_miss => {
                let _ = write!(text, " -a '{}'", words.join(" "));
            }
            Some(Kind::File) => text.push_str(" -r -F"),
            Some(Kind::User) => text.push_str(" -x -a '(__fish_complete_users)'"),
            Some(Kind::Word(words)) => {
                let _ = write!(text, " -x -a '{}'", words.join(" "));
            }
            Some(Kind::Keys) => {
                let words: Vec<String> = KEYS.iter().map(|key| format!("{}=", key.name)).collect();
                let _ = write!(text, " -r -F -a '{}'", words.join(" "));
            }
            Some(Kind::Other) => text.push_str(" -x"),
        }
        let _ = writeln!(text, " -d '{}'", flag.help.replace('\\', "\\\\").replace('\'', "\\'"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_every_script() {
        for shell in ["bash", "zsh", "fish"] {
            let text = text(OsStr::new(shell)).unwrap();
            for flag in FLAGS {
                let forms = match shell {
                    "fish" => flag.short().map(|letter| format!(" -s {letter} ")).into_iter().collect(),
                    _ => forms(flag),
                };
                assert!(forms.iter().all(|form| text.contains(form.as_str())), "{shell}: {forms:?}");
            }
            assert!(text.contains("downstream_protocol"), "{shell}");
        }
        assert_eq!(text(OsStr::new("csh")).unwrap_err().code, USAGE);
    }

    #[test]
    fn an_argument_that_may_be_missing_follows_an_equals_sign() {
        for (shell, part) in [
            ("bash", " --check --check=config --check=deep "),
            ("zsh", "'--check=-["),
            ("zsh", "]::depth:(config deep)'"),
            ("fish", " -l check -a 'config deep' "),
        ] {
            assert!(text(OsStr::new(shell)).unwrap().contains(part), "{shell}: {part}");
        }
        assert!(!bash().contains("    --check)"));
    }

    #[test]
    fn words_are_those_that_the_flags_take() {
        use crate::cli::{Command, parse};
        for flag in FLAGS {
            let Some(Kind::Word(words)) = flag.argument().map(|(name, _)| kind(name)) else { continue };
            for word in words {
                let typed = flag.short().map_or_else(|| format!("{}={word}", flag.form()), |it| format!("-{it}{word}"));
                let command = parse(["moxi", &typed]);
                assert!(matches!(command, Ok(Command::Run(_) | Command::Check(..) | Command::Print(_))), "{typed}");
            }
        }
    }
}
