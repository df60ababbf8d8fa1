//! The commands, one row each: all that the program knows of a command in general comes from here. What it does stands
//! where it is done.
//!
//! A row has the opcode that always answers; its quiet twin has the same row. [`of`] finds it in constant time. Opcodes
//! without a row are known to the server only.

use super::binary::opcode::*;
use super::binary::packet::Packet;
use super::status::CommandClass;
use super::{Answered, KEY_MAX, StoreVerb};

/// What is known of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// The opcode that always answers.
    pub opcode: u8,
    /// The one that does the same, and answers only if something unusual happens. Those that C moxi does not know as
    /// quiet ([`GATQ`], [`GATKQ`]) are included (04 §8.2).
    pub quiet: Option<u8>,
    /// Its ASCII word; empty if there is none.
    pub word: &'static str,
    /// The ASCII word for the same with a CAS id, which is given or asked for; empty if there is none.
    pub cas_word: &'static str,
    /// Who carries it out.
    pub target: Target,
    /// What it does to others.
    pub effect: Effect,
    /// A server may execute it twice, if it does not depend on a CAS id (03 §8.1).
    pub repeats: bool,
    /// What comes back if all is well.
    pub answer: Answer,
    /// What its statuses are in ASCII.
    pub class: CommandClass,
    /// memcached does not know it, and gets out of step over its extras and key: it has to travel alone (04 §8.6).
    pub is_foreign: bool,
    extras: Extras,
    key: Key,
    may_have_value: bool,
}

/// Who carries a command out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The server of its key.
    Key,
    /// All servers.
    All,
    /// moxi itself.
    Moxi,
}

/// What a command does to others than the client that has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: nobody else would miss it.
    None,
    /// It lets others go on, and changes no value.
    Frees,
    /// It changes something. Of what only the server knows that is taken for granted.
    Changes,
}

/// What a command is answered with if all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Only that.
    Status,
    /// The value.
    Value,
    /// The value, and the key before it.
    KeyValue,
    /// A number.
    Number,
    /// Text, or whatever it is.
    Other,
}

/// How many bytes of extras a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extras {
    Just(usize),
    OrNone(usize),
    Any,
}

/// Whether a request has a key, of [`KEY_MAX`] bytes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    None,
    One,
    Any,
}

macro_rules! rows {
    ($($opcode:ident $quiet:expr, $word:literal $cas_word:literal, $target:ident $effect:ident $repeats:literal,
       $answer:ident $class:ident $(($verb:ident))?,
       $is_foreign:literal $extras:ident $(($bytes:literal))? $key:ident $value:literal;)*) => {
        [$(Op {
            opcode: $opcode,
            quiet: $quiet,
            word: $word,
            cas_word: $cas_word,
            target: Target::$target,
            effect: Effect::$effect,
            repeats: $repeats,
            answer: Answer::$answer,
            class: CommandClass::$class $((StoreVerb::$verb))?,
            is_foreign: $is_foreign,
            extras: Extras::$extras $(($bytes))?,
            key: Key::$key,
            may_have_value: $value,
        }),*]
    };
}

/// What has no row: the opcode is filled in.
const UNKNOWN: [Op; 1] = rows! {
    GET   None,   "" "",   Key Changes false, Other Other,   true  Any Any true;
};

const ROWS: [Op; 29] = rows! {
    // opcodes                  words              target effect repeats answer class   foreign, extras, key, value
    GET Some(GETQ),             "get" "gets",   Key  None    true,  Value    Get,            false Just(0)   One  false;
    GETK Some(GETKQ),           "get" "gets",   Key  None    true,  KeyValue Get,            false Just(0)   One  false;
    GAT Some(GATQ),             "gat" "gats",   Key  Changes true,  Value    Get,            false Just(4)   One  false;
    GATK Some(GATKQ),           "gat" "gats",   Key  Changes true,  KeyValue Get,            false Just(4)   One  false;
    GETL None,                  "getl" "",      Key  None    false, KeyValue Getl,           true  OrNone(4) One  false;
    UNL None,                   "unl" "",       Key  Frees   false, Other    Unl,            true  Just(0)   One  false;
    SET Some(SETQ),             "set" "cas",    Key  Changes true,  Status   Store(Set),     false Just(8)   One  true;
    ADD Some(ADDQ),             "add" "cas",    Key  Changes false, Status   Store(Add),     false Just(8)   One  true;
    REPLACE Some(REPLACEQ),     "replace" "cas", Key  Changes true,  Status   Store(Replace), false Just(8)   One  true;
    APPEND Some(APPENDQ),       "append" "",    Key  Changes false, Status   Store(Append),  false Just(0)   One  true;
    PREPEND Some(PREPENDQ),     "prepend" "",   Key  Changes false, Status   Store(Prepend), false Just(0)   One  true;
    DELETE Some(DELETEQ),       "delete" "",    Key  Changes true,  Status   Delete,         false Just(0)   One  false;
    INCREMENT Some(INCREMENTQ), "incr" "",      Key  Changes false, Number   Arith,          false Just(20)  One  false;
    DECREMENT Some(DECREMENTQ), "decr" "",      Key  Changes false, Number   Arith,          false Just(20)  One  false;
    TOUCH None,                 "touch" "",     Key  Changes true,  Status   Touch,          false Just(4)   One  false;
    FLUSH Some(FLUSHQ),         "flush_all" "", All  Changes true,  Status   Flush,          false OrNone(4) None false;
    NOOP None,                  "" "",          All  None    true,  Status   Other,          false Just(0)   None false;
    STAT None,                  "stats" "",     All  None    true,  Other    Other,          false Just(0)   Any  false;
    VERSION None,               "version" "",   Moxi None    true,  Other    Version,        false Just(0)   None false;
    QUIT Some(QUITQ),           "quit" "",      Moxi None    false, Status   Other,          false Just(0)   None false;
    SASL_LIST_MECHS None,       "" "",          Moxi None    false, Other    Other,          false Just(0)   None false;
    SASL_AUTH None,             "" "",          Moxi Changes false, Other    Other,          false Just(0)   One  true;
    SASL_STEP None,             "" "",          Moxi Changes false, Other    Other,          false Just(0)   One  true;
    VERBOSITY None,             "verbosity" "", Moxi Changes false, Status   Other,          true  Any       Any  true;
    HELLO None,                 "" "",          Moxi None    false, Other    Other,          true  Any       Any  true;
    BUCKET None,                "" "",          Moxi Changes false, Status   Other,          true  Any       Any  true;
    SELECT_BUCKET None,         "" "",          Moxi Changes false, Status   Other,          true  Any       Any  true;
    TAP_CONNECT None,           "" "",          Moxi None    false, Other    Other,          true  Any       Any  true;
    DCP_OPEN None,              "" "",          Moxi None    false, Other    Other,          true  Any       Any  true;
};

static TABLE: [Op; 256] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "done by the compiler, which would refuse it"
)]
const fn table() -> [Op; 256] {
    let mut table = [UNKNOWN[0]; 256];
    let mut opcode = 0;
    while opcode < table.len() {
        table[opcode].opcode = opcode as u8;
        opcode += 1;
    }
    let mut row = 0;
    while row < ROWS.len() {
        table[ROWS[row].opcode as usize] = ROWS[row];
        if let Some(quiet) = ROWS[row].quiet {
            table[quiet as usize] = ROWS[row];
        }
        row += 1;
    }
    table
}

/// The command of an opcode, be it a quiet one.
#[expect(clippy::indexing_slicing, reason = "there are 256 rows, one for each byte")]
pub fn of(opcode: u8) -> &'static Op {
    &TABLE[usize::from(opcode)]
}

/// The opcode that does the same and always answers: `opcode` itself, or the one that it is the quiet twin of.
pub fn loud(opcode: u8) -> u8 {
    of(opcode).opcode
}

/// When a packet with this opcode is answered.
pub fn answered(opcode: u8) -> Answered {
    let op = of(opcode);
    if opcode == op.opcode { Answered::Always } else { Answered::quietly(op.gives_value()) }
}

impl Op {
    /// The storage command of this verb.
    pub fn store(verb: StoreVerb) -> &'static Op {
        of(match verb {
            StoreVerb::Set => SET,
            StoreVerb::Add => ADD,
            StoreVerb::Replace => REPLACE,
            StoreVerb::Append => APPEND,
            StoreVerb::Prepend => PREPEND,
        })
    }

    /// Its verb, if it is a storage command.
    pub fn verb(&self) -> Option<StoreVerb> {
        match self.class {
            CommandClass::Store(verb) => Some(verb),
            _ => None,
        }
    }

    /// Whether it changes something at its server, as far as is known.
    pub fn changes(&self) -> bool {
        self.effect == Effect::Changes
    }

    /// Whether nobody but its client would miss it.
    pub fn is_needless(&self) -> bool {
        self.effect == Effect::None
    }

    /// Whether a server may execute it twice; with an id, `has_cas`, it is another thing the second time.
    pub fn may_repeat(&self, has_cas: bool) -> bool {
        self.repeats && !has_cas
    }

    /// Whether it is answered with a value, or as a miss.
    pub fn gives_value(&self) -> bool {
        matches!(self.answer, Answer::Value | Answer::KeyValue)
    }

    /// Whether it answers with the key, too.
    pub fn gives_key(&self) -> bool {
        self.answer == Answer::KeyValue
    }

    /// Whether a request has the parts that it must have. Over one that has others memcached closes its connection, and
    /// with it what other clients have in flight there. So such a packet is not forwarded but answered 0x04, and the
    /// client's connection closed, as memcached does (04 §8.6).
    pub fn fits(&self, packet: &Packet<'_>) -> bool {
        let (extras, key) = (packet.extras.len(), packet.key.len());
        let extras = match self.extras {
            Extras::Just(bytes) => extras == bytes,
            Extras::OrNone(bytes) => extras == bytes || extras == 0,
            Extras::Any => true,
        };
        let key = match self.key {
            Key::None => key == 0,
            Key::One => (1..=KEY_MAX).contains(&key),
            Key::Any => key <= KEY_MAX,
        };
        extras && key && (self.may_have_value || packet.value.is_empty())
    }
}

#[cfg(test)]
mod tests;
